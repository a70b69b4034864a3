"""Under a flood of events everything is answered, and the daemon can be stopped."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.attack.child import Attack, assert_nothing_broke
from tests.attack.floods import STOP_TIMEOUT, ask_under_a_flood, serve
from tests.forking import Forked, ForkServer

BOUND = 3.0  # seconds for an answer; a slow machine included, 0.1 s are wanted
SLOW = 5.0  # seconds that a slow machine may add to the end of a daemon
LIMIT = 60.0  # seconds: only hangs take them
TIMES = 10
FEW, MANY = 4, 20  # looks


@pytest.fixture(params=["start", "work"])
def daemon(request: pytest.FixtureRequest, fork_server: ForkServer) -> Iterator[Forked]:
    """A daemon under a flood that began with its start, or later."""
    with fork_server.start_and_read(serve, begins_in=request.param) as child:
        assert child.stdout.readline() == b"flooded\n"
        yield child


def assert_ends(daemon: Forked, number: signal.Signals, within: float) -> None:
    begin = time.monotonic()
    daemon.send_signal(number)
    try:
        daemon.wait(within + SLOW)
    except subprocess.TimeoutExpired:
        pytest.fail(f"{number.name} has not ended it in {within + SLOW} s")
    print(f"{number.name} ends a flooded daemon in {time.monotonic() - begin:.2f} s")  # noqa: T201 - for -s


def test_under_a_flood_sigint_ends_the_daemon(daemon: Forked) -> None:
    assert_ends(daemon, signal.SIGINT, STOP_TIMEOUT + 1.0)


def test_under_a_flood_sigterm_ends_the_daemon(daemon: Forked) -> None:
    assert_ends(daemon, signal.SIGTERM, 1.0)


def test_under_a_flood_every_question_is_answered(attack: Attack) -> None:
    result = attack(ask_under_a_flood, limit=LIMIT, bound=BOUND, looks=FEW)
    for name, seconds in result["slowest"].items():
        print(f"{name}: at most {seconds * 1000:.0f} ms")  # noqa: T201 - for -s
    assert_nothing_broke(result)


@pytest.mark.slow
@pytest.mark.parametrize("number", range(TIMES))
def test_it_is_so_each_time(attack: Attack, number: int) -> None:
    assert_nothing_broke(attack(ask_under_a_flood, limit=LIMIT, bound=BOUND, looks=MANY))
