"""Who a daemon is, and what it sees: user, group, umask, root folder (S7, D15).

Names are resolved first, while the system's files are in sight; rights are dropped last:

    group = resolve_group("app")  # before the chroot: there may be no /etc/passwd behind it
    user = resolve_user("app", group)
    enter("/srv/app", "/", 0o022)  # needs root's rights
    drop(user, group)  # there is no way back

Invariants:

- After `drop` none of the process's user and group ids, real, effective or saved, nor any
  supplementary group is left from before, and they cannot be had back; or it raises, and then the
  process must end.
- Nothing that `drop` needs is read after the chroot.
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
MAX_ID = 2**32 - 2  # one above it is -1, which tells the system "as it is"

OCTAL = re.compile(r"(?:0[oO])?[0-7]+", re.ASCII)
NUMBER = re.compile(r"[0-9]+", re.ASCII)


@dataclasses.dataclass(frozen=True, slots=True)
class User:
    """A user that a daemon can become.

    Attributes:
        name: None for a number that the system has no user for.
        uid: The user's number.
        gid: The group to be in: the user's own one, or the one it was resolved with.
        groups: Its supplementary groups, without `gid`.
    """

    name: str | None
    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True)
class Group:
    """A group that a daemon can be in. `name` is None for a number without a group."""

    name: str | None
    gid: int


def resolve_group(value: str | int) -> Group:
    """Return a group by name or number; a number need not be known to the system.

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
        value: A name, or a number, also as text. A name of digits alone wins over the number.
        group: The group to be in instead of the user's own one. A number that the system has no
            user for needs it: nothing else says which group.

    Raises:
        ConfigurationError: There is no such user, the number is out of range, or needs a group.
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
                f"User {number} is not known to the system, so it has no group: give a group too."
            ) from None
        return User(None, number, group.gid)


def parse_umask(value: str | int) -> int:
    """Return a umask from text, which is octal ("022", "22", "0o022"), or from a number as it is.

    TOML's 0o022 is a number. JSON has no octal numbers: there give text.

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
    """Change the root folder, then the current one inside it, then the umask.

    Args:
        chroot_dir: The new root; None leaves it.
        work_dir: The current folder, as seen from the new root; None is "/" after a change of
            root, and otherwise leaves it.
        umask: The bits that new files do not get; None leaves them.

    Raises:
        ProcessSetupError: The system refuses a folder.
    """
    if chroot_dir is not None:
        _to_folder("change the root to", chroot_dir, os.chdir)
        _to_folder("change the root to", chroot_dir, lambda _: os.chroot("."))
    if work_dir is not None or chroot_dir is not None:
        _to_folder("work in", "/" if work_dir is None else work_dir, os.chdir)
    if umask is not None:
        os.umask(umask)


def drop(user: User | None, group: Group | None = None) -> None:
    """Become `user` for ever: supplementary groups, then group, then user; then look.

    Who is that user already, and is not root, keeps its supplementary groups: it may not change
    them. The environment stays as it is; so does HOME.

    Args:
        user: None changes the group alone.
        group: Instead of the user's.

    Raises:
        ProcessSetupError: The system refuses, or there would be a way back. The process may be
            half of one user and half of another then, and must end.
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
            f"Became user {uid} and group {gid}, but could go back. Start without capabilities and"
            " secure bits that keep rights (see capabilities(7))."
        )


def _are_ours(uid: int, gid: int) -> bool:
    return os.getresuid() == (uid,) * 3 and os.getresgid() == (gid,) * 3


def _can_return(uid: int, gid: int) -> bool:
    """Try to become root again. Who is root anyway has nowhere to return to."""
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
    # Now and not when rights are dropped: then there may be no /etc/group.
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


def _to_folder(purpose: str, folder: str | Path, change: Callable[[str | Path], None]) -> None:
    try:
        change(folder)
    except (OSError, ValueError) as cause:  # ValueError: a null character
        reason = cause.strerror if isinstance(cause, OSError) else cause
        step = (
            "Only root may: start as root, or leave out chroot_dir."
            if isinstance(cause, OSError) and cause.errno == errno.EPERM
            else "Create it, or let this user enter it."
        )
        raise ProcessSetupError(f"Cannot {purpose} {str(folder)!r}: {reason}. {step}") from cause
