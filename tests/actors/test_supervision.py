"""Components that fail: what their policies promise, under the engine, in virtual time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from typing import Any

import pytest
from loguru import logger
from tenacity import retry_always, stop_after_attempt, stop_after_delay, wait_fixed

from tests.actors.fakes import DEADLINE, Gate
from tests.sweeps import seeds
from zenactors import Dispatcher
from zenactors.actors.component_messages import Change
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Retry, Supervision
from zenactors.errors import (
    EXIT_GAVE_UP,
    ComponentStartError,
    ConfigurationError,
    ReloadError,
    RestartComponent,
    ZenDaemonStopException,
)
from zenactors.testing.harness import Harness
from zenactors.testing.probe import Probe


class Fragile(ZenDaemonComponent):
    """Fails on what it is told to fail on, and writes down its life, over all its incarnations."""

    def __init__(
        self,
        policy: Supervision,
        *,
        life: list[str],
        fails_on: Iterable[Any] = (),
        cause: type[Exception] = ValueError,
        setups_fail: set[int] | None = None,
        name: str = "fragile",
    ) -> None:
        super().__init__(name=name)
        self.supervision = policy
        self.life = life
        self._fails_on = list(fails_on)
        self._cause = cause
        self._setups_fail = set() if setups_fail is None else setups_fail

    def setup(self, daemon: Any) -> None:
        self.life.append(f"setup {self.incarnation}")
        if self.incarnation in self._setups_fail:
            self._setups_fail.discard(self.incarnation)
            raise OSError("not yet")

    def teardown(self, daemon: Any) -> None:
        self.life.append(f"teardown {self.incarnation}")

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        self.life.append(f"{args} in {daemon.incarnation}")
        if args in self._fails_on:
            raise self._cause(f"cannot do {args}")
        self.inc_statistic("done")


RESTARTS = Supervision(on_error="restart", delay=1.0)


def restarts(**policy: Any) -> Supervision:
    return Supervision(**{"on_error": "restart", "delay": 1.0, **policy})


def test_a_restart_comes_after_its_delay_and_the_events_wait_for_it_in_order() -> None:
    fragile, probe = Fragile(RESTARTS, fails_on=[2], life=[]), Probe("x")
    with Harness([fragile, probe]) as harness:
        for number in range(1, 5):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
        assert fragile.life == ["setup 1", "1 in 1", "2 in 1", "teardown 1"]
        assert harness.daemon.readiness() == [
            "component 'fragile' is made anew after ValueError('cannot do 2')"
        ]

        harness.advance(0.7)
        assert fragile.life[4:] == []
        harness.advance(0.1)  # with the jitter of this harness, the delay is 0.75 s
        assert fragile.life[4:] == ["setup 2", "3 in 2", "4 in 2"]
        assert harness.daemon.readiness() == []
        assert [each.args for each in probe.receive_n(3)] == [1, 3, 4]
        assert [letter.args for letter in harness.dead_letters()] == [2]
        assert harness.statistics["fragile"]["done"]["cnt"] == 3
        counts = harness.counts()["x"]
        assert (counts.accepted, counts.completed, counts.dead) == (4, 3, 1)
    assert fragile.life[-1] == "teardown 2"
    assert harness.stop().restarts == 1


def test_a_component_that_is_down_keeps_the_daemon_from_ending() -> None:
    fragile = Fragile(RESTARTS, fails_on=[1], life=[])
    with Harness([fragile]) as harness:
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
        assert not harness.daemon.is_idle()
        harness.advance(1)
        assert harness.daemon.is_idle()
        harness.dead_letters()


def test_a_setup_that_fails_counts_and_the_delay_doubles() -> None:
    fragile = Fragile(RESTARTS, fails_on=[1], setups_fail={2}, life=[])
    with Harness([fragile]) as harness:
        harness.queue.schedule("x", 1)
        harness.queue.schedule("x", 2)
        harness.advance(0.8)
        assert fragile.life[-1] == "setup 2"
        harness.advance(1.4)
        assert fragile.life[-1] == "setup 2"
        harness.advance(0.2)
        assert fragile.life[-2:] == ["setup 3", "2 in 3"]
        harness.dead_letters()


def test_when_the_budget_is_used_up_the_daemon_ends_with_its_status() -> None:
    fragile = Fragile(restarts(max_restarts=1), fails_on=[1, 2, 3], life=[])
    harness = Harness([fragile, other := Fragile(Supervision(), name="other", life=[])])
    with harness:
        for number in range(1, 4):
            harness.queue.schedule("x", number)
        harness.advance(2)
        assert harness.daemon.is_done()
        assert harness.daemon.status == EXIT_GAVE_UP
        report = harness.stop()
        harness.dead_letters()
    assert fragile.life == [
        "setup 1",
        "1 in 1",
        "teardown 1",
        "setup 2",
        "2 in 2",
        "teardown 2",
    ]
    assert other.life[-1] == "teardown 1"
    assert report.left == 1  # the event 3


def test_a_suspended_component_holds_its_events_until_a_stop_reports_them_as_left() -> None:
    policy = restarts(max_restarts=0, when_exhausted="suspend")
    fragile, other = Fragile(policy, fails_on=[1], life=[]), Probe("y")
    with Harness([fragile, other]) as harness:
        for number in range(1, 4):
            harness.queue.schedule("x", number)
        harness.queue.schedule("y", "other")
        harness.advance(100)
        other.expect("y", "other")
        assert harness.daemon.readiness() == [
            "component 'fragile' is suspended after ValueError('cannot do 1')"
        ]
        assert harness.counts()["x"].in_flight == 2
        assert not harness.daemon.is_done()
        report = harness.stop()
        harness.dead_letters()
    assert (report.left, report.timed_out, report.stuck) == (2, False, ())
    assert report.suspended == ("fragile",)
    counts = harness.counts()["x"]
    assert (counts.accepted, counts.dead, counts.left, counts.in_flight) == (3, 1, 2, 0)


def test_a_stop_brings_a_component_up_at_once_for_the_events_that_wait() -> None:
    fragile = Fragile(restarts(delay=20.0), fails_on=[1], life=[])
    with Harness([fragile]) as harness:
        harness.queue.schedule("x", 1)
        harness.queue.schedule("x", 2)
        harness.run_until_idle()
        before = harness.now
        report = harness.stop()
        harness.dead_letters()
    assert fragile.life[-3:] == ["setup 2", "2 in 2", "teardown 2"]
    assert (report.left, harness.now - before) == (0, 0.0)


def test_a_stop_leaves_the_events_of_a_component_that_fails_again() -> None:
    fragile = Fragile(restarts(delay=20.0), fails_on=[1], setups_fail={2}, life=[])
    with Harness([fragile]) as harness:
        for number in range(1, 4):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
        report = harness.stop()
        harness.dead_letters()
    assert fragile.life == ["setup 1", "1 in 1", "teardown 1", "setup 2"]
    assert (report.left, report.timed_out) == (2, False)


def test_a_restart_can_be_asked_for_and_the_event_is_tried_again() -> None:
    policy = Supervision(retry=Retry(attempts=2), delay=1.0)
    fragile = Fragile(policy, fails_on=["lost"], cause=RestartComponent, life=[])
    with Harness([fragile]) as harness:
        harness.queue.schedule("x", "lost")
        harness.queue.schedule("x", "fine")
        harness.advance(10)
        assert [letter.args for letter in harness.dead_letters()] == ["lost"]
    tried = [each for each in fragile.life if " in " in each]
    assert tried == ["lost in 1", "lost in 2", "fine in 3"]


class _BrokenStop:
    def __call__(self, state: Any) -> bool:
        raise OSError("no idea")


@pytest.mark.parametrize(
    ("retry", "attempts"),
    [
        (Retry(attempts=2), 2),
        ({"stop": stop_after_attempt(2)}, 2),
        ({"stop": stop_after_delay(60) | stop_after_attempt(3)}, 3),
        ({"stop": _BrokenStop()}, 1),
    ],
)
def test_a_restart_that_is_asked_for_uses_up_the_attempts(retry: Any, attempts: int) -> None:
    calls: list[Any] = []

    class Asking(ZenDaemonComponent):
        supervision = Supervision(retry=retry, delay=0.0, max_restarts=10)

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            calls.append(args)
            if args == "bad":
                raise RestartComponent("asked for")

    with Harness([Asking()]) as harness:
        for args in ("bad", "good"):
            harness.queue.schedule("x", args)
        harness.advance(30)
        assert calls == [*["bad"] * attempts, "good"]
        harness.dead_letters()


def test_a_retry_waits_in_place_and_a_stop_ends_the_wait() -> None:
    policy = Supervision(retry=Retry(attempts=9, delay=40.0, max_delay=40.0))
    fragile = Fragile(policy, fails_on=[1], life=[])
    with Harness([fragile]) as harness:
        for number in (1, 2):
            harness.queue.schedule("x", number)
        harness.advance(50)
        assert fragile.life[1:] == ["1 in 1", "1 in 1"]
        before = harness.now
        report = harness.stop()
        assert harness.dead_letters() == []
    assert fragile.life[1:] == ["1 in 1", "1 in 1", "2 in 1", "teardown 1"]
    assert (harness.now - before, report.left, report.drained) == (0.0, 1, False)


def test_a_timer_that_fails_is_under_the_same_policy() -> None:
    class Ticking(Fragile):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            daemon.io.call_every(10, self.tick)

        def tick(self, daemon: Any) -> None:
            self.life.append(f"tick in {self.incarnation}")
            if self.incarnation < 3:
                raise ValueError("tick")

    ticking = Ticking(RESTARTS, life=[])
    with Harness([ticking]) as harness:
        harness.advance(45)
        assert ticking.life == [
            "setup 1",
            "tick in 1",
            "teardown 1",
            "setup 2",
            "tick in 2",
            "teardown 2",
            "setup 3",
            "tick in 3",
            "tick in 3",
        ]


def test_a_timer_that_fails_may_end_the_daemon() -> None:
    class Ticking(Fragile):
        def setup(self, daemon: Any) -> None:
            daemon.io.call_every(10, self.tick)

        def tick(self, daemon: Any) -> None:
            raise ValueError("tick")

    with Harness([Ticking(Supervision(on_error="stop"), life=[])]) as harness:
        harness.advance(10)
        assert harness.daemon.is_done()
        assert harness.daemon.status == EXIT_GAVE_UP


def test_one_replica_restarts_and_the_results_stay_in_order() -> None:
    lives: list[list[str]] = [[], []]
    each = iter(lives)
    workers = Replicas(lambda: Fragile(RESTARTS, fails_on=[3], life=next(each)), count=2)
    with Harness([workers, probe := Probe("x")]) as harness:
        for number in range(1, 7):
            harness.queue.schedule("x", number)
        harness.advance(2)
        assert [each.args for each in probe.receive_n(5)] == [1, 2, 4, 5, 6]
        harness.dead_letters()
    assert sorted(sum(entry.startswith("setup") for entry in life) for life in lives) == [1, 2]


@seeds(8, soak=30)
def test_nothing_is_lost_and_everything_is_in_order_whatever_fails(seed: int) -> None:
    events = list(range(40))
    policy = restarts(max_restarts=1000, retry=Retry(attempts=2))
    first = Fragile(policy, fails_on=events[::5], setups_fail={2, 4}, life=[])
    second = Fragile(policy, fails_on=events[1::7], cause=RestartComponent, name="second", life=[])
    with Harness([first, second, probe := Probe("x")], seed=seed) as harness:
        for number in events:
            harness.queue.schedule("x", number)
        harness.advance(1000)
        died = {letter.args for letter in harness.dead_letters()}
        assert died == {*events[::5], *events[1::7]}
        assert [each.args for each in probe.receive_n(len(events) - len(died))] == [
            n for n in events if n not in died
        ]
        counts = harness.counts()["x"]
        assert (counts.accepted, counts.dead, counts.in_flight) == (40, len(died), 0)
    assert_incarnations_do_not_overlap(first.life, setups_fail={2, 4})
    assert_incarnations_do_not_overlap(second.life, setups_fail=set())


def assert_incarnations_do_not_overlap(life: list[str], *, setups_fail: set[int]) -> None:
    up = 0
    for what, number in (entry.split() for entry in life if " in " not in entry):
        if what == "teardown":
            assert up == int(number)
            up = 0
        else:
            assert up == 0
            up = 0 if int(number) in setups_fail else int(number)
    assert up == 0


def test_a_restart_forgets_what_the_object_had_become_but_neither_counters_nor_options() -> None:
    class Remembering(ZenDaemonComponent):
        supervision = RESTARTS

        def __init__(self, *, size: int = 1) -> None:
            super().__init__()
            self.size = size
            self.memory: list[Any] = []

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            self.inc_statistic("seen")
            self.memory.append(args)
            if args == "bad":
                raise ValueError(args)

    component = Remembering()
    config = {"components": {"Remembering": {"size": 7}}}
    with Harness([component], config=config) as harness:
        for args in ("one", "bad", "two"):
            harness.queue.schedule("x", args)
        harness.advance(2)
        assert (component.memory, component.size, component.incarnation) == (["two"], 7, 2)
        assert harness.statistics["Remembering"]["seen"]["cnt"] == 3
        harness.dead_letters()


def test_a_constructor_that_raises_at_a_restart_is_a_start_that_failed() -> None:
    made: list[int] = []

    class Costly(ZenDaemonComponent):
        supervision = RESTARTS

        def __init__(self) -> None:
            super().__init__()
            made.append(len(made))
            if len(made) == 2:
                raise OSError("not now")

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            if args == "bad":
                raise ValueError(args)

    with Harness([Costly(), probe := Probe("x")]) as harness:
        for args in ("bad", "good"):
            harness.queue.schedule("x", args)
        harness.advance(0.8)
        assert len(made) == 2
        harness.advance(2)
        assert len(made) == 3
        assert [each.args for each in probe.receive_n(1)] == ["good"]
        harness.dead_letters()


def test_an_object_that_is_no_component_of_ours_is_torn_down_and_set_up_again() -> None:
    class Plain:
        name = "plain"
        supervision = RESTARTS
        __slots__ = ("life",)

        def __init__(self) -> None:
            self.life: list[str] = []

        def get_events(self) -> list[Any]:
            return [{"event": "x", "callback": self.cbk, "prepend": False}]

        def setup(self, daemon: Any) -> None:
            self.life.append("setup")

        def teardown(self, daemon: Any) -> None:
            self.life.append("teardown")

        def cbk(self, daemon: Any, args: Any) -> None:
            raise ValueError(args)

    plain = Plain()
    with Harness([plain]) as harness:
        harness.queue.schedule("x")
        harness.advance(2)
        assert plain.life == ["setup", "teardown", "setup"]
        harness.dead_letters()


def test_a_reload_makes_a_suspended_component_anew() -> None:
    class Picky(ZenDaemonComponent):
        supervision = restarts(max_restarts=0, when_exhausted="suspend")

        def __init__(self, *, limit: int = 1) -> None:
            super().__init__()
            self.limit = limit

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            if args > self.limit:
                raise ValueError(args)

    picky, probe = Picky(), Probe("x")
    with Harness([picky, probe]) as harness:
        for number in (2, 1, 3):
            harness.queue.schedule("x", number)
        harness.advance(1)
        assert harness.daemon.readiness() != []
        change = Change({"limit": 1}, {"limit": 5}, replacement=(new := Picky(limit=5)))
        harness.spawn(lambda: harness.daemon.reconfigure({"Picky": change}, lambda: None))
        harness.advance(1)
        assert harness.daemon.readiness() == []
        assert [each.args for each in probe.receive_n(2)] == [1, 3]
        assert new.incarnation == 2
        harness.dead_letters()


def test_a_component_that_fails_during_a_stop_comes_up_at_once_for_the_rest() -> None:
    policy = Supervision(retry=Retry(attempts=2), delay=20.0)
    fragile = Fragile(policy, fails_on=["lost", 3], cause=RestartComponent, life=[])
    with Harness([fragile]) as harness:
        for args in (1, "lost", 3, 4):
            harness.queue.schedule("x", args)
        before = harness.now
        report = harness.stop()
        assert [letter.args for letter in harness.dead_letters()] == ["lost", 3]
    handled = [each for each in fragile.life if " in " in each]
    assert handled == ["1 in 1", "lost in 1", "lost in 2", "3 in 3", "3 in 4", "4 in 5"]
    assert (report.left, report.restarts, harness.now - before) == (0, 4, 0.0)


def test_during_a_stop_the_budget_counts_and_without_one_the_rest_is_left() -> None:
    fragile = Fragile(restarts(max_restarts=1), fails_on=[1, 2], life=[])
    with Harness([fragile]) as harness:
        for number in range(1, 5):
            harness.queue.schedule("x", number)
        report = harness.stop()
        harness.dead_letters()
    assert [each for each in fragile.life if " in " in each] == ["1 in 1", "2 in 2"]
    assert (report.left, report.suspended, report.timed_out) == (2, ("fragile",), False)
    assert not report.drained


def test_a_component_that_is_down_comes_up_for_an_event_that_reaches_it_during_the_stop() -> None:
    class Slow(ZenDaemonComponent):
        @handles("y")
        def cbk_y(self, daemon: Any, args: Any) -> None:
            daemon.queue.schedule("x", args)

    fragile = Fragile(restarts(delay=20.0), fails_on=[1], life=[])
    with Harness([Slow(), fragile]) as harness:
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
        harness.queue.schedule("y", 2)
        report = harness.stop()
        harness.dead_letters()
    assert fragile.life[-3:] == ["setup 2", "2 in 2", "teardown 2"]
    assert report.left == 0


class Odd(BaseException):
    """An exception that is no `Exception`, as asyncio's `CancelledError`."""


