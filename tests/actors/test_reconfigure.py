"""New options for running components: all of them get theirs, or none does."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from zenactors import Dispatcher, Replicas, SystemClock, ZenDaemonComponent, handles
from zenactors.actors.component_messages import Change
from zenactors.errors import EXIT_SOFTWARE, ReloadError
from zenactors.testing import Crash, Harness, explore

DEADLINE = 30.0  # seconds: generous, so that only a hang fails


class Hooked(ZenDaemonComponent):
    """Has `reconfigure`, and notes the options with which it handles each event."""

    def __init__(self, *, name: str, level: int = 1, refuse: Any = None) -> None:
        super().__init__(name=name)
        self.level = level
        self.refuse = refuse
        self.calls: list[tuple[Any, Any]] = []
        self.seen: list[int] = []

    def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
        self.calls.append((self.options.get("level"), config["level"]))
        if config["level"] == self.refuse:
            raise OSError("no such level")
        self.level = config["level"]

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        self.seen.append(self.level)
        self.inc_statistic("worked")


class Plain(ZenDaemonComponent):
    """Has no `reconfigure`: it is replaced, or torn down and set up again."""

    def __init__(self, *, level: int = 1, log: list[str] | None = None) -> None:
        super().__init__(name="plain")
        self.level = level
        self.steps = [] if log is None else log
        self.fails = False

    def setup(self, daemon: Any) -> None:
        if self.fails:
            raise OSError("port in use")
        self.steps.append(f"setup {self.level}")
        daemon.io.keep_alive()
        daemon.io.call_every(1.0, self.tick)

    def tick(self, daemon: Any) -> None:
        self.steps.append(f"tick {self.level}")

    def teardown(self, daemon: Any) -> None:
        self.steps.append(f"teardown {self.level}")

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        self.steps.append(f"work {self.level}")
        self.inc_statistic("worked")


class Reloader(ZenDaemonComponent):
    """Reloads in its own thread, as the daemon's callback does."""

    def __init__(self, changes: Mapping[str, Change]) -> None:
        super().__init__(name="reloader")
        self.changes = changes
        self.outcome = ""
        self.rollbacks = 0

    def on_rollback(self) -> None:
        self.rollbacks += 1

    @handles("reload")
    def cbk_event_reload(self, daemon: Any, args: Any) -> None:
        try:
            daemon.reconfigure(self.changes, self.on_rollback)
        except ReloadError as cause:
            self.outcome = str(cause)
        else:
            self.outcome = "done"


def change(replacement: Any = None) -> Change:
    return Change({"level": 1}, {"level": 2}, replacement)


def test_a_component_with_the_hook_gets_its_new_options() -> None:
    hooked = Hooked(name="hooked")
    reloader = Reloader({"hooked": change()})
    with Harness([hooked, reloader]) as harness:
        harness.queue.schedule("work")
        harness.run_until_idle()
        harness.queue.schedule("reload")
        harness.run_until_idle()
        harness.queue.schedule("work")
        harness.run_until_idle()

    assert reloader.outcome == "done"
    assert reloader.rollbacks == 0
    assert hooked.calls == [(1, 2)]
    assert hooked.options == {"level": 2}
    assert hooked.seen == [1, 2]


def test_a_component_without_the_hook_is_replaced_and_keeps_its_counters() -> None:
    steps: list[str] = []
    old, new = Plain(log=steps), Plain(level=2, log=steps)
    reloader = Reloader({"plain": change(new)})
    with Harness([old, reloader]) as harness:
        harness.queue.schedule("work")
        harness.advance(0.5)
        harness.queue.schedule("reload")
        harness.advance(0.0)
        harness.queue.schedule("work")
        harness.advance(1.0)
        statistics = harness.statistics["plain"]
        assert harness.component("plain") is new

    assert reloader.outcome == "done"
    assert steps == [
        "setup 1", "work 1", "teardown 1", "setup 2", "work 2", "tick 2", "teardown 2",
    ]  # fmt: skip
    assert statistics["worked"]["cnt"] == 2
    assert new.options == {"level": 2}


