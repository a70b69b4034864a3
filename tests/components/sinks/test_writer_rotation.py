"""Writers that rotate their file: nothing is lost and nothing is doubled, whenever they die."""

from __future__ import annotations

import errno
import gzip
import json
import os
import re
from collections.abc import Sequence
from typing import Any

import pytest

from tests.components.test_exactly_once import Numbers
from tests.sweeps import swept
from zenactors import Dispatcher, ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import (
    FileTailer,
    JsonLinesWriter,
    Lines,
    LineWriter,
    OutputCheckpoint,
)
from zenactors.errors import EXIT_IO_ERROR, ComponentStartError, ZenDaemonComponentException
from zenactors.testing import (
    Crash,
    Fault,
    Harness,
    Kill,
    LostSync,
    PowerFailure,
    Probe,
    ProcessCrashed,
    VirtualFiles,
)

OLD = re.compile(r"out\.\d{8}T\d{6}\.\d{6}Z(\.gz)?")


def make_files() -> VirtualFiles:
    files = VirtualFiles()
    for path in ("d/.directory", "state/.directory"):
        files.put(path)
    return files


def in_order(files: VirtualFiles) -> list[str]:
    """Return the names of the output's files, the oldest first; and no other may be there."""
    names = sorted(name for name in files.entries("d") if name not in ("out", ".directory"))
    assert all(map(OLD.fullmatch, names)), names
    return names + ["out"] * files.lexists("d/out")


def contents(files: VirtualFiles) -> list[bytes]:
    found = []
    for name in in_order(files):
        data = files.content(f"d/{name}")
        found.append(gzip.decompress(data) if name.endswith(".gz") else data)
    return found


def numbers(files: VirtualFiles) -> list[int]:
    return [int(line) for data in contents(files) for line in data.splitlines()]


def writer(**options: Any) -> LineWriter:
    return LineWriter(**{"path": "d/out", "name": "out", **options})


def send(harness: Harness, numbers: Sequence[int]) -> None:
    for number in numbers:
        harness.queue.schedule("lines", [b"%d" % number])


# --- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rotate_bytes": 0}, "rotate_bytes is 0, but a whole number of at least 1 is expected."),
        ({"rotate_interval": 0}, "rotate_interval is 0, but a number of seconds above 0"),
        ({"keep": 0, "rotate_bytes": 9}, "keep is 0, but a whole number of at least 1"),
        ({"gzip": "yes"}, "gzip is 'yes', but true or false is expected."),
        ({"fsync": "often"}, 'fsync is \'often\', but "never", "interval" or "always" is'),
        ({"fsync_interval": -1}, "fsync_interval is -1, but a number of seconds above 0"),
        ({"repair": 1}, "repair is 1, but true or false is expected."),
        ({"field": 1}, "field is 1, but a key of the records is expected."),
        ({"gzip": True}, "gzip is True, but there are no old files without rotate_bytes or"),
        ({"keep": 3}, "keep is 3, but there are no old files without rotate_bytes or"),
        ({"path": "-", "rotate_bytes": 9}, "standard output cannot be rotated: give one."),
        ({"path": None, "fsync": "always"}, "standard output cannot be synced: give one."),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match="is") as caught:
        writer(**options)
    assert message in str(caught.value)


# --- what is written ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "expected"),
    [
        ([{"line": "a", "x": 1}, {"line": 2}], b"a\n2\n"),
        (["é", b"\xff", 3], b"\xc3\xa9\n\xff\n3\n"),
        (["two\nlines\r\n", "\ud800"], b"two\\nlines\\r\\n\n\\ud800\n"),
        (Lines("in", 0, b"a\r\nb\xff\n"), b"a\nb\xff\n"),
        (Lines("in", 0, "é\n".encode("utf-16-le"), delimiter=b"\n\0", encoding="utf-16-le"), "é\n"),
        ([], b""),
    ],
)
def test_each_record_is_one_line(zen_harness, args, expected):
    harness = zen_harness([writer()], files=make_files())
    harness.queue.schedule("lines", args)
    harness.run_until_idle()
    wanted = expected.encode() if isinstance(expected, str) else expected
    assert harness.files.content("d/out") == wanted


