"""`SubprocessFilter`: scripted programs in virtual time, and real ones."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator
from typing import Any, Literal

import pytest

from tests.components.conftest import Logged
from tests.components.programs import (
    IGNORES_TERM,
    Collector,
    Scripted,
    Stage,
    is_gone,
    python,
)
from tests.running import LIMIT
from zenactors import (
    Dispatcher,
    RestartComponent,
    Supervision,
    TokenOutcome,
    ZenDaemonComponent,
    handles,
)
from zenactors.components import Lines
from zenactors.components.steps.subprocess_filter import SubprocessFilter
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash

ECHO = "import sys\nfor line in sys.stdin: print(line, end='', flush=True)"


@pytest.fixture
def stage() -> Iterator[Stage]:
    with Stage() as stage:
        yield stage


def step(**options: Any) -> SubprocessFilter:
    return SubprocessFilter(**{"command": ["prog"], "stop_grace": 0.1, **options})


def text_step(**options: Any) -> SubprocessFilter:
    return step(format="text", **options)


def answers() -> Collector:
    return Collector(event="filtered")


class Source(ZenDaemonComponent):
    """Schedules events at the event `send`, and notes how they end."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: list[tuple[Any, str]] = []

    @handles("send")
    def cbk_event_send(self, daemon: Any, args: Any) -> None:
        def ended(outcome: TokenOutcome) -> None:
            self.ends.append((args, outcome.value))

        daemon.queue.schedule("lines", args, on_done=ended)


def dead_letters(daemon: Any) -> list[Any]:
    return [letter.args for letter in daemon.dead_letters()]


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"command": "cat"}, "command is 'cat', but a list is expected"),
        ({"mode": "x"}, 'mode is \'x\', but "one-to-one" or "stream" is expected.'),
        ({"format": "x"}, 'format is \'x\', but "json" or "text" is expected.'),
        ({"timeout": -1}, "timeout is -1, but a number of seconds above 0 is expected."),
        ({"max_in_flight": 0}, "max_in_flight is 0, but a whole number of at least 1 is expected."),
        (
            {"max_line_bytes": 0},
            "max_line_bytes is 0, but a whole number of at least 1 is expected.",
        ),
        ({"stderr": "lines"}, 'stderr is \'lines\', but "log" or "discard" is expected.'),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(text)}"):
        step(**options)


# --- one to one, in virtual time ---------------------------------------------------------------


def test_an_event_goes_on_when_all_its_answers_are_there(stage: Stage) -> None:
    collector = answers()
    with stage.harness([step(), collector]) as harness:
        harness.queue.schedule("lines", [{"n": 1}, {"n": 2}])
        harness.queue.schedule("lines", Lines("a.log", 0, b"x\n"))
        harness.run_until_idle()
        assert stage.last.reads() == (b'{"n":1}\n{"n":2}\n{"file":"a.log","offset":0,"line":"x"}\n')
        stage.last.prints(b'{"n":10}\n{"n":')
        harness.run_until_idle()
        assert collector.args == []
        stage.last.prints(b'20}\n"third"\n')
        harness.run_until_idle()
        assert collector.args == [[{"n": 10}, {"n": 20}], ["third"]]


def test_text_goes_and_comes_as_lines(stage: Stage) -> None:
    collector = answers()
    with stage.harness([text_step(), collector]) as harness:
        harness.queue.schedule("lines", Lines("a.log", 0, b"x\xff\r\ny\n"))
        harness.run_until_idle()
        assert stage.last.reads() == b"x\xff\ny\n"
        harness.queue.schedule("lines", [b"z"])
        harness.run_until_idle()
        stage.last.prints(b"X\xff\nY\nZ\n")
        harness.run_until_idle()
        assert collector.args == [Lines("prog", 0, b"X\xff\nY\n"), Lines("prog", 5, b"Z\n")]


def test_null_leaves_a_record_out_and_an_event_without_records_ends(stage: Stage) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(), collector]) as harness:
        harness.queue.schedule("send", [1, 2])
        harness.queue.schedule("send", [3])
        harness.run_until_idle()
        stage.last.prints(b"null\n2\nnull\n")
        harness.run_until_idle()
        assert collector.args == [[2]]
        assert sorted(source.ends) == [([1, 2], "done"), ([3], "done")]


def test_an_event_is_done_when_what_follows_has_handled_the_answers(stage: Stage) -> None:
    source = Source()

    class Failing(Collector):
        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            if args == [2]:
                raise ValueError(args)

    with stage.harness([source, step(), Failing(event="filtered")]) as harness:
        for number in (1, 2):
            harness.queue.schedule("send", [number])
        harness.run_until_idle()
        assert source.ends == []
        stage.last.prints(b"1\n2\n")
        harness.run_until_idle()
        assert sorted(source.ends) == [([1], "done"), ([2], "failed")]


