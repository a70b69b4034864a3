"""The built-in events: the daemon's own callbacks come first, components add theirs."""

from __future__ import annotations

import json
import platform
import signal
import sys
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from loguru import logger

from tests.policies import OTHER, STOPS
from zenactors import (
    FLAG_CONTINUE,
    Counts,
    Dispatcher,
    Supervision,
    ZenDaemon,
    ZenDaemonComponent,
    handles,
)
from zenactors.core.callbacks import Handler, gen_event_handler
from zenactors.errors import EXIT_CONFIG, EXIT_FAILURE, EXIT_OK
from zenactors.testing import Harness, Probe, VirtualFiles

SIGNALS = {
    "signal_hup": signal.SIGHUP,
    "signal_usr1": signal.SIGUSR1,
    "signal_usr2": signal.SIGUSR2,
}
BUILT_IN = ("start", "stop", "terminate", *SIGNALS, "log_statistics", "save_runlog")


class Listener(ZenDaemonComponent):
    """Records each built-in event; raises in one of them."""

    def __init__(self, name: str, *, fails: str = "") -> None:
        super().__init__(name=name)
        self.fails = fails
        self.heard: list[str] = []

    def get_events(self) -> list[Handler]:
        return [gen_event_handler(event, self.callback_of(event)) for event in BUILT_IN]

    def callback_of(self, event: str) -> Any:
        def listen(daemon: Any, args: Any) -> tuple[int, Any]:
            self.heard.append(event)
            if self.fails == event:
                raise OSError("broken")
            return FLAG_CONTINUE, args

        return listen

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()


def daemon_of(*components: Any, **options: Any) -> ZenDaemon:
    return ZenDaemon(name="d", components=components, **options)


def in_memory(daemon: ZenDaemon) -> Harness:
    return Harness(daemon, files=VirtualFiles())


@pytest.mark.parametrize("event", BUILT_IN)
def test_the_daemons_own_callback_comes_first(event: str) -> None:
    daemon = daemon_of(Listener("one"), Listener("two"))

    chain = daemon.chains()[event]

    assert [name for name, _ in chain] == ["d", "one", "two"]
    assert chain[0][1] == f"cbk_event_{event}"


@pytest.mark.parametrize("event", ["stop", *SIGNALS])
def test_a_callback_that_raises_does_not_keep_the_event_from_others(event: str) -> None:
    one, two = Listener("one", fails=event), Listener("two")
    with in_memory(daemon_of(one, two)) as harness:
        harness.signal(SIGNALS.get(event, signal.SIGINT))
        harness.advance(1.0)
        [letter] = harness.dead_letters()
        assert (letter.event, letter.component) == (event, "one")

    assert event in two.heard


@pytest.mark.parametrize("event", ["log_statistics", "save_runlog"])
def test_maintenance_events_repeat_though_a_callback_raises(event: str) -> None:
    one, two = Listener("one", fails=event), Listener("two")
    daemon = daemon_of(one, two, stats_interval=10.0, default_runlog_interval=10.0)
    daemon.keep_runlogs = True
    with Harness(daemon, files=VirtualFiles()) as harness:
        harness.advance(35.0)
        assert len(harness.dead_letters()) == 3

    assert two.heard.count(event) == 3


def test_with_another_policy_an_exception_ends_everything() -> None:
    one, two = Listener("one", fails="signal_usr2"), Listener("two")
    daemon = daemon_of(one, two, ordering="global", policy=OTHER, supervision=STOPS)
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR2)
        harness.advance(1.0)
        assert harness.status == EXIT_FAILURE
        assert len(harness.dead_letters()) == 1

    assert "signal_usr2" not in two.heard


