"""Help for components' I/O: retries that a stop ends, and programs that do not outlive it."""

from __future__ import annotations

import os
import select
import subprocess
import sys
import threading
from typing import Any

import pytest
import tenacity

from zenactors import Dispatcher, NotRunningError, ZenDaemon, ZenDaemonComponent, handles
from zenactors.testing import Harness

DEADLINE = 30.0  # seconds: generous, so that only a hang fails


class Client(ZenDaemonComponent):
    """Connects with back-off; the attempt number `succeeds` is the first that works."""

    def __init__(self, succeeds: int = 1_000_000) -> None:
        super().__init__(name="client")
        self.succeeds = succeeds
        self.attempts: list[float] = []
        self.outcome: Any = None

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()  # a daemon with nothing to do would end

    @handles("connect")
    def cbk_event_connect(self, daemon: Any, args: Any) -> None:
        try:
            for attempt in daemon.retrying(wait=tenacity.wait_fixed(60.0)):
                with attempt:
                    self.connect(attempt.retry_state.attempt_number)
        except NotRunningError as cause:
            self.outcome = cause
        else:
            self.outcome = "connected"

    def connect(self, number: int) -> None:
        self.attempts.append(self.clock.monotonic())
        if number < self.succeeds:
            raise ConnectionRefusedError("no server")


def test_attempts_are_repeated_until_one_succeeds() -> None:
    client = Client(succeeds=3)
    with Harness([client]) as harness:
        harness.queue.schedule("connect")
        harness.advance(180.0)

    assert client.outcome == "connected"
    first = client.attempts[0]
    assert [when - first for when in client.attempts] == [0.0, 60.0, 120.0]


@pytest.mark.parametrize("whole", [False, True])
def test_a_stop_ends_a_back_off_at_once_and_nothing_is_tried_again(*, whole: bool) -> None:
    client = Client()
    what = ZenDaemon(name="d", components=[client]) if whole else [client]
    with Harness(what) as harness:
        harness.queue.schedule("connect")
        harness.advance(70.0)
        harness.daemon.set_done()
        harness.advance(0.1)
        assert isinstance(client.outcome, NotRunningError)

    assert len(client.attempts) == 2


def test_a_stop_ends_a_back_off_on_real_threads_too() -> None:
    tried = threading.Event()

    class Waiting(Client):
        def connect(self, number: int) -> None:
            tried.set()
            super().connect(number)

    client = Waiting()
    with Dispatcher([client]) as dispatcher:
        dispatcher.queue.schedule("connect")
        assert tried.wait(DEADLINE)
        report = dispatcher.stop(timeout=DEADLINE)

    assert report.stuck == ()
    assert len(client.attempts) == 1


def test_a_program_does_not_outlive_the_components() -> None:
    class Spawner(ZenDaemonComponent):
        child: subprocess.Popen[Any]

        def setup(self, daemon: Any) -> None:
            source = "import os; print(os.getpid(), flush=True); os.read(0, 1)"
            self.child = daemon.spawn(
                [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert self.child.stdout is not None
            assert select.select([self.child.stdout], [], [], DEADLINE)[0]
            assert int(self.child.stdout.readline()) == self.child.pid

        def teardown(self, daemon: Any) -> None:
            self.at_teardown = self.child.poll()

    spawner = Spawner()
    with Dispatcher([spawner]) as dispatcher:
        assert os.getpgid(spawner.child.pid) == spawner.child.pid

    assert spawner.at_teardown is None  # its component may still end it in its own way
    assert spawner.child.poll() is not None
    with pytest.raises(RuntimeError, match="stopped"):
        dispatcher.spawn([sys.executable, "--version"])
    for stream in (spawner.child.stdin, spawner.child.stdout):
        assert stream is not None
        stream.close()
