"""`zenactors test`: tests in a SPEC pass, and find the bugs that are planted here."""

from __future__ import annotations

import re
import shlex
import shutil
import signal
import sys
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import ROOT, run_python
from zenactors.cli import main
from zenactors.testing import run_spec_tests

Capture = pytest.CaptureFixture[str]

PARTS = """
import os, signal, socket, sqlite3
from zenactors import FLAG_CONTINUE, ZenDaemonComponent, handles
from zenactors.components import SYSTEM_FILES


class Upper(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        if any("bad" in each["text"] for each in args):
            raise ValueError("a bad record")
        self.inc_statistic("records", len(args))
        return FLAG_CONTINUE, [{**each, "text": each["text"].upper()} for each in args]


class Forgetful(Upper):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        flag, records = super().cbk_event_lines(daemon, args)
        return flag, records[:-1]


class Counter(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        for each in args:
            self.inc_statistic(each["text"])


class Alarm(ZenDaemonComponent):
    emits = ("alarm",)

    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        if len(args) > 2:
            daemon.queue.schedule_after(30, "alarm", [{"count": len(args)}])


class Horn(ZenDaemonComponent):
    @handles("alarm")
    def cbk_event_alarm(self, daemon, args):
        self.log.warning("Alarm")


class Listener(ZenDaemonComponent):
    emits = ("lines",)

    def setup(self, daemon):
        self.socket = socket.create_server(("127.0.0.1", 0))


class Store(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        try:
            sqlite3.connect("store.db")
        except Exception:
            pass  # as a component that tries again later


class Program(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        daemon.spawn(["true"])


class Scribbler(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        open("real.txt", "w")


class Calendar(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        self.inc_statistic(f"day {self.clock.time() // 86400:.0f}")


class Ender(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        daemon.set_done()


class Interrupting(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon, args):
        signal.raise_signal(signal.SIGINT)


def component(name):
    return f'[[component]]\\nuse = "spec_parts:{name}"\\nname = "{name.lower()}"\\n'
"""

TEXTS = "events = [{event = 'lines', args = [{text = 'a'}, {text = 'b'}, {text = 'c'}]}]\n"

TAIL = """
name = "tail"
state_dir = "state"

[[component]]
use = "zenactors.components:FileTailer"
name = "tailer"
[component.options]
patterns = ["in.log*"]
start = "beginning"
exactly_once = true

[[component]]
use = "zenactors.components:JsonParser"
name = "parser"

[[component]]
use = "zenactors.components:JsonLinesWriter"
name = "writer"
[component.options]
path = "out/out.jsonl"

[[tests]]
name = "each line once"
kills = 3
power_failures = 2
files."in.log" = '''
{"n": 1}
{"n": 2}
'''
steps = [
    { after = 2, append."in.log" = '''
{"n": 3}
''' },
    { after = 2, rename = { "in.log" = "in.log.1" } },
    { write."in.log" = '''
{"n": 4}
''' },
    { after = 40, restart = "stop" },
    { after = 1, signal = "SIGHUP" },
    { after = 1, append."in.log" = '''
{"n": 5}
''' },
    { after = 10, restart = "kill" },
]
[tests.expect.files]
"in.log.1" = { count = 3 }
"in.log.2" = { exists = false }
[tests.expect.files."out/out.jsonl"]
records = [{ n = 1 }, { n = 2 }, { n = 3 }, { n = 4 }, { n = 5 }]
ordered = false
"""


@pytest.fixture(autouse=True)
def parts() -> None:
    """Write the module with components; forget that of another test."""
    write("spec_parts.py", PARTS)
    sys.modules.pop("spec_parts", None)


def table(name: str) -> str:
    return f'[[component]]\nuse = "spec_parts:{name}"\nname = "{name.lower()}"\n'


def daemon(*components: str, tests: str) -> None:
    tables = map(table, ("Listener", *components))
    write("x.toml", f"name = 'x'\n{''.join(tables)}{tests}")


def case(text: str, name: str = "one", stubs: str = "['listener']") -> str:
    return f"[[tests]]\nname = '{name}'\nseeds = 3\nstubs = {stubs}\n{text}"


def few_or(many: int, few: int = 8) -> pytest.MarkDecorator:
    """Run a test with few seeds, and with many by `make soak`."""
    return pytest.mark.parametrize("seeds", [few, pytest.param(many, marks=pytest.mark.slow)])