def test_the_key_of_the_line_can_be_chosen_and_a_record_without_it_is_a_dead_letter(zen_harness):
    harness = zen_harness([writer(field="text")], files=make_files())
    harness.queue.schedule("lines", [{"text": "a"}, {"line": "b"}])
    harness.queue.schedule("lines", [{"text": "c"}])
    harness.run_until_idle()
    assert harness.files.content("d/out") == b"c\n"
    (letter,) = harness.dead_letters()
    assert str(letter.cause).startswith("A record has no key 'text', but 'line': ")


def test_args_of_another_kind_are_refused(zen_harness):
    harness = zen_harness([writer()], files=make_files())
    harness.queue.schedule("lines", "text")
    harness.run_until_idle()
    (letter,) = harness.dead_letters()
    assert str(letter.cause) == "out takes a list or Lines, but got str."


@pytest.mark.parametrize(("repair", "expected"), [(True, b"torn\n1\n"), (False, b"torn1\n")])
def test_a_last_line_without_an_end_gets_one(zen_harness, repair, expected):
    files = make_files()
    files.put("d/out", "torn")
    harness = zen_harness([writer(repair=repair)], files=files)
    send(harness, [1])
    harness.run_until_idle()
    assert files.content("d/out") == expected


# --- when a file is rotated -----------------------------------------------------------------


def test_a_file_is_rotated_before_it_gets_too_large(zen_harness):
    harness = zen_harness([writer(rotate_bytes=6)], files=make_files())
    send(harness, range(8))
    harness.queue.schedule("lines", ["a long line"])
    send(harness, [8])
    harness.run_until_idle()
    assert contents(harness.files) == [
        b"0\n1\n2\n",
        b"3\n4\n5\n",
        b"6\n7\n",
        b"a long line\n",
        b"8\n",
    ]
    assert harness.component("out").statistics_cur["rotated"] == 4


def test_the_log_says_what_has_become_of_the_old_file(zen_harness):
    harness = zen_harness([writer(rotate_bytes=4)], files=make_files())
    send(harness, range(3))
    harness.run_until_idle()
    old, _ = in_order(harness.files)
    logged = [each.message for each in harness.logs if "anew" in each.message]
    assert logged == [f"Opened d/out anew: the old file is {old} now"]


def test_names_are_in_the_order_of_the_files_even_if_the_clock_is_set_back(zen_harness):
    harness = zen_harness([writer(rotate_bytes=2)], files=make_files())
    for number in range(6):
        send(harness, [number])
        harness.run_until_idle()
        harness.clock.step(-3600 if number % 2 else 1)
    assert numbers(harness.files) == [0, 1, 2, 3, 4, 5]


def test_names_go_on_behind_those_of_the_last_run():
    files = make_files()
    for number in range(3):
        with Harness([writer(rotate_bytes=2)], files=files) as harness:
            send(harness, [number])
            harness.run_until_idle()
    assert numbers(files) == [0, 1, 2]


def test_a_file_is_rotated_when_its_time_is_over_even_if_nothing_comes(zen_harness):
    harness = zen_harness([writer(rotate_interval=60.0)], files=make_files())
    send(harness, [1])
    harness.run_until_idle()
    until = 60 - harness.clock.time() % 60
    harness.advance(until - 0.5)
    assert in_order(harness.files) == ["out"]
    harness.advance(1)
    (old, _) = in_order(harness.files)
    assert old.endswith("00.000000Z")
    harness.advance(600)
    assert len(in_order(harness.files)) == 2  # an empty file is not rotated
    send(harness, [2])
    harness.advance(60)
    assert contents(harness.files) == [b"1\n", b"2\n", b""]


