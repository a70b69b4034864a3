"""Samples for the tests of configurations: a daemon with its own keys, and files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic
from pydantic import Field

from zenactors.config.component_options import Section
from zenactors.config.options import DaemonOptions, Table
from zenactors.config.sources import Layer, read_file
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import Recipe


class Database(Table):
    host: str
    port: int = 5432
    password: str | None = None


class Options(DaemonOptions):
    greeting: str = Field("hello", description="What to say first.")
    loud: bool = Field(default=True, description="Say it loudly.")
    directory: Path = Field(default=Path("/data"), description="Where to look.")
    mode: Literal["fast", "safe"] = "safe"
    tags: tuple[str, ...] = ()
    limits: dict[str, int] = Field(default={"lines": 10}, description="How much at most.")
    database: Database | None = None
    replicas: list[Database] = Field(default=[])


class TailerOptions(Table):
    paths: list[str] = Field(default=[])
    poll: float = 0.25
    limits: dict[str, int] = Field(default={})


class LaxOptions(pydantic.BaseModel):
    """A model that ignores unknown keys, as a component's model may."""

    level: int = 1


def section(model: type[pydantic.BaseModel]) -> Section:
    """Return the section of a component with these options."""
    return Section(Recipe(type("Component", (ZenDaemonComponent,), {"Options": model})))


SECTIONS = {"tailer": section(TailerOptions), "lax": section(LaxOptions), "plain": None}


def write(path: Path | str, text: str) -> Path:
    path = Path(path)
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    path.chmod(0o644)  # with any umask: root refuses files that others can write
    return path


def default(data: Mapping[str, Any] | None = None) -> Layer:
    return Layer(kind="default", label="default", data={"name": "x"} if data is None else data)


def program(data: Mapping[str, Any]) -> Layer:
    return Layer(kind="program", label="program", data=data)


def given(data: Mapping[str, Any]) -> Layer:
    return Layer(kind="command line", label="command line", data=data)


def file(path: Path, text: str) -> Layer:
    layer = read_file(write(path, text))
    assert layer.problems == ()
    return layer
