"""Command lines by docopt: those of daemons too, and what is wrong with what it does not take.

Kept light, so that `--help` is fast: pydantic is imported only where a model is looked at.
Thread: any.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from docopt import DocoptExit, docopt

from zenactors.errors import did_you_mean

if TYPE_CHECKING:
    import pydantic
    from pydantic.fields import FieldInfo

_OPTION = re.compile(r"^ +(?:-\w, )?(--[\w-]+)(?: ([A-Z]+))?", re.MULTILINE)
_REPEATED = re.compile(r"\[(--[\w-]+)\]\.\.\.")

_WIDTH = 100
_LONGEST = 26  # columns for options: what is longer has its description on the next line


class HelpShown(Exception):  # noqa: N818 - not an error
    """The command line asked for help or the version, which was written: nothing else to do."""


class UsageError(Exception):
    """A wrong command line.

    Attributes:
        usage: The lines of the help that show the right one.
    """

    def __init__(self, message: str, doc: str | None) -> None:
        super().__init__(message)
        self.usage = usage_of(doc or "")


def usage_of(doc: str) -> str:
    """Return the "Usage:" lines of a docopt text."""
    return "Usage:" + doc.partition("Usage:")[2].partition("\n\n")[0]


def parse(
    doc: str, argv: Sequence[str], *, version: str | None = None, options_first: bool = False
) -> dict[str, Any]:
    """Parse a command line by its docopt text.

    Raises:
        HelpShown: If it asks for help.
        UsageError: If it does not fit the text.
    """
    try:
        # By position, for docopt-ng and the type stubs of docopt name these differently.
        found: dict[str, Any] = docopt(doc, list(argv), True, version, options_first=options_first)  # noqa: FBT003
    except DocoptExit as cause:
        raise UsageError(_explain(doc, argv, options_first=options_first), doc) from cause
    except SystemExit as cause:
        raise HelpShown from cause
    return found


def choice(doc: str, option: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is allowed for this option; raise a `UsageError` otherwise."""
    if value not in allowed:
        *most, last = map(repr, allowed)
        expected = f"{', '.join(most)} or {last}" if most else last
        raise UsageError(
            f"{option} must be {expected}, not {value!r}{did_you_mean(value, allowed)}", doc
        )
    return value


def usage(
    program: str,
    description: str,
    model: type[pydantic.BaseModel],
    actions: Mapping[str, str] | None = None,
) -> str:
    """Return the docopt text of a daemon's command line.

    Every key of the model that is neither a table nor a list has an option: `--work-dir DIR` for
    `work_dir`; `--no-x` for a key `x` that is true by default.

    Args:
        program: What the program is called.
        description: One line on what it is for.
        model: The daemon's configuration; see `DaemonOptions`.
        actions: What `--action` takes, each with one line on it. None or empty: no such option.
    """
    from zenactors.config.flags import REPEATED, flags_of  # noqa: PLC0415 - see above

    program = "-".join(program.split()) or "daemon"
    groups: dict[str, list[tuple[str, str]]] = {}
    repeated = ""
    for flag in flags_of(model):
        if flag.key == "action" and not actions:
            continue
        if flag.key == REPEATED:
            repeated = f" [{flag.option}]..."
        title = flag.group or f"Options of {program}"
        option = f"{flag.option} {flag.value}" if flag.value else flag.option
        groups.setdefault(title, []).append((option, flag.help))
    if actions:
        groups["Actions"] = list(actions.items())
    groups["Help"] = [
        ("-h, --help", "Show this help."),
        ("--version", "Show the version."),
    ]
    lines = [
        _harmless(description),
        "",
        "Usage:",
        f"  {program} [options]{repeated}",
        f"  {program} (-h | --help | --version)",
    ]
    names = [name for entries in groups.values() for name, _ in entries]
    column = 4 + max(len(name) for name in names if len(name) <= _LONGEST)
    for title, entries in groups.items():
        lines += ["", f"{title}:", *_table(entries, column)]
    return "\n".join(lines) + "\n"


def _table(entries: Sequence[tuple[str, str]], column: int) -> Iterator[str]:
    for name, text in entries:
        # A line of the text that began with an option would be one to docopt.
        words = re.sub(r" (?=-)|(?<=Default:) ", "\0", _harmless(text))
        wrapped = textwrap.wrap(
            words, _WIDTH - column, break_on_hyphens=False, break_long_words=False
        ) or [""]
        first, *more = [line.replace("\0", " ") for line in wrapped]
        if len(name) > column - 4:
            yield f"  {name}"
            more.insert(0, first)
        else:
            yield f"  {name:{column - 2}}{first}".rstrip()
        yield from (" " * column + line for line in more)


