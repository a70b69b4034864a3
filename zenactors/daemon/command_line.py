"""Command lines by docopt, those of daemons included, and the reason why one is refused.

Importing this is cheap, so that `--help` is fast: a function that needs pydantic imports it.
Thread: any.
"""

from __future__ import annotations

import difflib
import re
import textwrap
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from docopt import DocoptExit, docopt

from zenactors.errors import did_you_mean

if TYPE_CHECKING:
    import pydantic

    from zenactors.config.assignments import Assignment

_OPTION = re.compile(r"^ +(?:(-\w), )?(--[\w-]+)(?: ([A-Z]+))?", re.MULTILINE)
_REPEATED = re.compile(r"\[(--[\w-]+)(?: [A-Z=]+)?\]\.\.\.")
SET = "--set"
SET_HELP = (
    "Set one key, also of a table or of a component, such as components.tailer.start=end; may be"
    " repeated. Takes precedence over all else."
)

_MARK = "\0"  # before a word that is no option; no word of a command line can contain it
_WIDTH = 100
MAX_SUGGESTED = 3  # options
_LONGEST = 26  # columns; a longer option has its description on the next line


class HelpShown(Exception):  # noqa: N818 - not an error
    """The command line asked for help or the version, which was written.

    Attributes:
        lost: Why it could not be written; None if it was.
    """

    def __init__(self, lost: OSError | None = None) -> None:
        super().__init__()
        self.lost = lost


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

    An option's name must be written in full. docopt would accept its beginning, so that a
    misspelled option, or a new one, could change the meaning of a command line. After a word `--`
    there are no options.

    Raises:
        HelpShown: It asks for help or the version.
        UsageError: It does not fit the text.
    """
    mistake, end = _end_of_options(doc, argv, options_first=options_first)
    if mistake:
        raise UsageError(mistake, doc)
    # docopt would take `--` for an argument, and what follows it for options.
    words = [*argv[:end], *(_MARK + word for word in argv[end + 1 :])]
    try:
        # By position, because docopt-ng and the type stubs of docopt use different names.
        found: dict[str, Any] = docopt(doc, words, True, version, options_first=options_first)  # noqa: FBT003
    except DocoptExit as cause:
        raise UsageError(_explain(doc, argv, options_first=options_first), doc) from cause
    except SystemExit as cause:
        raise HelpShown from cause
    except OSError as cause:
        raise HelpShown(cause) from cause
    return {name: _unmarked(value) for name, value in found.items()}


def choice(doc: str, option: str, value: str, allowed: Sequence[str]) -> str:
    """Return `value` if it is allowed for this option; otherwise raise a `UsageError`."""
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
    places: Mapping[str, str] | None = None,
) -> str:
    """Return the docopt text of a daemon's command line.

    Every key of the model that is neither a table nor a list has an option: `--work-dir DIR` for
    `work_dir`; `--no-x` for a key `x` that is true by default.

    Args:
        program: The program's name.
        description: One line on its purpose.
        model: The daemon's configuration; see `DaemonOptions`.
        actions: The actions that `--action` takes, each with one line of help. None or empty:
            there is no such option.
        places: The default of each key whose default is a file or directory.
    """
    from zenactors.config.flags import REPEATED, flags_of  # noqa: PLC0415 - slow to import

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
        place = (places or {}).get(flag.key)
        text = f"{flag.help} Default: {place}" if place else flag.help
        groups.setdefault(title, []).append((option, text))
    if actions:
        groups["Actions"] = list(actions.items())
    groups["Configuration"].append((f"{SET} KEY=VALUE", SET_HELP))
    groups["Help"] = [
        ("-h, --help", "Show this help."),
        ("--version", "Show the version."),
    ]
    lines = [
        _harmless(description),
        "",
        "Usage:",
        f"  {program} [options]{repeated} [{SET} KEY=VALUE]...",
        f"  {program} (-h | --help | --version)",
    ]
    names = [name for entries in groups.values() for name, _ in entries]
    column = 4 + max(len(name) for name in names if len(name) <= _LONGEST)
    for title, entries in groups.items():
        lines += ["", f"{title}:", *_table(entries, column)]
    return "\n".join(lines) + "\n"


def _table(entries: Sequence[tuple[str, str]], column: int) -> Iterator[str]:
    for name, text in entries:
        # docopt would take a line that begins with an option for the definition of one.
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
    """Return a text in one line, without anything that docopt would take for its own."""
    text = re.sub(r"(?i)\b(usage):", r"\1 -", " ".join(text.split()))
    return re.sub(r"(?i)\[(default): (.*?)\]", r"(\1: \2)", text).lstrip("-")


def parse_daemon(
    argv: Sequence[str],
    doc: str,
    model: type[pydantic.BaseModel],
    *,
    actions: Mapping[str, str] | None = None,
    version: str | None = None,
) -> tuple[dict[str, Any], list[Assignment]]:
    """Parse the command line of a daemon; return the configuration keys that it sets.

    Single values that are set by `--set` are returned apart: their keys may belong to components,
    which are not known yet.

    Args:
        argv: The words after the program's name.
        doc: The text that `usage` returned for the same model and actions.
        model: The daemon's configuration.
        actions: The actions that `--action` takes.
        version: The text that `--version` shows.

    Raises:
        HelpShown: It asks for help or the version.
        UsageError: It is wrong; one line for each wrong value.
    """
    found = parse(doc, argv, version=version)
    return keys_in(found, doc, model, actions=actions), assignments_in(found, doc)


def assignments_in(found: Mapping[str, Any], doc: str) -> list[Assignment]:
    """Return the `--set` options of a parsed command line.

    Raises:
        UsageError: One is not of the form KEY=VALUE.
    """
    from zenactors.config.assignments import parse as parse_assignments  # noqa: PLC0415

    try:
        return parse_assignments(found[SET])
    except ValueError as cause:
        raise UsageError(str(cause), doc) from cause


def keys_in(
    found: Mapping[str, Any],
    doc: str,
    model: type[pydantic.BaseModel],
    *,
    actions: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Return the configuration keys that a parsed command line sets.

    Args:
        found: The result of `parse`.
        doc: The text that it was parsed by, for the message.
        model: The daemon's configuration.
        actions: The actions that `--action` takes; None: the caller checks them.

    Raises:
        UsageError: A value is wrong; one line for each.
    """
    from zenactors.config import assignments, checking, options  # noqa: PLC0415 - slow to import
    from zenactors.config.flags import REPEATED, flags_of  # noqa: PLC0415
    from zenactors.core import recipe  # noqa: PLC0415

    values: dict[str, Any] = {}
    for flag in flags_of(model):
        given = found.get(flag.option)
        if given is None or given is False or given == 0:
            continue
        if flag.value is None:
            values[flag.key] = given if flag.key == REPEATED else flag.sets
        else:
            values[flag.key] = assignments.typed(recipe.keys_of(model)[flag.key], given)
    if values.get("quiet") and REPEATED in values:
        raise UsageError(f"--quiet and {options.flag_of(REPEATED)} exclude each other", doc)
    if "action" in values and actions is not None:
        choice(doc, "--action", values["action"], list(actions))
    _, findings = checking.check_table(model, values, options.as_flag, partial=True)
    if findings:
        raise UsageError("\n".join(problem for _, problem in findings), doc)
    return values