@pytest.mark.parametrize("event", ["signal_hup", "signal_usr1", "signal_usr2"])
def test_a_callback_that_hangs_does_not_keep_others_from_stopping(event: str) -> None:
    class Hanging(Listener):
        def callback_of(self, event: str) -> Any:
            if event != self.fails:
                return super().callback_of(event)
            return lambda daemon, args: daemon.wait(1e9) and daemon.wait(1e9) and None

    hanging, other = Hanging("hanging", fails=event), Listener("other")
    with in_memory(daemon_of(hanging, other)) as harness:
        harness.signal(SIGNALS[event])
        harness.advance(14.9 if event == "signal_hup" else 4.9)
        assert event not in other.heard
        harness.advance(0.2)
        assert event in other.heard
        assert f"Component 'hanging' is busy for too long: event {event!r} goes on without it" in [
            record.message for record in harness.logs if record.component == "hanging"
        ]
        harness.signal(signal.SIGINT)
        assert harness.run(60.0) == EXIT_OK
        counts = harness.counts()[event]
        assert (counts.accepted, counts.completed, counts.in_flight) == (1, 1, 0)

    assert "stop" in other.heard


def test_a_stuck_component_does_not_keep_signals_from_others() -> None:
    other = Listener("other")
    gate = []

    class Gate(ZenDaemonComponent):
        @handles("work")
        @handles("signal_usr2")
        def cbk_event_work(self, daemon: Any, args: Any) -> None:
            gate.append(args)
            if args == "long":
                daemon.wait(100.0)

    with in_memory(daemon_of(Gate(), other)) as harness:
        harness.queue.schedule("work", "long")
        harness.advance(1.0)
        harness.signal(signal.SIGUSR2)
        # The daemon itself asks all components for their state, and waits 5 s for an answer.
        harness.advance(9.9)
        assert "signal_usr2" not in other.heard
        harness.advance(0.2)
        assert "signal_usr2" in other.heard
        harness.advance(100.0)
        assert gate == ["long", None]


def has_gil() -> bool:
    return not hasattr(sys, "_is_gil_enabled") or sys._is_gil_enabled()


def test_the_state_and_the_runlog_are_saved_by_signals() -> None:
    files = VirtualFiles()
    daemon = daemon_of(Listener("one"), state_file="/d.state", default_runlog_dir="/runlogs")
    with Harness(daemon, files=files) as harness:
        harness.signal(signal.SIGUSR1)
        harness.signal(signal.SIGUSR2)
        harness.advance(1.0)
        state = json.loads(files.content("/d.state"))
        runlog = json.loads(files.content("/runlogs/d.runlog"))

    assert state["components"]["one"] == {"statistics": {}}
    assert (runlog["status"], runlog["events"]["signal_usr1"]["accepted"]) == (None, 1)
    python = {"version": platform.python_version(), "gil": has_gil()}
    assert (state["python"], runlog["python"]) == (python, python)


