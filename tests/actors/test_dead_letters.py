from __future__ import annotations

from typing import Any

from tests.actors.fakes import DEADLINE, Fake, raising
from zenactors import FLAG_CONTINUE, Dispatcher, EventPolicy, Supervision, TokenOutcome
from zenactors.testing import Harness


def test_a_letter_says_who_failed_how_often_and_where_its_source_was() -> None:
    outcomes: list[TokenOutcome] = []

    def read(daemon: Any, args: Any) -> Any:
        daemon.queue.schedule("line", "bad", on_done=outcomes.append, position={"offset": 120})
        return FLAG_CONTINUE, args

    source = Fake({"read": read}, name="source")
    sink = Fake({"line": raising(ValueError("no"))}, name="sink")
    with Harness([source, sink]) as harness:
        harness.queue.schedule("read")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
    assert (letter.event, letter.args, letter.component) == ("line", "bad", "sink")
    assert (letter.incarnation, letter.attempts, letter.deliveries) == (1, 1, 1)
    assert letter.position == {"offset": 120}
    assert letter.first == letter.last == harness.clock.time()
    assert outcomes == [TokenOutcome.FAILED]


def test_a_component_gives_an_event_up_by_itself(logged: Any) -> None:
    def read(daemon: Any, args: Any) -> None:
        letters.append(
            daemon.dead_letter("line", b"\xff", "the process died here 3 times", position=9)
        )

    letters: list[Any] = []
    with Dispatcher([Fake({"read": read}, name="source")], policy=EventPolicy()) as dispatcher:
        dispatcher.queue.schedule("read")
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.dead_letters() == letters
        assert dispatcher.dead_letter_count() == 1
        assert dispatcher.counts()["read"].completed == 1
    (letter,) = letters
    assert (letter.event, letter.args, letter.component) == ("line", b"\xff", "source")
    assert (letter.callback, letter.attempts, letter.position) == ("", 0, 9)
    assert letter.cause_text == ("ZenDaemonComponentException: the process died here 3 times")
    assert any(
        message.startswith("Event 'line' was given up") and extra["component"] == "source"
        for _, message, extra in logged
    )


def test_an_event_that_is_given_up_follows_no_policy() -> None:
    def read(daemon: Any, args: Any) -> None:
        daemon.dead_letter("line", 1, ValueError("no"))

    source = Fake({"read": read}, name="source")
    source.supervision = Supervision(on_error="stop")
    with Harness([source], policy=EventPolicy(on_failure="stop")) as harness:
        harness.queue.schedule("read")
        harness.run_until_idle()
        assert not harness.daemon.halted
        assert [type(letter.cause) for letter in harness.dead_letters()] == [ValueError]


def test_a_thread_outside_may_give_an_event_up() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        letter = dispatcher.dead_letter("x", 1, "not now")
        assert dispatcher.dead_letters() == [letter]
    assert letter.component == "outside"
