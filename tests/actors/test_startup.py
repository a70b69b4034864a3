from __future__ import annotations

import threading
from typing import Any

import pykka
import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate, raising
from zenactors import ZenDaemon
from zenactors.actors import engine
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.core.phase import Lifecycle, Phase
from zenactors.errors import EXIT_START_FAILED, ComponentStartError, NotRunningError


def own_threads() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("zenactors:")]


def await_end_of_threads() -> None:
    for thread in own_threads():
        thread.join(DEADLINE)


def assert_nothing_runs() -> None:
    assert own_threads() == []


def test_setup_runs_in_order_and_teardown_in_reverse() -> None:
    log: list[str] = []

    def component(name: str) -> Fake:
        return Fake(
            name=name,
            setup=lambda _: log.append(f"+{name}"),
            teardown=lambda _: log.append(f"-{name}"),
        )

    with Dispatcher([component("a"), component("b"), component("c")]):
        assert log == ["+a", "+b", "+c"]
    assert log == ["+a", "+b", "+c", "-c", "-b", "-a"]


def test_everything_of_a_component_runs_in_one_thread_of_its_own() -> None:
    threads: dict[str, threading.Thread] = {}
    timer_ran = threading.Event()

    def note(what: str) -> Any:
        def callback(*_: Any) -> None:
            threads[what] = threading.current_thread()
            if what == "timer":
                timer_ran.set()

        return callback

    def setup(daemon: Any) -> None:
        note("setup")()
        daemon.io.call_later(0.0, note("timer"))

    first = Fake({"start": note("start"), "x": note("x")}, setup=setup, teardown=note("teardown"))
    second = Fake({"x": note("other")}, name="other")
    with Dispatcher([first, second]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert timer_ran.wait(DEADLINE)
    other = threads.pop("other")
    assert set(threads) == {"setup", "timer", "start", "x", "teardown"}
    assert len(set(threads.values())) == 1
    assert other not in threads.values()
    assert threading.current_thread() not in threads.values()
    assert threads["setup"].name == "zenactors:fake"


def test_nothing_else_begins_before_every_start_callback_has_returned() -> None:
    log: list[str] = []

    def start(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("x", "from start")
        log.append("start")

    first = Fake({"start": start, "x": lambda *_: log.append("x")}, name="first")
    gate = Gate()
    last = Fake({"start": gate, "x": None}, name="last")
    dispatcher = Dispatcher([first, last])
    dispatcher.queue.schedule("x", "before")
    dispatcher.queue.schedule_priority("x", "urgent")
    dispatcher.queue.schedule_after(0.0, "x", "timed")
    starting = threading.Thread(target=dispatcher.start)
    starting.start()
    gate.await_entered()
    assert dispatcher.queue.count() == 4  # all wait for the start
    assert log == ["start"]
    gate.open()
    starting.join(DEADLINE)
    assert dispatcher.drain(DEADLINE)
    dispatcher.stop()
    assert log == ["start", "x", "x", "x", "x"]
    assert first.seen[1] == "urgent"


@pytest.mark.parametrize("cause", [ValueError("no"), SystemExit(3), KeyboardInterrupt()])
def test_a_setup_that_raises_makes_the_start_fail_with_its_name_and_cause(
    cause: BaseException,
) -> None:
    log: list[str] = []
    good = Fake(name="good", teardown=lambda _: log.append("torn down"))
    bad = Fake(name="bad", setup=raising(cause), teardown=lambda _: log.append("never"))
    never = Fake(name="never", setup=lambda _: log.append("never"))
    dispatcher = Dispatcher([good, bad, never])
    with pytest.raises(ComponentStartError, match="'bad' failed in setup") as info:
        dispatcher.start()
    assert info.value.__cause__ is cause
    assert (info.value.component, info.value.stage) == ("bad", "setup")
    assert log == ["torn down"]
    assert_nothing_runs()


@pytest.mark.parametrize("cause", [ValueError("no"), SystemExit(3)])
def test_a_start_callback_that_raises_makes_the_start_fail(cause: BaseException) -> None:
    log: list[str] = []
    good = Fake({"start": None}, name="good", teardown=lambda _: log.append("torn down"))
    bad = Fake({"start": raising(cause)}, name="bad")
    with pytest.raises(ComponentStartError, match="'bad' failed in start") as info:
        Dispatcher([good, bad]).start()
    assert info.value.__cause__ is cause
    assert (info.value.component, info.value.stage) == ("bad", "start")
    assert log == ["torn down"]
    assert_nothing_runs()


def test_a_setup_that_hangs_makes_the_start_fail_and_is_torn_down_when_it_returns() -> None:
    gate = Gate()
    torn = threading.Event()
    hangs = Fake(name="hangs", setup=gate, teardown=lambda _: torn.set())
    dispatcher = Dispatcher([Fake(name="good"), hangs], start_timeout=0.2)
    with pytest.raises(ComponentStartError, match=r"'hangs' failed in setup: no answer in 0\.2 s"):
        dispatcher.start()
    assert [t.name for t in own_threads()] == ["zenactors:hangs"]  # threads cannot be killed
    assert dispatcher.stop().stuck == ("hangs",)
    gate.open()
    assert torn.wait(DEADLINE)
    await_end_of_threads()
    assert_nothing_runs()


def test_a_start_callback_that_hangs_makes_the_start_fail_with_its_name() -> None:
    gate = Gate()
    good, hangs = Fake({"start": None}, name="good"), Fake({"start": gate}, name="hangs")
    dispatcher = Dispatcher([good, hangs], start_timeout=0.2)
    with pytest.raises(ComponentStartError, match=r"'hangs' failed in start: no answer in 0\.2 s"):
        dispatcher.start()
    assert [t.name for t in own_threads()] == ["zenactors:hangs"]
    gate.open()
    await_end_of_threads()
    assert_nothing_runs()


def test_a_start_stopped_by_another_thread_ends_and_tears_down_what_was_being_set_up() -> None:
    gate = Gate()
    log: list[str] = []
    slow = Fake(name="slow", setup=gate, teardown=lambda _: log.append("slow"))
    never = Fake(name="never", setup=lambda _: log.append("never"))
    dispatcher = Dispatcher([slow, never])
    causes: list[BaseException] = []

    def start() -> None:
        try:
            dispatcher.start()
        except NotRunningError as cause:
            causes.append(cause)

    starting = threading.Thread(target=start)
    starting.start()
    gate.await_entered()
    stopping = threading.Thread(target=dispatcher.stop)
    stopping.start()
    assert dispatcher.wait(DEADLINE)
    gate.open()
    stopping.join(DEADLINE)
    starting.join(DEADLINE)
    assert not starting.is_alive()
    assert log == ["slow"]
    assert len(causes) == 1
    assert dispatcher.stop().stuck == ()
    assert_nothing_runs()


def test_a_start_that_hangs_ends_at_once_when_another_thread_stops_it() -> None:
    gate = Gate()
    dispatcher = Dispatcher([Fake(setup=gate)], start_timeout=600.0)
    causes: list[type[BaseException]] = []

    def start() -> None:
        try:
            dispatcher.start()
        except NotRunningError as cause:
            causes.append(type(cause))

    starting = threading.Thread(target=start)
    starting.start()
    gate.await_entered()
    assert dispatcher.stop(drain=False).stuck == ("fake",)
    starting.join(DEADLINE)
    assert causes == [NotRunningError]
    gate.open()
    await_end_of_threads()
    assert_nothing_runs()


def refuse_thread(monkeypatch: pytest.MonkeyPatch, number: int, cause: Exception) -> None:
    """Let the system refuse one of the threads that start from now on."""
    started: list[threading.Thread] = []
    original = threading.Thread.start

    def start(thread: threading.Thread) -> None:
        started.append(thread)
        if len(started) == number:
            raise cause
        original(thread)

    monkeypatch.setattr(threading.Thread, "start", start)


@pytest.mark.parametrize(
    ("number", "name"), [(1, "dispatcher"), (2, "first"), (3, "second"), (4, "third")]
)
@pytest.mark.parametrize("cause", [RuntimeError("can't start new thread"), MemoryError()])
def test_a_thread_that_the_system_refuses_fails_the_start_and_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch, number: int, name: str, cause: Exception
) -> None:
    log: list[str] = []
    components = [
        Fake(name=each, setup=lambda _: log.append("never"))
        for each in ("first", "second", "third")
    ]
    refuse_thread(monkeypatch, number, cause)
    with pytest.raises(ComponentStartError, match="no thread can be started for it") as info:
        Dispatcher(components).start()
    assert_nothing_runs()
    assert pykka.ActorRegistry.get_all() == []
    assert info.value.component == name
    assert info.value.__cause__ is cause
    assert "ulimit -u" in str(info.value)
    assert "\n" not in str(info.value)
    assert log == []


def test_a_daemon_that_gets_no_thread_ends_as_after_any_start_that_fails(
    monkeypatch: pytest.MonkeyPatch, logged: list[tuple[str, str, dict[str, Any]]]
) -> None:
    daemon = ZenDaemon(name="d", components=[Fake(name="first"), Fake(name="second")])
    refuse_thread(monkeypatch, 3, RuntimeError("can't start new thread"))
    assert daemon.serve() == EXIT_START_FAILED
    errors = [message for level, message, _ in logged if level == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("Component 'first' failed in start: no thread can be started")
    assert_nothing_runs()


class BrokenSecond(Runtime):
    """Threads that begin, but one of which gets no further."""

    def enter(self, name: str) -> threading.Thread:
        if name == "zenactors:second":
            raise MemoryError
        return super().enter(name)


def test_an_actor_whose_thread_fails_at_once_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "ASK_TIMEOUT", 0.2)
    dispatcher = Dispatcher([Fake(name="first"), Fake(name="second")], runtime=BrokenSecond())
    with pytest.raises(ComponentStartError, match="'second' failed in start: its thread has not"):
        dispatcher.start()
    await_end_of_threads()
    assert_nothing_runs()


def test_a_stop_that_overlaps_the_opening_is_not_reverted_by_it() -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    engine = dispatcher._engine
    halting = threading.Event()

    class Racing(Lifecycle):
        """Another thread halts when the start is about to open."""

        def advance(self, phase: Phase) -> Phase | None:
            if phase is Phase.OPEN and not halting.is_set():
                halting.set()
                engine.halt()
            return super().advance(phase)

    engine.lifecycle.__class__ = Racing
    dispatcher.start()
    assert dispatcher.halted
    assert not engine.lifecycle.admits
    dispatcher.stop()


def test_a_component_needs_no_hooks() -> None:
    class Bare:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def get_events(self) -> list[Any]:
            return [{"event": "x", "callback": lambda _daemon, args: self.seen.append(args)}]

    bare = Bare()
    with Dispatcher([bare]) as dispatcher:
        dispatcher.queue.schedule("x", 1)
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.get_statistics() == {"Bare": {}}
        assert dispatcher.get_state() == {"Bare": {}}
    assert bare.seen == [1]