def test_a_file_of_an_earlier_time_is_rotated_before_the_first_write(zen_harness):
    files = VirtualFiles()  # all files are of 1970
    files.put("d/out", "0\n")
    harness = zen_harness([writer(rotate_interval=86400.0)], files=files, exit_when_idle=True)
    send(harness, [1])
    harness.run_until_idle()
    assert contents(files) == [b"0\n", b"1\n"]


def test_a_rotation_leaves_a_file_alone_that_others_have_put_there(zen_harness):
    harness = zen_harness([writer(rotate_bytes=2)], files=make_files())
    send(harness, [1])
    harness.run_until_idle()
    harness.files.rename("d/out", "elsewhere")
    harness.files.put("d/out", "")
    send(harness, [2])
    harness.run_until_idle()
    assert harness.files.content("elsewhere") == b"1\n"
    assert contents(harness.files) == [b"2\n"]


def test_a_file_behind_a_link_is_rotated_beside_itself(zen_harness):
    files = make_files()
    files.put("d/out", "")
    files.symlink("d/out", "link")
    harness = zen_harness([writer(path="link", rotate_bytes=2)], files=files)
    send(harness, [1, 2])
    harness.run_until_idle()
    assert contents(files) == [b"1\n", b"2\n"]


def test_the_old_file_is_used_until_it_can_be_renamed(zen_harness):
    failure = OSError(errno.EACCES, "Permission denied")
    faults = [Crash(point="file", event="rename", nth=nth, error=failure) for nth in (1, 2)]
    harness = zen_harness([writer(rotate_bytes=2)], files=make_files(), faults=faults)
    send(harness, range(5))
    harness.run_until_idle()
    assert contents(harness.files) == [b"0\n1\n2\n", b"3\n", b"4\n"]
    warnings = [each.message for each in harness.logs if each.level == "WARNING"]
    assert warnings == [
        "Cannot rotate d/out: Permission denied. Give this user permission to write there; going on"
        " in the same file"
    ]


def test_the_renamed_file_is_used_until_a_new_one_can_be_opened(zen_harness):
    failure = OSError(errno.ENOSPC, "No space left on device")
    faults = [Crash(point="file", event="open", component="out", nth=2, error=failure)]
    component = writer(rotate_bytes=2, keep=1)
    harness = zen_harness([component], files=make_files(), faults=faults)
    send(harness, range(4))
    harness.advance(1)
    assert contents(harness.files) == [b"2\n", b"3\n"]
    assert component.statistics_cur["removed"] == 1


class Refusing(VirtualFiles):
    """Files of which the output cannot be opened for writing while `refuses` is set."""

    refuses = False

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if self.refuses and path == "d/out" and flags & os.O_WRONLY:
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return super().open(path, flags, mode)


def test_the_renamed_file_is_not_compressed_while_it_is_used(zen_harness):
    files = Refusing()
    files.put("d/.directory")
    harness = zen_harness([writer(rotate_bytes=2, gzip=True)], files=files)
    files.refuses = True
    send(harness, [0, 1])
    harness.advance(5)
    send(harness, [2])
    harness.advance(5)
    assert len(in_order(files)) == 1
    files.refuses = False
    send(harness, [3])
    harness.advance(5)
    assert numbers(files) == [0, 1, 2, 3]
    assert [name.endswith(".gz") for name in in_order(files)] == [True, False]


# --- old files ------------------------------------------------------------------------------


def test_only_the_newest_old_files_are_kept(zen_harness):
    component = writer(rotate_bytes=2, keep=3)
    harness = zen_harness([component], files=make_files())
    harness.files.put("d/.other", "")
    for number in range(9):
        send(harness, [number])
        harness.advance(0.1)
    harness.files.remove("d/.other")
    assert numbers(harness.files) == [5, 6, 7, 8]
    assert component.statistics_cur["removed"] == 5


