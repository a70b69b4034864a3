"""The file systems on which other machines can change files."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path

_MOUNTS = Path("/proc/self/mountinfo")
_NETWORK = {
    *("9p", "afs", "beegfs", "ceph", "cifs", "coda", "gfs2", "glusterfs", "gpfs", "lustre"),
    *("ncpfs", "nfs", "nfs4", "ocfs2", "orangefs", "prl_fs", "smb3", "smbfs", "vboxsf"),
    *("virtiofs", "vmhgfs", "fuse"),
    "autofs",  # whatever it will mount: the first call in it may wait for a server
}
_ESCAPE = re.compile(rb"\\([0-7]{3})")  # of a space, a line end or a backslash
_MOST_LINKS = 40  # in one path, as in the kernel


def is_network(path: str) -> bool:
    """Return True if a path is on a network file system, or one shared with another system.

    Every FUSE file system counts, except those on a block device: its process may get the files
    from anywhere. False if there is no `/proc`. Links are followed as far as the first network file
    system. No call is made there: it could hang.
    """
    try:
        mounts = _MOUNTS.read_bytes()
    except OSError:
        return False
    if not path.startswith("/"):
        path = f"{os.getcwd()}/{path}"  # noqa: PTH109 - as text, like the path
    return leads_to_network(path, mount_points(mounts))


def leads_to_network(
    path: str, kinds: Mapping[str, str], readlink: Callable[[str], str] = os.readlink
) -> bool:
    """Return True if a path enters a network file system.

    Args:
        path: Absolute; it may have links and dots, and need not exist.
        kinds: The type of the file system for each mount point.
        readlink: As in `os`; it is called only for paths that are local.
    """
    links = 0
    here = ""  # the place so far, without links and without the last slash
    to_go = path.split("/")[::-1]
    if _is_network_kind(kinds.get("/", "")):
        return True
    while to_go:
        part = to_go.pop()
        if part in ("", "."):
            continue
        if part == "..":
            here = here.rpartition("/")[0]
            continue
        there = f"{here}/{part}"
        if _is_network_kind(kinds.get(there, "")):
            return True
        try:
            target = readlink(there)
        except OSError:  # it is no link, or does not exist
            here = there
            continue
        links += 1
        if links > _MOST_LINKS:
            return False
        if target.startswith("/"):
            here = ""
        to_go += target.split("/")[::-1]
    return False


def mount_points(mounts: bytes) -> dict[str, str]:
    """Return the type of the file system at each mount point.

    Args:
        mounts: The content of `/proc/self/mountinfo`; a later mount hides an earlier one.
    """
    kinds: dict[str, str] = {}
    for line in mounts.splitlines():
        before, _, after = line.partition(b" - ")
        fields = before.split(b" ")
        if len(fields) > 4 and after:  # noqa: PLR2004 - the mount point is the fifth
            point = _ESCAPE.sub(lambda match: bytes([int(match[1], 8)]), fields[4])
            kinds[os.fsdecode(point)] = os.fsdecode(after.split(b" ")[0])
    return kinds


def _is_network_kind(kind: str) -> bool:
    return kind in _NETWORK or kind.startswith("fuse.")
