from __future__ import annotations

import errno
import gzip
import itertools
import os
import shutil
import time

import pytest

from zenactors.components import Lines
from zenactors.components._files import SYSTEM_FILES

from .tail_scene import Scene
from .tailing import append, deny, fail_reads, open_handles


def test_a_file_renamed_while_it_cannot_be_read_is_found_again(tail, tmp_path, log, monkeypatch):
    one = tail(log)
    with monkeypatch.context() as failing:
        fail_reads(failing)
        one.poll()
    log.rename(tmp_path / "old")
    log.write_bytes(b"new\n")

    assert one.text(3) == b"one\ntwo\nnew\n"
    assert len(one.tailer.get_state()["files"]) == 1


def test_a_file_renamed_while_none_can_be_opened_is_read_as_soon_as_it_can(
    tail, tmp_path, log, monkeypatch
):
    one = tail(log)
    with monkeypatch.context() as failing:
        fail_reads(failing)
        one.poll()
        new = tmp_path / "old"
        log.rename(new)
        deny(failing, new, errno.EMFILE)
        one.poll(20)
    assert one.text(2) == b"one\ntwo\n"


def test_a_file_deleted_while_it_cannot_be_opened_is_lost(tail, tmp_path, log, monkeypatch):
    one = tail(log)
    one.poll()
    with monkeypatch.context() as failing:
        fail_reads(failing)
        append(log, b"more\n")
        one.poll()
        new = tmp_path / "old"
        log.rename(new)
        deny(failing, new, errno.EMFILE)
        one.poll(2)
        new.unlink()
        one.poll(2)
    assert one.tailer.get_state()["files"] == []
    assert one.count("bytes_lost") == 5


def test_a_deleted_file_is_read_to_its_end_before_it_is_closed(tail, tmp_path, logged):
    path = tmp_path / "a.log"
    data = (b"x" * 99 + b"\n") * 2000 + b"rest"
    path.write_bytes(data)
    one = tail(path)
    one.daemon.fire()
    path.unlink()

    assert one.text(4) == data
    assert one.tailer.get_state()["files"] == []
    assert one.count("vanished") == 1
    assert "was renamed or deleted" in logged.of("INFO")[0]


def test_a_deleted_file_that_comes_back_is_read_from_its_beginning(tail, log):
    one = tail(log, start="end")
    one.poll()
    log.unlink()
    one.poll(2)
    log.write_bytes(b"again\n")

    assert one.poll() == [Lines(str(log), 0, b"again\n")]


def test_a_truncated_file_is_read_again_from_its_beginning(tail, log, logged):
    append(log, b"held")
    one = tail(log)
    one.poll()
    log.write_bytes(b"new\n")

    assert one.poll() == [
        Lines(str(log), 8, b"held", complete=False),
        Lines(str(log), 0, b"new\n", generation=1),
    ]
    assert one.count("truncated") == 1
    assert "was truncated or written anew after 12 bytes" in logged.of("WARNING")[0]


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(tail, tmp_path, log):
    one = tail(log)
    one.poll()
    append(log, b"last\n")
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"first\n")

    assert one.text() == b"last\nfirst\n"
    one.poll(2)
    assert one.count("rotated") == 1
    assert [file["offset"] for file in one.tailer.get_state()["files"]] == [6]


def test_a_big_rotated_file_comes_completely_before_the_new_one(tail, tmp_path, log):
    append(log, (b"x" * 99 + b"\n") * 3000)
    one = tail(log)
    old = log.read_bytes()
    log.rename(tmp_path / "a.log.1")
    log.write_bytes((b"y" * 99 + b"\n") * 3000)

    assert one.text(3) == old + log.read_bytes()


def test_lines_added_to_a_renamed_file_before_its_writer_notices_are_not_lost(tail, tmp_path, log):
    one = tail(log, rotate_wait=10.0)
    one.poll()
    moved = tmp_path / "a.log.1"
    log.rename(moved)
    one.poll()
    append(moved, b"late\n")
    assert one.text() == b"late\n"

    log.write_bytes(b"new\n")
    assert one.text() == b"new\n"
    append(moved, b"too late?\n")
    assert one.text() == b"too late?\n"


def test_a_renamed_file_that_a_glob_still_finds_is_followed_under_its_new_name(tail, tmp_path, log):
    one = tail(tmp_path / "a.log*")
    one.poll()
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"new\n")
    append(tmp_path / "a.log.1", b"more\n")

    assert one.poll() == [
        Lines(str(log), 8, b"more\n"),
        Lines(str(log), 0, b"new\n"),
    ]
    assert one.count("rotated") == 1
    assert one.count("files") == 2


