"""Write docs/reference.md out of docstrings, signatures and option models: `make reference`.

`reference.template` has the headings and the text that belongs to no docstring. The list of stock
components in docs/library.md is written, too.
"""

from __future__ import annotations

import enum
import importlib
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import zenactors
from docs.docstrings import (
    arguments,
    call,
    cell,
    code,
    fence,
    members,
    outcome,
    parameters,
    parse,
    parse_class,
    promises,
    strings_below,
    table,
)  # fmt: skip
from zenactors import cli, components, errors, testing
from zenactors.components._files import Files
from zenactors.config.checking import restart_paths
from zenactors.config.flags import flags_of
from zenactors.config.options import NOT_IN_FILES
from zenactors.core import daemon_api, events
from zenactors.spec.catalogue import KINDS, entry_of, stock
from zenactors.testing import plugin

PAGE = Path(__file__).with_name("reference.md")
TEMPLATE = PAGE.with_suffix(".template")
LIBRARY = PAGE.with_name("library.md")
SHORT = 3  # a class with more arguments is shown with those that it needs

Row = tuple[str, ...]

_CLASSES = {name: each for name, each in vars(errors).items() if inspect.isclass(each)}
EXCEPTIONS = [name for name, each in _CLASSES.items() if issubclass(each, BaseException)]
PUBLIC: dict[str, Any] = {
    **{name: getattr(zenactors, name) for name in zenactors.__all__},
    **{name: getattr(components, name) for name in components.__all__},
    **{name: getattr(testing, name) for name in testing.__all__},
    **{name: getattr(errors, name) for name in EXCEPTIONS},
    **{
        name: getattr(daemon_api, name)
        for name in ("EventQueue", "Reactor", "Cancellable", "Hold", "DeadLetterBox")
    },
}
# Classes with members that only zenactors itself uses: those that the reference shows.
SHOWN: dict[type, Iterable[str]] = {
    zenactors.EventQueueManager: vars(daemon_api.EventQueue),
    zenactors.Scheduled: ("event", "args", "cancel"),
    zenactors.ManyScheduled: ("event", "cancel"),
    zenactors.Replicas: (),
    testing.VirtualFiles: vars(testing.VirtualFiles).keys() - vars(Files).keys(),
}
# Classes that also have everything of a protocol, which is shown once.
ALSO: dict[type, type] = {
    zenactors.ZenDaemon: zenactors.Daemon,
    zenactors.Dispatcher: zenactors.Daemon,
    zenactors.SystemClock: zenactors.Clock,
    zenactors.VirtualClock: zenactors.Clock,
    testing.VirtualFiles: Files,
}
INTERNAL = "For `zenactors."
"""In a docstring: only the named room calls this member, so the reference leaves it out."""
SECTIONS = ("ZenDaemon", "Dispatcher")
"""Names that the template has headings for."""

BY_USER = ("config_file", "config_dir", "log_file", "pid_file", "state_file", "runlog_dir")
"""The keys whose default depends on the user who runs the daemon."""


def family(cls: type) -> list[type]:
    """Return a class and its bases, up to the first that is a public name itself."""
    mro = cls.__mro__
    end = next((n for n, base in enumerate(mro) if n and base in PUBLIC.values()), len(mro))
    return [base for base in mro[:end] if base.__module__.startswith("zenactors")]


def members_of(cls: type) -> dict[str, str]:
    """Return the text about each member of a class that the reference shows for it."""
    elsewhere = {name for base in cls.__mro__ if base not in family(cls) for name in dir(base)}
    if also := ALSO.get(cls):
        elsewhere |= {*dir(also), *also.__annotations__}

    def is_shown(name: str) -> bool:
        return not (
            name.startswith(("_", "cbk_"))
            or name.isupper()
            or name in elsewhere
            or name not in SHOWN.get(cls, [name])
        )

    found = members(family(cls), is_shown)
    return {each: text for each, text in found.items() if INTERNAL not in text}


