"""The user, group and directories that a daemon changes to, on real processes."""

from __future__ import annotations

import json
import os
import pwd
import stat
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.running import ROOT
from zenactors.errors import ConfigurationError, ProcessSetupError
from zenactors.process.privileges import (
    Group,
    User,
    drop,
    enter,
    parse_umask,
    resolve_group,
    resolve_user,
)

NOBODY = 23_456  # a number that the system does not know
DEADLINE = 60.0  # seconds: generous, so that only a hang fails

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user or root")
needs_user = pytest.mark.skipif(os.geteuid() == 0, reason="nothing is refused to root")

PRELUDE = """
import json, os, sys
from zenactors.errors import ProcessSetupError
from zenactors.process.privileges import *

def ids():
    return [os.getresuid(), os.getresgid(), sorted(os.getgroups())]
"""


def answer(source: str) -> Any:
    """Run a program in a process of its own; return the value that it prints."""
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(source)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_user_is_found_by_name_by_number_and_by_number_as_text() -> None:
    root = resolve_user("root")

    assert root.name == "root"
    assert (root.uid, root.gid) == (0, pwd.getpwnam("root").pw_gid)
    assert resolve_user(0) == root
    assert resolve_user("0") == root


@pytest.mark.parametrize("entry", pwd.getpwall()[:5], ids=lambda entry: entry.pw_name)
def test_a_users_groups_are_those_of_the_system(entry: pwd.struct_passwd) -> None:
    user = resolve_user(entry.pw_name)

    assert {user.gid, *user.groups} == set(os.getgrouplist(entry.pw_name, entry.pw_gid))
    assert user.gid not in user.groups


def test_a_given_group_replaces_the_users_own() -> None:
    user = resolve_user("root", Group("app", 4711))

    assert user.gid == 4711
    assert pwd.getpwnam("root").pw_gid not in user.groups


def test_an_unknown_user_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        resolve_user("roott")

    assert str(caught.value) == (
        "user 'roott' is not known to the system; did you mean 'root'?"
        " Create it, or give another user by name or number."
    )


def test_a_user_that_is_only_a_number_needs_a_group() -> None:
    for value in (NOBODY, str(NOBODY)):
        with pytest.raises(ConfigurationError, match=f"{NOBODY} is not known.*set group too"):
            resolve_user(value)
        assert resolve_user(value, Group(None, 7)) == User(None, NOBODY, 7)


def test_a_group_is_found_by_name_by_number_and_by_number_as_text() -> None:
    assert resolve_group("root") == resolve_group(0) == resolve_group("0") == Group("root", 0)
    assert resolve_group(NOBODY) == resolve_group(str(NOBODY)) == Group(None, NOBODY)


def test_an_unknown_group_is_named_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigurationError, match=r"group 'rooot' .*did you mean 'root'"):
        resolve_group("rooot")


@pytest.mark.parametrize("value", [-1, "-1", 2**32 - 1, str(2**32 - 1), 2**64, True])
def test_numbers_out_of_range_are_refused(value: str | int) -> None:
    # -1, which equals 2**32 - 1, would mean "unchanged" to the system: root.
    with pytest.raises(ConfigurationError, match="user"):
        resolve_user(value, Group(None, 7))
    with pytest.raises(ConfigurationError, match="group"):
        resolve_group(value)


@pytest.mark.parametrize("value", ["", " ", "a\0b", "ro ot", "\u0661"])
def test_odd_names_are_unknown_names(value: str) -> None:
    with pytest.raises(ConfigurationError, match="not known"):
        resolve_user(value)
    with pytest.raises(ConfigurationError, match="not known"):
        resolve_group(value)


@pytest.mark.parametrize(
    ("value", "umask"),
    [
        ("022", 0o022),
        ("22", 0o022),
        ("0o022", 0o022),
        ("0O27", 0o027),
        ("0", 0),
        ("0777", 0o777),
        (0o022, 0o022),
        (0, 0),
        (0o777, 0o777),
    ],
)
def test_a_umask_is_octal_text_or_a_number(value: str | int, umask: int) -> None:
    assert parse_umask(value) == umask