def lines_of(capsys: Capture) -> list[str]:
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out.splitlines()


# --- passing and failing ----------------------------------------------------------------------


def test_tests_that_pass_are_one_line_each(capsys: Capture) -> None:
    expect = "[tests.expect]\nstatistics.counter = {A = 1, B = 1, C = 1, D = 0}\nexit_status = 0\n"
    two = case(TEXTS + expect) + case("[tests.expect]\nfiles.x = {exists = false}\n", "two")
    daemon("Upper", "Counter", tests=two)
    assert main(["test", "x.toml"]) == 0
    assert lines_of(capsys) == ["ok      one (3 seeds)", "ok      two (3 seeds)",
                                "2 tests: all passed"]  # fmt: skip


def test_a_planted_bug_is_found_and_shown(capsys: Capture) -> None:
    expect = (
        "[tests.expect]\nreceived.counter = [{text = 'A'}, {text = 'B'}, {text = 'C'}]\n"
        "statistics.forgetful.records = 3\n"
    )
    stubs = "['listener', 'counter']"
    daemon("Forgetful", "Counter", tests=case(TEXTS + expect, stubs=stubs) + case("", "two"))
    assert main(["test", "x.toml"]) == 1
    assert lines_of(capsys) == [
        "FAILED  one (x.toml:11), seed 0:",
        "  received.counter: expected 3 records, got 2",
        "    …",
        '      {"text": "B"}',
        '    - {"text": "C"}',
        "  Run it again: zenactors test --only one --seed 0 x.toml",
        "ok      two (3 seeds)",
        "2 tests: 1 failed",
    ]


def test_everything_that_is_not_as_expected_is_shown(capsys: Capture) -> None:
    expect = (
        "[tests.expect]\nstatistics.upper = {records = 4, lost = 1}\ndead_letters = 1\n"
        "exit_status = 65\nlog = ['all is well']\nfiles.'a/b' = 'text'\n"
    )
    daemon("Upper", tests=case(TEXTS + expect))
    assert main(["test", "x.toml"]) == 1
    assert lines_of(capsys)[1:-2] == [
        "  exit_status: expected 65, got 0",
        "  a/b: there is no such file",
        "  statistics.upper.records: expected 4, got 3",
        "  statistics.upper.lost: expected 1, got 0; there are records",
        "  dead_letters: expected 1, got 0",
        "  log: expected 'all is well' in a message, but no message has it",
    ]


def test_a_dead_letter_fails_a_test_that_does_not_expect_it(capsys: Capture) -> None:
    bad = "events = [{event = 'lines', args = [{text = 'bad'}]}]\n"
    expected = case(bad + "[tests.expect]\ndead_letters = 1\nexit_status = 65\n", "expected")
    daemon("Upper", tests=case(bad) + expected + case("[tests.expect]\ndead_letters = 1\n", "none"))
    assert main(["test", "x.toml"]) == 1
    lines = lines_of(capsys)
    assert lines[1] == "  event 'lines' died in upper: ValueError: a bad record"
    assert "ok      expected (3 seeds)" in lines
    assert "  dead_letters: expected 1, got 0" in lines


def test_a_daemon_that_ends_before_the_last_step_fails(capsys: Capture) -> None:
    steps = "steps = [{after = 5}, {after = 5, remove = ['x']}]\n"
    ended = case(TEXTS + steps + "[tests.expect]\nexit_status = 0\n", "expected")
    daemon("Ender", tests=case(TEXTS + steps) + ended)
    assert main(["test", "x.toml"]) == 1
    lines = lines_of(capsys)
    assert lines[1] == "  the daemon has ended with status 0 before step 1"
    assert lines[3] == "ok      expected (3 seeds)"


# --- time, faults and crashes -----------------------------------------------------------------


def test_time_passes_between_steps_and_after_the_last(capsys: Capture) -> None:
    step = f"steps = [{{after = 5, {TEXTS.strip()}}}]\n"
    early = case(f"{step}seconds = 29\n[tests.expect]\nlog = ['Alarm']\n", "early")
    late = case(f"{step}seconds = 31\n[tests.expect]\nlog = ['Alarm']\n", "late")
    daemon("Alarm", "Horn", tests=early + late)
    assert main(["test", "x.toml"]) == 1
    lines = lines_of(capsys)
    assert lines[1] == "  log: expected 'Alarm' in a message, but no message has it"
    assert "ok      late (3 seeds)" in lines