def has_few_fields(cls: type) -> bool:
    """Return True for a dataclass or named tuple that is short enough to be shown as a call."""
    described = "Attributes" in parse(cls.__doc__).entries
    return hasattr(cls, "__match_args__") and not (described and len(parameters(cls)) > SHORT)


def about_class(name: str, cls: type) -> Iterator[str]:
    """Yield the paragraphs about a class."""
    doc = parse_class(cls)
    if "Args" in doc.entries or has_few_fields(cls):
        yield code(call(name, cls, SHORT))
    yield doc.text
    if issubclass(cls, enum.Enum):
        yield f"Its members are {' and '.join(f'{code(each.name)} ({each})' for each in cls)}."
        return
    yield promises(doc)
    yield arguments(cls, doc)
    if doc.example:
        yield fence("toml", doc.example)
    rows = ((code(each), text) for each, text in members_of(cls).items())
    yield table(("member", "meaning"), rows)
    related = [each for each in (*cls.__bases__, ALSO.get(cls)) if each in PUBLIC.values() and each]
    if related:
        yield f"It also has all members of {' and '.join(code(each.__name__) for each in related)}."


def about_function(name: str, function: Any) -> Iterator[str]:
    """Yield the paragraphs about a function."""
    doc = parse(inspect.getdoc(function))
    yield code(call(name, function))
    yield doc.text
    yield arguments(function, doc)
    yield from outcome(doc)


def about(names: Iterable[str]) -> Iterator[str]:
    """Yield the paragraphs about names: each has a heading; constants are in a table."""
    constants = []
    for name in names:
        value = PUBLIC[name]
        heading = "" if name in SECTIONS else f"### {name}"
        if isinstance(value, type):
            yield from (heading, *about_class(name, value))
        elif isinstance(value, FunctionType):
            yield from (heading, *about_function(name, value))
        else:
            constants.append((code(name), cell(parse(constant(name)).text)))
    yield table(("constant", "meaning"), constants)


def constant(name: str) -> str:
    """Return the string below a constant, in whichever module that is."""
    loaded = [each for key, each in sys.modules.items() if key.startswith("zenactors.")]
    texts = (strings_below(module).get(name) for module in loaded if name in vars(module))
    return next(filter(None, texts), "")


def exceptions() -> Iterator[Row]:
    """Yield a row for each exception."""
    for name in EXCEPTIONS:
        cls = PUBLIC[name]
        bases = f"A subclass of {', '.join(code(base.__name__) for base in cls.__bases__)}."
        attributes = [f"{code(each)}: {text}" for each, text in members_of(cls).items()]
        yield code(name), cell(parse(cls.__doc__).text, bases, *attributes)


def configuration_keys() -> Iterator[Row]:
    """Yield a row for each key that every daemon has."""
    fixed = set(restart_paths(zenactors.ZenDaemon.Options))
    flags: dict[str, list[str]] = {}
    helps: dict[str, str] = {}
    for flag in flags_of(zenactors.ZenDaemon.Options):
        flags.setdefault(flag.key, []).append(code(flag.option))
        helps.setdefault(flag.key, flag.help.partition(" Default: ")[0])
    for key, field in zenactors.ZenDaemon.Options.model_fields.items():
        value = field.get_default(call_default_factory=True)
        shown = "the program's file name" if field.is_required() else code(json.dumps(value))
        if key == "umask":
            shown = code(f'"{value:03o}"')
        if key in BY_USER:
            shown = "[by user](operating.md#where-files-go)"
        where = "Not in files." if key in NOT_IN_FILES else ""
        where += "Only a restart changes it." if (key,) in fixed else ""
        options = ", ".join(flags.get(key, ["none"]))
        yield code(key), options, shown, cell(f"{helps.get(key, field.description)} {where}")


def builtin_events() -> Iterator[Row]:
    """Yield a row for each event that has a meaning."""
    for name, text in strings_below(events).items():
        if name.startswith("EVENT_"):
            yield code(getattr(events, name)), cell(text)