def test_an_answer_that_is_no_json_costs_its_event_only(stage: Stage) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(), collector]) as harness:
        for number in (1, 2):
            harness.queue.schedule("send", [number])
        harness.run_until_idle()
        stage.last.prints(b"oops\n2\n")
        harness.run_until_idle()
        assert collector.args == [[2]]
        assert sorted(source.ends) == [([1], "failed"), ([2], "done")]
        assert "An answer is no JSON" in str(harness.daemon.dead_letters()[0].cause)


def test_what_cannot_be_given_to_the_program_is_a_dead_letter(stage: Stage) -> None:
    with stage.harness([text_step(), answers()]) as harness:
        harness.queue.schedule("lines", [b"two\nlines"])
        harness.queue.schedule("lines", [{"no": "line"}])
        harness.run_until_idle()
        assert stage.last.reads() == b""
        assert dead_letters(harness.daemon) == [[b"two\nlines"], [{"no": "line"}]]


def test_unanswered_events_are_given_to_a_new_program(stage: Stage) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(), collector]) as harness:
        for number in (1, 2, 3):
            harness.queue.schedule("send", [number, number])
        harness.run_until_idle()
        stage.last.prints(b"1\n1\n2\n")
        stage.last.ends(1)
        harness.advance(0.2)
        assert stage.last.reads() == b"2\n2\n"  # alone
        stage.last.prints(b"2\n2\n")
        harness.run_until_idle()
        assert stage.last.reads() == b"3\n3\n"
        stage.last.prints(b"3\n3\n")
        harness.run_until_idle()
        assert collector.args == [[1, 1], [2, 2], [3, 3]]
        assert [how for _, how in source.ends] == ["done"] * 3
        assert len(stage.programs) == 2


def answering(program: Scripted, *, poison: bytes = b"poison") -> None:
    """Answer what was written; end at the poison."""
    for line in program.reads().splitlines(keepends=True):
        if poison in line:
            program.ends(-signal.SIGSEGV)
            return
        program.prints(line)


def test_the_event_that_ends_programs_is_a_dead_letter_and_the_others_are_answered(
    stage: Stage,
) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(), collector]) as harness:
        for word in ("a", "b", "poison", "c", "d"):
            harness.queue.schedule("send", [word])
        harness.run_until_idle()
        for _ in range(20):
            if stage.last.returncode is None:
                answering(stage.last)
            harness.advance(0.5)
        assert collector.values == ["a", "b", "c", "d"]
        assert {args[0]: how for args, how in source.ends} == {
            "a": "done",
            "b": "done",
            "poison": "failed",
            "c": "done",
            "d": "done",
        }
        assert len(stage.programs) == 4
        letters = harness.daemon.dead_letters()
        assert [str(letter.cause) for letter in letters] == ["prog: it was ended by SIGSEGV."]


def test_a_program_that_does_not_answer_in_time_is_killed(stage: Stage, logged: Logged) -> None:
    collector = answers()
    with stage.harness([step(timeout=5.0), collector]) as harness:
        harness.queue.schedule("lines", [1, 2])
        harness.advance(4.0)
        stage.last.prints(b"1\n")
        harness.advance(4.9)
        assert len(stage.programs) == 1
        harness.advance(0.2)
        assert stage.programs[0].signals == [signal.SIGKILL]
        harness.advance(0.2)
        stage.last.prints(b"1\n2\n")
        harness.advance(0.1)
        assert collector.args == [[1, 2]]
        harness.advance(3600.0)
        assert len(stage.programs) == 2
    assert logged.of("WARNING")[0] == "prog has not answered for 5 s; it is killed"


def test_a_program_that_closes_its_output_is_replaced(stage: Stage) -> None:
    collector = answers()
    with stage.harness([step(), collector]) as harness:
        harness.queue.schedule("lines", [1])
        harness.run_until_idle()
        stage.last.closes_output()
        harness.advance(0.2)
        assert stage.programs[0].signals == [signal.SIGKILL]
        stage.last.prints(b"1\n")
        harness.run_until_idle()
        assert collector.args == [[1]]


