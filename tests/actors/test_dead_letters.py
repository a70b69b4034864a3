from __future__ import annotations

import dataclasses
import stat
from pathlib import Path
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, raising
from zenactors import (
    FLAG_CONTINUE,
    ConfigurationError,
    DeadLetter,
    Dispatcher,
    EventPolicy,
    Replicas,
    Supervision,
    TokenOutcome,
    UnknownEventError,
)
from zenactors.core.letter_records import NotReplayable, read_records
from zenactors.testing import Harness, VirtualFiles


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
    with Harness([source]) as harness:
        harness.queue.schedule("read")
        harness.run_until_idle()
        assert not harness.daemon.halted
        assert [type(letter.cause) for letter in harness.dead_letters()] == [ValueError]


def test_a_thread_outside_may_give_an_event_up() -> None:
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        letter = dispatcher.dead_letter("x", 1, "not now")
        assert dispatcher.dead_letters() == [letter]
    assert letter.component == "outside"


class Flaky(Fake):
    """Fails on the args in `bad`."""

    def __init__(self, name: str, *events: str) -> None:
        self.bad: set[Any] = set()
        super().__init__(dict.fromkeys(events, self.handle), name=name)

    def handle(self, _daemon: Any, args: Any) -> Any:
        if args in self.bad:
            raise ValueError(f"{args} is bad")
        return FLAG_CONTINUE, args


def failed(harness: Harness, sink: Flaky, *args: Any, event: str = "line") -> list[DeadLetter]:
    """Let events fail, and mend what fails on them."""
    sink.bad.update(args)
    for each in args:
        harness.queue.schedule(event, each)
    harness.run_until_idle()
    sink.bad.clear()
    return harness.dead_letters()


def test_a_replay_that_is_done_takes_the_letter_away() -> None:
    sink = Flaky("sink", "line")
    with Harness([sink]) as harness:
        first, second = failed(harness, sink, 1, 2)
        sink.seen.clear()
        assert harness.dead_letters.replay(first) == [first]
        harness.run_until_idle()
        assert sink.seen == [1]
        assert harness.dead_letters() == [second]
        assert harness.daemon.dead_letter_count() == 2
        assert harness.dead_letters.replay(first) == []  # it is gone


def test_a_replay_that_fails_again_changes_its_letter() -> None:
    sink = Flaky("sink", "line")
    with Harness([sink]) as harness:
        first, _ = failed(harness, sink, 1, 2)
        harness.advance(60.0)
        sink.bad.add(1)
        harness.dead_letters.replay()
        harness.run_until_idle()
        (after,) = harness.unread_dead_letters()
        assert harness.dead_letters() == [after]
        assert (after.id, after.deliveries, after.attempts) == (first.id, 2, 2)
        assert (after.first, after.last - after.first) == (first.first, 60.0)
        harness.dead_letters.replay(after.id)
        harness.run_until_idle()
        assert harness.dead_letters.show(first.id).deliveries == 3
        sink.bad.clear()
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert not harness.dead_letters
        assert harness.daemon.dead_letter_count() == 4


def test_a_replay_goes_on_at_the_callback_that_failed() -> None:
    parse = Fake({"line": lambda _daemon, args: (FLAG_CONTINUE, f"<{args}>")}, name="parse")
    sink, last = Flaky("sink", "line"), Flaky("last", "line")
    with Harness([parse, sink, last]) as harness:
        sink.bad.add("<a>")
        harness.queue.schedule("line", "a")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        assert letter.args == "<a>"
        sink.bad.clear()
        last.bad.add("<a>")
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert (parse.seen, sink.seen, last.seen) == (["a"], ["<a>", "<a>"], ["<a>"])
        (letter,) = harness.dead_letters()
        assert (letter.component, letter.deliveries) == ("last", 2)
        last.bad.clear()
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert (parse.seen, sink.seen, last.seen) == (["a"], ["<a>"] * 2, ["<a>"] * 2)
        assert not harness.dead_letters