@pytest.mark.parametrize(
    ("cause", "status"),
    [(Odd("x"), EXIT_GAVE_UP), (SystemExit(3), 3), (ZenDaemonStopException("enough"), 0)],
)
def test_whatever_a_timer_raises_means_the_same_as_in_a_callback(
    cause: BaseException, status: int
) -> None:
    class Ticking(Fragile):
        def setup(self, daemon: Any) -> None:
            daemon.io.call_later(10, self.tick)

        def tick(self, daemon: Any) -> None:
            raise cause

    with Harness([Ticking(Supervision(on_error="stop"), life=[])]) as harness:
        harness.advance(10)
        assert harness.daemon.halted
        assert harness.daemon.status == status


def test_a_setup_that_exits_at_a_restart_ends_the_daemon_with_its_status() -> None:
    class Exiting(Fragile):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 2:
                raise SystemExit(3)

    with Harness([exiting := Exiting(RESTARTS, fails_on=[1], life=[])]) as harness:
        harness.queue.schedule("x", 1)
        harness.advance(60)
        assert exiting.life == ["setup 1", "1 in 1", "teardown 1", "setup 2"]
        assert (harness.daemon.halted, harness.daemon.status) == (True, 3)
        harness.dead_letters()


def test_a_setup_whose_retries_a_stop_interrupts_has_not_failed() -> None:
    class Connecting(Fragile):
        def setup(self, daemon: Any) -> None:
            super().setup(daemon)
            if self.incarnation == 2:
                for attempt in daemon.retrying(wait=wait_fixed(50)):
                    with attempt:
                        raise OSError("not there")

    connecting = Connecting(restarts(max_restarts=1), fails_on=[1], life=[])
    with Harness([connecting]) as harness:
        harness.queue.schedule("x", 1)
        harness.advance(10)
        report = harness.stop()
        assert harness.daemon.status == 0
        harness.dead_letters()
    assert (report.left, report.timed_out, report.suspended) == (0, False, ("fragile",))


