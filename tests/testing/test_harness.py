from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger

from tests.policies import OTHER, STOPS
from zenactors import (
    Daemon,
    Dispatcher,
    NotRunningError,
    Replicas,
    UnknownEventError,
    VirtualClock,
    ZenDaemon,
    ZenDaemonComponent,
    handles,
)
from zenactors.core.dispatch_state import ORDERINGS, Ordering
from zenactors.errors import (
    ComponentStartError,
    ConfigurationError,
)
from zenactors.testing import (
    Crash,
    EndlessMotionError,
    Harness,
    NothingMovesError,
    Probe,
    SimulationFailure,
    simulate,
)
from zenactors.testing._simulator.hub import MAX_LATE

SEEDS = [None, *range(10)]
LATER = [(1e6, "x")]  # keeps a daemon from ending because it is idle


class Work(ZenDaemonComponent):
    """Handle each "x" with a function of the test."""

    def __init__(self, do: Callable[[Any, Any], Any], *, name: str = "work") -> None:
        super().__init__(name=name)
        self._do = do

    @handles("x")
    def cbk_event_x(self, daemon: Daemon, args: Any) -> Any:
        return self._do(daemon, args)


class Hang(ZenDaemonComponent):
    """Waits for an event that never comes."""

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        daemon.dispatcher._runtime.event().wait()


def soon(moments: Any) -> Any:
    """Return approximate moments: with a seed all tasks wake up a little late."""
    return pytest.approx(moments, abs=2 * MAX_LATE)


def daemon_of(*components: Any, **options: Any) -> ZenDaemon:
    return ZenDaemon(name="d", components=components, stats_interval=0, **options)


# --- letting things happen ----------------------------------------------------------------------


def test_nothing_runs_but_in_a_call_that_waits() -> None:
    probe = Probe("x")
    with Harness([probe]) as harness:
        harness.queue.schedule("x", 1)
        assert probe.received == []
        harness.run_until_idle()
        assert probe.received == [("x", 1)]
        assert harness.now == 0.0


def test_event_scheduled_for_later_waits_for_its_moment() -> None:
    with Harness([Probe("rotate")]) as harness:
        harness.queue.schedule_after(30.0, "rotate")
        harness.advance(29.0)
        assert harness.completed("rotate") == 0
        harness.advance(1.0)
        assert harness.completed("rotate") == 1


@pytest.mark.parametrize("seed", SEEDS)
def test_advance_goes_from_moment_to_moment(seed: int | None) -> None:
    moments: list[tuple[float, Any]] = []
    with Harness(
        [Work(lambda daemon, args: moments.append((harness.now, args)))], seed=seed
    ) as harness:
        for delay in (3.0, 1.0, 2.0, 9.0):
            harness.queue.schedule_after(delay, "x", "after")
        harness.queue.schedule_at(harness.clock.time() + 2.5, "x", "at")
        harness.queue.schedule("x", "now")
        harness.advance(5.0)
        assert harness.now == 5.0
    assert [args for _, args in moments] == ["now", "after", "after", "at", "after"]
    assert [moment for moment, _ in moments] == soon([0.0, 1.0, 2.0, 2.5, 3.0])


@pytest.mark.parametrize("seed", SEEDS)
def test_waits_of_two_components_pass_at_the_same_time(seed: int | None) -> None:
    ends: dict[str, float] = {}

    class Sleeper(ZenDaemonComponent):
        def get_events(self) -> Any:
            return [self.gen_event_handler(self.name, self._sleep)]

        def _sleep(self, daemon: Daemon, args: float) -> None:
            assert not daemon.wait(args)
            ends[self.name] = harness.now

    with Harness([Sleeper(name="a"), Sleeper(name="b")], seed=seed) as harness:
        harness.queue.schedule("a", 10.0)
        harness.queue.schedule("b", 5.0)
        harness.advance(20.0)
    assert list(ends) == ["b", "a"]
    assert ends == soon({"b": 5.0, "a": 10.0})


