"""What a tailer remembers from one run to the next."""

from __future__ import annotations

import errno
import os
from random import Random

import pytest

from zenactors.components.tail.identity import Identity
from zenactors.components.tail.memory import FORGOTTEN_AFTER, MOST_GONE, Memory
from zenactors.testing import VirtualFiles

from .tail_scene import Scene

STORE = "/state/FileTailer.store"
MANY = 1_000


def give_inode(files: VirtualFiles, path: str, inode: int) -> None:
    """Let a file have the inode of one that was deleted, as real file systems do."""
    node = files._reach(path, os.O_RDONLY)
    node.inode = inode


@pytest.mark.parametrize("runs", [1, 2])
def test_a_file_with_a_used_inode_is_found_between_two_looks(runs: int) -> None:
    with Scene(state=True, notifications=False, rotate_wait=1.0) as scene:
        files = scene.files
        files.put("/log/a.log", "first\n")
        inode = files.stat("/log/a.log").st_ino
        scene.advance(2.0)
        files.rename("/log/a.log", "/log/a.log.1")
        files.put("/log/a.log", "second\n")
        scene.advance(5.0)
        files.remove("/log/a.log.1")
        scene.advance(5.0)
        assert scene.text() == b"first\nsecond\n"
        if runs == 2:
            scene.stop()
        files.rename("/log/a.log", "/log/a.log.2")
        files.put("/log/a.log", "third\n")
        give_inode(files, "/log/a.log", inode)
        files.rename("/log/a.log", "/log/a.log.1")
        files.put("/log/a.log", "fourth\n")
        if runs == 2:
            scene.start_again()
        scene.advance(5.0)
        assert scene.text() == b"third\nfourth\n"


def records(scene: Scene) -> dict[str, str]:
    """Return the paths of the files that are remembered."""
    memory = scene.tailer._loop.memory
    return {file_id: record.path for file_id, record in memory.records.items()}


def test_files_that_are_gone_for_a_week_are_forgotten_also_on_the_disk() -> None:
    with Scene("/log/*.log", state=True, poll_interval=600.0, rotate_wait=1.0) as scene:
        for name in ("a", "b", "c"):
            scene.files.put(f"/log/{name}.log", "one\n")
        scene.advance(1_300.0)
        scene.files.remove("/log/a.log")
        scene.files.remove("/log/b.log")
        scene.advance(FORGOTTEN_AFTER - 3_600.0)
        assert len(records(scene)) == 3
        scene.advance(7_200.0)
        assert list(records(scene).values()) == ["/log/c.log"]
        scene.advance(10.0)
        stored = scene.files.content(STORE)
        assert b"c.log" in stored
        assert b"a.log" not in stored
        assert b"b.log" not in stored


def test_a_file_that_comes_back_within_a_week_goes_on() -> None:
    with Scene("/log/*.log", state=True, poll_interval=600.0, rotate_wait=1.0) as scene:
        scene.files.put("/log/a.log", "one\n")
        scene.advance(1_300.0)
        scene.files.rename("/log/a.log", "/kept.log")
        scene.stop()
        scene.clock.advance(FORGOTTEN_AFTER - 3_600.0)
        scene.start_again()
        scene.files.rename("/kept.log", "/log/a.log")
        scene.files.append("/log/a.log", "two\n")
        scene.advance(1_300.0)
        assert scene.text() == b"one\ntwo\n"


@pytest.mark.parametrize(
    "broken", [b"", b"no JSON", None], ids=["empty", "no JSON", "another checksum"]
)
def test_a_broken_state_is_set_aside_and_everything_is_read_anew(broken: bytes | None) -> None:
    with Scene(state=True) as scene:
        scene.files.put("/log/a.log", "one\n")
        scene.advance(2.0)
        scene.stop()
        good = scene.files.content(STORE)
        scene.files.put(STORE, good.replace(b"a.log", b"b.log") if broken is None else broken)
        scene.take()
        scene.start_again()
        scene.advance(2.0)
        assert scene.text() == b"one\n"
        assert any("FileTailer.store" in each for each in scene.warnings())
        assert [each for each in scene.files.paths() if each.startswith(STORE + ".")]


def test_the_state_of_a_thousand_files_is_resumed_without_a_line_twice() -> None:
    with Scene("/log/*.log", state=True) as scene:
        for number in range(MANY):
            scene.files.put(f"/log/{number}.log", f"{number}\n")
        scene.advance(3.0)
        assert len(scene.text().split()) == MANY
        scene.stop()
        for number in range(0, MANY, 100):
            scene.files.append(f"/log/{number}.log", f"{number} more\n")
        scene.files.put("/log/new.log", "new\n")
        scene.start_again()
        scene.advance(5.0)
        came = scene.text().splitlines()
        assert sorted(came) == sorted([b"new", *(b"%d more" % n for n in range(0, MANY, 100))])