def test_a_fault_happens_at_its_event(capsys: Capture) -> None:
    faults = "faults = [{fault = 'crash', component = 'upper', event = 'lines', nth = 2}]\n"
    expect = "[tests.expect]\ndead_letters = 1\nstatistics.upper.records = 3\n"
    twice = TEXTS + "steps = [{after = 1, " + TEXTS.strip() + "}]\n"
    daemon("Upper", tests=case(twice + faults + expect))
    assert main(["test", "x.toml"]) == 0, capsys.readouterr().out


def test_a_full_disk_is_survived(capsys: Capture) -> None:
    text = TAIL[: TAIL.index("[[tests]]")].replace("exactly_once = true", "")
    fault = (
        "{fault = 'crash', point = 'file', event = 'write', component = 'writer', nth = 1,"
        " error = 'ENOSPC'}"
    )
    test = (
        f"[[tests]]\nname = 'full'\nseeds = 5\nfiles.'in.log' = '{{\"n\": 1}}'\n"
        f"steps = [{{after = 2, append.'in.log' = \"\\n\"}}]\nfaults = [{fault}]\n"
        "[tests.expect]\nexit_status = 74\ndead_letters = 1\nlog = ['No space left on device']\n"
        "[[tests]]\nname = 'another, whose file shows that out/ exists'\nseeds = 1\n"
        "expect.files.'out/out.jsonl' = ''\n"
    )
    write("x.toml", text + test)
    assert main(["test", "x.toml"]) == 0, capsys.readouterr().out


@few_or(200)
def test_each_line_is_written_once_whatever_kills_the_process(seeds: int, capsys: Capture) -> None:
    write("x.toml", TAIL)
    assert main(["test", "x.toml", "--seeds", f"{seeds}"]) == 0, capsys.readouterr().out


@few_or(40)
def test_a_crash_finds_out_that_lines_come_twice(seeds: int, capsys: Capture) -> None:
    write("x.toml", TAIL.replace("exactly_once = true", ""))
    assert main(["test", "x.toml", "--seeds", "100"]) == 1
    lines = lines_of(capsys)
    assert re.fullmatch(r"  out/out.jsonl: expected 5 records, got \d+", lines[1])

    # At least once is what this daemon promises.
    least = TAIL.replace("exactly_once = true", "").replace("power_failures = 2", "")
    write("x.toml", f"{least}repeats = true\n")
    assert main(["test", "x.toml", "--seeds", f"{seeds}"]) == 0, capsys.readouterr().out


@pytest.mark.parametrize(
    ("crashes", "status", "seeds"),
    [
        ("", 0, 15),
        pytest.param("", 0, 60, marks=pytest.mark.slow),
        ("kills = 2", 1, 60),  # the first that fails is the last
        ("power_failures = 2", 1, 60),
    ],
)
def test_a_planted_bug_shows_only_when_the_process_dies(
    crashes: str, status: int, seeds: int, capsys: Capture
) -> None:
    text = TAIL[: TAIL.index("[[tests]]")].replace("exactly_once = true", "")
    test = (
        f"[[tests]]\nname = 'once'\nseeds = {seeds}\n{crashes}\n"
        'files."in.log" = "{}\\n{}\\n"\n'
        'expect.files."out/out.jsonl" = "{}\\n{}\\n"\n'
    )
    write("x.toml", text + test)
    assert main(["test", "x.toml"]) == status, capsys.readouterr().out


@few_or(30)
def test_a_power_failure_leaves_what_the_test_has_done(seeds: int, capsys: Capture) -> None:
    steps = (
        "steps = [{rename = {a = 'b'}}, {restart = 'power failure'}, {remove = ['c']},"
        " {restart = 'power failure'}, {write = {d = '2'}}, {append = {e = '2'}},"
        " {restart = 'power failure'}]\n"
    )
    files = "files = {a = '1', c = '1', d = '1', e = '1', 'f/' = ''}\n"
    expect = (
        "[tests.expect.files]\na = {exists = false}\nb = '1'\nc = {exists = false}\n"
        "d = '2'\ne = '12'\n"
    )
    daemon("Counter", tests=case(f"{files}{steps}{expect}"))
    assert main(["test", "x.toml", "--seeds", f"{seeds}"]) == 0, capsys.readouterr().out