def test_several_rotations_between_two_looks_lose_nothing_and_keep_their_order(tail, tmp_path, log):
    one = tail(log, rotate_wait=10.0)
    one.poll()
    append(log, b"three\n")
    for number in range(4):  # the oldest file gets the highest number
        for old in range(number, 0, -1):
            (tmp_path / f"a.log.{old}").rename(tmp_path / f"a.log.{old + 1}")
        log.rename(tmp_path / "a.log.1")
        log.write_bytes(b"file %d\n" % number)
        os.utime(log, ns=(0, time.time_ns() + number * 1_000_000_000))

    assert one.text(2) == b"three\nfile 0\nfile 1\nfile 2\nfile 3\n"
    assert one.text(3) == b""


LARGE = 3_000  # lines, which are several blocks


def rotate(scene, lines):
    """Rename the log and those before, and begin a new one; each of its lines is its first byte."""
    scene.clock.advance(0.001)
    names = ["/log/a.log"] + [f"/log/a.log.{number}" for number in range(1, 6)]
    for new, old in itertools.pairwise(reversed(names)):
        if scene.files.lexists(old):
            scene.files.rename(old, new)
    if lines is not None:
        scene.files.put("/log/a.log", lines)


def runs(scene):
    """Return the first byte of each line that came, without repetitions."""
    return [key for key, _ in itertools.groupby(line[:1] for line in scene.text().splitlines())]


def lines_of(letter, count=LARGE):
    return (letter * 99 + b"\n") * count


@pytest.mark.parametrize("stopped", [False, True])
def test_large_files_of_quick_rotations_are_read_one_behind_the_other(stopped):
    with Scene("/log/a.log*", state=True, notifications=False) as scene:
        scene.files.put("/log/a.log", lines_of(b"a", 1))
        scene.advance(30)
        if stopped:
            scene.stop()
        scene.files.append("/log/a.log", lines_of(b"b"))
        for letter in (b"c", b"d", b"e"):
            rotate(scene, lines_of(letter))
        if stopped:
            scene.start_again()
        scene.advance(30)

        assert runs(scene) == [b"a", b"b", b"c", b"d", b"e"]


def test_the_next_file_of_a_name_is_read_behind_the_last_of_several_that_had_it():
    # An event takes long, so that the reading lasts.
    with Scene("/log/a.log*", cost=lambda lines: 3.0, notifications=False) as scene:
        scene.files.put("/log/a.log", lines_of(b"a", 1))
        scene.advance(30)
        for letter in (b"c", b"d", None):
            rotate(scene, None if letter is None else lines_of(letter))
        scene.advance(9)
        scene.files.put("/log/a.log", lines_of(b"e"))
        scene.advance(600)

        assert runs(scene) == [b"a", b"c", b"d", b"e"]


def test_what_comes_late_to_a_file_is_read_before_a_newer_one_if_one_between_is_empty():
    with Scene("/log/a.log*", notifications=False, poll_interval=1.0) as scene:
        scene.files.put("/log/a.log", b"a\n")
        scene.advance(30)
        rotate(scene, b"")
        rotate(scene, b"")
        scene.advance(30)
        scene.files.append("/log/a.log", b"c\n")
        scene.advance(0.001)
        scene.files.append("/log/a.log.2", lines_of(b"b", 4 * LARGE))
        scene.advance(30)

        assert runs(scene) == [b"a", b"b", b"c"]


@pytest.mark.parametrize(
    ("copied", "came"), [(b"one\n", b"two\nnew\n"), (b"one\ntwo\nthree\n", b"two\nthree\nnew\n")]
)
def test_a_copy_that_was_empty_and_is_deleted_before_a_look_gives_no_line_twice(copied, came):
    with Scene("/log/a.log*") as scene:
        scene.files.put("/log/a.log", b"one\n")
        scene.advance(30)
        scene.files.put("/log/a.log.1", b"")
        scene.advance(30)
        assert scene.text() == b"one\n"
        scene.files.drop_hints()
        scene.files.append("/log/a.log.1", copied)
        scene.files.drop_hints(drop=False)
        scene.files.append("/log/a.log", b"two\n")
        scene.advance(0.1)
        scene.files.truncate("/log/a.log")
        scene.files.append("/log/a.log", b"new\n")
        scene.files.remove("/log/a.log.1")
        scene.advance(30)

        assert scene.text() == came
        assert scene.statistic("bytes_lost") == 0


@pytest.mark.parametrize("more", [b"", b"two\n"])
def test_a_rotated_file_that_gets_the_same_header_as_the_next_one_is_no_copy(more):
    with Scene(notifications=False) as scene:
        scene.files.put("/log/a.log", b"first\n")
        scene.advance(30)
        rotate(scene, b"")
        rotate(scene, b"header\none\n")
        scene.advance(3)
        assert scene.text() == b"first\nheader\none\n"
        scene.files.append("/log/a.log.1", b"header\n")
        scene.advance(3)
        scene.files.append("/log/a.log.1", more)
        scene.advance(30)

        assert scene.text() == b"header\n" + more


