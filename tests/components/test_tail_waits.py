"""What waits goes on: for the rate limit, for a save, for a checkpoint of the outputs."""

from __future__ import annotations

import errno
import gc
from typing import Any

from zenactors import Supervision, ZenDaemonComponent, handles
from zenactors.components import FileTailer, RawWriter
from zenactors.components.tail.followed import Followed
from zenactors.testing import Harness, Probe, VirtualFiles

NUMBERS = b"".join(b"%d\n" % number for number in range(2_000))


def files_with(**contents: bytes) -> VirtualFiles:
    files = VirtualFiles()
    files.put("state/.keep")
    for name, content in contents.items():
        files.put(f"{name}.log", content)
    return files


def tailer(*patterns: str, **options: Any) -> FileTailer:
    return FileTailer(patterns=list(patterns), **{"start": "beginning", **options})


def text(probe: Probe) -> bytes:
    return b"".join(lines.data for _, lines in probe.received)


def test_a_new_file_does_not_slow_a_rate_limit_down():
    files = files_with(a=NUMBERS)
    components = [tailer("*.log", rate_limit=100), probe := Probe("lines")]
    with Harness(components, files=files, state_dir="state") as harness:
        harness.advance(2)
        files.put("b.log", b"more\n")
        before = text(probe).count(b"\n")
        harness.advance(5)
        assert text(probe).count(b"\n") - before == 500


def test_the_unfinished_last_line_waits_for_the_rate_limit():
    files = files_with(a=b"one\ntwo")
    components = [tailer("a.log", rate_limit=1), probe := Probe("lines")]
    with Harness(components, files=files, state_dir="state", exit_when_idle=True) as harness:
        harness.run()
        assert harness.now >= 1.0
    assert text(probe) == b"one\ntwo"


class SlowCheckpoints(ZenDaemonComponent):
    """Lets each checkpoint take a while, if it lives."""

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon, args):
        hold = daemon.hold()
        daemon.io.call_later(0.5, lambda _: hold.release())

    @handles("fail")
    def cbk_event_fail(self, daemon, args):
        raise ValueError("as told")


def test_a_tailer_rests_while_a_checkpoint_is_taken():
    files = files_with(a=NUMBERS)
    one = tailer("a.log", rate_limit=100, exactly_once=True)
    components = [one, RawWriter(path="out"), SlowCheckpoints()]
    # It would never get to the end of the time if a turn followed another one at once.
    with Harness(components, files=files, state_dir="state") as harness:
        harness.advance(6)
        # Of 1.5 s, it waits 0.5 s, and may hand over what it has missed then.
        assert 300 < files.content("out").count(b"\n") <= 600


class FailingCheckpoints(ZenDaemonComponent):
    """Fails at some checkpoints after the first one."""

    asked = 0

    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        pass

    @handles("checkpoint")
    def cbk_event_checkpoint(self, daemon, args):
        self.asked += 1
        if 1 < self.asked < 6:
            raise ValueError("The disk is full.")
        args.taken[self.name] = 1


def test_a_checkpoint_that_fails_at_the_end_is_tried_again_each_second():
    components = [tailer("a.log", exactly_once=True), sink := FailingCheckpoints()]
    files = files_with(a=b"one\n")
    with Harness(components, files=files, state_dir="state", exit_when_idle=True) as harness:
        harness.run()
        assert sink.asked == 6
        assert harness.now >= 4.0
        assert len(harness.dead_letters) == 4


def test_a_tailer_goes_on_if_a_component_that_held_a_checkpoint_is_made_anew():
    fragile = SlowCheckpoints()
    fragile.supervision = Supervision(on_error="restart", delay=0.1)
    components = [tailer("a.log", exactly_once=True), RawWriter(path="out"), fragile]
    files = files_with(a=b"one\n")
    with Harness(components, files=files, state_dir="state") as harness:
        harness.advance(1.7)  # the second checkpoint is being taken
        harness.queue.schedule("fail")
        harness.advance(0.5)
        files.append("a.log", b"two\n")
        harness.advance(5)
        assert files.content("out") == b"one\ntwo\n"
        assert len(harness.dead_letters) == 1


class Changing(FileTailer):
    """Takes other options on demand."""

    @handles("change")
    def cbk_event_change(self, daemon, args):
        self.reconfigure(daemon, args)