def test_events_and_steps_are_not_played_again_after_a_crash(capsys: Capture) -> None:
    again = "{after = 1, restart = 'kill'}"
    steps = f"steps = [{{append.log = 'a'}}, {again}, {{append.log = 'b'}}, {again}]\n"
    events = "events = [{event = 'lines', args = [{text = 'a'}]}]\n"
    expect = "[tests.expect]\nfiles.log = 'ab'\nreceived.counter = [{text = 'a'}]\n"
    test = case(f"{events}{steps}{expect}", stubs="['listener', 'counter']")
    daemon("Counter", tests=test)
    assert main(["test", "x.toml"]) == 0, capsys.readouterr().out


def test_the_wall_clock_can_be_set(capsys: Capture) -> None:
    event = "{event = 'lines', args = []}"
    steps = f"steps = [{{clock = 864000.0}}, {{events = [{event}]}}]\n"
    expect = "[tests.expect]\nstatistics.calendar = {'day 11' = 1, 'day 21' = 1}\n"
    first = f"{{after = 1, events = [{event}]}}, {{after = 1, clock"
    daemon("Calendar", tests=case(steps.replace("{clock", first) + expect))
    assert main(["test", "x.toml"]) == 0, capsys.readouterr().out


def test_a_signal_that_the_daemon_does_not_trap_is_a_failure(capsys: Capture) -> None:
    daemon("Counter", tests=case("steps = [{signal = 'SIGWINCH'}]\n"))
    assert main(["test", "x.toml"]) == 1
    number = signal.SIGWINCH.value
    assert lines_of(capsys)[1] == f"  ValueError: Signal {number} is not trapped by the daemon."


def test_a_stub_receives_no_events_of_the_daemon_itself(capsys: Capture) -> None:
    test = (
        "[[tests]]\nname = 'stub'\nseeds = 3\nstubs = ['tailer']\n"
        "events = [{event = 'lines', lines = '{\"n\": 1}'}]\n"
        "[tests.expect]\nreceived.tailer = []\nfiles.'out/out.jsonl' = ['{\"n\":1}']\n"
    )
    write("x.toml", TAIL[: TAIL.index("[[tests]]")] + test)
    assert main(["test", "x.toml"]) == 0, capsys.readouterr().out


@few_or(60)
def test_a_stub_of_an_output_takes_part_in_exactly_once(seeds: int, capsys: Capture) -> None:
    head = TAIL[: TAIL.index("[[tests]]")]
    test = (
        "[[tests]]\nname = 'once'\nseeds = 60\nstubs = ['writer']\nkills = 3\n"
        "files.'in.log' = \"{}\\n{}\\n\"\n"
        "steps = [{after = 5, restart = 'stop'}, {after = 2, append.'in.log' = \"{}\\n\"},"
        " {after = 5, signal = 'SIGHUP'}]\n"
        "expect.received.writer.count = 3\n"
    )
    write("x.toml", head + test)
    assert main(["test", "x.toml", "--seeds", f"{seeds}"]) == 0, capsys.readouterr().out
    capsys.readouterr()

    write("x.toml", (head + test).replace("exactly_once = true", ""))
    assert main(["test", "x.toml"]) == 1
    assert lines_of(capsys)[1].startswith("  received.writer: expected 3 lines, got ")


def test_the_files_of_the_disk_are_neither_seen_nor_changed(capsys: Capture) -> None:
    write("in.log", '{"n": 99}\n')
    write("in.log.7", '{"n": 98}\n')
    write("x.toml", TAIL)
    before = sorted(Path().rglob("*"))
    assert main(["test", "x.toml", "--seeds", "2"]) == 0, capsys.readouterr().out
    assert [path for path in sorted(Path().rglob("*")) if "__pycache__" not in path.parts] == before
    assert Path("in.log").read_text() == '{"n": 99}\n'