def test_a_replay_goes_on_in_the_middle_of_a_component_with_several_callbacks() -> None:
    class Three(Flaky):
        def get_events(self) -> list[Any]:
            return [
                self.gen_event_handler("line", each) for each in (self.one, self.two, self.three)
            ]

        def one(self, _daemon: Any, args: Any) -> Any:
            self.seen.append("one")
            return FLAG_CONTINUE, args + 1

        def two(self, _daemon: Any, args: Any) -> Any:
            self.seen.append(("two", args))
            return self.handle(None, args)

        def three(self, _daemon: Any, args: Any) -> None:
            self.seen.append("three")

    three = Three("three")
    with Harness([Fake({"line": None}, name="first"), three]) as harness:
        three.bad.add(2)
        harness.queue.schedule("line", 1)
        harness.run_until_idle()
        three.bad.clear()
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert three.seen == ["one", ("two", 2), ("two", 2), "three"]
        assert not harness.dead_letters


def test_a_replay_into_another_event_begins_at_the_start_of_its_chain() -> None:
    sink, repair = Flaky("sink", "line"), Flaky("repair", "mend")
    with Harness([sink, repair]) as harness:
        (letter,) = failed(harness, sink, 1)
        repair.bad.add(1)
        harness.dead_letters.replay(into="mend")
        harness.run_until_idle()
        (after,) = harness.dead_letters()
        assert (after.id, after.event, after.component) == (letter.id, "line", "sink")
        assert "1 is bad" in after.cause_text
        repair.bad.clear()
        harness.dead_letters.replay(into="mend")
        harness.run_until_idle()
        assert (sink.seen, repair.seen) == ([1], [1, 1])
        assert not harness.dead_letters


def test_what_came_of_a_replay_and_fails_changes_the_letter_and_makes_no_second_one() -> None:
    def split(daemon: Any, args: Any) -> None:
        sink.bad and sink.handle(daemon, args)
        daemon.queue.schedule("row", args)
        daemon.queue.schedule("row", args + 1, on_done=outcomes.append)

    outcomes: list[TokenOutcome] = []
    rows = Flaky("rows", "row")
    sink = Flaky("sink", "line")
    first = Fake({"line": split}, name="first")
    with Harness([first, rows]) as harness:
        sink.bad.add(1)
        harness.queue.schedule("line", 1)
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        sink.bad.clear()
        rows.bad.update((1, 2))
        harness.dead_letters.replay()
        harness.run_until_idle()
        (after,) = harness.dead_letters()
        assert (after.id, after.event, after.args, after.deliveries) == (letter.id, "line", 1, 2)
        assert (after.component, after.callback) == (letter.component, letter.callback)
        assert "is bad" in after.cause_text
        assert outcomes == [TokenOutcome.FAILED]
        rows.bad.clear()
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert not harness.dead_letters
        assert harness.counts()["row"].completed == 2


def test_a_callback_can_see_that_it_handles_a_replay() -> None:
    def handle(daemon: Any, args: Any) -> None:
        letter = daemon.replaying
        seen.append(None if letter is None else (letter.id, letter.deliveries))
        if len(seen) == 1:
            raise ValueError("once")

    seen: list[Any] = []
    with Harness([Fake({"x": handle})]) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        (letter,) = harness.dead_letters()
        harness.dead_letters.replay()
        harness.queue.schedule("x")
        harness.run_until_idle()
    assert seen == [None, (letter.id, 1), None]


def test_letters_are_chosen_by_event_component_and_function() -> None:
    one, two = Flaky("one", "x", "y"), Flaky("two", "z")
    with Harness([one, two]) as harness:
        failed(harness, one, 1, 2, event="x")
        failed(harness, one, 3, event="y")
        failed(harness, two, 4, event="z")
        box = harness.dead_letters
        assert [each.args for each in box(event="x")] == [1, 2]
        assert [each.args for each in box(component="one")] == [1, 2, 3]
        assert [each.args for each in box(where=lambda letter: letter.args > 2)] == [3, 4]
        assert [each.args for each in box.purge(event="x", where=lambda each: each.args > 1)] == [2]
        assert [each.args for each in box.replay(component="one")] == [1, 3]
        harness.run_until_idle()
        assert [each.args for each in box] == [4]
        assert len(box) == 1
        with pytest.raises(LookupError, match="There is no dead letter 'f-1'"):
            box.show("f-1")