def test_the_books_are_in_the_state_in_the_runlog_and_at_the_end_of_the_log() -> None:
    class Worker(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.io.keep_alive()

        @handles("work")
        def cbk_work(self, daemon: Any, args: Any) -> None:
            if args == "bad":
                raise ValueError("as told")

    files = VirtualFiles()
    daemon = daemon_of(Worker(), state_file="/d.state", default_runlog_dir="/runlogs")
    with Harness(daemon, files=files) as harness:
        for args in ("good", "bad", "good"):
            harness.queue.schedule("work", args)
        harness.queue.schedule_after(500.0, "work")
        harness.advance(1.0)
        harness.signal(signal.SIGUSR2)
        harness.advance(1.0)
        assert daemon.accounting().events["work"] == Counts(4, 2, dead=1, waiting=1)
        harness.stop()
        harness.dead_letters()
    for name in ("/d.state", "/runlogs/d.runlog"):
        books = json.loads(files.content(name))["accounting"]
        assert books["balanced"], name
        assert books["components"]["Worker"] == {"handled": 3, "failed": 1, "restarts": 0}
        assert books["text"] == str(Counts(**books["total"])), name
        assert (books["total"]["dead"], books["total"]["waiting"]) >= (1, 1), name
    lines = [each.message for each in harness.logs]
    assert f"Events: {daemon.accounting().total}" in lines


def test_what_a_best_effort_component_lost_is_in_the_runlog_and_at_the_end_of_the_log() -> None:
    class Dashboard(ZenDaemonComponent):
        supervision = Supervision(best_effort=True, best_effort_limit=2)

        def setup(self, daemon: Any) -> None:
            daemon.io.keep_alive()

        @handles("work")
        def cbk_work(self, daemon: Any, args: Any) -> None:
            daemon.wait(100.0)

    files = VirtualFiles()
    daemon = daemon_of(Dashboard(), default_runlog_dir="/runlogs")
    with Harness(daemon, files=files) as harness:
        for number in range(5):
            harness.queue.schedule("work", number)
        harness.advance(1.0)
        harness.stop()
    books = json.loads(files.content("/runlogs/d.runlog"))["accounting"]
    counts = {"offered": 5, "handled": 2, "failed": 0, "left": 0, "lost": 3, "pending": 0}
    assert books["best_effort"] == {"Dashboard": counts}
    (line,) = [each.message for each in harness.logs if "Lost to" in each.message]
    assert line.startswith("Lost to Dashboard, by best effort: 5 offered = 2 handled")


def test_a_state_is_readable() -> None:
    files = VirtualFiles()
    daemon = daemon_of(Listener("one"), state_file="/d.state", default_umask="027")
    daemon.config["directory"] = Path("/data")
    with Harness(daemon, files=files) as harness:
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)
        daemon.config["directory"] = Path("/data")
        harness.signal(signal.SIGUSR2)
        harness.advance(1.0)
        state = json.loads(files.content("/d.state"))

    for text in (state["time"], state["reload"]["time"]):
        assert datetime.fromisoformat(text).tzinfo is not None
    assert state["config"]["umask"] == "027"
    assert state["config"]["directory"] == "/data"


class Counter(ZenDaemonComponent):
    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()
        self.inc_statistic("lines", 1200)


def test_statistics_are_logged_for_components_that_do_not_do_it_themselves() -> None:
    listener = Listener("listener")
    listener.inc_statistic("heard")
    daemon = ZenDaemon(name="d", components=[Counter(), listener], stats_interval=10.0)
    logged: list[str] = []
    sink = logger.add(lambda line: logged.append(line.record["message"]), level="INFO")
    try:
        with Harness(daemon) as harness:
            harness.advance(25.0)
    finally:
        logger.remove(sink)

    statistics = [line for line in logged if line.startswith("Statistics: ")]
    first = "Statistics: lines 1,200 (+1,200, 120.0/s)"
    assert statistics == [first, "Statistics: lines 1,200 (+0, 0.0/s)"]


def test_the_last_runlog_has_the_status() -> None:
    files = VirtualFiles()
    with Harness(daemon_of(default_runlog_dir="/runlogs"), files=files) as harness:
        assert harness.run() == EXIT_OK

    assert json.loads(files.content("/runlogs/d.runlog"))["status"] == EXIT_OK


@pytest.mark.parametrize("spelling", ["SIGWINCH", "winch"])
def test_any_other_signal_can_become_an_event(spelling: str) -> None:
    class Window(Listener):
        @handles("resized")
        def cbk_event_resized(self, daemon: Any, args: Any) -> None:
            self.heard.append("resized")

        def get_events(self) -> list[Handler]:
            return [gen_event_handler("resized", self.cbk_event_resized)]

    window = Window("window")
    with Harness(daemon_of(window, default_signals={spelling: "resized"})) as harness:
        harness.signal(signal.SIGWINCH)
        harness.advance(1.0)

    assert window.heard == ["resized"]


