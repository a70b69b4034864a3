"""Writers whose output is cut back to the last checkpoint: each record is in it exactly once."""

from __future__ import annotations

import errno
import json
import os
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.components import Files, JsonLinesWriter, Lines, OutputCheckpoint, RawWriter
from zenactors.components._state_store import StateStore
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing import Harness, VirtualFiles

from .fakes import FakeDaemon

DAEMON: Any = FakeDaemon()


class Storing(FakeDaemon):
    """A daemon whose state store is among the files of a test."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self.files = files

    def state_store(self) -> StateStore:
        return StateStore("/state/out", files=self.files)


def raw(data: bytes) -> Lines:
    return Lines("in", 0, data)


def failing(call: str, error: int) -> Callable[[str, int], tuple[int, bool]]:
    def fail(called: str, size: int) -> tuple[int, bool]:
        if called == call:
            raise OSError(error, os.strerror(error))
        return size, False

    return fail


class Calls:
    """The calls of a file system, in order."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __call__(self, call: str, size: int) -> tuple[int, bool]:
        self.names.append(call)
        return size, False


class Died(BaseException):
    """The process is dead."""


class Run:
    """One run of a writer to `/d/out`, in memory; `saved` is what the last run has noted."""

    def __init__(self, files: VirtualFiles | None = None, saved: Any = None, **options: Any):
        if files is None:
            files = VirtualFiles()
            files.put("/d/other")  # with its directory, on the disk
        if not files.lexists("/state"):
            files.put("/state/other")
        self.files = files
        self.daemon: Any = Storing(files)
        self.writer = RawWriter(**{"path": "/d/out", "name": "out", **options})
        self.writer.files = self.files
        self.writer.setup(DAEMON)
        self.saved = saved

    def write(self, data: bytes) -> None:
        self.writer.cbk_event_lines(DAEMON, raw(data))

    def checkpoint(self, restore: Any = None) -> OutputCheckpoint:
        args = OutputCheckpoint(restore)
        assert self.writer.cbk_event_checkpoint(self.daemon, args) is None
        self.saved = json.loads(json.dumps(args.taken))
        return args

    def hang_up(self) -> None:
        self.writer.cbk_event_signal_hup(DAEMON, None)

    def crash(self, **options: Any) -> Run:
        """Return the next run, which is not restored yet."""
        return Run(self.files.crash(), self.saved, **options)

    def restored(self, **options: Any) -> Run:
        """Return the next run, restored to the last checkpoint."""
        after = self.crash(**options)
        after.checkpoint(after.saved)
        return after

    def content(self, *names: str) -> list[bytes]:
        return [self.files.content(f"/d/{name}") for name in names]


@pytest.fixture
def run() -> Run:
    """A run with the record "a" before its checkpoint and "b" after it."""
    run = Run()
    run.checkpoint()
    run.write(b"a\n")
    run.checkpoint()
    run.write(b"b\n")
    return run


def test_a_checkpoint_has_the_length_and_the_identity_of_the_file(run):
    taken = run.checkpoint().taken
    status = run.files.stat("/d/out")

    tail = taken["out"].pop("tail")
    assert len(tail) == 64
    assert taken == {
        "out": {
            "path": "/d/out",
            "device": status.st_dev,
            "inode": status.st_ino,
            "length": 4,
            "number": 3,
        }
    }


def test_at_a_checkpoint_file_and_name_are_on_the_disk():
    for seed in range(20):
        run = Run()
        run.write(b"abc\n" * 10)
        run.checkpoint()
        after = run.files.crash(random.Random(seed))
        assert after.content("/d/out") == b"abc\n" * 10


def test_what_was_written_after_the_checkpoint_is_cut_off(run, logged):
    after = run.restored()
    assert after.content("out") == [b"a\n"]
    assert "Cut 2 bytes off /d/out" in logged.of("INFO")[0]
    after.write(b"b\n")
    assert after.content("out") == [b"a\nb\n"]


def test_only_the_first_event_restores(run):
    after = run.restored()
    after.write(b"b\n")
    after.checkpoint()
    assert after.content("out") == [b"a\nb\n"]


@pytest.mark.parametrize("restore", [None, {}, {"other": {"length": 0}}])
def test_an_output_without_a_saved_value_is_not_cut(run, restore):
    after = run.crash()
    after.checkpoint(restore)
    assert after.content("out") == [b"a\nb\n"]