def test_a_process_that_keeps_the_output_of_an_ended_program_is_not_waited_for(
    stage: Stage,
) -> None:
    collector = answers()
    with stage.harness([step(), collector]) as harness:
        stray = os.dup(stage.last.stdout or -1)
        try:
            harness.queue.schedule("lines", [1])
            harness.run_until_idle()
            stage.last.ends(1)
            harness.advance(0.2)
            stage.last.prints(b"1\n")
            harness.run_until_idle()
            assert collector.args == [[1]]
        finally:
            os.close(stray)


def test_programs_that_end_at_once_are_run_seldom(stage: Stage) -> None:
    with stage.harness([step(), answers()]) as harness:
        stage.on_spawn = lambda program: program.ends(1)
        stage.last.ends(1)
        for number in range(40):
            harness.queue.schedule("lines", [number])
        harness.advance(3600.0)
        assert len(dead_letters(harness.daemon)) == 40
        assert 100 <= len(stage.programs) <= 160


def test_a_program_that_cannot_be_run_any_more_fails_events_in_the_end(stage: Stage) -> None:
    collector = answers()
    with stage.harness([step(), collector]) as harness:
        stage.last.ends(0)
        stage.refuses = FileNotFoundError(2, "No such file or directory", "prog")
        harness.queue.schedule("lines", [1])
        harness.advance(60.0)
        assert dead_letters(harness.daemon) == [[1]]
        stage.refuses = None
        harness.queue.schedule("lines", [2])
        harness.advance(60.0)
        assert stage.last.reads() == b"2\n"
        stage.last.prints(b"2\n")
        harness.run_until_idle()
        assert collector.args == [[2]]


def test_lines_that_answer_nothing_are_counted(stage: Stage, logged: Logged) -> None:
    one, collector = step(), answers()
    with stage.harness([one, collector]) as harness:
        stage.last.prints(b"hello\n")
        harness.queue.schedule("lines", [1])
        harness.run_until_idle()
        stage.last.prints(b"1\n2\n3\n")
        harness.run_until_idle()
        assert one.get_state()["statistics"]["unexpected"] == 3
    assert len(logged.of("WARNING")) == 1


def test_the_component_is_idle_while_nothing_is_unanswered(stage: Stage) -> None:
    with stage.harness([step(), answers()], exit_when_idle=True) as harness:
        harness.queue.schedule("lines", [1])
        harness.run(60.0 / 4)
        assert not harness.daemon.is_idle()
        stage.last.prints(b"1\n")
        harness.run(1.0)
        assert harness.daemon.is_idle()


def test_a_stop_waits_for_the_answers(stage: Stage) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(), collector]) as harness:
        harness.queue.schedule("send", [1])
        harness.run_until_idle()
        stage.last.prints(b"1\n")  # not read yet
        harness.stop()
    assert collector.args == [[1]]
    assert source.ends == [([1], "done")]


def test_at_a_stop_unanswered_events_are_left_to_their_source_or_are_dead(stage: Stage) -> None:
    source = Source()
    with stage.harness([source, step(stop_grace=0.2), answers()]) as harness:
        harness.queue.schedule("send", [1])
        harness.queue.schedule("lines", [2])
        harness.run_until_idle()
        harness.stop()
        assert source.ends == [([1], "left")]
        assert dead_letters(harness.daemon) == [[2]]


def test_a_failure_of_the_callback_costs_only_its_event(stage: Stage) -> None:
    faults = [Crash(component="SubprocessFilter", event="lines", nth=1)]
    with stage.harness([step(), answers()], faults=faults) as harness:
        harness.queue.schedule("lines", [1])
        harness.queue.schedule("lines", [2])
        harness.run_until_idle()
        assert stage.last.reads() == b"2\n"


@pytest.mark.parametrize("seed", range(5))
def test_the_order_is_the_same_for_each_seed(stage: Stage, seed: int) -> None:
    collector = answers()
    with stage.harness([step(max_in_flight=50), collector], seed=seed) as harness:
        for number in range(40):
            harness.queue.schedule("lines", [number])
            if number % 7 == 0:
                harness.run_until_idle()
                answering(stage.last, poison=b"14")
                harness.advance(1.0)
        for _ in range(60):
            if stage.last.returncode is None:
                answering(stage.last, poison=b"14")
            harness.advance(1.0)
    assert collector.values == [number for number in range(40) if number != 14]


# --- streams, in virtual time ------------------------------------------------------------------


def test_a_stream_prints_when_and_what_it_likes(stage: Stage) -> None:
    collector, source = answers(), Source()
    with stage.harness([source, step(mode="stream"), collector]) as harness:
        stage.last.prints(b'"hello"\n')
        harness.run_until_idle()
        assert collector.values == ["hello"]
        harness.queue.schedule("send", [1, 2, 3])
        harness.run_until_idle()
        assert source.ends == [([1, 2, 3], "done")]
        harness.advance(3600.0)
        assert not harness.daemon.is_idle()
        stage.last.prints(b'{"sum":6}\nnull\n')
        harness.run_until_idle()
        assert collector.values == ["hello", {"sum": 6}]