def test_older_rotated_files_that_no_pattern_matches_are_not_read(tail, tmp_path, log):
    (tmp_path / "a.log.1").write_bytes(b"old\n")
    os.utime(tmp_path / "a.log.1", (1, 1))
    one = tail(log)
    assert one.text() == b"one\ntwo\n"
    (tmp_path / "a.log.1").rename(tmp_path / "a.log.2")
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"new\n")

    assert one.text(3) == b"new\n"


@pytest.mark.parametrize("pattern", ["a.log", "a.log*"])
@pytest.mark.parametrize("copy", ["a.log.1", "a.log-20260102", "a-20260102.log"])
@pytest.mark.parametrize("seen", [b"", b"three\nfo"])
def test_what_was_not_read_before_a_truncation_is_read_from_the_copy(
    tail, tmp_path, log, pattern, copy, seen
):
    pattern = "*" if pattern == "a.log*" and not copy.startswith("a.log") else pattern
    append(log, b"x" * 2000 + b"\n")
    one = tail(tmp_path / pattern)
    one.poll()
    append(log, seen)
    before = one.poll()
    append(log, b"three\nfour\nfive\n"[len(seen) :])
    shutil.copy(log, tmp_path / copy)
    log.write_bytes(b"new\n")
    after = one.poll(3)

    assert b"".join(lines.data for lines in before + after) == b"three\nfour\nfive\nnew\n"
    assert all(lines.complete for lines in after)
    assert [lines.generation for lines in after][-1] == 1
    assert {lines.path for lines in after} == {str(log)}
    assert one.text(20) == b""


def test_a_copy_that_is_seen_before_the_truncation_is_not_read_twice(tail, tmp_path, log):
    append(log, b"x" * 2000 + b"\n")
    one = tail(tmp_path / "a.log*")
    one.poll()
    shutil.copy(log, tmp_path / "a.log.1")
    assert one.text(3) == b""
    append(log, b"only here\n")
    assert one.text() == b"only here\n"
    log.write_bytes(b"")
    assert one.text(3) == b""
    append(log, b"new\n")
    assert one.text(20) == b"new\n"


def test_a_file_with_the_same_beginning_is_no_copy_once_it_differs(tail, tmp_path, log):
    log.write_bytes(b"time,value\n1,2\n")
    one = tail(tmp_path / "a.log*")
    one.poll()
    (tmp_path / "a.log.err").write_bytes(b"time,value\n")
    assert one.text(2) == b""
    append(tmp_path / "a.log.err", b"3,4\n")

    assert one.text(2) == b"time,value\n3,4\n"


def test_a_small_file_with_the_same_content_is_read_after_a_while(tail, tmp_path, log):
    log.write_bytes(b"starting\nmore\n")
    one = tail(tmp_path / "a.log*")
    one.poll()
    (tmp_path / "a.log.err").write_bytes(b"starting\n")

    assert one.text(5) == b""
    assert one.text(10) == b"starting\n"


@pytest.mark.parametrize("name", ["a.log.1.gz", "a.log.1"])
def test_a_compressed_file_is_not_read(tail, tmp_path, log, name, logged):
    one = tail(tmp_path / "a.log*")
    one.poll()
    (tmp_path / name).write_bytes(gzip.compress(log.read_bytes()))

    assert one.text(3) == b""
    assert [line for line in logged.of("INFO") if "compressed" in line] == [
        f"Not reading {tmp_path / name}: it is compressed"
    ]


def test_a_file_that_is_compressed_and_deleted_is_read_to_its_end(tail, tmp_path, log):
    one = tail(tmp_path / "a.log*")
    one.poll()
    append(log, b"three\n")
    log.rename(tmp_path / "a.log.1")
    (tmp_path / "a.log.1.gz").write_bytes(gzip.compress((tmp_path / "a.log.1").read_bytes()))
    (tmp_path / "a.log.1").unlink()
    log.write_bytes(b"new\n")

    assert one.text(3) == b"three\nnew\n"


def test_a_link_to_another_file_is_a_rotation(tail, tmp_path):
    (tmp_path / "1").write_bytes(b"one\n")
    link = tmp_path / "current"
    link.symlink_to(tmp_path / "1")
    one = tail(link, rotate_wait=10.0)
    assert one.text() == b"one\n"
    (tmp_path / "2").write_bytes(b"two\n")
    append(tmp_path / "1", b"late\n")
    link.unlink()
    link.symlink_to(tmp_path / "2")

    assert one.text() == b"late\ntwo\n"
    append(tmp_path / "1", b"later\n")
    assert one.text() == b"later\n"