@pytest.mark.parametrize("created", [True, False])
def test_a_renamed_file_is_cut_back_and_so_is_the_new_one(run, logged, created):
    run.files.rename("/d/out", "/d/out.1")
    if created:
        run.files.put("/d/out")
    run.hang_up()
    run.write(b"c\n")

    after = run.restored()
    assert after.content("out.1", "out") == [b"a\n", b""]
    assert {message.split(":")[0] for message in logged.of("INFO")[-2:]} == {
        "Cut 2 bytes off /d/out",
        "Cut 2 bytes off /d/out.1",
    }
    assert after.saved["out"]["length"] == 0
    after.write(b"b\n")
    assert after.content("out") == [b"b\n"]


def test_a_new_file_is_cut_back_to_what_it_had_when_it_was_begun(run):
    run.files.rename("/d/out", "/d/out.1")
    run.files.put("/d/out", b"header\n")
    run.hang_up()
    run.write(b"c\n")
    assert run.restored().content("out.1", "out") == [b"a\n", b"header\n"]


def test_a_file_that_others_put_in_place_is_not_cut(run):
    run.files.rename("/d/out", "/d/old")
    run.files.put("/d/out", b"theirs\n")
    assert run.restored().content("old", "out") == [b"a\n", b"theirs\n"]


def test_all_files_begun_since_the_checkpoint_are_cut_back(run):
    for number in range(1, 4):
        run.files.rename("/d/out", f"/d/out.{number}")
        run.hang_up()
        run.write(b"%d\n" % number)
    run.files.rename("/d/out", "/d/out.4")
    after = run.restored()
    assert after.content("out.1", "out.2", "out.3", "out.4", "out") == [b"a\n", *[b""] * 4]


def test_files_begun_before_the_checkpoint_are_not_cut(run):
    run.files.rename("/d/out", "/d/out.1")
    run.hang_up()
    run.write(b"c\n")
    run.files.rename("/d/out", "/d/out.2")
    run.hang_up()
    run.write(b"d\n")
    run.checkpoint()
    run.write(b"e\n")
    assert run.restored().content("out.1", "out.2", "out") == [b"a\nb\n", b"c\n", b"d\n"]


def unsaved(run: Run) -> Run:
    """Return the next run, restored; that it was restored is not saved."""
    after = run.restored()
    after.saved = run.saved
    return after


def test_a_checkpoint_that_was_not_saved_does_not_count(run):
    saved = run.saved
    run.files.rename("/d/out", "/d/out.1")
    run.hang_up()
    run.write(b"c\n")
    run.checkpoint()
    run.saved = saved
    assert run.restored().content("out.1", "out") == [b"a\n", b""]


def test_what_was_written_after_a_restore_that_was_not_saved_is_cut_off(run):
    run.files.rename("/d/out", "/d/out.1")
    after = unsaved(run)
    after.write(b"b\n")
    assert after.restored().content("out.1", "out") == [b"a\n", b""]


def test_files_begun_after_a_restore_that_was_not_saved_are_cut_back(run):
    after = unsaved(run)
    after.files.rename("/d/out", "/d/out.1")
    after.hang_up()
    after.write(b"b\n")
    assert after.restored().content("out.1", "out") == [b"a\n", b""]


def test_a_source_that_begins_anew_does_not_lose_files_to_older_checkpoints(run):
    run.files.rename("/d/out", "/d/out.1")
    run.hang_up()
    run.write(b"c\n")
    run.files.rename("/d/out", "/d/out.2")
    after = run.crash()
    after.checkpoint()
    assert after.restored().content("out.1", "out.2") == [b"a\nb\n", b"c\n"]


@pytest.mark.parametrize("name", ["out.1.gz", "theirs"])
def test_another_file_with_the_inode_of_a_begun_one_is_not_cut(run, name):
    run.files.rename("/d/out", "/d/out.1")
    run.hang_up()
    run.write(b"c\n")
    run.files.rename("/d/out", f"/d/{name}")
    assert run.restored().content(name) == [b"c\n"]


def test_a_file_that_was_left_is_on_the_disk_and_the_new_one_noted_before_it_is_written(run):
    run.files.rename("/d/out", "/d/out.1")
    run.files.observe(calls := Calls(), list)
    run.hang_up()
    run.write(b"c\n")
    assert [call for call in calls.names if call in ("fsync", "rename", "write")] == [
        "fsync",  # the old file
        *("write", "fsync", "rename", "fsync"),  # the state store
        "write",
    ]