@pytest.mark.parametrize("after", [0.01, 0.3, 1.0, 1.7, 3.0])
def test_after_a_power_failure_nothing_is_lost(after: float) -> None:
    with Scene("/log/*.log", state=True) as scene:
        came: set[bytes] = set()
        for number in range(6):
            scene.files.append("/log/a.log", f"{number}\n")
            scene.files.append(f"/log/{number}.log", f"new {number}\n")
            scene.advance(after)
            scene.kill(power_failure=True)
            came.update(scene.text().split(b"\n"))
        scene.advance(3.0)
        came.update(scene.text().split(b"\n"))
    assert came - {b""} == {b"%d" % n for n in range(6)} | {b"new %d" % n for n in range(6)}


@pytest.mark.parametrize("state", [False, True])
@pytest.mark.parametrize("start", ["beginning", "end"])
def test_where_to_begin_counts_for_the_files_of_the_first_start_alone(
    start: str, *, state: bool
) -> None:
    scene = Scene("/log/*.log", start=start, state=state)
    scene.files.put("/log/a.log", "old\n")
    with scene:
        scene.files.append("/log/a.log", "new\n")
        scene.files.put("/log/b.log", "later\n")
        scene.advance(2.0)
        expected = [b"later", b"new"] if start == "end" else [b"later", b"new", b"old"]
        assert sorted(scene.text().split()) == expected
        if state:
            scene.stop()
            scene.files.append("/log/a.log", "while it was down\n")
            scene.files.put("/log/c.log", "appeared\n")
            scene.start_again()
            scene.advance(2.0)
            assert sorted(scene.text().splitlines()) == [b"appeared", b"while it was down"]


def test_every_line_has_the_file_the_generation_and_the_offset_for_ever() -> None:
    with Scene("/log/*.log", state=True, rotate_wait=1.0) as scene:
        files = scene.files
        files.put("/log/a.log", "one\n")
        files.put("/log/b.log", "one\n")
        scene.advance(2.0)
        files.append("/log/a.log", "two\n")
        scene.advance(2.0)
        files.truncate("/log/a.log")
        scene.advance(2.0)
        files.append("/log/a.log", "three\n")
        scene.advance(2.0)
        scene.stop()
        files.rename("/log/a.log", "/log/c.log")
        files.append("/log/c.log", "four\n")
        files.put("/log/a.log", "five\n")
        scene.start_again()
        scene.advance(3.0)
        heard = scene.take()
    places = {(each.file_id, each.generation, each.offset) for each in heard}
    assert len(places) == len(heard) == 6
    of_a = [each for each in heard if each.file_id == heard[0].file_id]
    assert {each.path for each in of_a} == {of_a[0].path}
    numbers = [
        (each.generation, each.offset, each.data) for each in heard if each.path == "/log/a.log"
    ]
    assert (0, 0, b"one\n") in numbers
    assert (0, 4, b"two\n") in numbers
    assert (1, 0, b"three\n") in numbers
    assert (1, 6, b"four\n") in numbers


@pytest.mark.parametrize("seed", range(5))
def test_rotated_files_that_were_not_read_yet_come_in_order_after_a_kill(seed: int) -> None:
    names = [f"/log/a.log-{number}" for number in random_order(seed)]
    with Scene(state=True, rate_limit=5.0) as scene:
        for number, name in enumerate(names):
            lines = "".join(f"{number} {line}\n" for line in range(20))
            scene.files.append("/log/a.log", lines)
            scene.advance(0.5)
            scene.files.rename("/log/a.log", name)
            scene.files.put("/log/a.log", "")
            scene.advance(0.5)
        scene.kill()
        scene.take()
        scene.advance(40.0)
        came = [tuple(map(int, line.split())) for line in scene.text().splitlines()]
    assert came == sorted(came)
    assert len({number for number, _ in came}) >= 3


def random_order(seed: int) -> list[int]:
    numbers = list(range(6))
    Random(seed).shuffle(numbers)
    return numbers


def rotate(scene: Scene, number: int) -> None:
    scene.files.rename("/log/a.log", f"/log/a.log-{number}")
    scene.files.put("/log/a.log", f"file {number}\n")
    scene.clock.advance(0.001)


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_a_rotation_between_finding_a_file_and_opening_it_loses_nothing(rotations: int) -> None:
    with Scene(state=True, notifications=False) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(2.0)
        scene.stop()
        scene.files.append("/log/a.log", "1\n")
        for number in range(rotations):
            rotate(scene, number)
        scene.files.before_open["/log/a.log"] = lambda: rotate(scene, 8)
        scene.start_again()
        rotate(scene, 9)
        scene.advance(5.0)
        files = [b"file %d" % number for number in (*range(rotations), 8, 9)]
        assert scene.text().splitlines() == [b"0", b"1", *files]


