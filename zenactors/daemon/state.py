"""The state file: everything that helps debugging, as JSON, secrets redacted."""

from __future__ import annotations

import contextlib
import errno
import json
import math
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zenactors.core.batch_runner import short_repr

_WORDS = r"passw|passphrase|pwd|secret|token|api[_-]?key|credential|private|authorization"
SECRET = re.compile(rf"{_WORDS}|(?<![a-z])pass$", re.IGNORECASE)
REDACTED = "***"
MAX_DEPTH = 20  # deeper is cut
MAX_BITS = 8192  # of a whole number: more than Python turns into digits is no reason to fail

# What stands in text. `short_repr` may have cut it anywhere, so the end is as good as what should end
# it; repetitions have bounds, for a long text is not to take the square of its length.
_IN_URL = re.compile(r"(//[^/\s:@]*:)[^/\s]*(?:@|…$)")
_IN_TEXT = re.compile(
    rf"""(
        (?:{_WORDS})[\w-]{{0,64}} ['"]?\s{{0,8}} [=:]\s{{0,8}}           # password=, 'token':
      | (?<![\w-])--[\w-]{{0,64}}(?:{_WORDS})[\w-]{{0,64}} \s{{1,8}}    # --password
    )(
        b?'[^']*(?:'|$) | b?"[^"]*(?:"|$) | [^\s&;,)}}\]]+
    )""",
    re.IGNORECASE | re.VERBOSE,
)
_OPTION = re.compile(r"--?[\w-]+")


def redacted(text: str) -> str:
    """Return a text without passwords: of URLs, and of what reads like `password=x`."""
    if "//" in text:
        text = _IN_URL.sub(rf"\1{REDACTED}@", text)
    return _IN_TEXT.sub(rf"\1{REDACTED}", text)


def plain(value: Any, depth: int = MAX_DEPTH) -> Any:
    """Turn any value into what JSON can hold, with secrets redacted.

    They are known by their names: the key or the option that they belong to, or what stands
    before them in a text. What contains itself, or goes deeper than `depth`, is cut.
    """
    return _plain(value, depth, ())


def _plain(value: Any, depth: int, inside: tuple[int, ...]) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and value.bit_length() <= MAX_BITS:
        return value
    if not isinstance(value, Mapping | list | tuple | set | frozenset):
        return redacted(short_repr(value))
    if depth <= 0 or id(value) in inside:
        return "…"
    inside = (*inside, id(value))
    if isinstance(value, Mapping):
        found = {}
        for key, each in value.items():
            name = str(key)
            hidden = SECRET.search(name)
            found[redacted(name)] = REDACTED if hidden else _plain(each, depth - 1, inside)
        return found
    return [_plain(each, depth - 1, inside) for each in _without_arguments(value)]


def _without_arguments(values: Iterable[Any]) -> Iterator[Any]:
    """Yield what there is, but for what follows an option like `--password`."""
    hide = False
    for value in values:
        yield REDACTED if hide else value
        is_option = isinstance(value, str) and _OPTION.fullmatch(value)
        hide = not hide and bool(is_option and SECRET.search(value))


def json_text(value: Any) -> str:
    """Return a value as JSON for people, with secrets redacted as `plain` does."""
    # Escaped, as not everything that a str can hold has a place in a file: lone surrogates.
    return json.dumps(plain(value), indent=2) + "\n"


def save_json(path: Path, value: Any, mode: int = 0o600) -> None:
    """Write a value as JSON, whole or not at all. By default the file is the owner's alone.

    Args:
        path: The file. What was there before is replaced; a symbolic link too, not its target. A
            device, a folder or a pipe is refused: nobody has meant to replace that.
        value: Anything; see `plain`.
        mode: The file's permissions, whatever the umask.

    Raises:
        OSError: If it cannot be written; with `path` as its file name. What was there before is
            still there then.
    """
    text = json_text(value)
    try:
        if not _may_be_replaced(path):
            raise OSError(errno.EINVAL, "It is not a regular file")
        _replace(path, text, mode)
    except OSError as cause:
        raise OSError(cause.errno, cause.strerror, str(path)) from cause


def _may_be_replaced(path: Path) -> bool:
    try:
        found = path.lstat().st_mode
    except FileNotFoundError:
        return True
    return stat.S_ISREG(found) or stat.S_ISLNK(found)


def _replace(path: Path, text: str, mode: int) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        os.replace(name, path)  # noqa: PTH105 - symmetrical to mkstemp
    except BaseException:  # whatever it was, no half-written file stays behind
        with contextlib.suppress(OSError):
            os.unlink(name)  # noqa: PTH108
        raise
