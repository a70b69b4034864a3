"""Options are the arguments of constructors, including those of base classes."""

from __future__ import annotations

import dataclasses
import enum
import sys
from typing import Any, Literal

import pydantic
import pytest

from zenactors.config.component_options import options_model
from zenactors.config.plan import plan_for
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import read_constructor
from zenactors.errors import ConfigurationError


class Base(ZenDaemonComponent):
    def __init__(self, path: str, *rest: int, mode: Literal["a", "b"] = "a", **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None: ...


class Closed(Base):
    def __init__(self, path: str, *, json: bool = False) -> None:
        super().__init__(path)


class Open(Base):
    def __init__(self, *, mode: int = 5, copy: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_options_of_base_classes_count_as_long_as_kwargs_are_handed_on() -> None:
    assert list(read_constructor(Base).options) == ["path", "mode"]
    assert list(read_constructor(Closed).options) == ["path", "json"]
    found = read_constructor(Open)
    assert found.options["mode"][0].default == 5  # the subclass's, not the base's
    assert found.accepts.keys() == {
        "mode",
        "copy",
        "path",
        "name",
        "event_map",
        "clock",
        "supervision",
    }


def test_options_may_be_called_as_attributes_of_models_are() -> None:
    model = options_model(Open)
    assert model.model_validate({"path": "p", "copy": ["x"]}).model_fields_set
    assert "copy" in model.model_json_schema()["properties"]


def configured(component: Any, **options: Any) -> Any:
    """Return a component called `c`, with options of the configuration."""
    made, _ = plan_for([component], {"components": {"c": options}}).make()
    return made[0]


@dataclasses.dataclass
class Tagged(ZenDaemonComponent):
    word: str = "hello"
    tags: list[str] = dataclasses.field(default_factory=lambda: ["a"])
    name: str = "c"

    def __post_init__(self) -> None:
        super().__init__(name=self.name)


def test_a_dataclass_has_the_defaults_that_its_factories_make() -> None:
    assert Tagged().options == {"word": "hello", "tags": ["a"]}
    assert plan_for([Tagged], {}).options == {"c": {"word": "hello", "tags": ["a"]}}
    assert configured(Tagged(), tags=["b"]).tags == ["b"]
    assert Tagged().options["tags"] is not Tagged().options["tags"]


class Tolerant(ZenDaemonComponent):
    accepts_any_option = True

    def __init__(self, *, level: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)


class MoreTolerant(Tolerant):
    def __init__(self, *, depth: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_a_class_that_accepts_any_option_has_those_of_its_base_classes_too() -> None:
    assert MoreTolerant(name="c", level=2, other=3).options == {"depth": 1, "level": 2}
    assert configured(MoreTolerant(name="c"), level=5).options == {"depth": 1, "level": 5}
    assert "name" in read_constructor(Tolerant).accepts


class Mailer(ZenDaemonComponent):
    class Options(pydantic.BaseModel):
        sender: str = pydantic.Field("me", alias="from")
        to: str = pydantic.Field("you", validation_alias=pydantic.AliasChoices("to", "recipient"))
        limits: dict[str, int] = {}
        token: str = pydantic.Field("t", exclude=True)


class Named(Mailer):
    class Options(Mailer.Options):
        model_config = pydantic.ConfigDict(populate_by_name=True)


class Constructed(Mailer):
    def __init__(self, sender: str = "me") -> None:
        super().__init__(name="c")
        self.sender = sender


def test_options_has_all_fields_of_the_model_those_excluded_from_dumps_too() -> None:
    expected = {"from": "me", "to": "you", "limits": {}, "token": "t"}
    assert Mailer().options == expected
    assert configured(Mailer(name="c"), token="x").options == {**expected, "token": "x"}


@pytest.mark.parametrize(
    ("cls", "given", "set_here", "expected"),
    [
        (Mailer, {"recipient": "a"}, {}, ("to", "a")),
        (Mailer, {"to": "a"}, {"recipient": "b"}, ("to", "b")),
        (Mailer, {"recipient": "a"}, {"to": "b"}, ("to", "b")),
        (Named, {"sender": "a"}, {"from": "b"}, ("from", "b")),
        (Named, {"from": "a"}, {"sender": "b"}, ("from", "b")),
    ],
)
def test_all_spellings_of_an_option_are_one_option(
    cls: Any, given: dict[str, Any], set_here: dict[str, Any], expected: tuple[str, str]
) -> None:
    component = configured(cls(name="c", **given), **set_here)
    key, value = expected
    assert component.options[key] == value


def test_two_spellings_of_an_option_in_one_table_are_an_error() -> None:
    problem = refusal(Mailer(name="c"), to="a", recipient="b")
    assert problem.endswith("option 'recipient' is given twice, in two spellings")


def test_the_constructor_gets_an_aliased_option_by_its_own_name() -> None:
    assert Constructed("x").options["from"] == "x"
    component = configured(Constructed("x"), **{"from": "y"})
    assert (component.sender, component.options["from"]) == ("y", "y")


def test_the_name_of_a_field_is_no_option_if_the_model_takes_only_its_alias() -> None:
    with pytest.raises(TypeError, match="Mailer takes no option 'sender'"):
        Mailer(sender="x")


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Painter(ZenDaemonComponent):
    def __init__(self, colour: Colour | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.colour = colour


def test_an_enumeration_is_given_by_its_values() -> None:
    assert configured(Painter(name="c"), colour="blue").colour is Colour.BLUE
    assert refusal(Painter(name="c"), colour="bleu").endswith(
        "option 'colour': expected one of 'red', 'blue', got 'bleu'; did you mean 'blue'?"
    )


class Account:
    def __repr__(self) -> str:
        return "Account(password='opensesame')"


class Picky(ZenDaemonComponent):
    def __init__(self, password: str, size: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if size > 1:
            raise ValueError(f"{password} is not for size {size}")


def refusal(component: Any, **options: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        configured(component, **options)
    return str(caught.value)


def test_no_error_has_a_secret() -> None:
    raised = refusal(Picky("opensesame", name="c"), size=2)
    assert "its constructor raises ValueError: *** is not for size 2" in raised
    wrong = refusal(Mailer(name="c", to=Account()))
    assert wrong.endswith("option 'to': expected str, got Account(password=***)")


def calls_to_plan(count: int) -> int:
    """Return how many functions are called to configure so many components."""
    calls = 0

    def note(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}

    components = [Tolerant(name=f"c{index}", level=1) for index in range(count)]
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        plan_for(components, {"components": {f"c{index}": {"level": 2} for index in range(count)}})
    finally:
        sys.setprofile(before)
    return calls


def test_twice_as_many_components_take_about_twice_as_long() -> None:
    calls_to_plan(1)  # the model of the class
    assert calls_to_plan(100) < 3 * calls_to_plan(50)
