"""`zenactors simulate`: the forms of SPEC, its output, and the replay of its failures."""

from __future__ import annotations

import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import LIMIT, ROOT, run_python
from zenactors.cli import main

Capture = pytest.CaptureFixture[str]

COUNTED = r"{} seeds? in \d+\.\d s \([\d,]+ a minute\): "

BANK = """
from zenactors import ZenDaemon, ZenDaemonComponent
from zenactors.testing import Scenario

class Account(ZenDaemonComponent):
    def __init__(self, event, ledger, sign):
        super().__init__(name=event)
        self.ledger, self.sign = ledger, sign
    def get_events(self):
        return [self.gen_event_handler(self.name, self.change)]
    def change(self, daemon, args):
        balance = self.ledger.get("balance", 0)
        balance = balance + self.sign * args
        self.ledger["balance"] = balance

def build():
    ledger = {}
    return [Account("deposit", ledger, 1), Account("withdraw", ledger, -1)]

def drive(harness):
    for _ in range(3):
        harness.queue.schedule("deposit", 10)
        harness.queue.schedule("withdraw", 10)

def check(harness):
    ledger = harness.daemon.entries[0].component.ledger
    assert ledger["balance"] == 0

scenario = Scenario(build=build, drive=drive, check=check)
"""

FORMS = """
import signal
from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.testing import Scenario

class Ticker(ZenDaemonComponent):
    @handles("tick")
    def tick(self, daemon, args):
        daemon.queue.schedule_after(60, "tick")

def components():
    return [Ticker()]
def make():
    return ZenDaemon(name="ticking", components=[Ticker()], schedule=[("tick",)])
class Ticking(ZenDaemon):
    def __init__(self):
        super().__init__(name="ticking", components=[Ticker()], schedule=[("tick",)])
daemon = make()
scenario = Scenario(build=components)
def make_scenario():
    return scenario

ONE = [Ticker()]
def same():
    return ONE
def three():
    return 3
def strings():
    return ["tick"]
def failing():
    raise ValueError("no such thing")
def greedy(argument):
    pass
building_three = Scenario(build=three)
building_the_same = Scenario(build=lambda: ZenDaemon(name="same", components=ONE))
unheard = ZenDaemon(name="unheard", components=[])

class Interrupting(ZenDaemonComponent):
    @handles("now")
    def now(self, daemon, args):
        signal.raise_signal(args)
def drive(harness):
    harness.queue.schedule("now", NUMBER)
    harness.run_until_idle()
NUMBER = signal.SIGINT
interrupted = Scenario(build=lambda: [Interrupting()], drive=drive)
"""


KEPT = """
import os
from zenactors import ZenDaemonComponent
from zenactors.components import SYSTEM_FILES
from zenactors.testing import Scenario
class Log(ZenDaemonComponent):
    files = SYSTEM_FILES
    count = 0
    def setup(self, daemon):
        daemon.io.call_every(1, self.write)
    def write(self, daemon):
        files = self.files
        fd = files.open("log", os.O_WRONLY | os.O_APPEND)
        files.write(fd, b"x")
        files.fsync(fd)
        files.close(fd)
        self.count += 1
def check(harness):
    written = sum(life.component("Log").count for life in harness.lives)
    assert len(harness.files.content("log")) >= written, "lost"
lines = Scenario(
    build=lambda: [Log()], files={"log": ""}, drive=lambda harness: harness.advance(30), check=check
)
"""


@pytest.fixture(autouse=True)
def modules(monkeypatch: pytest.MonkeyPatch) -> None:
    """Write the modules into the current directory; forget those imported by another test."""
    write("bank.py", BANK)
    write("forms.py", FORMS)
    for name in ("bank", "forms", "again", "paced", "kept"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "attribute",
    ["components", "make", "Ticking", "daemon", "scenario", "make_scenario"],
)
def test_everything_that_can_be_run_is_run(attribute: str, capsys: Capture) -> None:
    assert main(["simulate", f"forms:{attribute}", "--seeds", "3", "--for", "600"]) == 0

    shown = capsys.readouterr()
    assert re.fullmatch(COUNTED.format(3) + "no failure.\n", shown.out)
    assert shown.err == ""


def test_the_example_is_simulated_and_nothing_is_written(capsys: Capture) -> None:
    shutil.copytree(ROOT / "examples", "examples")
    Path("examples/access_log.toml").chmod(0o644)
    Path("build").mkdir()
    before = sorted(Path().rglob("*"))

    argv = ["simulate", "examples/access_log.toml", "--exit-when-idle", "--seeds", "5"]
    assert main(argv) == 0

    assert re.fullmatch(COUNTED.format(5) + "no failure.\n", capsys.readouterr().out)
    assert sorted(Path().rglob("*")) == before


