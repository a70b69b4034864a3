"""A timer that is armed twice after a jump of the wall clock.

`Rotation` rotates at every full hour: the file is compressed, which takes a minute, and then
the event for the next hour is armed. Every ten seconds `Rotation` checks whether the wall clock
was changed, and then arms the event again. If that is in the minute of the compression, the
event is armed once more at its end: from then on, every hour is rotated twice.

    zenactors simulate --app-dir examples/races clock_jump:scenario --seeds 1000
    python examples/races/figures.py clock_jump 1000      # and its plain test 1,000 times
"""

from typing import Any

from zenactors import Daemon, ZenDaemonComponent, handles
from zenactors.testing import ClockJump, Harness, Scenario

HOUR = 3600.0
LOOK = 10.0  # seconds between two checks of the clock
COMPRESSION = 60.0  # seconds


class Rotation(ZenDaemonComponent):
    emits = ("rotate", "compress")

    def setup(self, daemon: Daemon) -> None:
        self.offset = self.clock.time() - self.clock.monotonic()
        self.arm(daemon)
        daemon.io.call_every(LOOK, self.look_at_clock)

    def arm(self, daemon: Daemon) -> None:
        next_hour = (self.clock.time() // HOUR + 1) * HOUR
        self.armed = daemon.queue.schedule_at(next_hour, "rotate")

    def look_at_clock(self, daemon: Daemon) -> None:
        offset = self.clock.time() - self.clock.monotonic()
        if abs(offset - self.offset) > 1:
            self.offset = offset
            self.armed.cancel()  # False in the minute of the compression: that is the bug
            self.arm(daemon)

    @handles("rotate")
    def cbk_event_rotate(self, daemon: Daemon, args: Any) -> None:
        daemon.queue.schedule("compress")

    @handles("compressed")
    def cbk_event_compressed(self, daemon: Daemon, args: Any) -> None:
        self.arm(daemon)


class Compressor(ZenDaemonComponent):
    emits = ("compressed",)

    @handles("compress")
    def cbk_event_compress(self, daemon: Daemon, args: Any) -> None:
        daemon.wait(COMPRESSION)
        daemon.queue.schedule("compressed")


def build() -> list[ZenDaemonComponent]:
    return [Rotation(), Compressor()]


def drive(harness: Harness) -> None:
    harness.advance(HOUR)


def check(harness: Harness) -> None:
    armed = harness.counts()["rotate"].waiting
    assert armed <= 1, f"{armed} events wait for the next hour"


scenario = Scenario(
    build=build,
    drive=drive,
    check=check,
    # Time passes about once a second here, so there are about four jumps.
    faults=[ClockJump(point="time", chance=0.001, seconds=HOUR / 2)],
)


def test_plain() -> None:
    """The usual test, with a jump: in virtual time, on a quiet machine."""
    with Harness(build()) as harness:
        harness.advance(HOUR / 4)
        harness.clock.step(HOUR / 2)
        harness.advance(2 * HOUR)
        check(harness)
