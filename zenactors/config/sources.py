"""Read the sources of a configuration into layers; a file's layer has the line of each key.

Reading raises nothing. Problems of a file are stored in its layer, so the problems of all sources
can be reported together. Thread: main, before any other thread exists.
"""

from __future__ import annotations

import codecs
import contextlib
import dataclasses
import os
import re
import select
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from zenactors import trust
from zenactors.config.jsonc import parse_json
from zenactors.config.places import KeyPath, TextError, line_of
from zenactors.config.toml import parse_toml
from zenactors.core.text import printable
from zenactors.process.polling import poll_for

Kind = Literal["default", "program", "directory", "file", "command line", "assignment"]

MAX_BYTES = 16 << 20  # of a file: devices such as /dev/zero have no end
PATIENCE = 10.0  # seconds that a pipe or a terminal has for its next bytes
MAX_DEPTH = 50  # of nested tables; deeper is a mistake, or an attempt to exhaust the stack
SUFFIXES = (".conf", ".json", ".toml")
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_OTHER = re.compile(r"^\s*(?:\[[^\]\n]+\]|[\w.-]+\s*[=:].*)\s*$", re.MULTILINE)  # INI, YAML
_DANGER = "it configures a process that runs as root"


class _Refused(Exception):  # noqa: N818 - a finding on its way to its layer
    """A file is not used; the message is the reason."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """One source of a configuration.

    Attributes:
        kind: The kind of source.
        label: Its name in messages: a file's path, otherwise the kind.
        data: Its keys and values, as written.
        lines: The line of each key; empty if it is no file.
        problems: Why it could not be read, one line each.
    """

    kind: Kind
    label: str
    data: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    lines: Mapping[KeyPath, int] = dataclasses.field(default_factory=dict)
    problems: tuple[str, ...] = ()

    @property
    def is_file(self) -> bool:
        """Whether the source is a file."""
        return self.kind in {"directory", "file"}

    def line(self, path: KeyPath) -> int:
        """Return the line of a key or, if it is missing, of the table around it; 0: no lines."""
        return line_of(self.lines, path) if self.lines else 0

    def place(self, path: KeyPath) -> str:
        """Return the place of a key: `/etc/x.conf:12`, or the label if there are no lines."""
        return f"{self.label}:{self.line(path)}" if self.lines else self.label


def read_file(
    path: Path,
    *,
    asked_by: str | None = None,
    kind: Kind = "file",
    toml: bool = False,
    danger: str = _DANGER,
) -> Layer:
    """Read a TOML file (`.toml`), or a JSON file with comments (any other name).

    Args:
        path: The file.
        asked_by: The option that names it, for the message if the file is missing. None: the
            layer of a missing file is empty, because no option asks for it. "": the user does.
        kind: The kind of source.
        toml: Read it as TOML, whatever its name.
        danger: The danger of trusting it as root, as the end of a sentence.
    """
    label = str(path)
    try:
        text = _read(path, danger)
        data, lines = _parse(path, text, toml=toml or path.suffix.lower() == ".toml")
    except FileNotFoundError:
        if asked_by is None:
            return Layer(kind=kind, label=label)
        problems = [f"{path}: there is no such file{_named(asked_by)}"]
    except OSError as cause:
        problems = [f"{path}: cannot be read: {cause.strerror}{_named(asked_by)}"]
    except TextError as cause:
        problems = [f"{path}:{line}:{column}: {what}" for line, column, what in cause.problems]
    except _Refused as cause:
        problems = [str(cause)]
    except ValueError as cause:  # no file can have the name
        problems = [f"{printable(str(path))}: cannot be read: {cause}{_named(asked_by)}"]
    else:
        return Layer(kind=kind, label=label, data=data, lines=lines)
    return Layer(kind=kind, label=label, problems=tuple(problems))


def read_directory(path: Path, *, asked_by: str | None = None) -> list[Layer]:
    """Read all `*.conf`, `*.json` and `*.toml` files of a directory, in order of their names.

    Skips hidden files, backups (`x.conf~`) and everything that is no regular file. For `asked_by`
    see `read_file`.
    """
    try:
        problem = trust.refusal(path, path.stat(), _DANGER)
        names = sorted(os.listdir(path))  # noqa: PTH208 - sorts names, not paths
    except FileNotFoundError:
        if asked_by is None:
            return []
        problem = f"{path}: there is no such directory{_named(asked_by)}"
    except OSError as cause:
        problem = f"{path}: cannot be read: {cause.strerror}{_named(asked_by)}"
    except ValueError as cause:  # no directory can have the name
        problem = f"{printable(str(path))}: cannot be read: {cause}{_named(asked_by)}"
    if problem:
        return [Layer(kind="directory", label=str(path), problems=(problem,))]
    return [
        read_file(path / name, asked_by="config_dir", kind="directory")
        for name in names
        if name.lower().endswith(SUFFIXES)
        and not name.startswith(".")
        and _may_be_file(path / name)
    ]


def _is_source(name: str) -> bool:
    return name.lower().endswith(SUFFIXES) and not name.startswith(".")


def _named(asked_by: str | None) -> str:
    return f"; {asked_by} names it" if asked_by else ""


def _may_be_file(path: Path) -> bool:
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return True  # a broken link: reading it reports the reason


def _read(path: Path, danger: str) -> str:
    # A named pipe without a writer would block the opening for ever.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        # Check the open file: the path could be given another file between check and read.
        # Nothing that others write to a device, such as /dev/null, comes out of it again.
        found = os.fstat(fd)
        reason = "" if stat.S_ISCHR(found.st_mode) else trust.refusal(path, found, danger)
        if reason:
            raise _Refused(reason)
        content = _content(path, fd)
    finally:
        os.close(fd)
    if content.startswith(_UTF_16):
        raise TextError([(1, 1, "is UTF-16 text; save the file as UTF-8")])
    content = content.removeprefix(codecs.BOM_UTF8)  # some editors write one
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as cause:
        before = content[: cause.start]
        line, column = before.count(b"\n") + 1, cause.start - before.rfind(b"\n")
        raise TextError([(line, column, "is not UTF-8 text; save the file as UTF-8")]) from cause


def _content(path: Path, fd: int) -> bytes:
    """Return the content of a file, whatever its size says, or of a pipe or a device."""
    blocks: list[bytes] = []
    size = 0
    waited = stat.S_ISREG(os.fstat(fd).st_mode)
    while size <= MAX_BYTES:
        try:
            block = os.read(fd, 65_536)
        except BlockingIOError:
            _wait_for_more(path, fd)
            continue
        if not block and not blocks and not waited:  # a pipe may not have a writer yet
            waited = True
            _wait_for_more(path, fd)
            continue
        if not block:
            return b"".join(blocks)
        blocks.append(block)
        size += len(block)
    raise _Refused(f"{path}: is larger than {MAX_BYTES >> 20} MiB; is it a configuration?")


def _wait_for_more(path: Path, fd: int) -> None:
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    if not poll_for(poll, PATIENCE):
        raise _Refused(f"{path}: cannot be read: nothing came within {PATIENCE:.0f} s")


def _parse(path: Path, text: str, *, toml: bool) -> tuple[dict[str, Any], Mapping[KeyPath, int]]:
    try:
        data, lines = parse_toml(text) if toml else parse_json(text)
    except RecursionError as cause:
        raise _Refused(f"{path}: is nested too deeply") from cause
    except TextError as cause:
        if other := _other_format(text, toml=toml):
            raise TextError([(1, 1, other)]) from cause
        raise
    if not isinstance(data, dict):
        raise TextError([(1, 1, "an object is expected: { ... }")])
    data.pop("$schema", None)  # for editors: where the JSON Schema of the file is
    if any(len(where) > MAX_DEPTH for where in lines):
        raise _Refused(f"{path}: is nested too deeply")
    return data, lines


def _other_format(text: str, *, toml: bool) -> str:
    """Return a description of the format that a text seems to have instead, or an empty text."""
    if toml:
        is_json = text.lstrip().startswith("{")
        return "this is JSON; write TOML, or let the file's name end in .json" if is_json else ""
    if _begins_as_json(text):
        return ""
    with contextlib.suppress(TextError, RecursionError):
        parse_toml(text)
        return "this is TOML; let the file's name end in .toml, or write JSON: { ... }"
    if _OTHER.search(text):
        return "this is neither JSON nor TOML; write JSON: { ... }, or TOML in a file *.toml"
    return ""


def _begins_as_json(text: str) -> bool:
    lines = (line.strip() for line in text.splitlines())
    first = next((line for line in lines if line and not line.startswith(("#", "//", ";"))), "{")
    return first.startswith(("{", "/*", '"')) or not _OTHER.search(first)


def read_layers(
    *,
    default: Mapping[str, Any],
    program: Mapping[str, Any],
    command_line: Mapping[str, Any],
) -> list[Layer]:
    """Return all layers, the weakest first; the three arguments name the files to read.

    A file or a directory that only `default` names may be missing. One that the program or the
    command line names must exist, unless `config_file_silent` or `config_dir_silent` is set.
    """
    given: dict[str, Mapping[str, Any]] = {
        "default": default,
        "program": program,
        "command line": command_line,
    }

    def named(key: str) -> tuple[Path | None, str | None]:
        path = asked_by = None
        silent = False
        for kind, data in given.items():
            if key in data:
                # A value that is no path is reported when the layer is checked.
                right = isinstance(data[key], str | os.PathLike) and data[key] != ""
                path = Path(data[key]) if right else None
                option = f"--{key.replace('_', '-')}" if kind == "command line" else key
                asked_by = None if kind == "default" else option
            silent = data.get(f"{key}_silent", silent)
        return path, None if silent else asked_by

    directory, directory_asked_by = named("config_dir")
    file, file_asked_by = named("config_file")
    return [
        Layer(kind="default", label="default", data=default),
        Layer(kind="program", label="program", data=program),
        *(read_directory(directory, asked_by=directory_asked_by) if directory else []),
        *([read_file(file, asked_by=file_asked_by)] if file else []),
        Layer(kind="command line", label="command line", data=command_line),
    ]
