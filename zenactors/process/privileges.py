"""The user, group, umask and root directory that a daemon runs with.

Names are resolved first, while the system's files are visible; privileges are dropped last:

    group = resolve_group("app")  # before the chroot, which may contain no /etc/passwd
    user = resolve_user("app", group)
    enter("/srv/app", "/", 0o022)  # needs root's privileges
    drop(user, group)  # cannot be reversed

Invariants:

- After `drop` no user or group id of the process, real, effective or saved, and no supplementary
  group is left from before, and none can be regained. Otherwise `drop` raises, and the process
  must end.
- `drop` reads no file, so it works after a chroot.
"""

from __future__ import annotations

import dataclasses
import errno
import grp
import os
import pwd
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from zenactors.errors import ConfigurationError, ProcessSetupError, did_you_mean

MAX_UMASK = 0o777
MAX_ID = 2**32 - 2  # the next number is -1, which means "unchanged" to the system

OCTAL = re.compile(r"(?:0[oO])?[0-7]+", re.ASCII)
NUMBER = re.compile(r"[0-9]+", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A user that a daemon can become.

    Attributes:
        name: None if the system has no user with this number.
        uid: The user's number.
        gid: The group's number: the user's own group, or the one it was resolved with.
        groups: The supplementary groups, without `gid`.
    """

    name: str | None
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A group that a daemon can be in. `name` is None if the system has no such group."""

    name: str | None
    gid: int


def resolve_group(value: str | int) -> Group:
    """Return a group by name or number. The system need not know the number.

    Raises:
        ConfigurationError: There is no group of this name, or the number is out of range.
    """
    if isinstance(value, str):
        try:
            entry = grp.getgrnam(value)
        except (KeyError, ValueError):  # ValueError: a null character
            known = (each.gr_name for each in grp.getgrall())
            number = _number(value, "group", known)
        else:
            return Group(entry.gr_name, entry.gr_gid)
    else:
        number = _in_range(value, "group")
    try:
        return Group(grp.getgrgid(number).gr_name, number)
    except KeyError:
        return Group(None, number)


def resolve_user(value: str | int, group: Group | None = None) -> User:
    """Return a user by name or number.

    Args:
        value: A name, or a number, which may be text. A user whose name is these digits wins.
        group: The group to be in instead of the user's own. It is needed for a number that the
            system does not know, because such a user has no group.

    Raises:
        ConfigurationError: There is no such user, the number is out of range, or a group is needed.
    """
    if isinstance(value, str):
        try:
            return _known_user(pwd.getpwnam(value), group)
        except (KeyError, ValueError):
            known = (each.pw_name for each in pwd.getpwall())
            number = _number(value, "user", known)
    else:
        number = _in_range(value, "user")
    try:
        return _known_user(pwd.getpwuid(number), group)
    except KeyError:
        if group is None:
            raise ConfigurationError(
                f"User {number} is not known to the system, so it has no group: set group too."
            ) from None
        return User(None, number, group.gid)


def parse_umask(value: str | int) -> int:
    """Return a umask from octal text ("022", "22", "0o022") or from a number.

    TOML's 0o022 is a number. JSON has no octal numbers, so it needs text.

    Raises:
        ConfigurationError: It is neither, or not within 0 to 0o777.
    """
    umask = -1
    if isinstance(value, str):
        if OCTAL.fullmatch(value):
            umask = int(value, 8)
    elif not isinstance(value, bool):
        umask = value
    if not 0 <= umask <= MAX_UMASK:
        raise ConfigurationError(
            f'umask {value!r} must be an octal text such as "022", or a number from 0 to 0o777.'
        )
    return umask


def enter(
    chroot_dir: str | Path | None = None,
    work_dir: str | Path | None = None,
    umask: int | None = None,
) -> None:
    """Change the root directory, then the current directory inside it, then the umask.

    Args:
        chroot_dir: The new root; None keeps the current one.
        work_dir: The new current directory, as seen from the new root; None is "/" if the root
            changes, and otherwise keeps the current one.
        umask: The permission bits that new files do not get; None keeps the current ones.

    Raises:
        ProcessSetupError: The system refuses a directory.
    """
    if chroot_dir is not None:
        _change_to("change the root to", chroot_dir, os.chdir)
        _change_to("change the root to", chroot_dir, lambda _: os.chroot("."))
    if work_dir is not None or chroot_dir is not None:
        _change_to("work in", "/" if work_dir is None else work_dir, os.chdir)
    if umask is not None:
        os.umask(umask)


def drop(user: User | None, group: Group | None = None) -> None:
    """Become `user` for ever: set supplementary groups, group and user, then verify them.

    A process that already runs as that user, and not as root, keeps its supplementary groups,
    which it may not change. The environment, including HOME, is unchanged.

    Args:
        user: None changes the group only.
        group: Used instead of the user's.

    Raises:
        ProcessSetupError: The system refuses, or the process could regain its privileges. The
            change may be half done, so the process must end.
    """
    if user is None and group is None:
        return
    uid = user.uid if user is not None else os.geteuid()
    gid = group.gid if group is not None else user.gid if user is not None else os.getegid()
    groups = sorted({gid, *user.groups}) if user is not None and user.name is not None else []
    if _are_ours(uid, gid) and os.geteuid() != 0:
        return
    try:
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    except OSError as cause:
        raise ProcessSetupError(
            f"Cannot become user {uid} and group {gid}: {cause.strerror}. Start as root, or leave"
            f" out user and group to run as user {os.geteuid()}."
        ) from cause
    if not _are_ours(uid, gid) or set(os.getgroups()) != set(groups) or _can_return(uid, gid):
        raise ProcessSetupError(
            f"Became user {uid} and group {gid}, but could regain its privileges. Start without the"
            " capabilities and secure bits that keep them (see capabilities(7))."
        )


def _are_ours(uid: int, gid: int) -> bool:
    return os.getresuid() == (uid,) * 3 and os.getresgid() == (gid,) * 3


def _can_return(uid: int, gid: int) -> bool:
    """Try to become root again. For root itself there is nothing to regain."""
    if uid == 0:
        return False
    return _succeeds(os.setuid) or (gid != 0 and _succeeds(os.setgid))


def _succeeds(become: Callable[[int], None]) -> bool:
    try:
        become(0)
    except PermissionError:
        return False
    return True


def _known_user(entry: pwd.struct_passwd, group: Group | None) -> User:
    gid = entry.pw_gid if group is None else group.gid
    # Read now: after a chroot there may be no /etc/group.
    groups = set(os.getgrouplist(entry.pw_name, gid)) - {gid}
    return User(entry.pw_name, entry.pw_uid, gid, tuple(sorted(groups)))


def _number(value: str, what: str, known: Iterable[str]) -> int:
    if not NUMBER.fullmatch(value):
        raise ConfigurationError(
            f"{what} {value!r} is not known to the system{did_you_mean(value, known) or '.'}"
            f" Create it, or give another {what} by name or number."
        )
    return _in_range(int(value), what)


def _in_range(value: int, what: str) -> int:
    if isinstance(value, bool) or not 0 <= value <= MAX_ID:
        raise ConfigurationError(
            f"{what} {value!r} must be a name, or a number from 0 to {MAX_ID}."
        )
    return value


def _change_to(purpose: str, directory: str | Path, change: Callable[[str | Path], None]) -> None:
    try:
        change(directory)
    except (OSError, ValueError) as cause:  # ValueError: a null character
        reason = cause.strerror if isinstance(cause, OSError) else cause
        step = (
            "Only root may: start as root, or leave out chroot_dir."
            if isinstance(cause, OSError) and cause.errno == errno.EPERM
            else "Create it, or give this user permission to enter it."
        )
        raise ProcessSetupError(f"Cannot {purpose} {str(directory)!r}: {reason}. {step}") from cause
