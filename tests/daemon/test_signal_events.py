"""Each signal becomes an event; the daemon's own work answers all that came before it began."""

from __future__ import annotations

import signal
from typing import Any

import pytest

from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.core.callbacks import Handler, gen_event_handler
from zenactors.daemon.signal_events import SignalAnswers, mapped_signals
from zenactors.errors import ConfigurationError
from zenactors.testing import Harness, VirtualFiles

SEEDS = range(5)
MORE_SEEDS = range(5, 20)


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
    return Harness(daemon, files=VirtualFiles(), **options)


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


def test_one_answer_serves_all_signals_that_came_before_it() -> None:
    answers = SignalAnswers()
    for _ in range(3):
        answers.received("signal_hup")

    assert [answers.is_due("signal_hup") for _ in range(3)] == [True, False, False]

    answers.received("signal_hup")
    assert answers.is_due("signal_hup")


def test_a_signal_that_comes_during_an_answer_needs_another() -> None:
    answers = SignalAnswers()
    answers.received("signal_hup")
    answers.received("signal_hup")
    assert answers.is_due("signal_hup")
    answers.received("signal_hup")  # while it is answered

    assert sum(answers.is_due("signal_hup") for _ in range(2)) == 1


def test_an_event_without_a_signal_is_due() -> None:
    answers = SignalAnswers()
    assert answers.is_due("signal_hup")
    answers.received("signal_usr1")
    assert answers.is_due("signal_hup")
    assert answers.is_due("signal_usr1")


def test_signals_are_mapped_by_their_names() -> None:
    found = mapped_signals({"SIGWINCH": "look"}, {"look", "line"})

    assert found == {signal.SIGWINCH: "look"}
    with pytest.raises(ConfigurationError, match=r"SIGCONT becomes event 'lok', which no comp"):
        mapped_signals({"SIGCONT": "lok"}, {"look"})


# --- whole daemons in virtual time --------------------------------------------------------------


def test_a_burst_of_signals_is_answered_once_and_each_is_an_event() -> None:
    story: list[str] = []
    daemon = Slow(components=[Recorder(story)])
    with in_memory(daemon) as harness:
        for _ in range(100):
            harness.signal(signal.SIGUSR1)
        harness.advance(3.0)

    assert (daemon.saved, story) == (1, ["begun signal_usr1"] * 100)


def test_signals_that_come_during_an_answer_are_answered_once_more() -> None:
    story: list[str] = []
    daemon = Slow(components=[Recorder(story)])
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR1)
        harness.advance(0.5)
        assert daemon.saved == 1  # it has begun, and is not over
        for _ in range(100):
            harness.signal(signal.SIGUSR1)
        harness.advance(3.0)

    assert (daemon.saved, len(story)) == (2, 101)


def test_signals_of_different_kinds_are_answered_each() -> None:
    story: list[str] = []
    with in_memory(ZenDaemon(name="d", components=[Recorder(story)])) as harness:
        for number in (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2):
            harness.signal(number)
        harness.advance(1.0)

    assert sorted(story) == ["begun signal_hup", "begun signal_usr1", "begun signal_usr2"]


def test_an_event_that_the_program_schedules_is_always_answered() -> None:
    daemon = Slow(components=[Recorder([])])
    with in_memory(daemon) as harness:
        harness.signal(signal.SIGUSR1)
        for _ in range(3):
            harness.queue.schedule("signal_usr1")
        harness.advance(10.0)
        assert harness.counts()["signal_usr1"].accepted == 4

    assert daemon.saved == 4


@pytest.mark.parametrize("prepend", [False, True])
def test_components_see_every_signal_wherever_they_are_in_the_chain(*, prepend: bool) -> None:
    story: list[str] = []
    daemon = ZenDaemon(
        name="d",
        components=[Recorder(story, prepend=prepend)],
        default_signals={"SIGWINCH": "resized"},
    )
    with in_memory(daemon) as harness:
        for number in (signal.SIGWINCH, signal.SIGUSR1) * 3:
            harness.signal(number)
        harness.advance(1.0)

    assert sorted(story) == ["begun resized"] * 3 + ["begun signal_usr1"] * 3


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
        for _ in range(2):
            harness.signal(signal.SIGUSR1)
        harness.advance(6.0)  # both pass it over
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


@pytest.mark.parametrize(
    "seed", [*SEEDS, *(pytest.param(seed, marks=pytest.mark.slow) for seed in MORE_SEEDS)]
)
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
        assert story.count(f"begun {name}") == count == story.count(f"sent {name}")