def test_a_signal_for_an_event_without_a_handler_is_a_configuration_error() -> None:
    daemon = daemon_of(Listener("one"), default_signals={"SIGWINCH": "resised"})
    lines: list[str] = []
    sink = logger.add(lines.append, format="{message}")

    assert daemon.serve() == EXIT_CONFIG

    logger.remove(sink)
    assert lines == ["signals: SIGWINCH becomes event 'resised', which no component handles\n"]


@pytest.mark.parametrize(("meaning", "heard"), [("stop", True), ("terminate", False)])
def test_the_meaning_of_sigterm_is_configured(meaning: str, *, heard: bool) -> None:
    listener = Listener("one")
    with Harness(daemon_of(listener, default_sigterm=meaning)) as harness:
        harness.signal(signal.SIGTERM)
        assert harness.run(5.0) == EXIT_OK

    assert ("stop" in listener.heard) is heard


def test_a_scheduled_event_is_handled_even_after_signals() -> None:
    saved: list[Any] = []

    class Saving(ZenDaemon):
        def save_runlog(self, status: int | None = None) -> None:
            saved.append(status)

    with Harness(Saving(name="d", components=[Listener("one")])) as harness:
        for _ in range(3):
            harness.signal(signal.SIGUSR1)
        harness.advance(1.0)
        assert saved == [None]  # one answer for all signals before it
        harness.queue.schedule("signal_usr1")
        harness.advance(1.0)
        assert saved == [None, None]


def test_a_daemon_is_not_idle_while_a_component_that_was_passed_over_works() -> None:
    handled: list[Any] = []

    class Late(ZenDaemonComponent):
        @handles("signal_usr1")
        def cbk_event_signal_usr1(self, daemon: Any, args: Any) -> None:
            daemon.wait(6.0)
            daemon.queue.schedule("more")

        @handles("more")
        def cbk_event_more(self, daemon: Any, args: Any) -> None:
            handled.append(args)

    with in_memory(daemon_of(Late(), schedule=[("signal_usr1",)])) as harness:
        assert harness.run(60.0) == EXIT_OK

    assert handled == [None]


def test_an_exception_in_on_ready_leaves_nothing_running() -> None:
    one = Listener("one")
    torn: list[bool] = []
    one.teardown = lambda daemon: torn.append(True)  # type: ignore[method-assign]

    def fail() -> None:
        raise OSError("no ready file")

    daemon = daemon_of(one)
    daemon.on_ready = fail
    with pytest.raises(OSError, match="no ready file"):
        daemon.serve()

    assert torn == [True]


def test_a_log_sink_may_ask_the_queue_when_a_component_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On real threads: the thread that logs the line must not hold the dispatcher's state."""
    monkeypatch.setattr("zenactors.core.control_events.PATIENCE", 0.1)
    deadline = 30.0  # seconds: generous, so that only a hang fails
    reported, free = threading.Event(), threading.Event()

    class Busy(ZenDaemonComponent):
        @handles("signal_usr1")
        def cbk_event_signal_usr1(self, daemon: Any, args: Any) -> None:
            free.wait(deadline)

    counted: list[int] = []

    def sink(line: str) -> None:
        if "goes on without it" in line:
            counted.append(dispatcher.queue.count())
            reported.set()

    number = logger.add(sink, format="{message}")
    try:
        with Dispatcher([Busy()]) as dispatcher:
            dispatcher.queue.schedule_priority("signal_usr1")
            assert reported.wait(deadline)
            free.set()
    finally:
        free.set()
        logger.remove(number)

    assert counted == [0]


def test_a_runlog_event_that_the_program_schedules_repeats_even_without_a_directory() -> None:
    class Alive(Probe):
        def setup(self, daemon: Any) -> None:
            daemon.io.keep_alive()  # maintenance events alone do not

    daemon = ZenDaemon(
        name="d",
        components=[Alive("save_runlog")],
        schedule=[("save_runlog",)],
        default_runlog_interval=10.0,
    )
    with Harness(daemon, files={}) as harness:
        harness.advance(35.0)
        assert harness.completed("save_runlog") == 4