def test_a_line_of_a_stream_that_is_no_json_is_a_dead_letter(stage: Stage) -> None:
    collector = answers()
    with stage.harness([step(mode="stream"), collector]) as harness:
        stage.last.prints(b"oops\n1\n")
        harness.run_until_idle()
        assert collector.values == [1]
        assert dead_letters(harness.daemon) == [b"oops"]


def test_a_restart_leaves_events_to_their_source_and_buries_the_others(stage: Stage) -> None:
    crash = Crash(
        point="timer", component="SubprocessFilter", nth=1, error=RestartComponent("broken")
    )
    source = Source()
    with stage.harness([source, step(), answers()], faults=[crash]) as harness:
        harness.queue.schedule("send", [1])
        harness.queue.schedule("lines", [2])
        harness.advance(1.0)
        stage.last.prints(b"1\n")
        harness.advance(1.0)
        assert source.ends == [([1], "left")]
        assert dead_letters(harness.daemon) == [[2]]


class Behind(SubprocessFilter):
    """Takes what follows for slow."""

    behind = True

    def _is_behind(self, daemon: Any) -> bool:
        return self.behind


def test_an_event_waits_a_second_while_what_follows_is_behind(stage: Stage) -> None:
    with stage.harness([Behind(command=["prog"], stop_grace=0.1), answers()]) as harness:
        harness.queue.schedule("lines", [1])
        harness.advance(0.9)
        assert stage.last.reads() == b""
        harness.advance(0.2)
        assert stage.last.reads() == b"1\n"


def test_a_stream_is_not_read_while_what_follows_is_behind(stage: Stage) -> None:
    one, collector = Behind(command=["prog"], mode="stream", stop_grace=0.1), answers()
    with stage.harness([one, collector]) as harness:
        stage.last.prints(b"1\n")
        harness.advance(1.0)
        assert collector.values == []
        one.behind = False
        harness.advance(1.0)
        assert collector.values == [1]


# --- real programs ---------------------------------------------------------------------------


def run(source: list[Any], *components: Any, **options: Any) -> Dispatcher:
    with Dispatcher(components, exit_when_idle=True, **options) as dispatcher:
        for args in source:
            dispatcher.queue.schedule("lines", args)
        assert dispatcher.wait_for_end(LIMIT)
    return dispatcher


@pytest.mark.parametrize("in_flight", [1, 16])
def test_a_flood_is_answered_completely_and_in_order(in_flight: int) -> None:
    collector = answers()
    one = step(command=["/bin/cat"], max_in_flight=in_flight)
    events = [
        [{"n": n, "text": "x" * 500} for n in range(m, m + 400)] for m in range(0, 6_000, 400)
    ]
    run(events, one, collector)
    assert [record["n"] for record in collector.values] == list(range(6_000))
    assert one.get_state()["statistics"]["starts"] == 1


@pytest.mark.parametrize("ordering", ["component", "event", "global"])
def test_each_ordering_is_possible(ordering: Literal["component", "event", "global"]) -> None:
    collector = answers()
    run([[n] for n in range(300)], step(command=["/bin/cat"]), collector, ordering=ordering)
    assert collector.values == list(range(300))


def test_an_event_larger_than_all_pipes_is_answered() -> None:
    collector = answers()
    lines = [b"%d" % number + b"x" * 1_000 for number in range(3_000)]
    run([lines], text_step(command=["/bin/cat"]), collector)
    assert collector.args == [Lines("/bin/cat", 0, b"\n".join([*lines, b""]))]


def test_a_program_that_floods_its_standard_error_does_not_stop() -> None:
    code = ECHO.replace("print", "print('x' * 5_000, file=sys.stderr); print")
    collector = answers()
    run([[n] for n in range(500)], step(command=python(code)), collector)
    assert collector.values == list(range(500))


def test_a_program_that_is_killed_in_the_middle_loses_nothing() -> None:
    collector = answers()
    one = step(command=python(ECHO))
    first: list[int] = []
    with Dispatcher([one, collector], exit_when_idle=True) as dispatcher:
        for number in range(2_000):
            dispatcher.queue.schedule("lines", [number])
            if number == 1_000:
                first.append(one.get_state()["pid"])
                os.kill(first[0], signal.SIGKILL)
        assert dispatcher.wait_for_end(LIMIT)
    assert collector.values == list(range(2_000))
    assert is_gone(first[0])