def test_a_wait_that_raises_or_returns_nonsense_is_the_longest() -> None:
    def wait(state: Any) -> float:
        return 1 / (state.attempt_number - 1) and float("nan")

    fragile = Fragile(restarts(wait=wait, max_delay=10), fails_on=[1, 2], life=[])
    with Harness([fragile]) as harness:
        for number in range(1, 4):
            harness.queue.schedule("x", number)
        harness.advance(7)
        assert "setup 2" not in fragile.life
        harness.advance(20)
        assert fragile.life[-2:] == ["setup 3", "3 in 3"]
        problems = [
            each.message for each in harness.logs if "wait of a supervision" in each.message
        ]
        assert problems == [
            "The wait of a supervision failed: ZeroDivisionError('division by zero')",
            "The wait of a supervision failed: it returned nan",
        ]
        harness.dead_letters()


def test_tenacitys_options_never_try_again_what_ends_the_daemon() -> None:
    causes = [ValueError("once"), SystemExit(3)]

    class Exiting(ZenDaemonComponent):
        supervision = Supervision(retry={"retry": retry_always, "wait": wait_fixed(1)})

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            if causes:
                raise causes.pop(0)

    with Harness([Exiting()]) as harness:
        harness.queue.schedule("x")
        harness.advance(10)
        assert (causes, harness.daemon.status) == ([], 3)
        harness.dead_letters()