def test_a_failing_seed_is_told_with_everything_that_is_known(capsys: Capture) -> None:
    argv = ["simulate", "bank:scenario", "--seeds", "1000", "--interrupt", "0.3", "--app-dir", "."]
    assert main(argv) == 1

    shown = capsys.readouterr()
    assert shown.err == ""
    first, *lines = shown.out.splitlines()
    words = re.fullmatch(
        r'seed (\d+) fails: AssertionError: assert ledger\["balance"\] == 0', first
    )
    assert words, first
    assert lines[0] == f'  File "{Path("bank.py").absolute()}", line 27, in check'
    assert f"The last 20 events, 0 s after the start, seed {words[1]}:" in lines
    assert any("interrupted at bank.py:1" in line for line in lines)
    assert re.fullmatch(COUNTED.format(r"\d+") + f"seed {words[1]} fails. Run it again:", lines[-2])
    assert shlex.split(lines[-1]) == [
        *("zenactors", "simulate", "--app-dir", "."),
        *("--interrupt", "0.3", "--seed", words[1], "bank:scenario"),
    ]


def test_what_a_callback_raised_is_shown_where_it_was_raised(capsys: Capture) -> None:
    wrong = BANK.replace("ledger = {}", "ledger = {'balance': '0'}").replace("check=check", "")
    write("again.py", wrong)
    assert main(["simulate", "again:scenario", "--seeds", "5", "--from", "7"]) == 1

    lines = capsys.readouterr().out.splitlines()
    assert re.match(r"seed 7 fails: event '(\w+)' died in \1: TypeError: can only conc", lines[0])
    assert ", line 13, in change" in lines[1]
    assert not any("zenactors/" in line for line in lines if line.startswith("  File"))
    assert lines[-2].startswith("1 seed in ")


@pytest.mark.parametrize("option", ["--crash", "--delay"])
def test_faults_by_chance_are_no_failures(option: str, capsys: Capture) -> None:
    write("again.py", BANK.replace("check=check", "interrupt=0.0"))
    for what in ("forms:make", "again:scenario"):
        argv = ["simulate", what, option, "0.8", "--seeds", "20", "--for", "300", "--trace", "t"]
        assert main(argv) == 0, capsys.readouterr().out
    assert ": fault " in Path("t").read_text()


def test_the_process_is_killed_and_started_again(capsys: Capture) -> None:
    write("kept.py", KEPT)
    argv = ["simulate", "--kills", "2", "--power-failures=1", "kept:lines", "--trace", "t"]
    assert main([*argv, "--seeds", "10"]) == 0, capsys.readouterr().out
    capsys.readouterr()

    write("kept.py", KEPT.replace("files.fsync(fd)", ""))
    del sys.modules["kept"]
    assert main([*argv, "--seeds", "300"]) == 1
    lines = capsys.readouterr().out.splitlines()
    seed = re.fullmatch(r"seed (\d+) fails: AssertionError: lost", lines[0])
    assert seed
    assert any("power failure" in line for line in lines)
    assert ": fault power failure" in Path("t").read_text()
    assert shlex.split(lines[-1]) == [
        *("zenactors", "simulate", "--kills", "2", "--power-failures", "1"),
        *("--seed", seed[1], "kept:lines"),
    ]


def test_one_seed_is_shown_also_if_it_does_not_fail(capsys: Capture) -> None:
    argv = ["simulate", "forms:make", "--seed", "4", "--for", "100", "--trace", "trace.txt"]
    assert main(argv) == 0

    picture, trace = capsys.readouterr().out, Path("trace.txt").read_text()
    assert "│    ticking" in picture
    assert "│────┼───>│    tick#2" in picture
    assert picture.splitlines()[-1].endswith("no failure.")
    assert "dispatcher -> Ticker: start tick#1" in trace
    assert "\nseed" not in trace


def test_the_trace_may_go_to_standard_output_and_is_alone_there(capsys: Capture) -> None:
    argv = ["simulate", "bank:scenario", "--seeds", "1000", "--trace"]
    assert main([*argv, "-"]) == 1
    shown = capsys.readouterr()
    assert main([*argv, "trace.txt"]) == 1

    assert shown.out == Path("trace.txt").read_text()
    assert shown.err.startswith("seed ")


