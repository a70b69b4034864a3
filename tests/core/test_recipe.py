"""A component remembers how it was made, whatever its class looks like."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import threading
from pathlib import Path
from random import Random
from typing import Any

import pydantic
import pytest

from zenactors.core.clock import VirtualClock
from zenactors.core.component import (
    ZenDaemonComponent,
    change,
    make,
    options_of,
    recipe_of,
    set_clock,
    transfer_state,
)
from zenactors.core.recipe import NeedsRestart, Recipe, place_of, read_constructor, same


class Base(ZenDaemonComponent):
    files = "class"

    def __init__(self, path: str, *rest: int, mode: str = "a", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path, self.rest, self.mode = path, rest, mode


class Open(Base):
    def __init__(self, size: int = 1, /, depth: int = 2, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size, self.depth = size, depth


class Modelled(ZenDaemonComponent):
    class Options(pydantic.BaseModel):
        to: str = "root"
        folder: Path = Path("/data")

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.seen = dict(self.options)


class Closed(Modelled):
    """Its constructor takes none of its options."""

    def __init__(self) -> None:
        super().__init__(name="closed")


@dataclasses.dataclass(frozen=True)
class Frozen(ZenDaemonComponent):
    path: str
    size: int = 3


@dataclasses.dataclass(slots=True)
class Slotted(ZenDaemonComponent):
    path: str


class Careless(ZenDaemonComponent):
    def __init__(self, path: str) -> None:
        self.path = path


def test_the_arguments_are_remembered_by_name() -> None:
    recipe = recipe_of(Base("x", mode="b", name="n"))
    assert recipe is not None
    assert recipe.arguments == {"path": "x", "mode": "b", "name": "n"}
    assert recipe.options == {"path": "x", "mode": "b"}
    assert recipe.name == "n"


@pytest.mark.parametrize("cls", [Frozen, Slotted, Careless])
def test_unusual_classes_are_remembered_too(cls: type) -> None:
    component = cls("x")
    assert options_of(component)["path"] == "x"
    assert change(component, {"path": "y"}, {"path": "y"})
    assert component.path == "y"
    assert options_of(component) == {"path": "y"}


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))]
)
@pytest.mark.parametrize("component", [Base("x", name="n"), Frozen("x"), Slotted("x")])
def test_a_copy_has_the_recipe(copied: Any, component: Any) -> None:
    made = copied(component)
    assert options_of(made) == options_of(component)
    assert change(made, {"path": "y"}, {"path": "y"})
    assert (made.path, component.path) == ("y", "x")


def test_what_cannot_be_copied_or_pickled_may_be_an_argument() -> None:
    class Locked(ZenDaemonComponent):
        def __init__(self, lock: Any) -> None:
            super().__init__()

    locked = Locked(threading.Lock())
    assert "lock" in options_of(copy.deepcopy(locked))
    assert pickle.dumps(recipe_of(Base(threading.Lock())))  # type: ignore[arg-type]


def test_positional_arguments_can_be_overridden_and_others_stay() -> None:
    assert Recipe(Base, "x", 1, 2, mode="b").call_with({"path": "y"}) == (
        ("y", 1, 2),
        {"mode": "b"},
    )
    assert Recipe(Open, 5, 6, path="x").call_with({"depth": 7, "path": "y"}) == (
        (5, 7),
        {"path": "y"},
    )
    made = make(Recipe(Open, 5, path="x"), {}, {"mode": "z"})
    assert (made.size, made.depth, made.path, made.mode) == (5, 2, "x", "z")


def test_options_are_those_of_the_constructor_with_their_defaults() -> None:
    assert Base("x").options == {"path": "x", "mode": "a"}
    assert Open(path="x").options == {"depth": 2, "path": "x", "mode": "a"}


def test_options_of_a_model_are_known_in_the_constructor() -> None:
    assert Modelled().seen == {"to": "root", "folder": Path("/data")}
    assert Modelled(to="me", name="n").seen["to"] == "me"
    assert Modelled(to="me", name="n").name == "n"
    with pytest.raises(ValueError, match="valid string"):
        Modelled(to=5)


def test_a_recipe_may_have_options_that_the_constructor_does_not_take() -> None:
    recipe = Recipe(Closed, to="me")
    made = make(recipe, recipe.all_options(), {})
    assert made.seen["to"] == "me"


@pytest.mark.parametrize(
    ("cls", "options", "problem"),
    [
        (Base, {"pth": 1}, "Base takes no option 'pth'; did you mean 'path'?"),
        (Modelled, {"too": 1}, "Modelled takes no option 'too'; did you mean 'to'?"),
        (Modelled, {"nmae": 1}, "Modelled takes no option 'nmae'; did you mean 'name'?"),
    ],
)
def test_an_unknown_option_is_refused(cls: Any, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError) as caught:
        cls(**{"path": "x"} | options if cls is Base else options)
    assert str(caught.value) == problem


def test_a_class_may_accept_any_option() -> None:
    class Tolerant(ZenDaemonComponent):
        accepts_any_option = True

    class Lax(ZenDaemonComponent):
        class Options(pydantic.BaseModel):
            model_config = pydantic.ConfigDict(extra="allow")

    assert Tolerant(anything=1).name == "Tolerant"
    assert Lax(anything=1).options == {"anything": 1}


def test_a_change_keeps_the_object_and_what_was_given_to_it() -> None:
    component, clock, random = Base("x"), VirtualClock(), Random(5)
    set_clock(component, clock)
    component.files, component.random = "given", random

    assert change(component, {"path": "y", "mode": "a"}, {"path": "y"})

    assert component.path == "y"
    assert component.clock is clock
    assert component.random is random
    assert component.files == "given"


def test_without_a_difference_nothing_is_initialised_again() -> None:
    component = Base("x")
    component.noted = True  # type: ignore[attr-defined]
    assert not change(component, {"path": "x", "mode": "a"}, {"path": "x"})
    assert component.noted  # type: ignore[attr-defined]


def test_a_constructor_that_raises_leaves_the_component_as_it_was() -> None:
    class Picky(Base):
        def __init__(self, path: str) -> None:
            super().__init__(path)
            if path == "bad":
                raise ValueError("bad")

    component = Picky("x")
    with pytest.raises(ValueError, match="bad"):
        change(component, {"path": "bad"}, {"path": "bad"})
    assert (component.path, options_of(component)) == ("x", {"path": "x"})


def test_what_a_constructor_makes_itself_is_not_transferred() -> None:
    class Own(ZenDaemonComponent):
        def __init__(self, files: list[str]) -> None:
            super().__init__()
            self.files, self.random = files, Random(len(files))

    old, new = Own(["a"]), Own(["b", "c"])
    own = new.random
    transfer_state(old, new)
    assert new.files == ["b", "c"]
    assert new.random is own


class Equal:
    def __eq__(self, other: object) -> bool:
        raise TypeError("no")

    __hash__ = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (1, 1.0, True), (1, True, False), ("1", 1, False), (None, 0, False),
        ([1, {"a": (2,)}], [1, {"a": (2,)}], True), ([1], (1,), False), ([1], [1, 2], False),
        ({"a": object()}, {"a": object()}, True), ({"a": 1}, {"b": 1}, False),
        (lambda: 1, lambda: 2, True), (Equal(), Equal(), False), (Path("a"), Path("a"), True),
        (Path("a"), Path("b"), False),
    ],
)  # fmt: skip
def test_values_are_compared_as_far_as_they_can_be(one: Any, other: Any, *, expected: bool) -> None:
    assert same(one, other) is expected
    assert same(one, one)


def test_the_place_of_an_error_is_that_of_the_option_that_it_names() -> None:
    places = {"start": "x:1", "size": "x:2"}
    assert place_of(places, ValueError("size is 5")) == "x:2: "
    assert place_of(places, ValueError("wrong")) == "x:1: "
    assert place_of({}, ValueError("wrong")) == ""


def test_the_name_of_a_recipe() -> None:
    class Named(ZenDaemonComponent):
        def __init__(self, name: str = "own") -> None:
            super().__init__(name=name)

    assert [Recipe(each).name for each in (Base, Named)] == ["Base", "own"]
    assert Recipe(Named, "other").name == "other"
    assert repr(Recipe(Base, "secret", mode="x")) == "Recipe(Base, path, mode)"


def test_only_a_class_of_components_makes_a_recipe() -> None:
    with pytest.raises(TypeError, match="not a subclass of ZenDaemonComponent"):
        Recipe(dict)


def test_the_marker_is_one_object() -> None:
    assert pickle.loads(pickle.dumps(NeedsRestart)) is copy.deepcopy(NeedsRestart) is NeedsRestart
    assert repr(NeedsRestart) == "NeedsRestart"


def test_a_constructor_that_hands_nothing_on_ends_the_search() -> None:
    assert not read_constructor(Careless).is_open
    assert read_constructor(Open).is_open


def test_the_signature_of_a_class_is_that_of_its_constructor() -> None:
    assert list(inspect.signature(Base).parameters) == ["path", "rest", "mode", "kwargs"]
    assert list(inspect.signature(Frozen).parameters) == ["path", "size"]
    own = inspect.signature(ZenDaemonComponent).parameters
    assert list(own) == ["name", "event_map", "clock", "supervision", "options"]
