"""Programs of components that fail in every way, whose process dies at any moment: nothing is lost.

Each number that the source sends is, after all restarts of the process, in the sink's file, or in
the file of dead letters, or was ended on purpose. Virtual time; the seed chooses everything.
"""

from __future__ import annotations

import functools
import math
import os
from random import Random
from typing import Any

import pytest

from zenactors import FLAG_STOP, Checkpoints, Retry, Supervision, ZenDaemonComponent, handles
from zenactors.components import SYSTEM_FILES, Files
from zenactors.core.letter_records import read_records
from zenactors.errors import RestartComponent
from zenactors.testing import Harness, Scenario, simulate

SOAK = float(os.environ.get("ZENACTORS_SOAK_SECONDS", "2700"))
ROUNDS = math.ceil(SOAK / 30)

COUNT = 25
BOUND = 6
HELD = "out/numbers"
LETTERS = "letters/dead.jsonl"
LONG = 1_000.0  # seconds
WAYS = {  # what becomes of a number, and how often
    "passes": 50,
    "fails": 8,
    "fails first": 8,
    "restarts": 6,
    "restarts first": 6,
    "stops": 6,
    "becomes another event": 8,
    "is held": 6,
    "hangs": 2,
}


def way(seed: int, number: int) -> str:
    rng = Random(f"{seed} {number}")
    return rng.choices(list(WAYS), list(WAYS.values()))[0]


class Numbers(ZenDaemonComponent):
    """Sends 0, 1, 2 and so on, from its checkpoint on."""

    def setup(self, daemon: Any) -> None:
        self.checkpoints = Checkpoints(daemon, bound=BOUND, on_room=self.go_on, save_interval=0.01)
        self.next = self.checkpoints.resume() or 0

    def teardown(self, daemon: Any) -> None:
        self.checkpoints.close()

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        self.go_on()

    def go_on(self) -> None:
        while self.next < COUNT and not self.checkpoints.is_full:
            self.next += 1
            self.checkpoints.schedule("number", self.next - 1, self.next)


class Middle(ZenDaemonComponent):
    """Does with each number what the seed says."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        rng = Random(f"{seed} policy")
        self.seed = seed
        self.supervision = Supervision(
            retry=Retry(attempts=2, delay=0.001),
            on_error=rng.choice(["dead-letter", "restart"]),
            delay=rng.choice([0.0, 0.01]),
            max_delay=0.1,
            max_restarts=10_000,
            hard_limit=5.0,
        )
        self.tried: set[int] = set()

    @handles("number")
    def cbk_event_number(self, daemon: Any, number: int) -> Any:
        is_first = number not in self.tried
        self.tried.add(number)
        match way(self.seed, number):
            case "fails":
                raise ValueError(number)
            case "fails first" if is_first:
                raise ConnectionError(number)
            case "restarts":
                raise RestartComponent(str(number))
            case "restarts first" if self.incarnation == 1:
                raise RestartComponent(str(number))
            case "stops":
                return FLAG_STOP, number
            case "becomes another event":
                daemon.queue.schedule_after(0.002, "other", number)
                return FLAG_STOP, number
            case "is held":
                hold = daemon.hold()
                daemon.io.call_later(0.003, functools.partial(self.release, hold, number))
                return FLAG_STOP, number
            case "hangs":
                daemon.wait(LONG)
        return None

    def release(self, hold: Any, number: int, daemon: Any) -> None:
        with daemon.part_of(hold):
            daemon.queue.schedule("other", number)
        hold.release()


class Sink(ZenDaemonComponent):
    """Appends each number to a file. When its callback returns, it is on the disk."""

    files: Files = SYSTEM_FILES

    def setup(self, daemon: Any) -> None:
        self.fd = self.files.open(HELD, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        directory = self.files.open(os.path.dirname(HELD), os.O_RDONLY | os.O_DIRECTORY)  # noqa: PTH120
        self.files.fsync(directory)
        self.files.close(directory)

    def teardown(self, daemon: Any) -> None:
        self.files.close(self.fd)

    @handles("number")
    @handles("other")
    def cbk_event_number(self, daemon: Any, number: int) -> None:
        self.files.write(self.fd, f"\n{number}\n".encode())  # behind what a crash has torn
        self.files.fsync(self.fd)


def drive(harness: Harness) -> None:
    harness.advance(120)
    harness.dead_letters()


def check(seed: int, harness: Harness) -> None:
    files = harness.files
    held = set(files.content(HELD).decode().split()) if files.lexists(HELD) else set()
    dead = set()
    if files.lexists(LETTERS):
        records = read_records(files.content(LETTERS).splitlines(keepends=True))
        dead = {str(letter.args) for letter in records.letters.values()}
    ended = {str(number) for number in range(COUNT) if way(seed, number) == "stops"}
    lost = [each for each in map(str, range(COUNT)) if each not in held | dead | ended]
    assert not lost, f"lost: {', '.join(lost)}, after {len(harness.lives) - 1} deaths"
    (component,) = [
        each.component for each in harness._dispatcher.entries if each.name == "Numbers"
    ]
    assert component.checkpoints.resume() == COUNT
    assert dead == {each for each in dead if way(seed, int(each)) not in ("passes", "stops")}


def scenario(seed: int) -> Scenario:
    # At most three deaths: the first two make the source careful, and with two more it is right to
    # suspect an event that was only near.
    kind = seed % 3
    return Scenario(
        build=lambda: [Numbers(), Middle(seed), Sink()],
        drive=drive,
        check=functools.partial(check, seed),
        files={"out/.keep": "", "letters/.keep": ""},
        state_dir="state",
        dead_letter_file=LETTERS,
        kills=(3, 0, 2)[kind],
        power_failures=(0, 3, 1)[kind],
        ordering=("component", "event", "global")[seed // 3 % 3],
    )


def run(first: int, count: int) -> int:
    return sum(
        len(simulate(scenario(seed), seed=seed).lives) - 1 for seed in range(first, first + count)
    )


@pytest.mark.parametrize("first", range(0, 60, 30))
def test_nothing_is_lost(first: int) -> None:
    assert run(first, 30) > 10


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(ROUNDS))
def test_nothing_is_lost_for_long(round_: int) -> None:
    assert run(500 * round_, 500) > 200
