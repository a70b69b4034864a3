"""The catalogue of components: what their classes, constructors and docstrings say of them.

Nothing is constructed or set up. Thread: any.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import re
from pathlib import Path
from typing import Any

from zenactors import components
from zenactors.config.component_options import options_model
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import key_of
from zenactors.errors import did_you_mean
from zenactors.spec.components import import_component
from zenactors.spec.docstrings import Docstring, split
from zenactors.spec.importing import Problem, look_first_in
from zenactors.spec.toml_words import type_in_toml, value_in_toml

PACKAGE = components.__name__
KINDS = ("source", "parser", "step", "sink")
_EXTRA = re.compile(r"\bextra `([\w-]+)`|\bzenactors\[([\w-]+)\]")
_ROOMS = {
    "sources": "source",
    "tail": "source",
    "parsers": "parser",
    "steps": "step",
    "sinks": "sink",
}


@dataclasses.dataclass(frozen=True, slots=True)
class Option:
    """An option of a component, as the user of a SPEC sees it.

    Attributes:
        name: Its key in `[component.options]`.
        type: What it takes, in the words of TOML.
        required: True: it has no default.
        default: The default in TOML; None if it has none, or one that TOML cannot express.
        help: What it is for; empty if its component does not say.
    """

    name: str
    type: str
    required: bool
    default: str | None
    help: str

    @property
    def first_sentence(self) -> str:
        """The first sentence of the help."""
        return re.split(r"(?<=[.!?]) (?=[^a-z])", self.help, maxsplit=1)[0]


@dataclasses.dataclass(frozen=True, slots=True)
class Entry:
    """What the catalogue says of a component. What its docstring lacks is empty.

    Attributes:
        name: Its name in the catalogue.
        use: What a SPEC writes to use it.
        kind: One of `KINDS`; empty for a component that is none of them.
        summary: The first sentence of its docstring.
        text: The paragraphs after that.
        options: Its options, required ones first.
        statistics: What it counts.
        promises: What it promises about loss, duplicates, order, memory and threads.
        handles: The events that it takes, by its own names.
        emits: The events that it schedules, by its own names.
        extras: The extras of zenactors that it can make use of, or needs.
        example: A whole SPEC in TOML.
    """

    name: str
    use: str
    kind: str
    summary: str
    text: str
    options: list[Option]
    statistics: str
    promises: dict[str, str]
    handles: list[str]
    emits: list[str]
    extras: list[str]
    example: str


@functools.cache
def stock() -> dict[str, type[ZenDaemonComponent]]:
    """Return the stock components by their names, sources first and sinks last."""
    found = {}
    for name in components.__all__:
        value = getattr(components, name)
        # The bases for components of users are in modules of their own.
        if _is_component(value) and not value.__module__.endswith(".base"):
            found[name] = value
    return dict(sorted(found.items(), key=lambda each: (KINDS.index(kind_of(each[1])), each[0])))


def _is_component(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, ZenDaemonComponent)


def kind_of(cls: type) -> str:
    """Return one of `KINDS`, by the room that the class, or else a base of it, is in; or ""."""
    for each in cls.__mro__:
        if each.__module__.startswith(f"{PACKAGE}."):
            return _ROOMS.get(each.__module__.split(".")[2], "")
    return ""


def entry_of(name: str, app_dir: Path) -> Entry:
    """Return what the catalogue says of a component.

    Args:
        name: The name of a stock component, or `package.module:Class`.
        app_dir: The directory that is searched first for modules.

    Raises:
        Problem: There is no such component.
    """
    if ":" in name:
        look_first_in(app_dir)
        return describe(import_component(name, app_dir), name)
    if name not in stock():
        hint = did_you_mean(name, stock()) or "; `zenactors components` lists all"
        raise Problem(f"there is no component {name!r}{hint}")
    return describe(stock()[name], f"{PACKAGE}:{name}")


def describe(cls: type[ZenDaemonComponent], use: str) -> Entry:
    """Return what a class says of itself.

    Args:
        cls: The class.
        use: What a SPEC writes to use it.
    """
    doc = split(cls.__doc__)
    summary, _, rest = doc.text.partition("\n\n")
    paragraphs = rest.split("\n\n")
    statistics = [each for each in paragraphs if each.startswith("Statistics:")]
    return Entry(
        name=cls.__name__,
        use=use,
        kind=kind_of(cls),
        summary=" ".join(summary.split()),
        text="\n\n".join(each for each in paragraphs if each not in statistics),
        options=_options_of(cls),
        statistics=" ".join(" ".join(statistics).removeprefix("Statistics:").split()),
        promises=doc.entries("Promises"),
        handles=_handled_by(cls),
        emits=sorted(map(str, [cls.emits] if isinstance(cls.emits, str) else cls.emits)),
        extras=sorted(
            {each for found in _EXTRA.findall(cls.__doc__ or "") for each in found if each}
        ),
        example=doc.sections.get("Example", ""),
    )


def _options_of(cls: type) -> list[Option]:
    helps: dict[str, str] = {}
    for base in cls.__mro__:
        described: Docstring = split(vars(base).get("__doc__"))
        helps = described.entries("Args") | helps
    found = []
    for name, field in options_model(cls).model_fields.items():
        key = key_of(name, field)
        required = field.is_required()
        default = None if required else field.get_default(call_default_factory=True)
        found.append(
            Option(
                name=key,
                type=type_in_toml(field.annotation),
                required=required,
                default=value_in_toml(default),
                help=" ".join((field.description or helps.get(key, "")).split()),
            )
        )
    return sorted(found, key=lambda each: not each.required)


def _handled_by(cls: type) -> list[str]:
    callbacks = (inspect.getattr_static(cls, name) for name in dir(cls))
    marks = (getattr(each, "zen_handles", ()) for each in callbacks)
    return sorted({str(event) for each in marks for event, _ in each})