def test_a_link_to_nowhere_is_no_error(tail, tmp_path, logged):
    (tmp_path / "dangling.log").symlink_to(tmp_path / "missing")
    one = tail(tmp_path / "*.log")
    assert one.text(2) == b""
    assert logged.of("ERROR") == []
    (tmp_path / "missing").write_bytes(b"here\n")
    assert one.text() == b"here\n"


def test_a_directory_that_is_replaced_has_new_files(tail, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    (logs / "a.log").write_bytes(b"one\n")
    one = tail(logs / "*.log")
    assert one.text() == b"one\n"
    append(logs / "a.log", b"two\n")
    logs.rename(tmp_path / "old")
    logs.mkdir()
    (logs / "a.log").write_bytes(b"three\n")

    assert one.text(2) == b"two\nthree\n"


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 300, 1024, 5000])
def test_a_file_that_grew_past_the_old_offset_is_noticed_at_any_size(tail, log, size):
    log.write_bytes(b"x" * max(0, size - 1) + b"\n" * bool(size))
    one = tail(log)
    one.poll()
    log.write_bytes(b"new\n" * (size // 4 + 2))

    assert one.text(2) == log.read_bytes()


def test_files_that_were_closed_because_they_are_idle_are_opened_again(tail, tmp_path):
    paths = [tmp_path / f"{number:03}.log" for number in range(200)]
    for path in paths:
        path.write_bytes(b"start\n")
    before = open_handles()
    one = tail(tmp_path / "*.log", rotate_wait=10.0)
    one.poll(30)
    assert open_handles() - before <= 64 + 2
    for path in paths:
        append(path, b"more\n")
    assert one.text() == b"more\n" * 200

    one.poll(30)
    append(paths[0], b"last\n")
    paths[0].rename(tmp_path / "000.log.1")
    paths[0].write_bytes(b"first\n")
    assert one.text(2) == b"last\nfirst\n"


def test_a_closed_file_is_found_again_beside_the_file_to_which_a_link_has_led(tail, tmp_path):
    targets, links = tmp_path / "targets", tmp_path / "links"
    targets.mkdir()
    links.mkdir()
    for number in range(100):
        (targets / f"{number:02}").write_bytes(b"start\n")
        (links / f"{number:02}.log").symlink_to(targets / f"{number:02}")
    before = open_handles()
    one = tail(links / "*.log", rotate_wait=10.0)
    one.poll(30)
    assert open_handles() - before <= 64 + 2

    target = targets / "00"
    append(target, b"last\n")
    target.rename(targets / "00.1")
    target.write_bytes(b"first\n")
    assert one.text(2) == b"last\nfirst\n"


def test_an_inode_that_another_file_has_got_is_noticed(tail, tmp_path, monkeypatch):
    old = tmp_path / "old.log"
    old.write_bytes(b"old content\n")
    one = tail(tmp_path / "*.log")
    one.poll()
    inode, device = old.stat().st_ino, old.stat().st_dev
    old.unlink()
    one.poll(4)
    new = tmp_path / "new.log"
    new.write_bytes(b"new content, longer\n")
    real = SYSTEM_FILES.stat, SYSTEM_FILES.fstat

    def with_old_inode(stat):
        if stat.st_ino == new.stat().st_ino:
            return os.stat_result((stat.st_mode, inode, device, *stat[3:]))
        return stat

    monkeypatch.setattr(SYSTEM_FILES, "stat", lambda path: with_old_inode(real[0](path)))
    monkeypatch.setattr(SYSTEM_FILES, "fstat", lambda fd: with_old_inode(real[1](fd)))
    assert one.text(2) == b"new content, longer\n"


def test_a_copy_that_is_seen_only_after_the_truncation_is_not_read_twice(tail, tmp_path, log):
    """Its original has more than the copy, which a writer does that goes on meanwhile."""
    append(log, b"x" * 2000 + b"\n")
    one = tail(tmp_path / "a.log*")
    one.poll()
    copy = log.read_bytes()
    append(log, b"only here\n")
    assert one.text() == b"only here\n"
    (tmp_path / "a.log.1").write_bytes(copy)
    log.write_bytes(b"new and longer than before\n" * 100)

    assert one.text(20) == log.read_bytes()


def test_a_file_that_is_still_being_compressed_is_not_read(tail, tmp_path, log):
    one = tail(tmp_path / "a.log*")
    one.poll()
    growing = tmp_path / "a.log-1.gz.new"
    growing.touch()
    assert one.text(2) == b""
    growing.write_bytes(gzip.compress(b"one\ntwo\n"))

    assert one.text(3) == b""
    assert one.count("compressed") == 1
    growing.rename(tmp_path / "a.log-1.gz")
    append(log, b"three\n")
    assert one.text(3) == b"three\n"