@pytest.mark.parametrize(
    "value", ["", "8", "0x12", "-22", " 22", "22\n", "0o", "1000", "u=rwx", 0o1000, -1, True]
)
def test_any_other_umask_is_refused_and_named(value: str | int) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_umask(value)

    assert str(caught.value).startswith(f"umask {value!r} must be an octal text")


@needs_root
def test_all_user_and_group_ids_are_the_new_ones() -> None:
    seen = answer(f"""
        os.setgroups([0, 4, 27])
        drop(User(None, {NOBODY}, 34567))
        print(json.dumps(ids()))
    """)

    assert seen == [[NOBODY] * 3, [34567] * 3, []]


@needs_root
def test_a_named_user_has_its_own_supplementary_groups_and_no_others() -> None:
    seen = answer(f"""
        os.setgroups([0, 4, 27])
        drop(User("app", {NOBODY}, 34567, (20001, 20002)))
        print(json.dumps(ids()))
    """)

    assert seen == [[NOBODY] * 3, [34567] * 3, [20001, 20002, 34567]]


@needs_root
def test_a_group_replaces_the_users_when_dropping() -> None:
    seen = answer(f"""
        drop(User("app", {NOBODY}, 34567, (20001,)), Group(None, 45678))
        print(json.dumps(ids()))
    """)

    assert seen == [[NOBODY] * 3, [45678] * 3, [20001, 45678]]


@needs_root
def test_a_group_alone_keeps_the_user() -> None:
    seen = answer("""
        os.setgroups([0, 4, 27])
        drop(None, Group(None, 45678))
        print(json.dumps(ids()))
    """)

    assert seen == [[0] * 3, [45678] * 3, []]


@needs_root
def test_privileges_cannot_be_regained() -> None:
    seen = answer(f"""
        drop(User(None, {NOBODY}, 34567))
        refused = []
        for name in ("setuid", "seteuid", "setgid", "setegid"):
            try:
                getattr(os, name)(0)
            except PermissionError:
                refused.append(name)
        try:
            os.setgroups([0])
        except PermissionError:
            refused.append("setgroups")
        print(json.dumps([refused, ids()]))
    """)

    assert seen == [
        ["setuid", "seteuid", "setgid", "setegid", "setgroups"],
        [[NOBODY] * 3, [34567] * 3, []],
    ]


@needs_root
def test_privileges_that_could_be_regained_are_found_out() -> None:
    # With SECBIT_NO_SETUID_FIXUP a process keeps its capabilities when it becomes another user.
    seen = answer(f"""
        import ctypes
        assert ctypes.CDLL(None).prctl(28, 1 << 2, 0, 0, 0) == 0
        try:
            drop(User(None, {NOBODY}, 34567))
        except ProcessSetupError as cause:
            print(json.dumps(str(cause)))
    """)

    assert seen.startswith(
        f"Became user {NOBODY} and group 34567, but could regain its privileges."
    )


@needs_root
def test_root_may_stay_root() -> None:
    seen = answer("""
        os.setgroups([4, 27])
        drop(resolve_user("root"))
        print(json.dumps(ids()))
    """)

    assert seen[:2] == [[0] * 3, [0] * 3]
    assert seen[2] == sorted(set(os.getgrouplist("root", 0)))


@needs_root
def test_without_root_only_the_own_user_is_allowed() -> None:
    seen = answer(f"""
        os.setgroups([4])
        os.setresgid(34567, 34567, 34567)
        os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
        drop(User("app", {NOBODY}, 34567, (20001,)))
        results = [ids()]
        for user, group in [(0, 0), ({NOBODY}, 4), (1, 34567)]:
            try:
                drop(User(None, user, group))
            except ProcessSetupError as cause:
                results.append(str(cause))
        print(json.dumps([*results, ids()]))
    """)

    own = [[NOBODY] * 3, [34567] * 3, [4]]
    assert seen[0] == seen[-1] == own
    assert len(seen) == 5
    assert seen[1] == (
        "Cannot become user 0 and group 0: Operation not permitted."
        f" Start as root, or leave out user and group to run as user {NOBODY}."
    )


