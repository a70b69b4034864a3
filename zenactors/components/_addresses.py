"""Addresses of sockets as options: `tcp://127.0.0.1:5140`, `unix:///run/x.sock` and so on."""

from __future__ import annotations

import dataclasses
import errno
import os
import socket
from collections.abc import Collection
from typing import Any

from zenactors.advice import reason
from zenactors.components._options import check_name

LOOPBACK = "127.0.0.1"
DATAGRAMS = ("udp", "unixgram")
LOCAL = ("unix", "unixgram")
LONGEST_PATH = 107  # bytes: a socket's address has no room for more

_MAX_PORT = 65_535


@dataclasses.dataclass(frozen=True, slots=True)
class Address:
    """Where to listen, or what to connect to.

    Attributes:
        scheme: `tcp`, `tls`, `udp`, `unix` or `unixgram`, or what stands for one of them.
        host: A name or a number, without brackets; empty for a Unix socket.
        port: 0 lets the system choose one.
        path: The file of a Unix socket.
    """

    scheme: str
    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"{self.scheme}://{self.path}"
        return f"{self.scheme}://{join(self.host, self.port)}"

    @property
    def is_datagram(self) -> bool:
        """True: it has no connections."""
        return self.scheme in DATAGRAMS

    @property
    def is_local(self) -> bool:
        """True: it is a Unix socket."""
        return self.scheme in LOCAL

    def at(self, path: str) -> Address:
        """Return the address of a Unix socket with another path."""
        return dataclasses.replace(self, path=path)

    def resolve(self) -> tuple[int, int, Any]:
        """Return family, type and address for `socket`. Blocks while a name is looked up.

        Raises:
            OSError: The name is not known, or the path is too long.
        """
        kind = socket.SOCK_DGRAM if self.is_datagram else socket.SOCK_STREAM
        if self.is_local:
            if len(os.fsencode(self.path)) > LONGEST_PATH:
                raise OSError(errno.ENAMETOOLONG, f"its path has over {LONGEST_PATH} bytes")
            return socket.AF_UNIX, kind, self.path
        family, kind, _, _, address = socket.getaddrinfo(self.host, self.port, type=kind)[0]
        return family, kind, address


def join(host: str, port: int) -> str:
    """Return host and port as one text, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def parse_address(option: str, value: Any, *, schemes: Collection[str], example: str) -> Address:
    """Return an option's address.

    Args:
        option: The option's name, for errors.
        value: Its value. Without a host, it is on the loopback interface.
        schemes: Those that make sense.
        example: A right value, for errors.

    Raises:
        ValueError: It is no such address.
    """
    scheme, colon, rest = value.partition("://") if isinstance(value, str) else ("", "", "")
    if not colon or scheme not in schemes:
        known = ", ".join(f"{each}://" for each in schemes)
        raise ValueError(
            f"{option} has {value!r}, but an address that begins with one of {known} is expected,"
            f" such as {example!r}."
        )
    if scheme in LOCAL:
        if not rest:
            raise ValueError(f"{option} has {value!r}, but a path is expected behind {scheme}://.")
        check_name(option, rest)
        return Address(scheme, path=rest)
    host, colon, digits = rest.rpartition(":")
    if not colon or not (digits.isascii() and digits.isdigit()) or int(digits) > _MAX_PORT:
        raise ValueError(
            f"{option} has {value!r}, but a port from 0 to {_MAX_PORT} is expected behind the last"
            f" colon, such as {example!r}."
        )
    return Address(
        scheme, host=_without_brackets(option, value, host) or LOOPBACK, port=int(digits)
    )


def _without_brackets(option: str, value: str, host: str) -> str:
    if host.startswith("[") and host.endswith("]"):
        return host[1:-1]
    if ":" in host or "/" in host or "[" in host or "@" in host:
        raise ValueError(
            f"{option} has {value!r}, but a host and a port are expected; an IPv6 address is"
            " written in brackets, such as 'tcp://[::1]:5140'."
        )
    return host


def network_reason(cause: OSError) -> str:
    """Return what went wrong with a socket, in the system's words."""
    if isinstance(cause, TimeoutError) and not cause.errno:
        return "no answer in time"
    return reason(cause)