def _harmless(text: str) -> str:
    """Return a text in one line, without what docopt would take for its own."""
    text = re.sub(r"(?i)\b(usage):", r"\1 -", " ".join(text.split()))
    return re.sub(r"(?i)\[(default): (.*?)\]", r"(\1: \2)", text).lstrip("-")


def parse_daemon(
    argv: Sequence[str],
    doc: str,
    model: type[pydantic.BaseModel],
    *,
    actions: Mapping[str, str] | None = None,
    version: str | None = None,
) -> dict[str, Any]:
    """Parse the command line of a daemon; return the configuration keys that it sets.

    Args:
        argv: The words after the program's name.
        doc: What `usage` has returned for the same model and actions.
        model: The daemon's configuration.
        actions: What `--action` takes.
        version: What `--version` shows.

    Raises:
        HelpShown: If it asks for help or the version.
        UsageError: If it is wrong; one line for each wrong value.
    """
    return keys_in(parse(doc, argv, version=version), doc, model, actions=actions)


def keys_in(
    found: Mapping[str, Any],
    doc: str,
    model: type[pydantic.BaseModel],
    *,
    actions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the configuration keys that a parsed command line sets.

    Args:
        found: What `parse` has returned.
        doc: What it was parsed by, for the message.
        model: The daemon's configuration.
        actions: What `--action` takes; None: that is for somebody else to check.

    Raises:
        UsageError: If a value is wrong; one line for each.
    """
    from zenactors.config import checking, options  # noqa: PLC0415 - see above
    from zenactors.config.flags import REPEATED, flags_of  # noqa: PLC0415

    values: dict[str, Any] = {}
    for flag in flags_of(model):
        given = found.get(flag.option)
        if given is None or given is False or given == 0:
            continue
        if flag.value is None:
            values[flag.key] = given if flag.key == REPEATED else flag.sets
        else:
            values[flag.key] = _typed(checking.keys_of(model)[flag.key], given)
    if values.get("quiet") and REPEATED in values:
        raise UsageError(f"--quiet and {options.flag_of(REPEATED)} exclude each other", doc)
    if "action" in values and actions is not None:
        choice(doc, "--action", values["action"], list(actions))
    _, findings = checking.check_table(model, values, options.as_flag, partial=True)
    if findings:
        raise UsageError("\n".join(problem for _, problem in findings), doc)
    return values


def _typed(field: FieldInfo, text: str) -> Any:
    """Return what a text means to a field; the text itself, if that is what the field takes."""
    import pydantic  # noqa: PLC0415 - see above

    from zenactors.config.checking import adapter_of  # noqa: PLC0415

    adapter, bare = adapter_of(field), cast("Any", field.annotation)
    with suppress(pydantic.ValidationError):
        adapter.validate_python(text)
        return text
    with suppress(pydantic.ValidationError):
        return adapter.validate_strings(text)
    # Wrong in any case; but what is of the right type is told better what is wrong with it.
    with suppress(pydantic.ValidationError):
        value = pydantic.TypeAdapter(bare).validate_strings(text)
        try:
            adapter.validate_python(value)
        except pydantic.ValidationError:
            return value
    return text


def _explain(doc: str, argv: Sequence[str], *, options_first: bool) -> str:
    """Say what docopt does not: which word of the command line is wrong."""
    values = dict(_OPTION.findall(doc.partition("Usage:")[2].partition("\n\n")[2]))
    repeated = _REPEATED.findall(usage_of(doc))
    words = list(argv)
    given: list[str] = []
    positional: list[str] = []
    while words:
        word = words.pop(0)
        if word == "--" or (positional and options_first):
            positional += words
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
            continue
        name, equals, _ = word.partition("=")
        # As docopt does, take the beginning of an option for the option.
        matches = [name] if name in values else [long for long in values if long.startswith(name)]
        if word.startswith("--") and len(matches) > 1:
            return f"option {name!r} may be {' or '.join(map(repr, matches))}"
        if not word.startswith("--") or not matches:
            return f"unknown option {name!r}{did_you_mean(name, values)}"
        name = matches[0]
        if name in given and name not in repeated:
            return f"option {name!r} is given twice"
        given.append(name)
        if equals and not values[name]:
            return f"option {name!r} takes no value, but got {word!r}"
        if values[name] and not equals:
            if not words or words[0] == "--":
                return f"option {name!r} needs a value: {name} {values[name]}"
            words.pop(0)
    # The first word of a usage line is the program, then the command if there is one.
    expected = [
        word
        for word in re.sub(r"[\[\]]", "", usage_of(doc).splitlines()[1]).split()[1:]
        if word != "options" and not word.startswith("-")
    ]
    if len(positional) < len([word for word in expected if word != "ARGUMENT..."]):
        return f"{expected[len(positional)].removesuffix('...')} is missing"
    if positional[len(expected) :]:
        return f"unexpected argument {positional[len(expected)]!r}"
    return f"wrong arguments: {' '.join(argv)}"