def test_what_cannot_be_replayed_is_refused_before_anything_is() -> None:
    sink = Flaky("sink", "line", "other")
    with Harness([sink, Flaky("last", "line")]) as harness:
        (letter,) = failed(harness, sink, 1)
        engine = harness.daemon._engine
        odd = {
            "args": dataclasses.replace(letter, args=[NotReplayable("<x>")], id="args"),
            "start": dataclasses.replace(letter, event="start", id="start"),
            "event": dataclasses.replace(letter, event="unknown", id="event"),
            "callback": dataclasses.replace(letter, callback="renamed", id="callback"),
            "component": dataclasses.replace(letter, component="removed", id="component"),
        }
        engine.dead_letters.take(list(odd.values()))
        for name, message in (
            ("args", "its args hold objects that its file could not"),
            ("start", "no component handles it"),
            ("event", "no component handles it"),
            ("callback", "has none now"),
            ("component", "has none now"),
        ):
            with pytest.raises((ValueError, UnknownEventError), match=message):
                harness.dead_letters.replay([letter, name])
        harness.run_until_idle()
        assert sink.seen == [1]
        assert len(harness.dead_letters) == 6
        assert [each.id for each in harness.dead_letters.replay(odd["callback"], into="other")]
        harness.run_until_idle()
        assert sink.seen == [1, 1]


def test_a_letter_is_not_replayed_twice_at_a_time() -> None:
    sink = Flaky("sink", "line")
    with Harness([sink]) as harness:
        (letter,) = failed(harness, sink, 1)
        assert harness.dead_letters.replay() == [letter]
        assert harness.dead_letters.replay() == []
        harness.run_until_idle()
        assert sink.seen == [1, 1]


def test_a_replay_that_a_stop_leaves_undone_keeps_its_letter() -> None:
    sink = Flaky("sink", "line")
    with Harness([sink]) as harness:
        (letter,) = failed(harness, sink, 1)
        harness.dead_letters.replay()
        harness.daemon.stop(drain=False)
        assert harness.dead_letters() == [letter]


@pytest.mark.parametrize("seed", range(8))
def test_replays_to_replicas_go_on_where_they_failed(seed: int) -> None:
    replicas = [Flaky("pool", "line") for _ in range(3)]
    made = iter(replicas)
    pool = Replicas(lambda: next(made), 3, key=lambda args: args)
    first, last = Flaky("first", "line"), Flaky("last", "line")
    with Harness([first, pool, last], seed=seed) as harness:
        for each in replicas:
            each.bad.update(range(5))
        last.bad.update(range(5, 10))
        for number in range(12):
            harness.queue.schedule("line", number)
        harness.run_until_idle()
        assert len(harness.dead_letters()) == 10
        for each in (*replicas, last):
            each.bad.clear()
        harness.dead_letters.replay()
        harness.run_until_idle()
        assert not harness.dead_letters
        assert sorted(first.seen) == list(range(12))
        seen = [args for each in replicas for args in each.seen]
        assert sorted(seen) == sorted([*range(12), *range(5)])
        assert sorted(last.seen) == sorted([*range(12), *range(5, 10)])


def test_a_component_made_anew_meanwhile_changes_nothing_for_a_replay() -> None:
    class Once(Flaky):
        supervision = Supervision(on_error="restart")

    once = Once("once", "line")
    with Harness([once]) as harness:
        failed(harness, once, 1)
        harness.run(5.0)
        harness.dead_letters.replay()
        once.bad.add(2)
        harness.queue.schedule("line", 2)
        harness.run(5.0)
        assert [letter.args for letter in harness.dead_letters()] == [2]


# --- the file -----------------------------------------------------------------------------------


def letters_in(files: VirtualFiles, path: str = "/letters") -> list[DeadLetter]:
    return list(read_records(files.content(path).splitlines()).letters.values())


def test_a_letter_is_in_the_file_before_its_event_counts_as_done() -> None:
    def read(daemon: Any, _args: Any) -> None:
        daemon.queue.schedule("line", (b"\xff", {1}), on_done=done, position=5)

    def done(outcome: TokenOutcome) -> None:
        found.append((outcome, [(each.args, each.position) for each in letters_in(files)]))

    found: list[Any] = []
    files = VirtualFiles()
    files.mkdir("/")
    source = Fake({"read": read}, name="source")
    sink = Fake({"line": raising(ValueError("no"))}, name="sink")
    with Harness([source, sink], files=files, dead_letter_file="/letters") as harness:
        harness.queue.schedule("read")
        harness.run_until_idle()
        harness.dead_letters()
    assert found == [(TokenOutcome.FAILED, [((b"\xff", {1}), 5)])]