# --- what cannot be simulated -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("components", "stubs", "reason"),
    [
        ("", "[]", "component 'listener' uses the network, which cannot be simulated"),
        ("Store", "['listener']", "component 'store' opens an SQLite database, which cannot be"),
        ("Program", "['listener']", "component 'program' starts a program, which cannot be"),
        (
            "Scribbler",
            "['listener']",
            "component 'scribbler' changes a file of the disk (real.txt)",
        ),
    ],
)
def test_what_cannot_be_simulated_is_one_line(
    components: str, stubs: str, reason: str, capsys: Capture
) -> None:
    daemon(*components.split(), "Counter", tests=case(TEXTS, stubs=stubs))
    assert main(["test", "x.toml"]) == 1
    header, problem, again, count = lines_of(capsys)
    assert header == f"FAILED  one (x.toml:{11 if components else 8}), seed 0:"
    assert problem.startswith(f"  {reason}")
    assert problem.endswith(f"give the test stubs = [{problem.split()[1]}]")
    assert again.startswith("  Run it again: ")
    assert count == "1 test: 1 failed"
    assert not Path("real.txt").exists()
    assert not Path("store.db").exists()


def test_after_the_tests_the_process_may_do_everything_again(capsys: Capture) -> None:
    daemon("Scribbler", tests=case(TEXTS))
    assert main(["test", "x.toml"]) == 1
    write("real.txt", "text")
    assert Path("real.txt").read_text() == "text"


# --- the command line -------------------------------------------------------------------------


def test_one_test_and_one_seed_can_be_chosen(capsys: Capture) -> None:
    daemon("Counter", tests=case("", "one") + case("", "one more") + case("", "two"))
    for argv, expected in [
        (["--only", "one"], ["ok      one (3 seeds)", "1 test: all passed"]),
        (["--only", "o"], ["ok      one (3 seeds)", "ok      one more (3 seeds)",
                           "ok      two (3 seeds)", "3 tests: all passed"]),
        (["--only", "two", "--seed", "7"], ["ok      two (seed 7)", "1 test: all passed"]),
        (["--only", "two", "--seeds", "5"], ["ok      two (5 seeds)", "1 test: all passed"]),
    ]:  # fmt: skip
        assert main(["test", "x.toml", *argv]) == 0
        assert lines_of(capsys) == expected


def test_the_command_that_a_failure_shows_runs_the_same_again(capsys: Capture) -> None:
    write("x.toml", TAIL.replace("exactly_once = true", ""))
    argv = ["test", "x.toml", "--app-dir", ".", "--set", "log_level=INFO", "--seeds", "100"]
    assert main(argv) == 1
    lines = lines_of(capsys)
    words = shlex.split(lines[-2].removeprefix("  Run it again: "))
    assert words[:6] == ["zenactors", "test", "--app-dir", ".", "--set", "log_level=INFO"]
    assert words[6:9] == ["--only", "each line once", "--seed"]

    assert main(words[1:]) == 1
    assert lines_of(capsys) == lines


def test_more_output_shows_the_run(capsys: Capture) -> None:
    daemon("Upper", tests=case(TEXTS + "[tests.expect]\nstatistics.upper.records = 4\n"))
    assert main(["test", "x.toml", "-v"]) == 1
    lines = lines_of(capsys)
    assert "The last 20 events, 60 s after the start, seed 0:" in lines
    assert any("upper" in line and "listener" not in line for line in lines)
    assert any("■ a callback" in line for line in lines)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("x.toml --seeds 0", "--seeds must be a whole number from 1 up, not '0'"),
        ("x.toml --seed -1", "--seed must be a whole number from 0 up, not '-1'"),
        ("x.toml --seed 1 --seeds 2", "--seed runs one seed only; leave out --seeds"),
        ("x.toml --only=", "--only is empty; give a value"),
    ],
)
def test_wrong_usage_is_one_line_and_the_usage(line: str, expected: str, capsys: Capture) -> None:
    assert main(["test", *line.split()]) == 64
    first, header = capsys.readouterr().err.splitlines()[:2]
    assert (first, header) == (f"zenactors: {expected}", "Usage:")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ("x.toml --only tow", "x.toml: no test is called 'tow'; did you mean 'two'?"),
        ("x.toml --only three", "x.toml: no test is called 'three'; tests: 'one', 'two'"),
        ("away/x.toml", "away/x.toml: there is no such file"),
        ("empty.toml", "empty.toml: it has no [[tests]]"),
        ("spec_parts:make", "SPEC 'spec_parts:make' is not a file; only TOML files have [[tests]]"),
        ("wrong.toml", "wrong.toml:2: test 1: key 'name' is missing; it must be given"),
    ],
)
def test_a_wrong_spec_is_one_line(argv: str, expected: str, capsys: Capture) -> None:
    daemon("Counter", tests=case("", "one") + case("", "two"))
    write("empty.toml", "name = 'x'\n")
    write("wrong.toml", "name = 'x'\n[[tests]]\n")
    assert main(["test", *argv.split()]) == 78
    shown = capsys.readouterr()
    assert (shown.out, shown.err) == ("", f"zenactors: {expected}\n")


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("{fault = 'crash', component = 'uper', nth = 1}",
         "never happens: no component is called 'uper'; did you mean 'upper'?"),
        ("{fault = 'crash', event = 'line', nth = 1}",
         "never happens: no component handles 'line'; did you mean 'lines'?"),
        ("{fault = 'crash'}", "never happens: give nth=1, or chance=0.1."),
        ("{fault = 'crash', nth = 1, error = 'ENOSPACE'}",
         "error must be the name of a system error, such as 'ENOSPC', not 'ENOSPACE'; did you mean"
         " 'ENOSPC'?"),
        ("{fault = 'crash', nth = 1, seconds = 1.0}", "a crash has no 'seconds': leave it out"),
        ("{fault = 'delay', nth = 1}", "a delay needs its seconds: give seconds = 10.0"),
        ("{fault = 'delay', nth = 1, point = 'step', seconds = 1.0}",
         "A Delay cannot happen at the point 'step'."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["test", "check"])