def test_wait_until_ends_with_the_fact() -> None:
    with Harness([Probe("x")]) as harness:
        harness.queue.schedule_after(3.0, "x")
        assert harness.wait_until(lambda: harness.completed("x"), within=10.0)
        assert harness.now == 3.0
        assert not harness.wait_until(lambda: harness.completed("x") == 2, within=10.0)
        assert harness.now == 13.0


def test_events_that_schedule_events_for_ever_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zenactors.testing._simulator.hub.MAX_MOVES", 500)
    harness = Harness([Work(lambda daemon, args: daemon.queue.schedule("x") and None)])
    harness.start()
    harness.queue.schedule("x")
    with pytest.raises(EndlessMotionError):
        harness.run_until_idle()
    harness.close()


def test_a_wait_for_what_cannot_happen_is_told() -> None:
    with Harness([Probe("x")]) as harness, pytest.raises(NothingMovesError):
        harness._hub.wait(lambda: harness.completed("x"))


# --- components under it ------------------------------------------------------------------------


def test_components_are_asked_as_in_production() -> None:
    class Counter(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Daemon, args: Any) -> None:
            self.inc_statistic("x", args)

    with Harness([Counter(name="counter")]) as harness:
        harness.queue.schedule("x", 5)
        harness.advance(10.0)
        assert harness.daemon.get_statistics("me")["counter"]["x"]["spd"] == 0.5
        assert harness.statistics["counter"]["x"]["cnt"] == 5
        assert harness.daemon.get_state() == {"counter": {"statistics": {"x": 5}}}
    assert harness.statistics["counter"]["x"]["cnt"] == 5  # the final ones