@needs_root
def test_a_saved_id_of_root_is_not_the_own_user() -> None:
    seen = answer(f"""
        os.setresgid(34567, 34567, 34567)
        os.setresuid({NOBODY}, {NOBODY}, 0)
        try:
            drop(User(None, {NOBODY}, 34567))
        except ProcessSetupError as cause:
            print(json.dumps(str(cause)))
    """)

    assert seen.startswith("Cannot become user")


@needs_user
def test_without_privileges_only_the_own_ids_are_allowed() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    drop(User(None, os.getuid(), os.getgid()))
    with pytest.raises(ProcessSetupError, match="Start as root"):
        drop(User(None, 0, 0))

    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


def test_neither_user_nor_group_changes_nothing() -> None:
    before = os.getresuid(), os.getresgid(), os.getgroups()
    drop(None, None)

    assert (os.getresuid(), os.getresgid(), os.getgroups()) == before


@needs_root
def test_the_chroot_is_entered_and_the_work_directory_is_inside(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside" / "mark").touch()
    seen = answer(f"""
        enter({str(tmp_path)!r}, "/inside", 0o027)
        print(json.dumps([os.getcwd(), os.listdir("."), os.listdir("/"), os.listdir("../..")]))
    """)

    assert seen == ["/inside", ["mark"], ["inside"], ["inside"]]


@needs_root
def test_after_a_chroot_the_process_is_inside_even_without_a_work_directory(tmp_path: Path) -> None:
    (tmp_path / "mark").touch()
    seen = answer(f"""
        enter({str(tmp_path)!r})
        print(json.dumps([os.getcwd(), os.listdir("."), os.listdir("..")]))
    """)

    assert seen == ["/", ["mark"], ["mark"]]


@needs_root
def test_privileges_can_be_dropped_after_a_chroot(tmp_path: Path) -> None:
    seen = answer(f"""
        user = resolve_user("daemon")
        enter({str(tmp_path)!r})
        drop(user)
        print(json.dumps(ids()))
    """)

    entry = pwd.getpwnam("daemon")
    groups = os.getgrouplist("daemon", entry.pw_gid)
    assert seen == [[entry.pw_uid] * 3, [entry.pw_gid] * 3, sorted(set(groups))]


def test_directory_and_umask_are_set_without_a_chroot(tmp_path: Path) -> None:
    seen = answer(f"""
        enter(None, {str(tmp_path)!r}, 0o027)
        open("file", "w").close()
        enter()
        print(json.dumps([os.getcwd(), os.umask(0)]))
    """)

    assert seen == [str(tmp_path), 0o027]
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o640


@pytest.mark.parametrize("what", ["chroot_dir", "work_dir"])
def test_a_missing_directory_is_named(tmp_path: Path, what: str) -> None:
    missing = tmp_path / "missing"
    purpose = {"chroot_dir": "change the root to", "work_dir": "work in"}[what]

    with pytest.raises(ProcessSetupError) as caught:
        enter(**{what: missing})  # type: ignore[arg-type]  # the other names take None

    assert str(caught.value) == (
        f"Cannot {purpose} '{missing}': No such file or directory."
        " Create it, or give this user permission to enter it."
    )


def test_a_path_that_is_no_directory_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (str(tmp_path / "file"), "a\0b"):
        with pytest.raises(ProcessSetupError, match="Cannot work in"):
            enter(work_dir=path)


@needs_user
def test_without_privileges_there_is_no_chroot(tmp_path: Path) -> None:
    before = Path.cwd()
    try:
        with pytest.raises(ProcessSetupError, match=r"Only root may.*leave out chroot_dir"):
            enter(tmp_path)
    finally:
        os.chdir(before)