def test_without_a_replacement_it_is_torn_down_and_set_up_again() -> None:
    plain = Plain()
    reloader = Reloader({"plain": change()})
    with Harness([plain, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(0.5)

    assert reloader.outcome == "done"
    assert plain.steps == ["setup 1", "teardown 1", "setup 1", "teardown 1"]
    assert plain.options == {"level": 2}


def test_the_reason_of_a_refusal_has_no_secret() -> None:
    class Talkative(ZenDaemonComponent):
        def __init__(self, token: str = "open sesame") -> None:
            super().__init__(name="talkative")

        def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
            raise ValueError(f"{self.options['token']} or {config['token']}")

    asked = Change({"token": "open sesame"}, {"token": "shut sesame"})
    reloader = Reloader({"talkative": asked})
    with Harness([Talkative(), reloader]) as harness:
        harness.queue.schedule("reload")
        harness.run_until_idle()

    assert "cannot take its new options: ValueError: *** or ***" in reloader.outcome


def test_if_one_component_refuses_all_have_their_old_options_again() -> None:
    first, second = Hooked(name="first"), Hooked(name="second", refuse=2)
    reloader = Reloader({"first": change(), "second": change()})
    with Harness([first, second, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.run_until_idle()

    assert "'second' cannot take its new options: OSError: no such level" in reloader.outcome
    assert reloader.rollbacks == 1
    assert (first.level, second.level) == (1, 1)
    assert first.calls[-1][1] == second.calls[-1][1] == 1


def test_a_refusal_is_noticed_at_once_even_if_going_back_takes_long() -> None:
    class Slow(Hooked):
        def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
            # It refuses after the other has changed. Virtual seconds, which no stop ends.
            daemon._runtime.event().wait(5.0 if self.calls else 0.5)
            super().reconfigure(daemon, config)

    quick, slow = Hooked(name="quick"), Slow(name="slow", refuse=2)
    reloader = Reloader({"quick": change(), "slow": change()})
    with Harness([quick, slow, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(1.0)
        assert [new for _, new in quick.calls] == [2, 1]
        harness.advance(5.0)
        assert [new for _, new in slow.calls] == [2, 1]

    assert "no such level" in reloader.outcome


def test_a_replacement_that_cannot_be_set_up_leaves_the_old_one_at_work() -> None:
    steps: list[str] = []
    old, new = Plain(log=steps), Plain(level=2, log=steps)
    new.fails = True
    reloader = Reloader({"plain": change(new)})
    with Harness([old, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(0.0)
        harness.queue.schedule("work")
        harness.advance(1.0)
        assert harness.component("plain") is old

    assert "port in use" in reloader.outcome
    assert steps == ["setup 1", "teardown 1", "setup 1", "work 1", "tick 1", "teardown 1"]


def test_a_component_that_can_neither_change_nor_roll_back_stops_the_daemon() -> None:
    old, new = Plain(), Plain(level=2)
    new.fails = True
    reloader = Reloader({"plain": change(new)})
    harness = Harness([old, reloader])
    harness.start()
    old.fails = True
    harness.queue.schedule("reload")
    harness.wait_until(lambda: harness.daemon.halted)

    assert harness.daemon.status == EXIT_SOFTWARE
    harness.close()


def test_a_component_that_cannot_roll_back_handles_nothing_more() -> None:
    class Sending(Plain):
        def teardown(self, daemon: Any) -> None:
            daemon.queue.schedule("work")  # it is under way when the component is down

    steps: list[str] = []
    old, new = Sending(log=steps), Plain(level=2)
    new.fails = True
    with Harness([old, Reloader({"plain": change(new)})]) as harness:
        old.fails = True
        harness.queue.schedule("reload")
        harness.run_until_idle()
        assert harness.daemon.counts()["work"].in_flight == 1
    assert steps == ["setup 1"]


def test_a_component_that_refuses_new_and_old_options_keeps_what_it_has() -> None:
    class Stubborn(Hooked):
        def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
            raise TypeError("not these")

    stubborn = Stubborn(name="stubborn")
    reloader = Reloader({"stubborn": change()})
    with Harness([stubborn, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.run_until_idle()
        harness.queue.schedule("work")
        harness.run_until_idle()
        assert len(harness.hook_failures()) == 2
        assert not harness.daemon.halted

    assert "TypeError: not these" in reloader.outcome
    assert stubborn.seen == [1]


def test_a_replacement_whose_get_events_raises_is_refused() -> None:
    class Moody(Plain):
        asked = 0

        def get_events(self) -> Any:
            self.asked += 1
            if self.asked > 1:
                raise RuntimeError("not twice")
            return super().get_events()

    old, new = Plain(), Moody()
    reloader = Reloader({"plain": change(new)})
    with Harness([old, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(0.0)
        harness.queue.schedule("work")
        harness.advance(0.5)
        assert harness.component("plain") is old

    assert "RuntimeError: not twice" in reloader.outcome
    assert old.steps == ["setup 1", "teardown 1", "setup 1", "work 1", "teardown 1"]


def test_a_replacement_that_handles_other_events_is_refused_before_anything_changes() -> None:
    class Other(Plain):
        @handles("more")
        def cbk_event_more(self, daemon: Any, args: Any) -> None: ...

    hooked, plain = Hooked(name="hooked"), Plain()
    reloader = Reloader({"hooked": change(), "plain": change(Other())})
    with Harness([hooked, plain, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(0.0)

    assert "'plain' would handle other events than now: that needs a restart" in reloader.outcome
    assert hooked.calls == []
    assert plain.steps == ["setup 1", "teardown 1"]


def test_every_replica_gets_the_options() -> None:
    replicas = Replicas(lambda: Hooked(name="hooked"), 3)
    reloader = Reloader({"hooked": change()})
    with Harness([replicas, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.run_until_idle()

    assert reloader.outcome == "done"
    assert [each.level for each in replicas.instances] == [2, 2, 2]


def test_a_stop_ends_a_reload_that_waits_for_a_busy_component() -> None:
    class Busy(Hooked):
        @handles("block")
        def cbk_event_block(self, daemon: Any, args: Any) -> None:
            while not daemon.wait(60.0):
                pass

    busy, quick = Busy(name="busy"), Hooked(name="quick")
    reloader = Reloader({"busy": change(), "quick": change()})
    with Harness([busy, quick, reloader]) as harness:
        harness.queue.schedule("block")
        harness.advance(0.0)
        harness.queue.schedule("reload")
        harness.advance(1.0)
        harness.daemon.set_done()
        harness.advance(0.0)

        assert reloader.outcome == "The daemon stops; not reconfigured: 'busy'"
    assert (busy.level, quick.level) == (1, 1)


def test_a_busy_component_keeps_its_old_options_and_so_do_the_others() -> None:
    class Slow(Hooked):
        @handles("block")
        def cbk_event_block(self, daemon: Any, args: Any) -> None:
            daemon.wait(60.0)

    slow, quick = Slow(name="slow"), Hooked(name="quick")
    reloader = Reloader({"slow": change(), "quick": change()})
    with Harness([slow, quick, reloader]) as harness:
        harness.queue.schedule("block")
        harness.advance(0.0)
        harness.queue.schedule("reload")
        harness.advance(10.0)
        assert reloader.outcome == "Not reconfigured in 8 s, because busy: 'slow'"
        assert quick.level == 1
        harness.advance(60.0)

    assert (slow.calls, slow.level) == ([], 1)


def test_a_stop_waits_for_a_reload_no_longer_than_for_its_rollback() -> None:
    class Hanging(Hooked):
        def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
            for _ in range(100):
                daemon.queue.count()
                gate.wait(DEADLINE)

    gate, asked = threading.Event(), threading.Event()
    hanging = Hanging(name="hanging")
    outcome: list[Any] = []
    clock = SystemClock()

    def reload() -> None:
        asked.set()
        try:
            dispatcher.reconfigure({"hanging": change()}, lambda: None)
        except ReloadError as cause:
            outcome.append((str(cause), clock.monotonic()))

    with Dispatcher([hanging]) as dispatcher:
        reloading = threading.Thread(target=reload)
        reloading.start()
        assert asked.wait(DEADLINE)
        begun = clock.monotonic()
        dispatcher.set_done()
        reloading.join(DEADLINE)
        gate.set()

    [(reason, ended)] = outcome
    assert reason == "The daemon stops; not reconfigured: 'hanging'"
    assert ended - begun < 6.0  # 2 s for the rollback, and not the 10 s of a reload


def test_a_component_that_changes_too_late_rolls_back_itself() -> None:
    class Slow(Hooked):
        def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
            if config["level"] == 2:
                daemon.wait(60.0)
            super().reconfigure(daemon, config)

    slow = Slow(name="slow")
    reloader = Reloader({"slow": change()})
    with Harness([slow, reloader]) as harness:
        harness.queue.schedule("reload")
        harness.advance(10.0)
        assert "because busy: 'slow'" in reloader.outcome
        harness.advance(60.0)

    assert [new for _, new in slow.calls] == [2, 1]
    assert slow.level == 1


@pytest.mark.parametrize(
    "seeds", [range(20), pytest.param(range(20, 200), marks=pytest.mark.slow)], ids=str
)
def test_events_that_wait_during_a_reload_are_all_handled_in_order(seeds: range) -> None:
    """In any order in which actors run, and wherever callbacks are interrupted."""

    class Numbered(Hooked):
        @handles("number")
        def cbk_event_number(self, daemon: Any, args: Any) -> None:
            self.seen.append(args)

    def build() -> list[Any]:
        return [Numbered(name="hooked"), Plain(), Reloader({})]

    def drive(harness: Harness) -> None:
        hooked, reloader = harness.component("hooked"), harness.component("reloader")
        reloader.changes = {"hooked": change(), "plain": change(Plain(level=2))}
        for number in range(20):
            harness.queue.schedule("number", number)
            harness.queue.schedule("work")
            if number == 10:
                harness.queue.schedule("reload")
        harness.advance(0.5)
        assert [each for each in hooked.seen if each not in (1, 2)] == [0, *range(3, 20)]
        assert harness.statistics["plain"]["worked"]["cnt"] == 20
        levels = {hooked.level, harness.component("plain").level}
        assert levels == ({2} if reloader.outcome == "done" else {1})

    explore(build, seeds=seeds, drive=drive, seconds=1.0)


@pytest.mark.parametrize("component", ["hooked", "plain"])
def test_an_injected_crash_of_the_hook_rolls_back(component: str) -> None:
    hooked, plain = Hooked(name="hooked"), Plain()
    reloader = Reloader({"hooked": change(), "plain": change(Plain(level=2))})
    point = "reconfigure" if component == "hooked" else "setup"
    nth = 1 if component == "hooked" else 2
    faults = [Crash(point=point, component=component, nth=nth)]  # type: ignore[arg-type]
    with Harness([hooked, plain, reloader], faults=faults) as harness:
        harness.queue.schedule("reload")
        harness.advance(0.5)
        assert harness.component("plain") is plain

    assert "InjectedCrash" in reloader.outcome
    assert hooked.level == 1


@pytest.fixture
def real() -> Iterator[tuple[Dispatcher, Hooked, Plain]]:
    hooked, plain = Hooked(name="hooked"), Plain()
    with Dispatcher([hooked, plain]) as dispatcher:
        yield dispatcher, hooked, plain


def test_components_change_on_real_threads_under_load(
    real: tuple[Dispatcher, Hooked, Plain],
) -> None:
    dispatcher, hooked, plain = real
    stop = threading.Event()
    sent = 0

    def produce() -> None:
        nonlocal sent
        while not stop.is_set():
            dispatcher.queue.schedule("work")
            sent += 1

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for level in range(2, 30):
            dispatcher.reconfigure(
                {
                    "hooked": Change({"level": level - 1}, {"level": level}),
                    "plain": Change({"level": level - 1}, {"level": level}, Plain(level=level)),
                },
                on_rollback=lambda: None,
            )
    finally:
        stop.set()
        producer.join()
    assert dispatcher.drain(DEADLINE)

    assert hooked.level == 29
    assert len(hooked.seen) == sent
    assert hooked.seen == sorted(hooked.seen)
    assert dispatcher.get_statistics()["plain"]["worked"]["cnt"] == sent
    assert plain.steps[-1] == "teardown 1"
