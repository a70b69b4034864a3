"""A component runs in one dispatcher at a time; the system's own list of threads says where."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import weakref
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, in_threads
from zenactors import Dispatcher, Replicas, ZenDaemonComponent, handles
from zenactors.actors.claims import claim, other_holder, release
from zenactors.actors.component_messages import Change
from zenactors.actors.runtime import Runtime
from zenactors.errors import ComponentStartError, ReloadError
from zenactors.testing import Harness


class Equal(ZenDaemonComponent):
    """Equals every other one, cannot be hashed, and can be pickled."""

    def __init__(self, name: str = "equal") -> None:
        super().__init__(name=name)
        self.set_ups = 0

    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = None  # type: ignore[assignment]

    def setup(self, daemon: Any) -> None:
        self.set_ups += 1

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None: ...


def holders(component: Any) -> bool:
    return other_holder(None, component) is not None


def refused(components: list[Any], match: str, **options: Any) -> None:
    with pytest.raises(ComponentStartError, match=match) as info:
        Dispatcher(components, **options).start()
    assert info.value.stage == "start"


def test_a_component_that_runs_is_refused_before_any_setup_and_runs_on() -> None:
    other, shared = Equal("other"), Equal("shared")
    with Dispatcher([shared]) as dispatcher:
        refused([other, shared], r"Component 'shared' failed in start: it runs already, in the")
        assert (other.set_ups, shared.set_ups) == (0, 1)
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.counts()["x"].completed == 1
    assert dispatcher.status == 0


def test_a_component_may_run_again_after_a_stop() -> None:
    shared = Equal()
    for _ in range(20):
        with Dispatcher([shared]):
            pass
        assert not holders(shared)
    assert shared.set_ups == 20


def test_a_start_that_was_refused_leaves_its_other_components_free() -> None:
    other, shared = Equal("other"), Equal("shared")
    with Dispatcher([shared]):
        refused([other, shared], "'shared'")
        with Dispatcher([other]):
            pass
    assert other.set_ups == 1


class Together(Runtime):
    """Lets the threads of several dispatchers begin at the same moment."""

    def __init__(self, barrier: threading.Barrier) -> None:
        super().__init__()
        self._barrier = barrier

    def enter(self, name: str) -> threading.Thread:
        if name != "zenactors:dispatcher":
            self._barrier.wait(DEADLINE)
        return super().enter(name)


def test_of_two_starts_at_the_same_time_never_both_succeed() -> None:
    for _ in range(20):
        shared = Equal()
        barrier = threading.Barrier(2)
        dispatchers = [Dispatcher([shared], runtime=Together(barrier)) for _ in range(2)]
        results = in_threads(2, lambda number: dispatchers[number].start())  # noqa: B023
        succeeded = [dispatcher for dispatcher in dispatchers if dispatcher.is_open]
        assert len(succeeded) <= 1
        assert shared.set_ups == len(succeeded)
        assert [type(each) for each in results if each is not None] == [ComponentStartError] * (
            2 - len(succeeded)
        )
        for dispatcher in dispatchers:
            dispatcher.stop()


def test_components_that_are_equal_are_not_the_same() -> None:
    with Dispatcher([Equal("a"), Equal("b")]), Dispatcher([Equal("c")]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)


def test_a_component_that_was_left_behind_is_not_free_until_its_thread_has_ended() -> None:
    gate = Gate()
    shared = Fake({"x": gate}, name="shared")
    dispatcher = Dispatcher([shared])
    dispatcher.start()
    (thread,) = dispatcher._engine.threads.values()
    dispatcher.queue.schedule("x")
    gate.await_entered()
    assert dispatcher.stop(drain=False).stuck == ("shared",)
    refused([shared], "'shared' failed in start: it runs already, in the thread 'zenactors:shared'")
    gate.open()
    thread.join(DEADLINE)
    with Dispatcher([shared]):
        pass


def test_a_fork_that_copies_a_thread_copies_no_claim(monkeypatch: pytest.MonkeyPatch) -> None:
    component = Equal()
    claim(threading.current_thread(), component)
    assert holders(component)
    monkeypatch.setattr(os, "getpid", lambda: 1)  # as in the child, where this thread goes on
    assert not holders(component)
    monkeypatch.undo()
    release(threading.current_thread())
    assert not holders(component)


def test_a_thread_that_has_ended_keeps_no_component_alive() -> None:
    component = Equal()
    watched = weakref.ref(component)
    dispatcher = Dispatcher([component])
    with dispatcher:
        (thread,) = dispatcher._engine.threads.values()
        assert holders(component)
    del component, dispatcher
    gc.collect()
    assert watched() is None
    assert not thread.is_alive()


def test_nothing_is_left_on_a_component() -> None:
    component = Equal()
    assert component.options == {}
    before = set(vars(component))
    with Dispatcher([component]):
        assert set(vars(component)) == before
        with (
            Dispatcher([pickle.loads(pickle.dumps(component))]),
            Dispatcher([copy.copy(component)]),
        ):
            pass


def test_each_instance_of_replicas_is_a_component_and_so_is_control() -> None:
    instance, control = Equal("instance"), Equal("control")
    with Dispatcher([Replicas(lambda: instance, 1, name="several")], control=control):
        refused([instance], "'instance'")
        refused([Replicas(lambda: instance, 1, name="again")], "'again/1'")
        refused([Equal("another")], "'control'", control=control)
        refused([control], "'control'")


def test_one_object_in_two_places_of_a_dispatcher_is_refused_too() -> None:
    instance = Equal("instance")
    refused([Replicas(lambda: instance, 1, name="several"), instance], "runs already")


def reload(dispatcher: Dispatcher, replacement: Any, *, refuse: bool = False) -> None:
    changes = {"first": Change({}, {"level": 1}, replacement)}
    if refuse:
        changes["second"] = Change({}, {"level": 1})
    dispatcher.reconfigure(changes, lambda: None)


class Refusing(Equal):
    def reconfigure(self, daemon: Any, config: Any) -> None:
        if config:
            raise ValueError("no")


def test_a_reload_hands_the_claim_over_and_a_rollback_hands_it_back() -> None:
    first, new = Equal("first"), Equal("new")
    with Dispatcher([first, Refusing("second")]) as dispatcher:
        with pytest.raises(ReloadError, match="'second'"):
            reload(dispatcher, new, refuse=True)
        assert (holders(first), holders(new)) == (True, False)
        reload(dispatcher, new)
        assert (holders(first), holders(new)) == (False, True)
        with Dispatcher([first]):
            pass
    assert not holders(new)


def test_a_replacement_that_runs_elsewhere_is_refused_and_the_old_object_stays() -> None:
    first, busy = Equal("first"), Equal("busy")
    with Dispatcher([busy]), Dispatcher([first]) as dispatcher:
        with pytest.raises(ReloadError, match="it runs already"):
            reload(dispatcher, busy)
        assert holders(first)
        assert busy.set_ups == 1
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
    assert dispatcher.status == 0
    assert not holders(first)


def test_a_replacement_whose_events_cannot_be_wired_claims_nothing() -> None:
    class Fickle(Equal):
        asked = 0

        def get_events(self) -> list[Any]:
            self.asked += 1
            if self.asked > 1:
                raise LookupError("no")
            return super().get_events()

    first, fickle = Equal("first"), Fickle("fickle")
    with Dispatcher([first]) as dispatcher:
        with pytest.raises(ReloadError, match="LookupError"):
            reload(dispatcher, fickle)
        assert (holders(first), holders(fickle)) == (True, False)


class Bare:
    """No `ZenDaemonComponent`: a harness leaves no mark on it."""

    def get_events(self) -> list[Any]:
        return []


def test_a_harness_takes_a_component_again_but_none_that_runs_in_a_thread() -> None:
    bare = Bare()
    for _ in range(2):
        with Harness([bare]) as harness:
            harness.run_until_idle()
    with (
        Dispatcher([bare]),
        pytest.raises(ComponentStartError, match="runs already"),
        Harness([bare]),
    ):
        pass
