"""A source and a writer that take checkpoints together, in a daemon that dies again and again."""

from __future__ import annotations

from typing import Any

import pytest

from zenactors import RestartComponent, Supervision, handles
from zenactors.components import FileTailer, Lines, OutputCheckpoint, RawWriter
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.tokens import TokenOutcome
from zenactors.testing import Harness, Kill, PowerFailure, ProcessCrashed, VirtualFiles

RECORDS = 4
STEP = 2  # records between two checkpoints


class Numbers(ZenDaemonComponent):
    """A source of numbered records, which saves how far its events are done."""

    records = RECORDS

    def setup(self, daemon: Any) -> None:
        self.daemon = daemon
        self.store = daemon.state_store()
        saved = self.store.value or {"next": 0, "outputs": None}
        self.next = saved["next"]
        self.open = 0
        self.take_checkpoint(saved["outputs"])

    def take_checkpoint(self, restore: Any = None) -> None:
        args = OutputCheckpoint(restore)

        def save(outcome: TokenOutcome) -> None:
            assert outcome is TokenOutcome.DONE
            self.store.save({"next": self.next, "outputs": args.taken})
            self.send()

        self.daemon.queue.schedule("checkpoint", args, on_done=save)

    def send(self) -> None:
        for _ in range(min(STEP, self.records - self.next)):
            record = Lines("in", self.next, b"%d," % self.next)
            self.daemon.queue.schedule("lines", record, on_done=self.sent)
            self.next += 1
            self.open += 1

    def sent(self, outcome: TokenOutcome) -> None:
        assert outcome is TokenOutcome.DONE
        self.open -= 1
        if not self.open:
            self.take_checkpoint()


def run_to_the_end(fault: Kill, *, rotate: bool, seed: int | None = None) -> tuple[int, bytes]:
    """Return how many lives it took, and the content of the output and of its renamed files."""
    files = VirtualFiles()
    for directory in ("/d", "/state"):
        files.put(f"{directory}/other")

    def build() -> list[Any]:
        return [Numbers(), RawWriter(path="/d/out", reopen_interval=0.001)]

    harness = Harness(build(), files=files, state_dir="/state", faults=[fault], seed=seed)
    while True:
        try:
            with harness:
                harness.run_until_idle()
            break
        except ProcessCrashed:
            harness = harness.next_life(build())
            if rotate and harness.files.lexists("/d/out"):
                harness.files.rename("/d/out", f"/d/out.{len(harness.lives):03}")
    names = [path for path in harness.files.paths() if path.startswith("/d/out")]
    names.sort(key=lambda path: (path == "/d/out", path))
    return len(harness.lives), b"".join(map(harness.files.content, names))


@pytest.mark.parametrize("kind", [Kill, PowerFailure])
def test_each_record_is_written_once_whichever_call_the_process_dies_in(kind):
    deaths = 0
    for nth in range(1, 51):  # about as many calls as there are in all
        lives, content = run_to_the_end(kind(point="file", nth=nth), rotate=nth % 2 == 0)
        assert content == b"0,1,2,3,"
        deaths += lives - 1
    assert deaths > 30


@pytest.mark.parametrize(
    ("call", "chance"), [("write", 0.1), ("fsync", 0.1), ("open", 0.1), ("rename", 0.3)]
)
@pytest.mark.parametrize("kind", [Kill, PowerFailure])
def test_each_record_is_written_once_if_the_process_dies_often(kind, call, chance):
    deaths = 0
    for seed in range(2):
        fault = kind(point="file", event=call, chance=chance)
        lives, content = run_to_the_end(fault, rotate=True, seed=seed)
        assert content == b"0,1,2,3,"
        deaths += lives - 1
    assert deaths > 0


class Failing(RawWriter):
    """A writer that is made anew on demand."""

    supervision = Supervision(on_error="restart", delay=0.1)

    @handles("fail")
    def cbk_event_fail(self, daemon, args):
        raise RestartComponent("as told")


def test_a_writer_that_was_made_anew_still_notes_the_files_that_it_begins():
    def components():
        return [
            FileTailer(patterns=["in.log"], start="beginning", exactly_once=True),
            Failing(path="/d/all", reopen_interval=0.01, name="out"),
        ]

    files = VirtualFiles()
    files.mkdir("/d")
    files.put("in.log", "one\n")
    with Harness(components(), files=files, state_dir="/state") as one:
        one.advance(5)
        one.queue.schedule("fail")
        one.advance(0.5)
        files.append("in.log", "two\n")
        one.advance(0.02)
        files.rename("/d/all", "/d/all.1")
        one.advance(0.02)
        files.append("in.log", "three\n")
        one.advance(0.05)
        assert files.content("/d/all.1") + files.content("/d/all") == b"one\ntwo\nthree\n"
        assert files.content("/d/all") == b"three\n"
        one.kill()
        with one.next_life(components()) as two:
            two.advance(5)
            written = two.files.content("/d/all.1") + two.files.content("/d/all")
            assert written == b"one\ntwo\nthree\n"