def test_old_files_are_compressed(zen_harness):
    component = writer(rotate_bytes=1_000, gzip=True)
    harness = zen_harness([component], files=make_files())
    send(harness, range(1_000, 2_000))
    harness.advance(5)
    names = in_order(harness.files)
    assert [name.endswith(".gz") for name in names] == [True] * 4 + [False]
    assert numbers(harness.files) == list(range(1_000, 2_000))
    assert component.statistics_cur["compressed"] == 4
    old = harness.files.stat(f"d/{names[0]}")
    assert old.st_mode & 0o777 == 0o644


def test_events_are_written_while_a_large_file_is_compressed(zen_harness):
    component = writer(rotate_bytes=4 << 20, gzip=True)
    harness = zen_harness([component], files=make_files())
    line = b"x" * 99
    for _ in range(5):
        harness.queue.schedule("lines", [line] * 10_000)
    harness.run_until_idle()
    assert component.statistics_cur["rotated"] == 1
    harness.advance(0.05)
    send(harness, [1])
    harness.run_until_idle()
    assert harness.files.content("d/out").endswith(b"1\n")
    assert "compressed" not in component.statistics_cur
    harness.advance(5)
    assert component.statistics_cur["compressed"] == 1
    assert b"".join(contents(harness.files)) == (line + b"\n") * 50_000 + b"1\n"


SPEC = """
name = "rotating"

[[component]]
use = "zenactors.components:FileTailer"
[component.options]
patterns = ["in.log"]
start = "beginning"
max_line_bytes = 10

[[component]]
use = "zenactors.components:LineWriter"
[component.options]
path = "out"
rotate_bytes = 40_000
gzip = true
"""