def test_the_file_follows_what_becomes_of_letters() -> None:
    files = VirtualFiles()
    sink = Flaky("sink", "line")
    with Harness([sink], files=files, dead_letter_file="/letters") as harness:
        one, two, three = failed(harness, sink, 1, 2, 3)
        assert [each.id for each in letters_in(files)] == [one.id, two.id, three.id]
        sink.bad.add(1)
        harness.dead_letters.replay([one, two])
        harness.run_until_idle()
        assert [(each.id, each.deliveries) for each in letters_in(files)] == [
            (one.id, 2),
            (three.id, 1),
        ]
        harness.dead_letters.purge(three)
        assert [each.id for each in letters_in(files)] == [one.id]
        harness.dead_letters()
    assert not files.open_descriptors()


class Cruel:
    """Ends the process that looks at it, if it can."""

    def __repr__(self) -> str:
        raise SystemExit(3)

    __str__ = __repr__


def test_args_that_cannot_be_written_at_all_leave_a_line_nevertheless(tmp_path: Path) -> None:
    path = tmp_path / "letters"
    with Dispatcher([Flaky("sink", "x")], dead_letter_file=path) as dispatcher:
        letter = dispatcher.dead_letter("x", Cruel(), "no", position=7)
    (found,) = read_records(path.read_bytes().splitlines()).letters.values()
    assert (found.id, found.component) == (letter.id, "outside")
    assert (found.event, found.position, found.cause_text) == ("x", 7, letter.cause_text)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_disk_costs_lines_and_nothing_else(logged: Any) -> None:
    sink = Fake({"x": raising(ValueError("no"))}, name="sink")
    with Dispatcher([sink], dead_letter_file="/dev/full") as dispatcher:
        for number in range(20):
            dispatcher.queue.schedule("x", number)
        assert dispatcher.drain(DEADLINE)
        assert dispatcher.dead_letters.unwritten == 20
        assert len(dispatcher.dead_letters()) == 20
        assert dispatcher.status == 0
    lines = [text for _, text, _ in logged if "cannot be written" in text]
    assert len(lines) == 1
    assert "Dead letters cannot be written to /dev/full: No space left on device" in lines[0]
    assert "Free some space" in lines[0]


def test_losses_are_summed_up_and_the_end_of_them_is_logged(logged: Any) -> None:
    class Full(VirtualFiles):
        full = True

        def write(self, fd: int, data: bytes | memoryview) -> int:
            if self.full:
                raise OSError(28, "No space left on device")
            return super().write(fd, data)

    files = Full()
    sink = Flaky("sink", "x")
    with Harness([sink], files=files, dead_letter_file="/letters") as harness:
        for seconds in (0.0, 100.0, 199.0, 1.0, 10.0):
            harness.advance(seconds)
            failed(harness, sink, 1, event="x")
        files.full = False
        failed(harness, sink, 1, event="x")
        failed(harness, sink, 1, event="x")
        assert harness.dead_letters.unwritten == 5
    lines = [text.partition(". ")[0] for _, text, _ in logged if "/letters" in text]
    assert lines == [
        "Dead letters cannot be written to /letters: No space left on device; lines lost: 1",
        "Dead letters cannot be written to /letters: No space left on device; lines lost: 3",
        "Dead letters are written to /letters again; 5 lines are missing",
    ]
    assert len(letters_in(files)) == 2


def test_a_file_that_cannot_be_used_is_an_error_of_the_start(tmp_path: Path) -> None:
    missing = Dispatcher([Fake()], dead_letter_file=tmp_path / "no" / "letters")
    with pytest.raises(ConfigurationError, match=r"dead_letter_file .* cannot be opened: No such"):
        missing.start()
    path = tmp_path / "letters"
    with (
        Dispatcher([Fake()], dead_letter_file=path),
        pytest.raises(ConfigurationError, match="in use by another program"),
    ):
        Dispatcher([Fake()], dead_letter_file=path).start()
    with Dispatcher([Fake()], dead_letter_file=path):
        pass