@pytest.mark.parametrize("failing_call", ["fsync", "rename"])
def test_the_old_file_is_used_until_a_new_one_can_be_noted(run, logged, failing_call):
    run.files.rename("/d/out", "/d/out.1")
    run.files.observe(failing(failing_call, errno.EIO), list)
    run.hang_up()
    run.write(b"c\n")
    run.files.observe(lambda call, size: (size, False), list)
    assert run.content("out.1", "out") == [b"a\nb\nc\n", b""]
    assert "Input/output error" in logged.of("WARNING")[0]

    run.hang_up()
    run.write(b"d\n")
    assert run.content("out.1", "out") == [b"a\nb\nc\n", b"d\n"]
    if failing_call == "fsync":  # what the system has forgotten then is missing in the old file
        with pytest.raises(ZenDaemonComponentException, match="No checkpoint is taken any more"):
            run.checkpoint()
    else:
        run.checkpoint()


def test_a_damaged_state_store_is_no_reason_to_fail(run):
    run.files.put("/state/out", b"broken")
    assert run.restored().content("out") == [b"a\n"]


def test_a_renamed_file_that_cannot_be_opened_is_reported(run, logged):
    class Forbidding(VirtualFiles):
        def open(self, path: str, flags: int, mode: int = 0o777) -> int:
            if path == "/d/out.1":
                raise OSError(errno.EACCES, "Permission denied", path)
            return super().open(path, flags, mode)

    run.files.rename("/d/out", "/d/out.1")
    run.files.__class__ = Forbidding
    assert run.restored().content("out.1") == [b"a\nb\n"]
    assert "Cannot cut back /d/out.1: Permission denied." in logged.of("ERROR")[0]


def test_a_cut_in_the_renamed_file_is_on_the_disk_with_the_next_checkpoint(run):
    run.files.rename("/d/out", "/d/out.1")
    after = run.restored()
    for seed in range(20):
        assert after.files.crash(random.Random(seed)).content("/d/out.1") == b"a\n"


@pytest.mark.parametrize("data", [b"", b"a"])
def test_an_output_that_lost_bytes_is_reported_and_continued(run, logged, data):
    run.files.truncate("/d/out", len(data))
    after = run.restored()
    after.write(b"b\n")

    assert after.content("out") == [data + b"b\n"]
    (error,) = logged.of("ERROR")
    assert f"had 2 at the last checkpoint: {2 - len(data)} bytes are missing" in error


def test_an_output_that_was_truncated_and_has_grown_again_is_left_alone(run, logged):
    run.files.truncate("/d/out", 0)
    run.write(b"other\n")
    after = run.restored()

    assert after.content("out") == [b"other\n"]
    assert "was truncated or edited" in logged.of("ERROR")[0]


def test_an_output_that_is_gone_is_reported_and_what_has_its_name_left_alone(run, logged):
    run.files.remove("/d/out")
    run.files.put("/d/out", b"theirs\n")
    after = run.restored()
    after.write(b"b\n")

    assert after.content("out") == [b"theirs\nb\n"]
    assert "no longer in its directory" in logged.of("ERROR")[0]


def test_a_copy_of_the_output_is_cut_back_as_the_output(run, logged):
    run.files.remove("/d/out")
    run.files.put("/d/out", b"a\nb\n")
    after = run.restored()

    assert after.content("out") == [b"a\n"]
    assert logged.of("ERROR") == []


def test_another_number_of_the_device_does_not_matter(run):
    run.saved["out"]["device"] += 1
    assert run.restored().content("out") == [b"a\n"]


def test_an_output_with_another_path_is_not_cut(run, logged):
    run.files.put("/d/other", b"x\n")
    after = run.restored(path="/d/other")

    assert after.content("out", "other") == [b"a\nb\n", b"x\n"]
    assert "was /d/out in the last run, and is /d/other now" in logged.of("WARNING")[0]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {},
        {"length": 2},
        "x",
        {"path": "/d/out", "device": 1, "inode": 1, "length": -1, "number": 1},
    ],
)
def test_a_damaged_value_cuts_nothing(run, logged, value):
    if isinstance(value, dict) and value.get("path"):
        value |= {"tail": None, "inode": run.files.stat("/d/out").st_ino}
    run.saved = {"out": value}

    assert run.restored().content("out") == [b"a\nb\n"]
    assert "The checkpoint of /d/out is damaged" in logged.of("ERROR")[0]