@pytest.mark.parametrize("wrong", ["restart", {"on_error": "restart"}, Supervision])
def test_what_is_no_supervision_is_refused(wrong: Any) -> None:
    class Wrong(ZenDaemonComponent):
        supervision = wrong

    with pytest.raises(ConfigurationError, match=r"^The supervision of component 'Wrong' is "):
        Dispatcher([Wrong()])


def test_a_component_that_was_down_may_be_down_again_after_a_reload_that_fails() -> None:
    class Picky(ZenDaemonComponent):
        supervision = restarts(max_restarts=1, when_exhausted="suspend")

        def __init__(self, *, limit: int = 1) -> None:
            super().__init__()
            self.limit = limit

        def setup(self, daemon: Any) -> None:
            if self.limit == 1 and self.incarnation > 1:
                raise OSError("the server is away")

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            raise ValueError(args)

    class Refusing(ZenDaemonComponent):
        def reconfigure(self, daemon: Any, options: Any) -> None:
            daemon.wait(1)
            raise ValueError("no")

    failures = []
    with Harness([Picky(), Refusing()]) as harness:
        harness.queue.schedule("x", 1)
        harness.advance(10)
        down = harness.daemon.readiness()
        assert down == ["component 'Picky' is suspended after OSError('the server is away')"]
        changes = {
            "Picky": Change({"limit": 1}, {"limit": 5}, replacement=Picky(limit=5)),
            "Refusing": Change({}, {}),
        }

        def reload() -> None:
            with pytest.raises(ReloadError) as caught:
                harness.daemon.reconfigure(changes, lambda: None)
            failures.append(str(caught.value))

        harness.spawn(reload)
        harness.advance(10)
        assert len(failures) == 1
        assert harness.daemon.readiness() == down
        assert not harness.daemon.is_done()
        harness.dead_letters()