def _unmarked(value: Any) -> Any:
    if isinstance(value, list):
        return [_unmarked(each) for each in value]
    return value.removeprefix(_MARK) if isinstance(value, str) else value


def _end_of_options(doc: str, argv: Sequence[str], *, options_first: bool) -> tuple[str, int]:
    """Return what is wrong with the first option that does not exist as written; "" if none is.

    Returns:
        This, and the index of the word `--`, or the number of words.
    """
    options = _Options(doc)
    words = deque(argv)
    while words:
        word = words.popleft()
        is_option = word.startswith("-") and word != "-"
        if word == "--":
            return "", len(argv) - len(words) - 1
        if options_first and not is_option:
            break
        if is_option and (mistake := options.abbreviation_in(word, words)):
            return mistake, len(argv)
    return "", len(argv)


def _explain(doc: str, argv: Sequence[str], *, options_first: bool) -> str:
    """Return what docopt does not report: the word of the command line that is wrong."""
    options = _Options(doc)
    positional: list[str] = []
    words = deque(argv)
    while words:
        word = words.popleft()
        if word == "--" or (positional and options_first):
            positional += words
            break
        if not word.startswith("-") or word == "-":
            positional.append(word)
        elif mistake := options.mistake_in(word, words):
            return mistake
    return _explain_positional(doc, positional) or f"wrong arguments: {' '.join(argv)}"


class _Options:
    """The options of a docopt text, and those that a command line has given so far."""

    def __init__(self, doc: str) -> None:
        described = doc.partition("Usage:")[2].partition("\n\n")[2]
        found = _OPTION.findall(described)
        self._values = {name: value for _, name, value in found}
        self._shorts = {short: value for short, _, value in found if short}
        self._repeated = _REPEATED.findall(usage_of(doc))
        self._given: list[str] = []

    def abbreviation_in(self, word: str, following: deque[str]) -> str:
        """Take an option, with its value. Return what is wrong if it is another's beginning.

        Nor may letters that are no options come before one: docopt would obey the `h` in `-other`.
        """
        name, equals, _ = word.partition("=")
        if not word.startswith("--"):
            value = self._shorts.get(word, "")
            if word[:2] not in self._shorts:
                return self._unknown(name)
        elif name in self._values:
            value = "" if equals else self._values[name]
        elif any(each.startswith(name) for each in self._values):
            return self._unknown(name)
        else:
            value = ""
        if value and following:
            if following[0] == "--":
                return f"option {name!r} needs a value: {name} {value}"
            following.popleft()
        return ""

    def _unknown(self, name: str) -> str:
        near = [each for each in self._values if each.startswith(name)]
        if not 0 < len(near) <= MAX_SUGGESTED:
            bare = {each.lstrip("-"): each for each in self._values}
            closest = difflib.get_close_matches(name.lstrip("-"), bare, n=1)
            near = [bare[each] for each in closest]
        hint = f"; did you mean {' or '.join(map(repr, near))}?" if near else ""
        return f"unknown option {name!r}{hint}"

    def mistake_in(self, word: str, following: deque[str]) -> str:
        """Take an option, with its value, from a command line. Return what is wrong with it."""
        name, equals, _ = word.partition("=")
        if name not in self._values:
            return self._unknown(name)
        if name in self._given and name not in self._repeated:
            return f"option {name!r} is given twice"
        self._given.append(name)
        value = self._values[name]
        if equals and not value:
            return f"option {name!r} takes no value, but got {word!r}"
        if value and not equals:
            if not following or following[0] == "--":
                return f"option {name!r} needs a value: {name} {value}"
            following.popleft()
        return ""


def _explain_positional(doc: str, positional: Sequence[str]) -> str:
    # The first word of a usage line is the program, then the command if there is one.
    expected = [
        word
        for word in _REPEATED.sub("", usage_of(doc).splitlines()[1]).split()[1:]
        if word != "[options]" and not word.startswith("-")
    ]
    if len(positional) < len([word for word in expected if word != "ARGUMENT..."]):
        return f"{expected[len(positional)].removesuffix('...')} is missing"
    if positional[len(expected) :]:
        return f"unexpected argument {positional[len(expected)]!r}"
    return ""