def test_json_lines_are_cut_back_to_the_byte(tmp_path):
    path = tmp_path / "out"
    daemon: Any = FakeDaemon()
    daemon.state_store = lambda: StateStore(str(tmp_path / "store"))
    writer = JsonLinesWriter(path=str(path))
    writer.setup(daemon)
    writer.cbk_event_lines(DAEMON, [{"n": 1}])
    first = OutputCheckpoint()
    writer.cbk_event_checkpoint(daemon, first)
    writer.cbk_event_lines(DAEMON, [{"n": 2}])
    writer.teardown(DAEMON)
    with path.open("ab") as torn:
        torn.write(b'{"n')
    path.rename(tmp_path / "out.1")

    writer = JsonLinesWriter(path=str(path))
    writer.setup(DAEMON)
    writer.cbk_event_checkpoint(daemon, OutputCheckpoint(first.taken))
    writer.cbk_event_lines(DAEMON, [{"n": 2}])
    writer.teardown(DAEMON)
    assert (tmp_path / "out.1").read_bytes() == b'{"n":1}\n'
    assert path.read_bytes() == b'{"n":2}\n'


# -- outputs without checkpoints -------------------------------------------------------------


def refusal(**options: Any) -> str:
    writer = RawWriter(**options)
    writer.setup(DAEMON)
    args = OutputCheckpoint({"RawWriter": {"length": 0}})
    writer.cbk_event_checkpoint(DAEMON, args)
    writer.teardown(DAEMON)
    assert args.taken == {}
    return args.refused["RawWriter"]


def test_an_output_that_cannot_be_cut_back_gives_the_reason(tmp_path, capfd):
    assert "standard output, which cannot be cut back. Give it a path" in refusal()
    assert "/dev/null, which is not a regular file" in refusal(path="/dev/null")
    assert "Set append to true" in refusal(path=str(tmp_path / "out"), append=False)


def test_two_writers_with_one_name_do_not_share_a_value(run):
    args = run.checkpoint()
    value = dict(args.taken)
    run.writer.cbk_event_checkpoint(run.daemon, args)
    assert args.taken == value
    assert args.refused == {"out": "has the name of another sink. Give it one of its own"}


def test_other_args_are_refused(run):
    with pytest.raises(TypeError, match="takes an OutputCheckpoint, but got dict"):
        run.writer.cbk_event_checkpoint(DAEMON, {})


def test_a_writer_that_is_not_set_up_takes_no_checkpoint():
    with pytest.raises(ValueError, match="setup"):
        RawWriter(path="x").cbk_event_checkpoint(DAEMON, OutputCheckpoint())


# -- when the disk fails -----------------------------------------------------------------------


def test_a_checkpoint_that_cannot_be_synced_fails_and_so_do_all_later_ones(run):
    run.files.observe(failing("fsync", errno.EIO), list)
    for _ in range(2):
        args = OutputCheckpoint()
        with pytest.raises(ZenDaemonComponentException, match=r"/d/out to the disk: Input/output"):
            run.writer.cbk_event_checkpoint(run.daemon, args)
        assert args.taken == {}
        run.files.observe(lambda call, size: (size, False), list)


def test_a_file_system_that_cannot_sync_is_accepted(run):
    run.files.observe(failing("fsync", errno.EINVAL), list)
    assert run.checkpoint().taken["out"]["length"] == 4


def test_a_write_that_failed_and_was_taken_back_does_not_count(run):
    run.files.observe(failing("write", errno.ENOSPC), list)
    with pytest.raises(SystemExit):
        run.write(b"c\n")
    run.files.observe(lambda call, size: (size, False), list)
    assert run.checkpoint().taken["out"]["length"] == 4