def test_a_daemon_never_looks_idle_between_a_failure_and_the_restart() -> None:
    class Gated(ZenDaemonComponent):
        supervision = Supervision(delay=3600.0)

        @handles("x")
        def cbk_x(self, daemon: Any, args: Any) -> None:
            gate()
            raise RestartComponent("asked for")

        def teardown(self, daemon: Any) -> None:
            down.set()

    gate, down = Gate(), threading.Event()
    with Dispatcher([Gated()]) as dispatcher:
        engine = dispatcher._engine
        dispatcher.queue.schedule("x")
        assert not dispatcher.is_idle()
        watch = engine.loop.watch(engine.is_idle, engine.notifier.notify)
        gate.open()
        assert down.wait(DEADLINE)
        assert not dispatcher.is_idle()
        assert not watch.met


class Starting(Fragile):
    """Has a callback for `start`, which fails."""

    @handles("start")
    def cbk_start(self, daemon: Any, args: Any) -> None:
        self.life.append(f"start in {self.incarnation}")
        raise self._cause("cannot start")


@pytest.mark.parametrize("cause", [ValueError, RestartComponent])
@pytest.mark.parametrize("on_error", ["restart", "stop", "dead-letter"])
def test_a_start_that_fails_is_followed_by_no_restart(
    on_error: Any, cause: type[Exception]
) -> None:
    starting = Starting(Supervision(on_error=on_error, delay=0), cause=cause, life=[])
    harness = Harness([starting])
    with pytest.raises(
        ComponentStartError, match=r"'fragile' failed in start: .*cannot start"
    ) as no:
        harness.start()
    assert type(no.value.__cause__) is cause
    assert starting.life == ["setup 1", "start in 1", "teardown 1"]
    assert [each.args for each in harness.dead_letters()] == [None]
    assert not [each for each in harness.logs if "made anew" in each.message]
    harness.close()


