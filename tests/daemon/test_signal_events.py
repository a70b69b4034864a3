"""A signal becomes an event, unless an event that answers it is pending already."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from zenactors import VirtualClock, ZenDaemon, ZenDaemonComponent, handles
from zenactors.core.callbacks import Handler, gen_event_handler
from zenactors.daemon.signal_events import MERGE_TIMEOUT, PendingEvents, mapped_signals
from zenactors.errors import ConfigurationError
from zenactors.testing import Harness, VirtualFiles

SEEDS = range(20)


class Recorder(ZenDaemonComponent):
    """Notes when its callbacks begin, as a place in one list with the signals sent."""

    def __init__(self, story: list[str], *, prepend: bool = False) -> None:
        super().__init__(name="recorder")
        self.story = story
        self.prepend = prepend

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()

    def get_events(self) -> list[Handler]:
        events = ("signal_hup", "signal_usr1", "signal_usr2", "resized")
        return [gen_event_handler(each, self.callback_of(each), self.prepend) for each in events]

    def callback_of(self, event: str) -> Any:
        return lambda daemon, args: self.story.append(f"begun {event}")


def in_memory(daemon: ZenDaemon, **options: Any) -> Harness:
    return Harness(daemon, files=VirtualFiles(below=True), **options)


class Slow(ZenDaemon):
    """Takes its time to save a runlog, as a slow disk does."""

    seconds = 1.0

    def __init__(self, **options: Any) -> None:
        super().__init__(name="slow", **options)
        self.saved = 0

    def save_runlog(self, status: int | None = None) -> None:
        if status is None:
            self.saved += 1
            self.wait(self.seconds)


# --- pure ---------------------------------------------------------------------------------------


def test_one_event_is_pending_until_it_begins() -> None:
    pending = PendingEvents(VirtualClock())

    assert pending.add("signal_hup")
    assert not pending.add("signal_hup")
    assert pending.add("signal_usr1")

    pending.begun("signal_hup")
    assert pending.add("signal_hup")
    assert not pending.add("signal_usr1")


def test_an_event_that_never_begins_swallows_no_signal_for_good() -> None:
    clock = VirtualClock()
    pending = PendingEvents(clock)
    assert pending.add("signal_hup")

    clock.advance(MERGE_TIMEOUT - 0.1)
    assert not pending.add("signal_hup")
    clock.advance(0.1)
    assert pending.add("signal_hup")
    assert not pending.add("signal_hup")


def test_an_event_that_was_not_pending_may_begin() -> None:
    pending = PendingEvents(VirtualClock())

    pending.begun("signal_hup")

    assert pending.add("signal_hup")


def test_signals_are_mapped_by_their_names() -> None:
    found = mapped_signals({"SIGWINCH": "look"}, {"look", "line"})

    assert found == {signal.SIGWINCH: "look"}
    with pytest.raises(ConfigurationError, match=r"SIGCONT becomes event 'lok', which no comp"):
        mapped_signals({"SIGCONT": "lok"}, {"look"})


# --- whole daemons in virtual time --------------------------------------------------------------


def test_a_burst_of_signals_is_one_event() -> None:
    story: list[str] = []
    daemon = Slow(components=[Recorder(story)])
    with in_memory(daemon) as harness:
        for _ in range(100):
            harness.signal(signal.SIGUSR1)
        harness.advance(3.0)
        assert harness.counts()["signal_usr1"].accepted == 1

    assert (daemon.saved, story) == (1, ["begun signal_usr1"])


def test_signals_that_come_while_callbacks_run_are_one_more_event() -> None:
    story: list[str] = []
    daemon = Slow(components=[Recorder(story)])
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR1)
        harness.advance(0.5)
        assert daemon.saved == 1  # it has begun, and is not over
        for _ in range(100):
            harness.signal(signal.SIGUSR1)
        harness.advance(3.0)
        assert harness.counts()["signal_usr1"].accepted == 2

    assert (daemon.saved, len(story)) == (2, 2)


def test_signals_of_different_kinds_are_not_merged() -> None:
    story: list[str] = []
    with in_memory(ZenDaemon(name="d", components=[Recorder(story)])) as harness:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            harness.signal(number)
        harness.advance(1.0)

    assert sorted(story) == ["begun signal_hup", "begun signal_usr1", "begun signal_usr2"]


def test_an_event_that_the_program_schedules_is_never_merged() -> None:
    daemon = Slow(components=[Recorder([])])
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR1)
        for _ in range(3):
            harness.queue.schedule("signal_usr1")
        harness.advance(10.0)
        assert harness.counts()["signal_usr1"].accepted == 4

    assert daemon.saved == 4


def test_a_mapped_signal_without_a_callback_of_the_daemons_is_never_merged() -> None:
    story: list[str] = []
    daemon = ZenDaemon(
        name="d", components=[Recorder(story)], default_signals={"SIGWINCH": "resized"}
    )
    with in_memory(daemon) as harness:
        for _ in range(3):
            harness.signal(signal.SIGWINCH)
        harness.advance(1.0)

    assert story == ["begun resized"] * 3


def test_signals_are_not_merged_when_a_component_comes_before_the_daemon() -> None:
    story: list[str] = []
    daemon = ZenDaemon(name="d", components=[Recorder(story, prepend=True)])
    with in_memory(daemon) as harness:
        for _ in range(3):
            harness.signal(signal.SIGUSR1)
        harness.advance(1.0)

    assert story == ["begun signal_usr1"] * 3


def test_a_callback_that_replaces_the_daemons_own_is_still_called_for_later_signals() -> None:
    called: list[Any] = []

    class Own(ZenDaemon):
        def cbk_event_signal_usr1(self, daemon: Any, args: Any = None) -> tuple[int, Any]:
            called.append(args)
            return daemon.FLAG_CONTINUE, args

    with in_memory(Own(name="d", components=[Recorder([])])) as harness:
        for _ in range(3):
            harness.signal(signal.SIGUSR1)
            harness.advance(0.1)

    assert called == [None] * 3


def test_a_daemon_that_hangs_in_its_callback_keeps_no_signal_from_the_components() -> None:
    story: list[str] = []
    daemon = Slow(components=[Recorder(story)])
    daemon.seconds = 1_000.0
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR1)  # its callback begins, and hangs
        harness.advance(1.0)
        harness.signal(signal.SIGUSR1)  # pending
        harness.signal(signal.SIGUSR1)  # merged with it
        harness.advance(6.0)
        assert len(story) == 2
        harness.signal(signal.SIGUSR1)  # the daemon is passed over again
        harness.advance(6.0)
        assert len(story) == 3


def test_a_stopping_daemon_answers_no_signal_but_its_components_may() -> None:
    story: list[str] = []

    class Busy(ZenDaemonComponent):
        @handles("work")
        def cbk_event_work(self, daemon: Any, args: Any) -> None:
            daemon._runtime.event().wait(3.0)

    daemon = Slow(components=[Busy(), Recorder(story)], schedule=[("work",)])
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGINT)
        harness.advance(1.0)
        harness.signal(signal.SIGUSR1)
        harness.advance(1.0)
        assert harness.status is None

    assert (daemon.saved, story) == (0, ["begun signal_usr1"])


@pytest.mark.parametrize("seed", SEEDS)
def test_after_each_signal_its_callbacks_begin_once_more(seed: int) -> None:
    story: list[str] = []
    names = {signal.SIGUSR1: "signal_usr1", signal.SIGUSR2: "signal_usr2"}
    daemon = ZenDaemon(name="d", components=[Recorder(story)])
    with in_memory(daemon, seed=seed) as harness:
        for index in range(30):
            number = (signal.SIGUSR1, signal.SIGUSR2)[index % 3 == 0]
            story.append(f"sent {names[number]}")
            harness.signal(number)
            for _ in range((index * 7 + seed) % 13):
                harness.step()
        harness.advance(1.0)
        accepted = {name: harness.counts()[name].accepted for name in names.values()}

    for index, entry in enumerate(story):
        kind, _, name = entry.partition(" ")
        if kind == "sent":
            assert f"begun {name}" in story[index:], f"{name} was sent at {index} and not answered"
    for name, count in accepted.items():
        assert story.count(f"begun {name}") == count <= story.count(f"sent {name}")
