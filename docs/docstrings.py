"""Docstrings and signatures as Markdown. Docstrings have the sections of Google's style."""

from __future__ import annotations

import ast
import contextlib
import functools
import inspect
import itertools
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, NamedTuple

from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import read_constructor
from zenactors.spec.docstrings import split

EMPTY = inspect.Parameter.empty


class Doc(NamedTuple):
    """A docstring: its text, the entries of each section by name, and what is returned."""

    text: str
    entries: dict[str, dict[str, str]]
    returns: str
    example: str = ""


def parse(docstring: str | None) -> Doc:
    """Split a docstring into its text and its sections. Indented blocks become fenced code."""
    found = split(docstring)
    prose = {name: found.sections.get(name, "") for name in ("Returns", "Yields")}
    text = re.sub(
        r"(?:^ {4}.*\n|^\n(?=\n* {4}))+\n*", _fence, f"{found.text}\n", flags=re.MULTILINE
    )
    return Doc(
        text.strip(),
        {
            name: found.entries(name)
            for name in found.sections
            if name not in prose and name != "Example"
        },
        " ".join(" ".join(prose.values()).split()),
        found.sections.get("Example", ""),
    )


def parse_class(cls: type) -> Doc:
    """Split a class's docstring; of a component's, with the arguments that its bases describe."""
    found = parse(cls.__doc__)
    for base in cls.__mro__[1:]:
        if base is ZenDaemonComponent or not issubclass(base, ZenDaemonComponent):
            break
        inherited = parse(vars(base).get("__doc__")).entries.get("Args", {})
        if inherited:
            found.entries["Args"] = inherited | found.entries.get("Args", {})
    return found


def _fence(block: re.Match[str]) -> str:
    code = inspect.cleandoc(block[0])
    for language, parser in (("toml", tomllib.loads), ("python", ast.parse)):
        with contextlib.suppress(SyntaxError, ValueError):
            parser(code)
            return fence(language, code)
    return fence("text", code)


def fence(language: str, text: str) -> str:
    """Return a block of code."""
    return f"\n```{language}\n{text}\n```\n\n"


@functools.cache  # to find the source of a class, inspect parses the whole module
def strings_below(what: type | ModuleType) -> Mapping[str, str]:
    """Return the strings below assignments in a module, or in a class and its `__init__`."""
    [node, *more] = ast.parse(inspect.cleandoc("\n" + inspect.getsource(what))).body
    body = node.body if isinstance(node, ast.ClassDef) else [node, *more]
    inits = [each.body for each in body if getattr(each, "name", "") == "__init__"]  # type: ignore[attr-defined]
    found = {}
    for block in [body, *inits]:
        for assignment, below in itertools.pairwise(block):
            match assignment, below:
                case (
                    ast.Assign(targets=[target]) | ast.AnnAssign(target=target),
                    ast.Expr(value=ast.Constant(value=str(text))),
                ):
                    found[ast.unparse(target).removeprefix("self.")] = text
    return found


def code(text: object) -> str:
    """Return text as code. Alternatives are joined by "or": a pipe would end a table's cell."""
    return f"`{str(text).replace(' | ', ' or ')}`"


def cell(*paragraphs: str) -> str:
    """Return paragraphs as one cell of a table."""
    lines = (" ".join(each.split()) for text in paragraphs for each in text.split("\n\n"))
    return "<br>".join(filter(None, lines)).replace("|", r"\|")