def test_a_setup_that_fails_at_a_restart_is_logged_with_its_traceback_ten_times() -> None:
    policy = restarts(max_restarts=100, delay=0.0)
    fragile = Fragile(policy, fails_on=[1], setups_fail=set(range(2, 20)), life=[])
    failed: list[Any] = []
    number = logger.add(
        lambda line: failed.append(line.record), filter="zenactors.actors.incidents"
    )
    try:
        with Harness([fragile]) as harness:
            harness.queue.schedule("x", 1)
            harness.advance(1)
            harness.dead_letters()
            assert harness.daemon.readiness() == []
    finally:
        logger.remove(number)
    failed = [each for each in failed if each["message"].startswith("The restart failed")]
    assert failed[0]["message"] == "The restart failed: OSError('not yet')"
    assert failed[0]["extra"]["component"] == "fragile"
    assert len(failed) == 10
    assert all(each["exception"] is not None for each in failed)


def test_a_component_that_fails_on_its_last_event_during_a_stop_stays_down() -> None:
    fragile = Fragile(restarts(), fails_on=[1], life=[])
    with Harness([fragile]) as harness:
        harness.queue.schedule("x", 1)
        report = harness.stop()
        harness.dead_letters()
        (line,) = [each.message for each in harness.logs if "failed: ValueError" in each.message]
    assert line == (
        "Component 'fragile' failed: ValueError('cannot do 1'). The daemon stops: it is made anew"
        " only if there are events for it; 4 more restarts left"
    )
    assert fragile.life == ["setup 1", "1 in 1", "teardown 1"]
    assert (report.drained, report.left, report.suspended) == (True, 0, ("fragile",))


