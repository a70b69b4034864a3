"""The options that the HTTP components have in common, and URLs without their secrets. Pure."""

from __future__ import annotations

import base64
import dataclasses
import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from zenactors.components._options import check_name, check_positive

_SHOWN = 200  # characters of a text

_is_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
is_header_value = re.compile(r"[\x20-\x7e\x80-\xff\t]*").fullmatch


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """The options that the HTTP components have in common, checked.

    Raises:
        ValueError: One is wrong.
    """

    url: str
    headers: Mapping[str, str]
    header_files: Mapping[str, str]
    header_environment: Mapping[str, str]
    timeout: float
    ca_file: str | None

    def __post_init__(self) -> None:
        """Check them."""
        if split_url(self.url) is None:
            raise ValueError(
                f"url is {shown_url(self.url)!r}, but a URL is expected that begins with http:// or"
                " https://, and has a host."
            )
        check_positive("timeout", self.timeout, unit="seconds")
        for option in ("headers", "header_files", "header_environment"):
            _check_headers(option, getattr(self, option))
        names = [name.lower() for name in self._all_names()]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"The header {name!r} is given twice: leave one of them out.")
        if self.ca_file is not None:
            check_name("ca_file", self.ca_file)

    def _all_names(self) -> Iterator[str]:
        for table in (self.headers, self.header_files, self.header_environment):
            yield from table

    @property
    def parts(self) -> SplitResult:
        """The parts of the URL."""
        parts = split_url(self.url)
        assert parts is not None  # it is checked
        return parts

    @property
    def place(self) -> str:
        """The URL without user and query, for logs."""
        return shown_url(self.url)


def split_url(url: Any) -> SplitResult | None:
    """Return the parts of a URL; None if it is none of http or https with a host."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        usable = usable and (parts.port is None or parts.port > 0) and url.isprintable()
    except (ValueError, TypeError, AttributeError):
        return None
    return parts._replace(fragment="") if usable and " " not in url else None


def shown_url(url: Any) -> str:
    """Return a URL without its secrets: user, password and query."""
    text = str(url).partition("?")[0].partition("#")[0]
    scheme, slashes, rest = text.partition("//")
    server, slash, path = rest.partition("/")
    return one_line(f"{scheme}{slashes}{server.rpartition('@')[2]}{slash}{path}")


def origin_of(parts: SplitResult) -> tuple[Any, ...]:
    """Return what two URLs of one server have in common."""
    return parts.scheme, parts.hostname, parts.port


def authorization_of(parts: SplitResult) -> dict[str, str]:
    """Return the header for the user and the password that are in a URL."""
    if parts.username is None:
        return {}
    pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}


def check_header_name(option: str, name: Any) -> None:
    """Raise a `ValueError` unless a header can have this name."""
    if not isinstance(name, str) or not _is_name(name):
        raise ValueError(f"{option} has {name!r}, which is no name of a header.")


def _check_headers(option: str, table: Any) -> None:
    if not isinstance(table, Mapping):
        raise ValueError(f"{option} is a {type(table).__name__}, but a table is expected.")  # noqa: TRY004 - wrong options are ValueErrors
    for name, value in table.items():
        check_header_name(option, name)
        if not isinstance(value, str) or not value or not is_header_value(value):
            raise ValueError(  # without the value, which may be secret
                f"{option} has a value for {name!r} that is no text of one line: check it."
            )


def one_line(text: str) -> str:
    """Return the beginning of a text in one line that any terminal can show."""
    line = "".join(each if each.isprintable() else " " for each in text[: _SHOWN + 1])
    return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"