def test_a_daemon_that_exits_when_idle_compresses_first(stock_forks, tmp_path):
    lines = [b"%d" % number for number in range(100_000, 200_000)]
    (tmp_path / "in.log").write_bytes(b"\n".join(lines) + b"\n")
    (tmp_path / "spec.toml").write_text(SPEC)
    argv = ["-m", "zenactors", "run", "spec.toml", "--exit-when-idle"]
    done = stock_forks.run(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    old = sorted(tmp_path.glob("out.*"))
    assert old
    assert all(path.name.endswith(".gz") for path in old)
    found = b"".join(gzip.decompress(path.read_bytes()) for path in old)
    assert (found + (tmp_path / "out").read_bytes()).split() == lines


class Failing:
    """Lets the nth call of one kind fail."""

    def __init__(self, call: str, nth: int) -> None:
        self._call = call
        self._left = nth

    def __call__(self, called: str, size: int) -> tuple[int, bool]:
        if called == self._call:
            self._left -= 1
            if not self._left:
                raise OSError(errno.ENOSPC, "No space left on device")
        return size, False


@pytest.mark.parametrize(
    "call", ["open", "read", "write", "fsync", "fstat", "rename", "remove", "entries"]
)
@pytest.mark.parametrize("nth", [1, 2, 3])
def test_a_failure_while_it_compresses_loses_nothing(call, nth):
    files = make_files()
    with Harness([writer(rotate_bytes=2, gzip=True)], files=files) as harness:
        send(harness, [1, 2])
        harness.run_until_idle()
        files.observe(Failing(call, nth), list)
        harness.advance(1)
        files.observe(Failing("", 0), list)
        send(harness, [3])
        harness.advance(1)
    assert not harness.hook_failures()
    assert files.open_descriptors() == []
    with Harness([writer(rotate_bytes=2, gzip=True)], files=files) as harness:
        assert numbers(harness.files) == [1, 2, 3]


# --- a disk on which the status of the open file cannot be read -------------------------------


@pytest.mark.parametrize("nth", [1, 3])
def test_a_start_that_fails_is_one_line_and_leaves_nothing_open(nth):
    files = make_files()
    faults = [Crash(point="file", event="fstat", nth=nth, error=OSError(errno.EIO, "broken"))]
    harness = Harness([writer(rotate_bytes=9)], files=files, faults=faults)
    with pytest.raises(ComponentStartError) as caught, harness:
        pass
    assert isinstance(caught.value.__cause__, ZenDaemonComponentException)
    assert files.open_descriptors() == []


def test_a_write_that_fails_ends_the_daemon_with_the_status_of_output_errors():
    files = make_files()
    with Harness([writer(rotate_bytes=9)], files=files) as harness:
        harness.run_until_idle()
        files.observe(Failing("fstat", 3), list)  # the first two are for the rotation
        send(harness, [1])
        harness.run_until_idle()
        assert harness.daemon.status == EXIT_IO_ERROR
        assert len(harness.dead_letters()) == 1
        (error,) = [each.message for each in harness.logs if each.level == "ERROR"]
    assert error.startswith("Cannot write to d/out: No space left on device. 1 lines were not")


def test_a_look_at_the_file_that_fails_changes_nothing(zen_harness):
    harness = zen_harness([writer(rotate_interval=60.0)], files=make_files())
    send(harness, [1])
    harness.run_until_idle()
    harness.files.observe(Failing("fstat", 1), list)
    harness.advance(60)  # it would be rotated, and is the next time
    assert in_order(harness.files) == ["out"]
    harness.advance(60)
    assert len(in_order(harness.files)) == 2
    assert not harness.hook_failures()


# --- the disk -------------------------------------------------------------------------------


class Calls:
    """The calls of a file system, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, call: str, size: int) -> tuple[int, bool]:
        self.names.append(call)
        return size, False


@pytest.mark.parametrize(
    ("fsync", "at_once", "later"), [("never", 0, 0), ("interval", 0, 2), ("always", 4, 4)]
)
def test_the_file_is_brought_to_the_disk_as_the_option_says(zen_harness, fsync, at_once, later):
    harness = zen_harness([writer(fsync=fsync, fsync_interval=2.0)], files=make_files())
    harness.files.observe(calls := Calls(), list)
    send(harness, range(3))
    harness.advance(1)
    assert calls.names.count("fsync") == at_once
    harness.advance(2)
    assert calls.names.count("fsync") == later


def test_the_last_lines_are_synced_at_the_stop():
    files = make_files()
    with Harness([writer(fsync="interval")], files=files, exit_when_idle=True) as harness:
        send(harness, [1])
        harness.run_until_idle()
        files.observe(calls := Calls(), list)
    assert calls.names.count("fsync") == 2


@pytest.mark.parametrize("nth", [1, 2])  # the file, and its name
def test_an_event_that_cannot_be_synced_is_not_done_and_leaves_nothing(nth):
    failure = OSError(errno.EIO, "Input/output error")
    faults = [Crash(point="file", event="fsync", component="out", nth=nth, error=failure)]
    daemon = ZenDaemon(name="d", components=[writer(fsync="always")])
    with Harness(daemon, files=make_files(), faults=faults) as harness:
        send(harness, [1])
        assert harness.run() == EXIT_IO_ERROR
        assert numbers(harness.files) == []


def survive(fault: Fault, **options: Any) -> tuple[int, list[int]]:
    """Write numbers until the process dies; return how many were done, and what is there then."""
    files = make_files()
    harness = Harness([writer(**options), probe := Probe("lines")], files=files, faults=[fault])
    done = 0
    died = False
    try:
        with harness:
            for number in range(8):
                send(harness, [number])
                harness.advance(0.05)
                done = len(probe.received)
    except ProcessCrashed:
        died = True
        harness = harness.next_life([writer(**options)])
        with harness:
            send(harness, [99])  # it tidies up from the first write on
            harness.advance(5)
    found = numbers(harness.files)
    if died:
        assert found.pop() == 99
    return done, found


@swept("step", [3], soak=[1])
@pytest.mark.parametrize("compress", [True, False])
def test_a_kill_at_any_moment_loses_nothing_and_doubles_nothing(compress, step):
    deaths = 0
    for nth in range(1, 80, step):
        fault = Kill(point="file", nth=nth, component="out")
        done, found = survive(fault, rotate_bytes=4, gzip=compress)
        deaths += done < 8
        whole = [number for number in found if number in range(8)]
        assert whole == list(range(len(whole))), nth
        assert len(whole) >= done, nth
    assert deaths * step > (40 if compress else 12)


@swept("step", [3], soak=[1])
def test_a_power_failure_takes_nothing_that_is_done_if_each_event_is_synced(step):
    deaths = 0
    for nth in range(1, 80, step):
        fault = PowerFailure(point="file", nth=nth, component="out")
        done, found = survive(fault, rotate_bytes=4, gzip=True, fsync="always")
        deaths += done < 8
        assert found[:done] == list(range(done)), nth
    assert deaths * step > 40


# --- exactly once ---------------------------------------------------------------------------


class Ten(Numbers):
    records = 10


def run_to_the_end(
    fault: Kill, *, seed: int | None = None, **options: Any
) -> tuple[int, list[int]]:
    """Return how many lives it took, and what is in all files."""

    def build() -> list[Any]:
        return [Ten(name="Numbers"), Split(), writer(event_map={"lines": "split"}, **options)]

    files = make_files()
    harness = Harness(build(), files=files, state_dir="state", faults=[fault], seed=seed)
    while True:
        try:
            with harness:
                harness.advance(2)
            return len(harness.lives), numbers(harness.files)
        except ProcessCrashed:
            harness = harness.next_life(build())


class Split(ZenDaemonComponent):
    """Makes a list of lines of the records of `Numbers`."""

    emits = ("split",)

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        daemon.queue.schedule("split", args.data.rstrip(b",").split(b","))


@pytest.mark.parametrize("kind", [Kill, PowerFailure])
@pytest.mark.parametrize("options", [{"gzip": True}, {"fsync": "always"}, {"fsync": "interval"}])
@swept("step", [31], soak=[1])
def test_each_record_is_written_once_whichever_call_the_process_dies_in(kind, options, step):
    deaths = 0
    for nth in range(2, 240, step):
        lives, found = run_to_the_end(kind(point="file", nth=nth), rotate_bytes=4, **options)
        assert found == list(range(10)), nth
        deaths += lives - 1
    assert deaths * step > 90


@pytest.mark.parametrize("kind", [Kill, PowerFailure])
@pytest.mark.parametrize(
    ("call", "chance"),
    [("write", 0.1), ("fsync", 0.1), ("open", 0.1), ("rename", 0.3), ("remove", 0.3)],
)
@swept("count", [1], soak=[20])
def test_each_record_is_written_once_if_the_process_dies_often(kind, call, chance, count):
    deaths = 0
    for seed in range(count):
        fault = kind(point="file", event=call, chance=chance)
        lives, found = run_to_the_end(fault, seed=seed, rotate_bytes=3, gzip=True)
        assert found == list(range(10)), seed
        deaths += lives - 1
    assert deaths > 0


def test_no_old_file_is_touched_that_a_checkpoint_may_cut_back(zen_harness):
    """A file that was rotated after the last checkpoint that is surely saved stays as it is."""
    files = make_files()
    files.put("in", "")
    component = writer(rotate_bytes=2, gzip=True, keep=1)
    tailer = FileTailer(patterns=["in"], start="beginning", exactly_once=True)
    harness = zen_harness([tailer, component], files=files, state_dir="state")
    harness.advance(5)
    files.append("in", "1\n")
    harness.advance(0.02)
    files.append("in", "2\n")
    harness.advance(0.02)
    names = in_order(files)
    assert len(names) == 2
    assert not names[0].endswith(".gz")
    harness.advance(10)
    files.append("in", "3\n")
    harness.advance(10)
    files.append("in", "4\n")
    harness.advance(10)
    assert numbers(files)[-2:] == [3, 4]
    assert len(in_order(files)) == 2


def is_compressed(harness: Harness) -> bool:
    harness.advance(1)
    return in_order(harness.files)[0].endswith(".gz")


def test_a_checkpoint_counts_only_when_there_is_a_later_one():
    """Only then the source has surely saved it; until then it restores the one before."""
    files = make_files()
    options = {"rotate_bytes": 4, "gzip": True}
    with Harness([writer(**options)], files=files, state_dir="state") as harness:
        harness.queue.schedule("checkpoint", OutputCheckpoint())
        send(harness, [0, 1, 2])
        assert not is_compressed(harness)
        harness.queue.schedule("checkpoint", second := OutputCheckpoint())
        assert not is_compressed(harness)
    with Harness([writer(**options)], files=files, state_dir="state") as harness:
        assert not is_compressed(harness)
        harness.queue.schedule("checkpoint", OutputCheckpoint(restore=second.taken))
        send(harness, [3])
        assert not is_compressed(harness)
        harness.queue.schedule("checkpoint", OutputCheckpoint())
        assert is_compressed(harness)
        send(harness, [4])
        harness.queue.schedule("checkpoint", OutputCheckpoint())
        harness.advance(1)
        assert not in_order(harness.files)[1].endswith(".gz")
        harness.queue.schedule("checkpoint", OutputCheckpoint())
        harness.advance(1)
        assert in_order(harness.files)[1].endswith(".gz")
        assert numbers(harness.files) == [0, 1, 2, 3, 4]


def test_it_does_not_rotate_while_that_would_push_out_a_file_that_a_checkpoint_needs():
    files = make_files()

    class Many(Numbers):
        records = 150

        def send(self) -> None:
            for _ in range(self.records - self.next):
                record = Lines("in", self.next, b"%d," % self.next)
                self.daemon.queue.schedule("lines", record, on_done=self.sent)
                self.next += 1
                self.open += 1

    def build() -> list[Any]:
        return [Many(name="Numbers"), Split(), writer(event_map={"lines": "split"}, rotate_bytes=1)]

    fault = Kill(point="file", event="write", component="out", nth=230)
    harness = Harness(build(), files=files, state_dir="state", faults=[fault])
    with pytest.raises(ProcessCrashed), harness:
        harness.advance(2)
    assert 90 < len(in_order(harness.files)) < 105
    after = harness.next_life(build())
    with after:
        after.advance(2)
    assert numbers(after.files) == list(range(150))


# --- for other sinks ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cls", "records", "expected"),
    [
        (JsonLinesWriter, [{"a": 1}, {"b": 2}], b'{"a":1}\n{"b":2}\n'),
        (LineWriter, [{"line": "x"}, b"y"], b"x\ny\n"),
    ],
)
def test_a_batch_is_written_or_raises(cls, records, expected):
    files = make_files()

    class Daemon:
        exit_when_idle = False

    component = cls(path="d/out")
    component.files = files
    daemon: Any = Daemon()
    component.setup(daemon)
    component.write_batch(daemon, records)
    component.write_batch(daemon, [])
    assert files.content("d/out") == expected

    def fail(called: str, size: int) -> tuple[int, bool]:
        if called == "write":
            raise OSError(errno.ENOSPC, "No space left on device")
        return size, False

    files.observe(fail, list)
    with pytest.raises(Exception, match="Cannot write to d/out: No space left on device") as caught:
        component.write_batch(daemon, records)
    assert not isinstance(caught.value, SystemExit)
    component.teardown(daemon)


def test_a_lost_sync_and_a_kill_lose_nothing():
    done, found = survive(LostSync(nth=1), rotate_bytes=4, gzip=True, fsync="always")
    assert (done, found) == (8, list(range(8)))


def test_on_a_real_disk(tmp_path):
    component = JsonLinesWriter(
        path=str(tmp_path / "out"), rotate_bytes=200, keep=2, gzip=True, fsync="always"
    )
    with Dispatcher([component, probe := Probe("lines")]) as dispatcher:
        for number in range(100):
            dispatcher.queue.schedule("lines", [{"n": number}])
        assert dispatcher.drain(30)
        probe.receive_n(100, within=30)
    last = [json.loads(line)["n"] for line in (tmp_path / "out").read_text().splitlines()]
    assert last[-1] == 99
    assert (tmp_path / "out").stat().st_mode & 0o777 & ~0o044 == 0o600
