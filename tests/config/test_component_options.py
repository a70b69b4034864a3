"""Options are the arguments of constructors, including those of base classes."""

from __future__ import annotations

from typing import Any, Literal

from zenactors.config.component_options import options_model
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import read_constructor


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
    assert found.accepts.keys() == {"mode", "copy", "path", "name", "event_map", "clock"}


def test_options_may_be_called_as_attributes_of_models_are() -> None:
    model = options_model(Open)
    assert model.model_validate({"path": "p", "copy": ["x"]}).model_fields_set
    assert "copy" in model.model_json_schema()["properties"]