def test_a_rotated_file_that_is_renamed_before_it_is_opened_is_found_again() -> None:
    with Scene(state=True, notifications=False) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(2.0)
        scene.stop()
        scene.files.append("/log/a.log", "1\n")
        rotate(scene, 1)
        scene.files.before_open["/log/a.log-1"] = lambda: scene.files.rename(
            "/log/a.log-1", "/log/a.log-2"
        )
        scene.start_again()
        scene.advance(5.0)
        assert sorted(scene.text().splitlines()) == [b"0", b"1", b"file 1"]


def test_a_rotated_file_is_found_although_its_directory_cannot_be_listed_at_the_start() -> None:
    with Scene(state=True, notifications=False) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(2.0)
        scene.stop()
        scene.files.append("/log/a.log", "1\n")
        rotate(scene, 1)
        scene.files.failing["entries"] = errno.EMFILE
        scene.start_again()
        scene.advance(5.0)
        scene.files.failing.clear()
        scene.advance(5.0)
        assert sorted(scene.text().splitlines()) == [b"0", b"1", b"file 1"]


def test_a_file_is_known_before_its_first_line_is_handed_over() -> None:
    def rotate_it() -> None:
        scene.files.append("/log/b.log", "2\n")
        scene.files.rename("/log/b.log", "/log/b.log.1")
        scene.files.put("/log/b.log", "3\n")

    with Scene("/log/*.log", state=True) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(3.0)
        scene.take()
        scene.files.put("/log/b.log", "1\n")
        assert scene.harness.wait_until(lambda: scene.heard)
        scene.take()
        scene.kill(between=rotate_it)
        scene.advance(3.0)
        assert scene.text() in (b"2\n3\n", b"1\n2\n3\n")


def test_the_end_at_which_a_file_begins_is_kept_over_a_kill() -> None:
    scene = Scene(state=True, start="end")
    scene.files.put("/log/a.log", "old\n")
    with scene:
        scene.advance(1.0)
        scene.kill(between=lambda: scene.files.append("/log/a.log", "new\n"))
        scene.advance(3.0)
        assert scene.text() == b"new\n"


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("last", [True, False])
def test_files_that_came_and_went_at_a_path_without_a_file_are_found(
    *, last: bool, stopped: bool
) -> None:
    with Scene(state=True, notifications=False, rotate_wait=2.0) as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(2.0)
        if stopped:
            scene.stop()
        scene.files.append("/log/a.log", "1\n")
        scene.files.rename("/log/a.log", "/log/a.log-0")
        if stopped:
            scene.start_again()
        scene.advance(0.5)
        scene.files.put("/log/a.log", "2\n")
        rotate(scene, 1)
        rotate(scene, 2)
        if not last:
            scene.files.rename("/log/a.log", "/log/a.log-3")
        scene.advance(200.0)
        assert scene.text() == b"0\n1\n2\nfile 1\nfile 2\n"
        assert not scene.tailer._loop._files._vacant or not last


def test_files_of_which_all_was_read_are_not_opened_in_the_next_run() -> None:
    with Scene(state=True, rotate_wait=1.0) as scene:
        scene.files.put("/log/a.log", "first\n")
        for number in range(100):
            scene.advance(1.1)
            rotate(scene, number)
        scene.advance(5.0)
        assert len(scene.text().splitlines()) == 101
        scene.stop()
        scene.files.append("/log/a.log-50", "late\n")
        scene.start_again()
        assert len(scene.files.open_descriptors()) <= 5
        scene.advance(5.0)
        assert scene.text() == b"late\n"
        assert sum(each.level == "INFO" for each in scene.harness.logs) < 10


def test_files_that_came_and_went_after_all_others_were_closed_are_found() -> None:
    with Scene(state=True, rotate_wait=1.0) as scene:
        scene.files.put("/log/a.log", "first\n")
        for number in range(3):
            scene.advance(1.1)
            rotate(scene, number)
        scene.advance(1.1)
        scene.files.rename("/log/a.log", "/log/a.log-3")
        scene.advance(100.0)
        scene.stop()
        scene.take()
        scene.files.put("/log/a.log", "last\n")
        rotate(scene, 4)
        scene.start_again()
        scene.advance(5.0)
        assert scene.text() == b"last\nfile 4\n"


def test_of_files_that_are_gone_only_the_last_thousands_are_remembered():
    moments = iter(range(10**6))
    memory = Memory(None, None, Random(1), lambda: float(next(moments)), exactly_once=False)
    for number in range(MOST_GONE + 10):
        memory.missed(memory.add(f"/log/{number}", Identity(1, number)))
    kept = memory.add("/log/here", Identity(2, 1))
    memory.forget_old()

    assert len(memory.records) == MOST_GONE + 1
    assert kept.file_id in memory.records
    assert memory.find(Identity(1, 9)) is None
    assert memory.find(Identity(1, 10)) is not None