def test_a_longer_time_gives_more_to_happen() -> None:
    counts = []
    for seconds in ("60", "600"):
        argv = ["simulate", "forms:make", "--seeds", "1", "--for", seconds, "--trace", "t"]
        assert main(argv) == 0
        counts.append(Path("t").read_text().count("start tick#"))
    assert 0 < counts[0] * 3 < counts[1]


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM"])
def test_a_signal_ends_it_at_once_wherever_it_comes(number: str, capsys: Capture) -> None:
    write("again.py", FORMS.replace("signal.SIGINT", f"signal.{number}"))
    assert main(["simulate", "again:interrupted", "--seeds", "9", "--trace", "t"]) == 75

    shown = capsys.readouterr()
    expected = COUNTED.format(0) + "no failure so far. It was interrupted in seed 0.\n"
    assert re.fullmatch(expected, shown.out)
    assert Path("t").read_text().endswith(f"call now#1 {getattr(signal, number)!r}\n")


def test_a_terminal_sees_how_far_it_is(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", terminal)
    assert main(["simulate", "forms:components", "--seeds", "5"]) == 0

    assert "/5" in terminal.getvalue()
    assert "a minute" in terminal.getvalue()
    assert "no failure." in capsys.readouterr().out


def test_what_standard_output_cannot_hold_is_drawn_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ascii_only = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(ascii_only, encoding="ascii"))
    assert main(["simulate", "bank:scenario", "--seed", "1"]) in (0, 1)
    sys.stdout.flush()
    assert b"|--->|    |    |    deposit#1 10" in ascii_only.getvalue()


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--seeds 0", "--seeds must be a whole number from 1 up, not '0'"),
        ("--seeds abc", "--seeds must be a whole number from 1 up, not 'abc'"),
        ("--from -1", "--from must be a whole number from 0 up, not '-1'"),
        ("--seed 1.5", "--seed must be a whole number from 0 up, not '1.5'"),
        ("--seed 1 --seeds 2", "--seed runs one seed only; leave out --seeds"),
        ("--seed 1 --from 2", "--seed runs one seed only; leave out --from"),
        ("--for never", "--for must be a number of seconds above 0, not 'never'"),
        ("--for inf", "--for must be a number of seconds above 0, not 'inf'"),
        ("--crash 2", "--crash must be a probability from 0 to 1, not '2'"),
        ("--delay -0.1", "--delay must be a probability from 0 to 1, not '-0.1'"),
        ("--interrupt nan", "--interrupt must be a probability from 0 to 1, not 'nan'"),
        ("--kills -1", "--kills must be a whole number from 0 up, not '-1'"),
        ("--power-failures x", "--power-failures must be a whole number from 0 up, not 'x'"),
        ("--trace=", "--trace is empty; give a path"),
        ("--see 1", "unknown option '--see'; did you mean '--seeds' or '--seed'?"),
    ],
)
def test_wrong_usage_is_one_line_and_the_usage(line: str, expected: str, capsys: Capture) -> None:
    assert main(["simulate", "forms:make", *line.split()]) == 64
    first, header = capsys.readouterr().err.splitlines()[:2]
    assert (first, header) == (f"zenactors: {expected}", "Usage:")


FORM = (
    "a Scenario, a ZenDaemon, a subclass of it, or a function without arguments that returns"
    " components, a ZenDaemon or a Scenario"
)
ONLY_ONCE = (
    " gives the same components for every run, but they can run only once;"
    " name a function that makes new ones at every call"
)


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("forms:mkae", "forms:mkae: 'forms' has no attribute 'mkae'; did you mean 'make'?"),
        ("fomrs:make", "fomrs:make: there is no module 'fomrs'"),
        ("none.toml", "none.toml: there is no such file"),
        ("forms", "SPEC 'forms' is neither a file nor of the form 'package.module:attribute'"),
        ("forms:Ticker", f"forms:Ticker is <class 'forms.Ticker'>, which is not {FORM}"),
        ("forms:three", f"forms:three returns 3; SPEC must be {FORM}"),
        ("forms:building_three", "forms:building_three builds 3; it must build components"),
        ("forms:failing", "forms:failing raises ValueError: no such thing ("),
        ("forms:greedy", "forms:greedy cannot be called without arguments ("),
        ("forms:strings", "Component 1 is 'tick'; expected an object with get_events()"),
        ("forms:same", "forms:same" + ONLY_ONCE),
        ("forms:building_the_same", "forms:building_the_same" + ONLY_ONCE),
        ("again:daemon", "again:daemon" + ONLY_ONCE),
    ],
)
def test_what_cannot_be_run_is_one_line(spec: str, expected: str, capsys: Capture) -> None:
    write("again.py", "from forms import daemon\n")
    assert main(["simulate", spec]) == 78

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"zenactors: {expected}")
    assert shown.err.count("\n") == 1