def test_the_line_that_crashes_a_real_program_is_found() -> None:
    code = ECHO.replace("print", "line == '13\\n' and sys.exit(1) or print")
    collector = answers()
    dispatcher = run([[n] for n in range(30)], step(command=python(code)), collector)
    assert collector.values == [n for n in range(30) if n != 13]
    assert dead_letters(dispatcher) == [[13]]


def test_a_program_that_hangs_is_killed_and_its_events_become_dead_letters() -> None:
    code = IGNORES_TERM + "signal.pause()"
    dispatcher = run([[1]], step(command=python(code), timeout=0.1), answers())
    assert dead_letters(dispatcher) == [[1]]


def test_a_missing_program_makes_the_start_fail_with_one_line() -> None:
    with pytest.raises(ComponentStartError, match="Cannot run 'no-such-program'"):
        run([], step(command=["no-such-program"]), answers())


def test_a_wait_for_a_program_that_hangs_can_be_interrupted() -> None:
    class Interruptible(SubprocessFilter):
        supervision = Supervision(hard_limit=0.2)

    code = IGNORES_TERM + "signal.pause()"
    one = Interruptible(command=python(code), timeout=LIMIT, max_in_flight=1)
    with Dispatcher([one, answers()]) as dispatcher:
        dispatcher.queue.schedule("lines", [1])
        dispatcher.queue.schedule("lines", [2])
        dispatcher.drain(timeout=LIMIT)
        assert dispatcher.abandoned() == []
        assert [2] in dead_letters(dispatcher)


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_sort_prints_at_the_end_is_passed_on(times: int) -> None:
    collector = answers()
    sort: list[str] = ["/usr/bin/env", "LC_ALL=C", "sort"]
    steps = [text_step(command=sort, mode="stream", stop_grace=LIMIT)]
    if times > 1:
        steps[0].event_map["filtered"] = "between"
        steps.append(
            text_step(
                command=sort,
                mode="stream",
                stop_grace=LIMIT,
                name="second",
                event_map={"lines": "between"},
            )
        )
    run([[b"c", b"a"], [b"b"]], *steps, collector)
    assert collector.values == ["a", "b", "c"]


def test_a_stop_ends_the_input_behind_all_events_that_are_queued() -> None:
    class Slow(ZenDaemonComponent):
        """Passes on what comes; the next event is queued only when this one is handled."""

        @handles("raw")
        def cbk_event_raw(self, daemon: Any, args: int) -> None:
            daemon.queue.schedule("lines", [b"%03d" % args])
            if args:
                daemon.queue.schedule("raw", args - 1)

    collector = answers()
    one = text_step(command=["/usr/bin/env", "LC_ALL=C", "sort"], mode="stream", stop_grace=LIMIT)
    with Dispatcher([Slow(), one, collector]) as dispatcher:
        dispatcher.queue.schedule("raw", 500)
        dispatcher.stop()
    assert collector.values == [f"{number:03}" for number in range(501)]
    assert one.get_state()["statistics"]["starts"] == 1


def test_a_stream_that_filters_gives_all_lines_in_order() -> None:
    collector = answers()
    one = text_step(command=["grep", "--line-buffered", "7"], mode="stream", stop_grace=LIMIT)
    run([[b"%d" % n] for n in range(1_000)], one, collector)
    assert collector.values == [str(n) for n in range(1_000) if "7" in str(n)]


def test_a_program_that_does_not_end_at_a_stop_is_killed() -> None:
    one = step(command=python(IGNORES_TERM + "signal.pause()"), stop_grace=0.1)
    with Dispatcher([one, answers()]):
        pid = one.get_state()["pid"]
    assert is_gone(pid)


@pytest.mark.parametrize("mode", ["one-to-one", "stream"])
def test_a_stop_while_a_program_floods_ends_it(mode: Literal["one-to-one", "stream"]) -> None:
    one = step(command=["yes", "1"], mode=mode)
    with Dispatcher([one, answers()]) as dispatcher:
        dispatcher.queue.schedule("lines", [1, 2])
        pid = one.get_state()["pid"]
        report = dispatcher.stop()
    assert is_gone(pid)
    assert not report.timed_out


def test_json_comes_back_as_it_went() -> None:
    collector = answers()
    record = {"text": "ü\n\u2028\ud800", "number": 1.5, "list": [None, True]}
    run([[record]], step(command=["/bin/cat"]), collector)
    assert json.dumps(collector.values) == json.dumps([record])