def actions() -> Iterator[Row]:
    """Yield a row for each action that every daemon has."""
    for name, action in zenactors.ZenDaemon(name="any").actions().items():
        yield code(name), cell(inspect.getdoc(action) or "")


def statuses() -> Iterator[Row]:
    """Yield a row for each exit status."""
    for line in inspect.getsource(errors).splitlines():
        if found := re.fullmatch(r"(EXIT_\w+) = (\d+)(?:  # (.*))?", line):
            yield found[2], code(found[1]), cell(found[3] or "")


def fixtures() -> Iterator[Row]:
    """Yield a row for each fixture of pytest."""
    for name in sorted(plugin.FIXTURES):
        yield code(name), cell(parse(getattr(plugin, name).__doc__).text)


def commands() -> Iterator[str]:
    """Yield the help of each command."""
    yield fence("text", cli.USAGE.rstrip())
    for command in cli.COMMANDS:
        yield f"### zenactors {command}"
        yield fence(
            "text",
            importlib.import_module(f"zenactors.cli.{command.replace('-', '_')}").USAGE.rstrip(),
        )


TABLES: dict[str, tuple[Row, Callable[[], Iterable[Row]]]] = {
    "actions": (("action", "meaning"), actions),
    "events": (("event", "meaning"), builtin_events),
    "exceptions": (("class", "meaning"), exceptions),
    "fixtures": (("fixture", "meaning"), fixtures),
    "keys": (("key", "option", "default", "meaning"), configuration_keys),
    "statuses": (("status", "constant", "meaning"), statuses),
}


def page(template: str) -> str:
    """Return the page: a template in which lines `<!-- part -->` stand for what is generated.

    A part is one of `TABLES`, `commands`, or public names.
    """
    listed = set(EXCEPTIONS)

    def fill(found: re.Match[str]) -> str:
        names = found[1].split()
        if names[0] in TABLES:
            heads, rows = TABLES[names[0]]
            return table(heads, rows())
        if names == ["commands"]:
            return joined(commands())
        if twice := listed.intersection(names):
            raise LookupError(f"{TEMPLATE.name} lists {', '.join(sorted(twice))} twice.")
        listed.update(names)
        return joined(about(names))

    text = re.sub(r"^<!-- ([\w ]+) -->$", fill, template, flags=re.MULTILINE)
    if missing := PUBLIC.keys() - listed:
        raise LookupError(f"{TEMPLATE.name} does not list {', '.join(sorted(missing))}.")
    return linked(text)


def library(text: str) -> str:
    """Return the page about the library, with the stock components between its two marks."""
    entries = [entry_of(name, Path()) for name in stock()]
    listed = joined(
        f"### {kind.capitalize()}s\n\n{table(('component', 'what it does'), rows)}"
        for kind in KINDS
        for rows in [
            [
                (f"[`{each.name}`](reference.md#{each.name.lower()})", cell(each.summary))
                for each in entries
                if each.kind == kind
            ]
        ]
    )
    begin, end = "<!-- components -->\n", "<!-- end -->"
    before, _, rest = text.partition(begin)
    return f"{before}{begin}\n{listed}\n\n{end}{rest.partition(end)[2]}"


def joined(paragraphs: Iterable[str]) -> str:
    """Return paragraphs as one text."""
    return "\n\n".join(each.strip("\n") for each in paragraphs if each)


def linked(text: str) -> str:
    """Turn public names into links to their headings; not in code, and not first in a row."""
    anchors = dict.fromkeys(EXCEPTIONS, "errors")
    anchors |= {name: name.lower() for name in re.findall(r"^#+ (\w+)$", text, re.MULTILINE)}

    def link(found: re.Match[str]) -> str:
        name = found[1]
        return f"[`{name}`](#{anchors[name]})" if name in anchors else found[0]

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    parts[::2] = [re.sub(r"(?<!\| )(?<![\[`])`(\w+)`", link, part) for part in parts[::2]]
    return "".join(parts)


if __name__ == "__main__":
    PAGE.write_text(page(TEMPLATE.read_text()))
    LIBRARY.write_text(library(LIBRARY.read_text()))