def test_no_checkpoint_is_taken_of_an_incomplete_end():
    class Fixed(VirtualFiles):
        is_full = False

        def write(self, fd: int, data: bytes | memoryview) -> int:
            if not self.is_full:
                return super().write(fd, data)
            if len(data) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
            return super().write(fd, data[:1])

        def ftruncate(self, fd: int, size: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

    files = Fixed()
    files.put("/d/other")
    run = Run(files)
    run.checkpoint()
    files.is_full = True
    with pytest.raises(SystemExit):
        run.write(b"cd\n")
    with pytest.raises(ZenDaemonComponentException, match="ends with an incomplete write"):
        run.checkpoint()


# -- several sinks, in a daemon ----------------------------------------------------------------


def test_all_writers_of_a_daemon_take_part():
    files = VirtualFiles()
    writers = [RawWriter(path="/a", name="a"), RawWriter(path="/b", name="b")]
    files.mkdir("/state")
    with Harness(writers, files=files, state_dir="/state") as harness:
        harness.queue.schedule("lines", raw(b"x\n"))
        args = OutputCheckpoint()
        harness.queue.schedule("checkpoint", args)
        harness.run_until_idle()

    assert {name: value["length"] for name, value in args.taken.items()} == {"a": 2, "b": 2}


# -- whatever happens --------------------------------------------------------------------------

ACTIONS = ["write"] * 4 + ["checkpoint", "rotate", "create", "hang up", "die", "kill", "power"]


class Story:
    """A source of numbered records, a writer, and somebody who rotates the output."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        self.run = Run()
        self.saved: Any = None
        self.position = self.next = self.rotations = 0
        self.checkpoint()

    def checkpoint(self) -> None:
        """Take a checkpoint, and save it in one step with the position of the source."""
        self.run.checkpoint(self.saved)
        self.commit()

    def commit(self) -> None:
        self.saved, self.position = self.run.saved, self.next

    def act(self, action: str) -> None:
        if action == "write":
            self.run.write(b"%d%s" % (self.next, self.chance.choice([b",", b"\n,"])))
            self.next += 1
        elif action == "checkpoint":
            self.run.checkpoint()
            self.commit()
        elif action in ("rotate", "create"):
            self.rotate(self.run.files, create=action == "create")
        elif action == "hang up":
            self.run.hang_up()
        elif action == "die":
            self.die_later()
        elif action in ("kill", "power"):
            self.start_again(self.chance if action == "power" else None)

    def rotate(self, files: VirtualFiles, *, create: bool) -> None:
        if files.lexists("/d/out"):
            self.rotations += 1
            files.rename("/d/out", f"/d/out.{self.rotations:03}")
        if create:
            files.put("/d/out")

    def die_later(self) -> None:
        """Let the process die in one of the next calls, which is done in part."""
        calls = self.chance.randrange(12)

        def called(call: str, size: int) -> tuple[int, bool]:
            nonlocal calls
            calls -= 1
            return (size, False) if calls >= 0 else (self.chance.randint(0, size), True)

        def die() -> None:
            raise Died

        self.run.files.observe(called, die)

    def start_again(self, power: random.Random | None) -> None:
        while True:
            try:
                files = self.run.files.crash(power)
                for _ in range(self.chance.choice((0, 0, 0, 1, 2))):
                    self.rotate(files, create=self.chance.random() < 0.5)
                self.run = Run(files)
                if self.chance.random() < 0.3:
                    self.die_later()
                self.next = self.position
                self.checkpoint()
            except Died:
                continue
            return

    def check(self) -> None:
        found = [path for path in self.run.files.paths() if path.startswith("/d/out")]
        found.sort(key=lambda path: (path == "/d/out", path))  # the oldest is the first
        content = b"".join(map(self.run.files.content, found))
        expected = b",".join(b"%d" % number for number in range(self.next))
        assert content.replace(b"\n", b"").rstrip(b",") == expected


def tell(seed: int, actions: list[str]) -> None:
    story = Story(random.Random(seed))
    for action in actions:
        try:
            story.act(action)
        except Died:
            story.start_again(None)
    story.run.files.observe(lambda call, size: (size, False), list)
    story.check()
    story.start_again(None)
    story.check()


RANDOM = st.integers(0, 2**32)
STORIES = st.lists(st.sampled_from(ACTIONS), max_size=40)


@settings(max_examples=80)
@given(seed=RANDOM, actions=STORIES)
def test_each_record_is_in_the_output_exactly_once(seed, actions):
    tell(seed, actions)


@pytest.mark.slow
@settings(max_examples=3_000)
@given(seed=RANDOM, actions=STORIES)
def test_each_record_is_in_the_output_exactly_once_in_many_stories(seed, actions):
    tell(seed, actions)