class Telling(Fragile):
    """Has two callbacks for `stop`; the first one fails."""

    def get_events(self) -> list[Any]:
        events = super().get_events()
        events.append(self.gen_event_handler("stop", self.first))
        events.append(self.gen_event_handler("stop", self.second))
        return events

    def first(self, daemon: Any, args: Any) -> None:
        self.life.append(f"first in {self.incarnation}")
        raise ValueError("first")

    def second(self, daemon: Any, args: Any) -> None:
        self.life.append(f"second in {self.incarnation}")


def test_a_control_event_goes_on_in_the_next_incarnation() -> None:
    telling, other = Telling(restarts(), life=[]), Probe("stop")
    with Harness([telling, other]) as harness:
        harness.queue.schedule("x", 1)
        report = harness.stop()
        harness.dead_letters()
    assert telling.life == [
        "setup 1", "first in 1", "teardown 1", "setup 2", "second in 2", "1 in 2", "teardown 2",
    ]  # fmt: skip
    assert (report.drained, len(other.received)) == (True, 1)


def test_a_control_event_does_not_wait_for_ever_for_a_component_that_is_suspended() -> None:
    policy = restarts(max_restarts=0, when_exhausted="suspend")
    telling, other = Telling(policy, life=[]), Probe("stop")
    with Harness([telling, other]) as harness:
        report = harness.stop()
        harness.dead_letters()
    assert telling.life == ["setup 1", "first in 1", "teardown 1"]
    assert (report.timed_out, len(other.received)) == (False, 1)


class Retrying(ZenDaemonComponent):
    """Retries by itself, for ever."""

    def __init__(self) -> None:
        super().__init__(name="retrying")
        self.attempts = 0
        self.waits = threading.Event()

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        for attempt in daemon.retrying(wait=wait_fixed(3600)):
            with attempt:
                self.attempts += 1
                self.waits.set()
                raise OSError("not there")


def test_a_stop_ends_retries_at_once_and_reports_their_events_as_left() -> None:
    retrying = Retrying()
    with Harness([retrying]) as harness:
        harness.queue.schedule("x", 1)
        harness.queue.schedule("x", 2)
        harness.advance(7300)
        assert retrying.attempts == 3
        before = harness.now
        report = harness.stop()
        assert harness.dead_letters() == []
        counts = harness.counts()["x"]
    assert harness.now - before == 0.0
    assert (report.left, report.drained, report.dead_letters) == (2, False, 0)
    assert (counts.left, counts.dead, counts.in_flight) == (2, 0, 0)
    assert [each for each in harness.logs if each.level == "ERROR"] == []


def test_a_retry_ends_within_a_tenth_of_a_second_of_a_stop() -> None:
    took = []
    for _ in range(5):  # the machine may be busy with something else
        retrying = Retrying()
        with Dispatcher([retrying]) as dispatcher:
            dispatcher.queue.schedule("x", 1)
            assert retrying.waits.wait(DEADLINE)
            before = time.monotonic()
            report = dispatcher.stop()
            took.append(time.monotonic() - before)
        assert (report.left, report.timed_out, report.dead_letters) == (1, False, 0)
    assert min(took) < 0.1
