"""A component as several actors: order, keys, failures, control events."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, switch_interval
from tests.running import run_python
from zenactors import ConfigurationError, Dispatcher, Replicas, ZenDaemonComponent, handles
from zenactors.actors.runtime import Runtime
from zenactors.components import (
    Deduplicator,
    FileTailer,
    JsonLinesWriter,
    SqliteSink,
    WindowedCounter,
)
from zenactors.core.replicas import _stable_hash


class Worker(ZenDaemonComponent):
    """Doubles its args, stops threes, fails on sevens; waits at the barrier if there is one."""

    def __init__(self, gate: threading.Barrier | None = None) -> None:
        super().__init__(name="worker")
        self.gate = gate
        self.seen: list[Any] = []
        self.events: list[str] = []
        self.threads: set[int] = set()

    def setup(self, daemon: Any) -> None:
        self.threads.add(threading.get_ident())

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: int) -> Any:
        self.threads.add(threading.get_ident())
        self.seen.append(args)
        if self.gate is not None:
            self.gate.wait(DEADLINE)
        if args % 10 == 7:
            raise ValueError("sevens are bad")
        if args % 10 == 3:
            return daemon.FLAG_STOP, args
        return daemon.FLAG_CONTINUE, args * 2

    @handles("start")
    @handles("stop")
    def cbk_event_control(self, daemon: Any, args: Any) -> None:
        self.events.append("control")


@pytest.mark.parametrize("ordering", ["component", "event", "global"])
def test_the_next_component_sees_the_events_in_order(ordering: Any) -> None:
    replicas, sink = Replicas(Worker, 4), Fake({"work": None})
    with switch_interval(50e-6), Dispatcher([replicas, sink], ordering=ordering) as dispatcher:
        for number in range(2000):
            dispatcher.queue.schedule("work", number)
        assert dispatcher.drain(DEADLINE)
        counts = dispatcher.counts()["work"]

    assert sink.seen == [n * 2 for n in range(2000) if n % 10 not in (3, 7)]
    assert (counts.completed, counts.stopped, counts.dead) == (1600, 200, 200)
    assert counts.accepted == 2000


def test_as_many_events_are_handled_at_a_time_as_there_are_replicas() -> None:
    gate = threading.Barrier(4)  # opens only when four callbacks wait together
    replicas, sink = Replicas(lambda: Worker(gate), 4), Fake({"work": None})
    with Dispatcher([replicas, sink]) as dispatcher:
        for number in (0, 1, 2, 4):
            dispatcher.queue.schedule("work", number)
        assert dispatcher.drain(DEADLINE)

    assert sink.seen == [0, 2, 4, 8]
    assert [len(each.seen) for each in replicas.instances] == [1, 1, 1, 1]


def test_each_instance_has_a_thread_of_its_own_for_setup_and_callbacks() -> None:
    replicas = Replicas(Worker, 3)
    with Dispatcher([replicas]) as dispatcher:
        for number in range(30):
            dispatcher.queue.schedule("work", number)
        assert dispatcher.drain(DEADLINE)

    threads = [each.threads for each in replicas.instances]
    assert all(len(each) == 1 for each in threads)
    assert len(set.union(*threads)) == 3


def test_events_with_equal_keys_are_handled_by_one_instance_in_order() -> None:
    replicas = Replicas(Worker, 3, key=lambda args: args % 5)
    with Dispatcher([replicas]) as dispatcher:
        for number in range(500):
            dispatcher.queue.schedule("work", number)
        assert dispatcher.drain(DEADLINE)

    for instance in replicas.instances:
        assert instance.seen == sorted(instance.seen)
    for key in range(5):
        assert sum(any(n % 5 == key for n in each.seen) for each in replicas.instances) == 1


def test_start_and_stop_reach_every_instance() -> None:
    replicas = Replicas(Worker, 3)
    with Dispatcher([replicas]):
        started = [len(each.events) for each in replicas.instances]

    assert started == [1, 1, 1]
    assert [len(each.events) for each in replicas.instances] == [2, 2, 2]


def test_replicas_are_named_after_their_router() -> None:
    with Dispatcher([Replicas(Worker, 2)]) as dispatcher:
        dispatcher.queue.schedule("work", 1)
        assert dispatcher.drain(DEADLINE)

        assert dispatcher.names == ["worker", "worker/1", "worker/2"]
        assert dispatcher.chains()["work"] == [("worker", "cbk_event_work")]


def test_instances_that_handle_different_events_are_refused() -> None:
    instances = iter([Worker(), Fake({"work": None})])

    with pytest.raises(ConfigurationError, match="handle different events"):
        Replicas(lambda: next(instances), 2)


def test_a_count_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="count must be at least 1, not 0"):
        Replicas(Worker, 0)


def test_a_key_that_raises_costs_one_event_and_nothing_else() -> None:
    replicas, sink = Replicas(Worker, 2, key=lambda args: {0: 0, 2: 1}[args]), Fake({"work": None})
    with Dispatcher([replicas, sink]) as dispatcher:
        for number in (0, 1, 2):
            dispatcher.queue.schedule("work", number)
        assert dispatcher.drain(DEADLINE)
        counts = dispatcher.counts()["work"]

    assert sink.seen == [0, 4]
    assert (counts.completed, counts.dead) == (2, 1)
    assert isinstance(dispatcher.dead_letters()[0].cause, KeyError)
    assert dispatcher.status == 0


def test_a_control_event_that_ended_before_the_replicas_passes_them_by() -> None:
    class Veto(ZenDaemonComponent):
        @handles("stop")
        def cbk_event_stop(self, daemon: Any, args: Any) -> Any:
            return daemon.FLAG_STOP, args

    replicas = Replicas(Worker, 2)
    with Dispatcher([Veto(), replicas], stop_timeout=DEADLINE) as dispatcher:
        pass
    report = dispatcher.stop()

    assert (report.left, report.stuck, dispatcher.counts()["stop"].stopped) == (0, (), 1)
    assert [len(each.events) for each in replicas.instances] == [1, 1]  # start only


def test_a_control_event_that_fails_in_any_replica_is_dead() -> None:
    class Fragile(ZenDaemonComponent):
        number = 0

        @handles("check")
        def cbk_event_check(self, daemon: Any, args: Any) -> None:
            if self.number:
                raise ValueError("not me")

    made = iter(range(3))

    def make() -> Fragile:
        fragile = Fragile()
        fragile.number = next(made)
        return fragile

    with Dispatcher([Replicas(make, 3)]) as dispatcher:
        dispatcher.queue.schedule_priority("check")

    counts = dispatcher.counts()["check"]
    assert (counts.completed, counts.dead) == (0, 1)


def test_with_event_ordering_a_slow_chain_holds_up_no_other_behind_the_router() -> None:
    gate, seen = threading.Event(), threading.Event()

    class Both(ZenDaemonComponent):
        @handles("slow")
        def cbk_event_slow(self, daemon: Any, args: Any) -> None:
            gate.wait(DEADLINE)

        @handles("fast")
        def cbk_event_fast(self, daemon: Any, args: Any) -> None:
            pass

    class After(ZenDaemonComponent):
        @handles("fast")
        def cbk_event_fast(self, daemon: Any, args: Any) -> None:
            seen.set()

    with Dispatcher([Replicas(Both, 2), After()], ordering="event") as dispatcher:
        dispatcher.queue.schedule("slow")
        dispatcher.queue.schedule("fast")
        assert seen.wait(DEADLINE)
        gate.set()


def test_one_object_for_two_replicas_is_refused() -> None:
    shared = Worker()

    with pytest.raises(ConfigurationError, match="returned the same Worker twice"):
        Replicas(lambda: shared, 2)


def test_replicas_keep_their_callbacks_in_a_second_dispatcher() -> None:
    saw: list[int] = []

    def wired(count: int) -> Runtime:
        class Counting(Runtime):
            def handlers(
                self, component: str, handlers: list[Any], instead_of: Any = None
            ) -> list[Any]:
                return [{**each, "callback": note(each["callback"])} for each in handlers]

        def note(callback: Any) -> Any:
            def noted(daemon: Any, args: Any) -> Any:
                saw.append(count)
                return callback(daemon, args)

            return noted

        return Counting()

    replicas = Replicas(lambda: Fake({"x": None}), 2)
    for count in (1, 2):
        with Dispatcher([replicas], runtime=wired(count)) as dispatcher:
            dispatcher.queue.schedule("x")
    assert saw == [1, 2]


PRINT_SHARES = """
from zenactors.components import (
    Deduplicator,
    FileTailer,
    JsonLinesWriter,
    SqliteSink,
    WindowedCounter,
)
from zenactors.core.replicas import _stable_hash
print([_stable_hash(key) for key in ("a", b"a", 7, None, ("a", None, 1.5), ("b", ("c",)))])
"""


def test_keys_have_the_same_hash_in_every_process() -> None:
    done = [run_python("-c", PRINT_SHARES, PYTHONHASHSEED=seed) for seed in ("1", "2", "3")]
    assert [each.stderr for each in done] == [""] * 3
    assert len({each.stdout for each in done}) == 1


def test_a_key_with_a_hash_of_its_own_keeps_it() -> None:
    class AnyCase(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            return self.lower() == str(other).lower()

        def __hash__(self) -> int:
            return hash(self.lower())

    assert _stable_hash(AnyCase("Key")) == _stable_hash(AnyCase("kEY"))


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: SqliteSink(path="x.db"), "There are no replicas of SqliteSink: a"),
        (lambda: JsonLinesWriter(path="x"), "There are no replicas of JsonLinesWriter: a"),
        (lambda: Deduplicator(keys=["id"]), "each would know a part of the keys. Take one."),
        (lambda: WindowedCounter(by=[], size=60.0), "each would count a part of the records"),
        (lambda: FileTailer(patterns=["x"]), "each would read all files. Take one, or give each"),
    ],
)
def test_there_are_none_of_components_whose_state_is_for_all_events(make, reason):
    with pytest.raises(ConfigurationError, match=reason):
        Replicas(make, 2)