def table(heads: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; without rows, an empty string."""
    lines = [f"| {' | '.join(row)} |" for row in (heads, ("---",) * len(heads), *rows)]
    return "\n".join(lines) if len(lines) > 2 else ""  # noqa: PLR2004 - the head's two lines


def parameters(function: Any) -> list[inspect.Parameter]:
    """Return what a function or class takes; without `self`, and what is private.

    Of a component with `**` arguments that it hands to a base, also those of the base.
    """
    found = [*inspect.signature(function).parameters.values()]
    if inherited := _inherited(function):
        found = [each for each in found if each.kind is not each.VAR_KEYWORD] + inherited
    return [each for each in found if each.name != "self" and not each.name.startswith("_")]


def _inherited(function: Any) -> list[inspect.Parameter]:
    """Return the arguments that a component's constructor hands to a base; none if any reach it."""
    if not isinstance(function, type) or not issubclass(function, ZenDaemonComponent):
        return []
    taken = read_constructor(function)  # type: ignore[arg-type] # mypy misses that it has a hash
    own = inspect.signature(function).parameters
    accepted = [] if taken.is_open else taken.accepts.items()
    return [parameter for name, (parameter, _) in accepted if name not in own]


def default(parameter: inspect.Parameter) -> str:
    """Return a parameter's default as code has it; empty if there is none."""
    value = parameter.default
    if value is EMPTY:
        return ""
    if isinstance(value, str):
        return f'"{value}"'
    if repr(value) == "<factory>":  # of a dataclass
        return "new"
    return value.__name__ if isinstance(value, type) else repr(value)


def call(name: str, function: Any, limit: int = 99) -> str:
    """Return a call with its arguments; of more than `limit`, those that come first or must."""
    found = parameters(function)
    short = len(found) > limit
    shown: list[str] = []
    for each in found:
        named = each.kind is each.KEYWORD_ONLY and each.default is not EMPTY
        if short and (named or each.kind is each.VAR_KEYWORD or len(shown) >= limit):
            continue
        if each.kind is each.KEYWORD_ONLY and not any(text.startswith("*") for text in shown):
            shown.append("*")
        stars = "**" if each.kind is each.VAR_KEYWORD else "*" * (each.kind is each.VAR_POSITIONAL)
        shown.append(stars + each.name + (f"={default(each)}" if default(each) else ""))
    return f"{name}({', '.join([*shown, '...'] if short else shown)})"


def _required(parameter: inspect.Parameter) -> str:
    return "" if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD} else "required"


def arguments(function: Any, doc: Doc) -> str:
    """Return a table of the arguments that a docstring describes."""
    described = doc.entries.get("Args", {})
    return table(
        ("argument", "type", "default", "meaning"),
        (
            (
                code(each.name),
                "" if each.annotation is EMPTY else code(each.annotation),
                code(default(each)) if default(each) else _required(each),
                cell(described[each.name]),
            )
            for each in (parameters(function) if described else [])
            if each.name in described
        ),
    )


def promises(doc: Doc) -> str:
    """Return a table of what a docstring promises."""
    rows = doc.entries.get("Promises", {}).items()
    return table(("promise", "meaning"), ((name, cell(text)) for name, text in rows))


def outcome(doc: Doc) -> list[str]:
    """Return what a docstring says about results and errors, as paragraphs."""
    raised = doc.entries.get("Raises", {}).items()
    returned = [f"Returns: {doc.returns}"] if doc.returns else []
    return [*returned, *(f"Raises {code(name)}: {text}" for name, text in raised)]


def members(family: list[type], is_shown: Callable[[str], bool]) -> dict[str, str]:
    """Return the text about each attribute and method, by how it is written.

    Args:
        family: A class and those of its bases that count as parts of it.
        is_shown: Says by its name whether a member is included.
    """
    found: dict[str, tuple[str, str]] = {}
    for cls in family:
        texts = {**parse(cls.__doc__).entries.get("Attributes", {}), **strings_below(cls)}
        for name in filter(is_shown, texts):
            found.setdefault(name, (name, cell(parse(texts[name]).text)))
    for cls in family:
        for name in filter(is_shown, vars(cls)):
            value = vars(cls)[name]
            doc = parse(inspect.getdoc(getattr(value, "__func__", value)))
            if isinstance(value, property | functools.cached_property | type):
                found.setdefault(name, (name, cell(doc.text)))
            elif isinstance(value, FunctionType | staticmethod | classmethod):
                described = doc.entries.get("Args", {}).items()
                details = [f"{code(argument)}: {text}" for argument, text in described]
                text = cell(doc.text, *details, *outcome(doc))
                found.setdefault(name, (call(name, getattr(cls, name)), text))
    return dict(found.values())