def test_a_trace_that_cannot_be_written_is_told_before_the_work(capsys: Capture) -> None:
    assert main(["simulate", "forms:make", "--trace", "none/trace.txt"]) == 78
    assert capsys.readouterr() == (
        "",
        "zenactors: --trace 'none/trace.txt' cannot be written: No such file or directory\n",
    )


WITHOUT_GREENLET = """
import sys
sys.modules["greenlet"] = None  # not to be found
from zenactors.cli import main
sys.exit(main(["simulate", "forms:make"]))
"""


def test_a_missing_extra_is_named() -> None:
    done = run_python("-c", WITHOUT_GREENLET, cwd=Path.cwd())
    assert (done.returncode, done.stdout) == (78, "")
    assert done.stderr == (
        "zenactors: zenactors simulate needs the extra: pip install 'zenactors[test]'\n"
    )


def run(command: str, hash_seed: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": hash_seed}
    return subprocess.run(
        command,
        shell=True,
        env=environment,
        timeout=LIMIT,
        check=False,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )


@pytest.mark.parametrize("options", ["", "--crash 0.1 --delay 0.1 --interrupt 0.4"])
def test_the_command_that_a_failure_shows_runs_the_same_again(options: str) -> None:
    directory = Path("a directory")
    directory.mkdir()
    Path("bank.py").rename(directory / "bank.py")
    python = shlex.quote(sys.executable)
    found = run(
        f"{python} -m zenactors simulate bank:scenario --seeds 5000 {options}"
        " --app-dir 'a directory' --trace first.txt",
        "1",
    )
    assert found.returncode == 1, found.stderr

    command = found.stdout.splitlines()[-1]
    again = run(f"{command} --trace second.txt", "2")

    assert again.returncode == 1, again.stderr
    assert again.stdout.splitlines()[0] == found.stdout.splitlines()[0]
    assert again.stdout.splitlines()[-1] == command
    assert Path("second.txt").read_bytes() == Path("first.txt").read_bytes()
    assert Path("first.txt").stat().st_size > 1000


PACED = """
from zenactors import ZenDaemon, ZenDaemonComponent

class Paced(ZenDaemonComponent):
    def __init__(self, limit: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.limit = limit
    def setup(self, daemon):
        assert self.limit == 5, f"the limit is {self.limit}"
        daemon.io.keep_alive()

def make():
    return ZenDaemon(name="pacing", components=[Paced])
def components():
    return [Paced()]
"""
PACED_SPEC = "name = 'pacing'\n[[component]]\nuse = 'paced:Paced'\n"


@pytest.mark.parametrize("spec", ["paced:make", "paced.toml"])
def test_a_value_can_be_set_for_every_run_and_its_replay(spec: str, capsys: Capture) -> None:
    write("paced.py", PACED)
    write("paced.toml", PACED_SPEC)
    options = ["simulate", "--for", "5", "--seeds", "3"]
    assert main([*options, "--set", "components.Paced.limit=5", spec]) == 0
    assert main([*options, "--set", "components.Paced.limit=6", spec]) == 1
    shown = capsys.readouterr().out
    assert "the limit is 6" in shown
    assert "--set components.Paced.limit=6" in shown.splitlines()[-1]
    assert main([*options, "--set", "components.Paced.lmit=6", spec]) == 78
    assert "--set components.Paced.lmit: component 'Paced': unknown" in capsys.readouterr().err


def test_components_alone_have_nothing_to_set(capsys: Capture) -> None:
    write("paced.py", PACED)
    assert main(["simulate", "--set", "a=5", "paced:components"]) == 78
    assert "paced:components builds components, which have no conf" in capsys.readouterr().err


def test_a_check_sets_values_too(capsys: Capture) -> None:
    write("paced.py", PACED)
    write("paced.toml", PACED_SPEC)
    assert main(["check", "--set", "components.Paced.limit=6", "paced.toml"]) == 0
    assert main(["check", "--set", "components.Paced.limit=x", "paced.toml"]) == 78
    assert main(["check", "--set", "limit", "paced.toml"]) == 64
    errors = capsys.readouterr().err.splitlines()
    assert errors[0] == (
        "zenactors: --set components.Paced.limit: component 'Paced': option 'limit': expected int,"
        " got 'x'"
    )
    assert errors[1].startswith("zenactors: --set expects KEY=VALUE, such as components.tailer")