def test_a_fault_that_cannot_happen_is_one_line(
    command: str, fault: str, expected: str, capsys: Capture
) -> None:
    daemon("Upper", tests=case(f"faults = [\n  {fault},\n]\n"))
    assert main([command, "x.toml"]) == 78
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("zenactors: x.toml:13: test 1 (one): ")
    assert shown.err.endswith(f"{expected}\n")
    assert shown.err.count("\n") == 1


def test_other_commands_ignore_the_tests(capsys: Capture) -> None:
    failing = TAIL.replace("{ n = 5 }", "{ n = 6 }")
    write("x.toml", failing)
    write("in.log", '{"n": 7}\n')
    Path("out").mkdir()
    assert main(["check", "x.toml"]) == 0
    assert "each line once" not in capsys.readouterr().out
    assert main(["run", "x.toml", "--exit-when-idle", "--no-summary"]) == 0
    assert Path("out/out.jsonl").read_text() == '{"n":7}\n'


def test_ctrl_c_ends_the_command_at_once(capsys: Capture) -> None:
    daemon("Interrupting", tests=case("", "one") + case(TEXTS, "two") + case("", "three"))
    assert main(["test", "x.toml"]) == 75
    assert lines_of(capsys) == ["ok      one (3 seeds)", "interrupted after 1 of 3 tests"]


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None  # not to be found
from zenactors.cli import main
sys.exit(main(["test", "x.toml"]))
"""


def test_a_missing_extra_is_named() -> None:
    done = run_python("-c", WITHOUT_GREENLET, cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "zenactors: zenactors test needs the extra: pip install 'zenactors[test]'\n"
    )


# --- from Python, and the examples ------------------------------------------------------------


def test_a_pytest_test_can_run_them() -> None:
    daemon("Upper", tests=case(TEXTS, "one") + case("[tests.expect]\nlog = ['no']\n", "two"))
    run_spec_tests("x.toml", only="one")
    run_spec_tests("x.toml", only="one", seeds=1)
    with pytest.raises(AssertionError) as failure:
        run_spec_tests("x.toml")
    assert str(failure.value).splitlines() == [
        "two: seed 0 fails",
        "log: expected 'no' in a message, but no message has it",
    ]


EXAMPLES = [
    path.name
    for path in sorted((ROOT / "examples").glob("*.toml"))
    if "\n[[tests]]" in path.read_text()
]


@pytest.mark.parametrize("seeds", ["--seeds=3", pytest.param("", marks=pytest.mark.slow)])
@pytest.mark.parametrize("example", EXAMPLES)
def test_the_tests_of_the_examples_pass(example: str, seeds: str, capsys: Capture) -> None:
    shutil.copytree(ROOT / "examples", "examples")
    Path("examples", example).chmod(0o644)
    argv = ["--app-dir", "examples", f"examples/{example}", *seeds.split()]
    assert main(["test", *argv]) == 0, capsys.readouterr().out


def test_there_are_examples_with_tests() -> None:
    assert "access_log.toml" in EXAMPLES
