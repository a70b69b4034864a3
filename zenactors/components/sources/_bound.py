"""Sockets that are bound to an address, and how they come and go."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import os
import socket
import stat
from typing import Any

from zenactors.components._addresses import Address, join, network_reason
from zenactors.errors import ZenDaemonComponentException

_BACKLOG = 1_024  # the system caps it: net.core.somaxconn
_RXQ_OVFL: int = getattr(socket, "SO_RXQ_OVFL", 40)  # Linux: how many datagrams were dropped
_ADVICE = {
    errno.EADDRINUSE: "Stop the program that uses it, or choose another address",
    errno.EADDRNOTAVAIL: "Choose an address of this machine",
    errno.ENOENT: "Create its directory first",
    errno.ENAMETOOLONG: "Choose a shorter one",
    errno.EMFILE: "Raise the limit of open files (ulimit -n)",
}
_NOT_ALLOWED = {
    True: "Give this user permission to write to its directory",
    False: "Ports below 1024 need root or the capability CAP_NET_BIND_SERVICE",
}


@dataclasses.dataclass(eq=False, slots=True)
class BoundSocket:
    """A socket that listens, or takes datagrams.

    Attributes:
        address: As the user wrote it.
        socket: The socket, which does not block.
        text: What clients connect to: the port is the one that the system has chosen.
        inode: Of the file of a Unix socket, its device and inode.
    """

    address: Address
    socket: socket.socket
    text: str
    inode: tuple[int, int] | None = None

    def close(self) -> None:
        """Close the socket, and remove its file, unless another one has taken its place."""
        self.socket.close()
        if self.inode is not None and _inode(self.address.path) == self.inode:
            # Without the permission, it stays, and the next start replaces it.
            with contextlib.suppress(OSError):
                os.unlink(self.address.path)  # noqa: PTH108 - as all else here


def bind(address: Address, mode: int) -> BoundSocket:
    """Bind to an address; a socket of connections listens then. Blocks while a name is looked up.

    Args:
        address: Its path is relative to the current directory.
        mode: The permissions of a Unix socket.

    Raises:
        ZenDaemonComponentException: It cannot be bound.
    """
    try:
        family, kind, where = address.resolve()
        if address.is_local:
            _remove_stale(address.path, kind)
        made = socket.socket(family, kind)
        try:
            return _bind(made, address, where, mode)
        except BaseException:  # whatever it was, the socket is closed
            made.close()
            raise
    except OSError as cause:
        raise _refusal(address, cause) from cause


def _bind(made: socket.socket, address: Address, where: Any, mode: int) -> BoundSocket:
    made.settimeout(0.0)
    if address.is_local:
        # Linux gives the file these permissions from its first moment on, but for the umask.
        os.fchmod(made.fileno(), mode)
        made.bind(where)
        os.chmod(address.path, mode)  # noqa: PTH101
        bound = BoundSocket(address, made, str(address), _inode(address.path))
    else:
        if made.family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if address.is_datagram:
            made.setsockopt(socket.SOL_SOCKET, _RXQ_OVFL, 1)
        else:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(where)
        host, port = made.getsockname()[:2]
        bound = BoundSocket(address, made, f"{address.scheme}://{join(host, port)}")
    if not address.is_datagram:
        made.listen(_BACKLOG)
    return bound


def _inode(path: str) -> tuple[int, int] | None:
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _remove_stale(path: str, kind: int) -> None:
    """Remove the socket file of a process that has died.

    Raises:
        OSError: A process listens there, or it is no socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "the path exists, and is no socket")
    with socket.socket(socket.AF_UNIX, kind) as probe:
        probe.settimeout(0.0)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)  # noqa: PTH108
            return
        except BlockingIOError:
            pass  # it listens, and has no room for another connection
    raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE))


def _refusal(address: Address, cause: OSError) -> ZenDaemonComponentException:
    advice = _ADVICE.get(cause.errno or 0, "Check the address")
    if cause.errno in (errno.EACCES, errno.EPERM):
        advice = _NOT_ALLOWED[address.is_local]
    if cause.errno == errno.EEXIST:
        advice = "Remove it, or choose another path"
    return ZenDaemonComponentException(
        f"Cannot listen on {address}: {network_reason(cause)}. {advice}."
    )