def test_a_component_may_ask_the_others() -> None:
    seen: list[Any] = []
    asks = Work(lambda daemon, args: seen.append(sorted(daemon.get_state())), name="asks")
    with Harness([asks, Probe("y", name="other"), Probe("z", name="third")]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
    assert seen == [["other", "third"]]


def test_a_component_gets_virtual_time_and_the_seeds_random_numbers() -> None:
    def numbers(seed: int) -> list[float]:
        component = ZenDaemonComponent(name="c")
        with Harness([component], seed=seed) as harness:
            harness.advance(2.0)
            assert component.clock.monotonic() == harness.clock.monotonic()
            return [component.random.random() for _ in range(3)]

    assert numbers(1) == numbers(1) != numbers(2)


def test_a_clock_of_the_components_own_is_left_to_it() -> None:
    class Own(ZenDaemonComponent):
        clock = VirtualClock(5.0)

        def __init__(self) -> None:
            self.name = "own"

    own = Own()
    with Harness([own]):
        assert own.clock.monotonic() == 5.0


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("ordering", ORDERINGS)
def test_every_ordering_keeps_the_order_of_one_name(seed: int | None, ordering: Ordering) -> None:
    first, second = Probe("x", name="first"), Probe("x", name="second")
    with Harness([first, second], seed=seed, ordering=ordering) as harness:
        for number in range(30):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
    assert first.received == second.received == [("x", number) for number in range(30)]


@pytest.mark.parametrize("seed", SEEDS)
def test_replicas_overtake_each_other_and_the_results_keep_their_order(seed: int | None) -> None:
    ended: list[int] = []

    def look_up(daemon: Daemon, args: int) -> None:
        daemon.wait(5.0 - args)
        ended.append(args)

    probe = Probe("x")
    with Harness([Replicas(lambda: Work(look_up), 4), probe], seed=seed) as harness:
        for number in range(4):
            harness.queue.schedule("x", number)
        harness.advance(6.0)
    assert ended == [3, 2, 1, 0]
    assert probe.received == [("x", number) for number in range(4)]


def test_with_another_policy_an_answer_that_can_be_read_once_is_read_once() -> None:
    def good(_daemon: Any, args: Any) -> Any:
        yield 1
        yield args + 1

    def bad(_daemon: Any, _args: Any) -> Any:
        yield 1
        raise ValueError("in the answer")

    with Harness([Work(good)], ordering="global", policy=OTHER) as harness:
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
        assert harness.completed("x") == 1
    with Harness([Work(bad)], ordering="global", policy=OTHER) as harness:
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
    assert "expected (flag, args)" in str(letter.cause)
    assert isinstance(letter.cause.__cause__, ValueError)


def test_a_policy_may_stop_everything_when_a_callback_raises() -> None:
    def fail(daemon: Daemon, args: Any) -> None:
        raise LookupError("no")

    with Harness([Work(fail)], supervision=STOPS) as harness:
        harness.queue.schedule("x")
        assert harness.run() is None
        assert harness.daemon.halted
        assert [letter.event for letter in harness.dead_letters()] == ["x"]


@pytest.mark.parametrize("seed", SEEDS)
def test_producers_that_are_too_far_ahead_wait(seed: int | None) -> None:
    probe = Probe("x")
    ahead: list[int] = []

    def be_slow(daemon: Daemon, args: Any) -> None:
        daemon.wait(0.1)

    daemon = daemon_of(
        Work(be_slow), probe, queue_limit=3, queue_full="block", schedule_after=LATER
    )
    with Harness(daemon, seed=seed) as harness:

        def produce(who: str) -> None:
            for number in range(30):
                daemon.queue.schedule("x", (who, number))
                ahead.append(daemon.queue.ahead())

        producers = [harness.spawn(lambda who=who: produce(who), who) for who in "ab"]  # type: ignore[misc]
        harness.run_until_idle()
        assert not any(producer.done for producer in producers)
        harness.advance(10.0)
        assert all(producer.done for producer in producers)
    assert max(ahead) == 3
    for who in "ab":
        assert [args[1] for _, args in probe.received if args[0] == who] == list(range(30))


# --- looking ------------------------------------------------------------------------------------


def test_logs_are_kept_with_level_and_component() -> None:
    class Talker(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Daemon, args: Any) -> None:
            self.log.warning("Got {args}", args=args)

    with Harness([Talker(name="talker")]) as harness:
        harness.queue.schedule("x", 7)
        harness.run_until_idle()
        assert harness.logs == [("WARNING", "talker", "Got 7")]


def test_an_event_without_a_handler_has_no_number_that_completed() -> None:
    with Harness([Probe("x")]) as harness:
        assert harness.completed("x") == 0
        with pytest.raises(UnknownEventError, match="y"):
            harness.completed("y")


def test_dead_letters_count_as_read_once_they_were_asked_for() -> None:
    def fail(daemon: Daemon, args: Any) -> None:
        raise LookupError(args)

    with Harness([Work(fail)]) as harness:
        for number in (1, 2):
            harness.queue.schedule("x", number)
            harness.run_until_idle()
            assert [letter.args for letter in harness.unread_dead_letters()] == [number]
            assert [letter.args for letter in harness.dead_letters()] == list(range(1, number + 1))
            assert harness.unread_dead_letters() == []


def test_a_component_is_found_by_its_name() -> None:
    work = Work(print)
    harness = Harness([Probe("x"), work])
    assert harness.component("work") is work
    with pytest.raises(ValueError, match="wrok"):
        harness.component("wrok")


def test_no_thread_is_started() -> None:
    before = threading.active_count()
    with Harness([Probe("x")]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert threading.active_count() == before


def test_harnesses_and_real_dispatchers_leave_each_other_alone() -> None:
    one, two, real = Probe("x"), Probe("x"), Probe("x")
    with Harness([one]) as first, Harness([two]) as second, Dispatcher([real]) as dispatcher:
        for number in range(3):
            first.queue.schedule("x", number)
            second.queue.schedule_after(1.0, "x", number)
            dispatcher.queue.schedule("x", number)
            second.advance(1.0)
        first.run_until_idle()
        real.receive_n(3)
        assert (first.now, second.now) == (0.0, 3.0)
    assert one.received == two.received == real.received


# --- the end ------------------------------------------------------------------------------------


def test_stop_handles_what_is_queued_and_leaves_what_is_for_later() -> None:
    probe = Probe("x", "stop")
    with Harness([probe]) as harness:
        harness.queue.schedule("x", 1)
        harness.queue.schedule_after(60.0, "x", 2)
        report = harness.stop()
    assert (report.drained, report.left, report.later) == (True, 0, 1)
    assert sorted(str(event) for event, _ in probe.received) == ["stop", "x"]
    assert harness.now == 0.0


def test_a_wait_for_the_daemon_ends_with_the_stop() -> None:
    results: list[bool] = []
    with Harness([Work(lambda daemon, args: results.append(daemon.wait(1e9)))]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        report = harness.stop()
    assert results == [True]
    assert report.drained
    assert harness.now == 0.0


@pytest.mark.parametrize("seed", SEEDS)
def test_a_component_that_hangs_is_left_behind_and_named(seed: int | None) -> None:
    ran: list[int] = []
    logs: list[str] = []

    def hang(daemon: Daemon, args: int) -> None:
        ran.append(args)
        harness._runtime.event().wait()

    harness = Harness([Probe("y"), Work(hang), Probe("x")], seed=seed)
    with harness:
        for number in range(5):
            harness.queue.schedule("x", number)
        harness.run_until_idle()
        logs = [record.level for record in harness.logs]
        report = harness.stop()
        assert report.stuck == ("work",)
        assert report.timed_out
        assert report.left == 5
        assert 29.0 <= harness.now <= 31.0
        logs = [record.level for record in harness.logs]
    # The interrupted callback did not fail, and nothing ran after it.
    assert harness.dead_letters() == []
    assert [record.level for record in harness.logs] == logs
    assert ran == [0]


def test_closing_breaks_off_a_setup_that_waits() -> None:
    class Slow(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            harness._runtime.event().wait()

    harness = Harness([Slow(name="slow")])
    with pytest.raises(ComponentStartError, match="slow"):
        harness.start()
    assert 30.0 <= harness.now <= 32.0
    before = len(harness.logs)
    harness.close()
    assert len(harness.logs) == before


def test_after_a_failure_in_the_body_nothing_more_is_handled() -> None:
    probe = Probe("x")
    harness = Harness([probe])

    def fail() -> None:
        with harness:
            harness.queue.schedule("x")
            raise LookupError

    with pytest.raises(LookupError):
        fail()
    assert probe.received == []
    assert harness.report is None
    assert not harness._hub.waiting()


def test_a_start_that_fails_leaves_nothing_of_the_harness_behind() -> None:
    class Fails(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            raise LookupError("no such thing")

    harness = Harness([Fails()])
    with pytest.raises(ComponentStartError, match="no such thing"), harness:
        pass
    count = len(harness.logs)
    logger.info("said later")
    assert len(harness.logs) == count
    assert not harness._hub.waiting()


def test_closing_ends_a_loop_that_waits_whatever_is_raised_in_it() -> None:
    def stubborn(daemon: Daemon, _args: Any) -> None:
        while not daemon.is_done():
            with contextlib.suppress(BaseException):
                daemon.wait(1)

    with Harness([Work(stubborn)]) as harness:
        harness.queue.schedule("x")
        harness.advance(3)
        harness.close()
        assert not harness._hub.waiting()


def test_with_a_seed_others_move_between_two_calls_from_outside() -> None:
    completed = set()
    for seed in range(20):
        with Harness([Work(lambda daemon, args: None)], seed=seed) as harness:
            for number in range(10):
                harness.queue.schedule("x", number)
            completed.add(harness.completed("x"))
    assert len(completed) > 2


def test_with_a_seed_who_sleeps_wakes_a_little_late() -> None:
    late = []

    def rest(daemon: Any, _args: Any) -> None:
        begun = daemon.clock.monotonic()
        daemon.wait(1.0)
        late.append(daemon.clock.monotonic() - begun - 1.0)

    for seed in range(10):
        with Harness([Work(rest)], seed=seed) as harness:
            harness.queue.schedule("x")
            harness.advance(2)
    assert min(late) >= 0
    assert MAX_LATE / 2 < max(late) <= 2 * MAX_LATE


@pytest.mark.parametrize("seed", SEEDS)
def test_who_stops_it_second_waits_for_the_first(seed: int | None) -> None:
    reports = []
    with Harness([Work(lambda daemon, args: daemon.wait(1.0))], seed=seed) as harness:
        harness.queue.schedule("x")
        for _ in range(2):
            harness.spawn(lambda: reports.append(harness.daemon.stop()))
        harness.advance(5)
    assert len(reports) == 2
    assert reports[0] is reports[1]


@pytest.mark.parametrize("seed", SEEDS)
def test_other_threads_outside_wait_and_schedule(seed: int | None) -> None:
    def run() -> None:
        for number in range(5):
            harness.daemon.wait(1.0)
            harness.queue.schedule("x", number)

    with Harness([Work(lambda daemon, args: None)], seed=seed) as harness:
        harness.spawn(run)
        harness.spawn(run)
        harness.advance(6)
        assert harness.completed("x") == 10


@pytest.mark.parametrize(
    "let_move",
    [Harness.step, Harness.run_until_idle, lambda harness: harness.advance(1)],
    ids=["step", "run_until_idle", "advance"],
)
def test_only_the_test_itself_lets_others_move(let_move: Callable[[Harness], Any]) -> None:
    with Harness([Work(lambda daemon, args: let_move(harness))]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert isinstance(letter.cause, RuntimeError)
        assert "belong to the test" in str(letter.cause)
        harness.spawn(lambda: let_move(harness))
        with pytest.raises(RuntimeError, match="belong to the test"):
            harness.run_until_idle()


def test_what_another_thread_outside_raises_comes_to_the_test() -> None:
    def fail() -> None:
        raise LookupError("in the producer")

    with Harness([Probe("x")]) as harness:
        harness.spawn(fail)
        with pytest.raises(LookupError, match="in the producer"):
            harness.run_until_idle()


# --- wrong usage, and what belongs to the test itself ---------------------------------------------


def test_a_harness_that_is_not_started_says_so() -> None:
    harness = Harness([Work(lambda daemon, args: None)])
    for call in (harness.run_until_idle, harness.step, lambda: harness.advance(1), harness.stop):
        with pytest.raises(NotRunningError, match="not started"):
            call()
    harness.close()
    with pytest.raises(NotRunningError, match="closed"):
        harness.advance(1)


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf")])
def test_time_passes_by_what_is_a_time(seconds: float) -> None:
    with (
        Harness([Work(lambda daemon, args: None)]) as harness,
        pytest.raises(ValueError, match="finite and not negative"),
    ):
        harness.advance(seconds)


def test_a_component_is_in_one_harness_only() -> None:
    component = Work(lambda daemon, args: None)
    with Harness([component]):
        pass
    with pytest.raises(ConfigurationError, match="in a harness before"):
        Harness([component])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"faults": [Crash(nth=1, component="wrok")]}, "did you mean 'work'"),
        ({"faults": [Crash(nth=1, event="y")]}, "no component handles 'y'"),
        ({"seed": "abc"}, "'abc'"),
        ({"files": ["a"]}, "contents by path"),
        ({"files": {"a": 1}}, "'a' must be str or bytes"),
    ],
)
def test_wrong_options_are_reported(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ConfigurationError, TypeError), match=message):
        Harness([Work(lambda daemon, args: None, name="work")], **options)


def test_without_files_there_are_none() -> None:
    with (
        Harness([Work(lambda daemon, args: None)]) as harness,
        pytest.raises(RuntimeError, match="has no files"),
    ):
        harness.files.append("a", "b")


def test_another_thread_is_told_to_be_spawned() -> None:
    raised: list[BaseException] = []

    def meddle() -> None:
        try:
            harness.run_until_idle()
        except RuntimeError as cause:
            raised.append(cause)

    with Harness([Work(lambda daemon, args: None)]) as harness:
        thread = threading.Thread(target=meddle)
        thread.start()
        thread.join(10.0)
    assert "spawn()" in str(raised[0])


def test_an_interrupt_ends_the_test_and_not_the_callback() -> None:
    def busy(daemon: Daemon, args: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with Harness([Work(busy)]) as harness:
            harness.queue.schedule("x")
            with pytest.raises(KeyboardInterrupt):
                harness.run_until_idle()
            harness.close()
        assert harness.dead_letters() == []
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


class Adder(ZenDaemonComponent):
    """Adds to a shared number by a timer, in three steps."""

    def __init__(self, name: str, box: dict[str, int]) -> None:
        super().__init__(name=name)
        self.box = box

    def setup(self, daemon: Daemon) -> None:
        daemon.io.call_every(1, self.tick)

    def tick(self, daemon: Daemon) -> None:
        number = self.box["n"]
        number += 1
        self.box["n"] = number


def add_by_timers(seed: int, **options: Any) -> int:
    box = {"n": 0}
    with Harness([Adder("a", box), Adder("b", box)], seed=seed, **options) as harness:
        harness.advance(10.5)
    return box["n"]


def test_timers_callbacks_are_interrupted_too() -> None:
    assert {add_by_timers(seed, interrupt=0.0) for seed in range(20)} == {20}
    assert min(add_by_timers(seed, interrupt=1.0) for seed in range(20)) < 20


def test_timers_callbacks_fail_on_purpose_too() -> None:
    box = {"n": 0}
    crash = Crash(point="timer", component="a", nth=3)
    with Harness([Adder("a", box)], faults=[crash]) as harness:
        harness.advance(10.5)
        (failure,) = harness.hook_failures()
    assert box["n"] == 9
    assert (failure.component, failure.hook) == ("a", "tick")


def test_what_a_timer_raises_fails_a_simulation() -> None:
    class Clumsy(Adder):
        def tick(self, daemon: Daemon) -> None:
            raise LookupError("oops")

    with pytest.raises(SimulationFailure, match="tick of c raised LookupError: oops"):
        simulate(lambda: [Clumsy("c", {})], seed=1, seconds=5.0)


class Own(ZenDaemonComponent):
    """Has attributes of its own with names of the base class's."""

    def __init__(self) -> None:
        super().__init__()
        self.clock = "12:00"
        self.random = 4  # type: ignore[assignment]

    def cbk(self, daemon: Daemon, args: Any) -> None:
        self.inc_statistic("x")

    def get_events(self) -> Any:
        return [self.gen_event_handler("x", self.cbk)]


def test_a_component_may_have_a_clock_and_random_numbers_of_its_own() -> None:
    component = Own()
    with Harness([component], seed=1) as harness:
        harness.queue.schedule("x")
        harness.advance(1)
        assert harness.statistics["Own"]["x"]["cnt"] == 1
    assert (component.clock, component.random) == ("12:00", 4)  # type: ignore[comparison-overlap]


def test_random_numbers_are_the_seeds_even_if_they_were_used_before() -> None:
    def draw() -> float:
        component = Work(lambda daemon, args: None)
        component.random.random()
        with Harness([component], seed=5):
            return component.random.random()

    assert draw() == draw()


def test_a_spawned_loop_that_does_not_end_hangs_nothing() -> None:
    def customer() -> None:
        while True:
            harness.daemon.wait(2)

    with Harness([Work(lambda daemon, args: None)]) as harness:
        harness.spawn(customer)
        harness.advance(3)
        assert harness.stop().drained
    assert not harness._hub.waiting()