def test_a_file_that_begins_at_its_end_does_so_after_a_crash_too():
    def components(*patterns: str):
        one = Changing(patterns=list(patterns), start="end", exactly_once=True)
        return [one, RawWriter(path="out")]

    files = files_with(a=b"one\n", b=b"old\n")
    with Harness(components("a.log"), files=files, state_dir="state") as one:
        one.advance(2)
        files.append("a.log", b"two\n")
        one.advance(3)
        change = {"patterns": ["a.log", "b.log"], "start": "end", "exactly_once": True}
        one.queue.schedule("change", change)
        one.advance(3)
        one.kill()
    with one.next_life(components("a.log", "b.log")) as two:
        two.files.append("b.log", b"new\n")
        two.advance(3)
        assert two.files.content("out") == b"two\nnew\n"


def test_a_file_behind_a_link_is_not_read_after_it_was_dropped():
    files = VirtualFiles()
    files.put("/real/a.log", b"one\n")
    files.mkdir("/links")
    files.symlink("/real/a.log", "/links/a.log")
    patterns = ["/links/a.log", "/real/*.txt"]
    one = Changing(patterns=patterns, start="beginning")
    with Harness([one, probe := Probe("lines")], files=files) as harness:
        harness.advance(2)
        harness.queue.schedule("change", {"patterns": ["/links/b.log", "/real/*.txt"]})
        harness.advance(2)
        files.append("/real/a.log", b"two\n")
        harness.advance(2)
        assert files.open_descriptors() == []
        harness.queue.schedule("change", {"patterns": patterns})
        harness.advance(2)
    assert text(probe) == b"one\ntwo\n"


def test_a_file_system_that_does_not_answer_ends_no_turn():
    class Silent(VirtualFiles):
        is_silent = False

        def realpath(self, path: str) -> str:
            if self.is_silent:
                raise TimeoutError(errno.ETIMEDOUT, "No answer", path)
            return super().realpath(path)

    files = Silent()
    files.put("/log/a.log", b"one\n")
    with Harness([tailer("/log/*.log"), probe := Probe("lines")], files=files) as harness:
        harness.advance(2)
        files.drop_hints()  # so that a timer begins the turns
        files.is_silent = True
        files.put("/log/b.log", b"two\n")
        harness.advance(2)
        files.truncate("/log/a.log")
        files.append("/log/a.log", b"another one\n")
        harness.advance(2)
    assert text(probe) == b"one\ntwo\nanother one\n"


def test_after_a_turn_that_failed_another_one_comes():
    class Broken(VirtualFiles):
        is_broken = False

        def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None) -> list[str]:
            if self.is_broken:
                raise RuntimeError("A fault of the file system's library.")
            return super().glob(pattern, unreadable)

    files = Broken()
    files.put("/log/a.log", b"one\n")
    components = [tailer("/log/*.log", notifications=False), probe := Probe("lines")]
    with Harness(components, files=files) as harness:
        harness.advance(2)
        files.is_broken = True
        files.append("/log/a.log", b"two\n")
        harness.advance(2)
        files.is_broken = False
        harness.advance(2)
    assert text(probe) == b"one\ntwo\n"


def test_files_that_never_had_data_are_not_kept():
    files = VirtualFiles()
    files.put("/log/a.log", b"")
    with Harness([tailer("/log/a.log", rotate_wait=1.0), Probe("lines")], files=files) as harness:
        for _ in range(20):
            harness.advance(3)
            files.rename("/log/a.log", "/log/old")
            files.put("/log/a.log", b"")
            harness.advance(3)
            files.remove("/log/old")
        harness.advance(100)
        gc.collect()
        kept = [each for each in gc.get_objects() if isinstance(each, Followed)]
    assert len(kept) <= 2  # the file, and the one before it


def test_a_start_lists_a_directory_once_for_all_files_that_are_gone():
    class Counting(VirtualFiles):
        lists = 0

        def entries(self, path: str) -> dict[str, int]:
            self.lists += 1
            return super().entries(path)

    files = Counting()
    files.put("state/.keep")
    for number in range(100):
        files.put(f"/log/{number}.log", b"one\n")

    def run() -> None:
        components = [tailer("/log/*.log"), Probe("lines")]
        with Harness(components, files=files, state_dir="state") as harness:
            harness.advance(3)

    run()
    for number in range(100):
        files.remove(f"/log/{number}.log")
    files.lists = 0
    run()
    assert files.lists < 10
