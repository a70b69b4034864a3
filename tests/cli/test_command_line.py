"""`main()` in this process: help, wrong usage, configuration errors, `check`."""

from __future__ import annotations

import io
import signal
import sys
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import run_python
from zenactors import __version__
from zenactors.cli import COMMANDS, main

Capture = pytest.CaptureFixture[str]

RIGHT = """\
name = "right"

[[component]]
use = "zenactors.components:FileTailer"
name = "tailer"
options.patterns = ["in.log"]
options.start = "beginning"

[[component]]
use = "zenactors.components:RawWriter"
options.path = "out.log"
"""


@pytest.mark.parametrize("option", ["--help", "-h"])
@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help_goes_to_standard_output(command: str, option: str, capsys: Capture) -> None:
    assert main([*command.split(), option]) == 0

    shown = capsys.readouterr()
    assert f"Usage:\n  zenactors {command}".rstrip() in shown.out
    assert shown.err == ""


def test_version_goes_to_standard_output(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr() == (f"{__version__}\n", "")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "COMMAND is missing"),
        ("rnu x.toml", "unknown command 'rnu'; did you mean 'run'?"),
        (
            "serve x.toml",
            f"unknown command 'serve'; commands: {', '.join(COMMANDS)}",
        ),
        ("--verison", "unknown option '--verison'; did you mean '--version'?"),
        ("run", "SPEC is missing"),
        ("check", "SPEC is missing"),
        ("tail", "PATTERN is missing"),
        ("run a b", "unexpected argument 'b'"),
        ("run -- a --help", "unexpected argument '--help'"),
        ("run --exit-when-idel a",
         "unknown option '--exit-when-idel'; did you mean '--exit-when-idle'?"),
        ("run --log x a",
         "unknown option '--log'; did you mean '--log-level' or '--log-file' or '--log-json'?"),
        ("--vers", "unknown option '--vers'; did you mean '--version'?"),
        ("tail --par access a", "unknown option '--par'; did you mean '--parse'?"),
        ("run -q a", "unknown option '-q'"),
        ("tail -dash.log", "unknown option '-dash.log'"),  # docopt would obey its h
        ("run a --log-level -- b", "option '--log-level' needs a value: --log-level LEVEL"),

        ("run -- a --exit-when-idle", "unexpected argument '--exit-when-idle'"),
        ("run a --log-level", "option '--log-level' needs a value: --log-level LEVEL"),
        ("run a --exit-when-idle=yes",
         "option '--exit-when-idle' takes no value, but got '--exit-when-idle=yes'"),
        ("check a --app-dir b --app-dir=c", "option '--app-dir' is given twice"),
        ("run a --log-level loud",
         "--log-level: expected one of 'TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL',"
         " got 'loud'"),
        ("run a --ordering evnt",
         "--ordering must be 'component', 'global' or 'event', not 'evnt';"
         " did you mean 'event'?"),
        ("tail a --from middle", "--from must be 'beginning' or 'end', not 'middle'"),
        ("tail a --format jsno",
         "--format must be 'raw' or 'json', not 'jsno'; did you mean 'json'?"),
        ("tail a --parse csv",
         "--parse must be 'access', 'json', 'logfmt', 'syslog' or 'regex:PATTERN', not 'csv'"),
        ("tail a --parse jsn",
         "--parse must be 'access', 'json', 'logfmt', 'syslog' or 'regex:PATTERN', not 'jsn';"
         " did you mean 'json'?"),
        ("tail a --parse=", "--parse is empty; give a format"),
        ("tail a --parse regex",
         "--parse must be 'access', 'json', 'logfmt', 'syslog' or 'regex:PATTERN', not 'regex'"),
        ("tail a --parse regex:",
         "--parse regex: has no pattern; use 'regex:(?P<name>...)'"),
        ("tail a --parse regex:(?P<a>",
         "--parse regex:PATTERN: pattern is '(?P<a>', which is no regular expression: missing ),"
         " unterminated subpattern at position 0."),
        ("tail a --parse regex:(a)",
         "--parse regex:PATTERN: pattern is '(a)', which has no named group: name what a record"
         " shall have, as in (?P<user>[a-z]+)."),
        ("tail a --parse access --format raw",
         "--parse makes records, which --format raw cannot write; use json"),
        ("tail a --poll often", "--poll must be a number of seconds above 0, not 'often'"),
        ("tail a --poll=-1", "--poll must be a number of seconds above 0, not '-1'"),
        ("tail a --poll nan", "--poll must be a number of seconds above 0, not 'nan'"),
        ("tail a --output=", "--output is empty; give the path of a file"),
        ("tail a --output b --output c", "option '--output' is given twice"),
        ("tail a --exclude=", "--exclude is empty; give a path or a glob"),
        ("tail a --exclude b --exclude=", "--exclude is empty; give a path or a glob"),
        ("tail a --state-dir=", "--state-dir is empty; give the path of a directory"),
        ("tail a --format=", "--format is empty; give a format"),
        ("tail a --encoding=", "--encoding is empty; give the name of an encoding"),
        ("tail a --encoding klingon", "--encoding must be an encoding of text, not 'klingon'"),
        ("tail a --encoding base64", "--encoding must be an encoding of text, not 'base64'"),
        ("tail a --multiline=", "--multiline is empty; give a regular expression"),
        ("tail a --multiline (",
         "--multiline must be a regular expression, not '(': missing ), unterminated subpattern at"
         " position 0"),
        ("tail a --max-line-bytes 0", "--max-line-bytes must be a whole number above 0, not '0'"),
        ("tail a --max-line-bytes 1k", "--max-line-bytes must be a whole number above 0, not '1k'"),
        ("tail a --max-line-bytes 1_0",
         "--max-line-bytes must be a whole number above 0, not '1_0'"),
        ("tail a --rate-limit 0",
         "--rate-limit must be a number of lines per second above 0, not '0'"),
        ("tail a --rate-limit inf",
         "--rate-limit must be a number of lines per second above 0, not 'inf'"),
        ("tail a --poll 1_0", "--poll must be a number of seconds above 0, not '1_0'"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_and_the_usage(line: str, expected: str, capsys: Capture) -> None:
    assert main(line.split()) == 64

    shown = capsys.readouterr()
    command = next((word for word in ("run", "tail", "check") if line.startswith(word)), "")
    first, header, usage = shown.err.splitlines()[:3]
    assert first == f"zenactors: {expected}"
    assert header == "Usage:"
    assert usage.startswith(f"  zenactors {command}")
    assert shown.out == ""


def test_each_problem_of_a_spec_is_a_line_on_standard_error(capsys: Capture) -> None:
    wrong = RIGHT.replace("patterns", "patern").replace("path", "pth").replace("name", "nmae", 1)
    write("wrong.toml", wrong)

    for command in ("run", "check"):
        assert main([command, "wrong.toml"]) == 78
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.splitlines() == [
            "zenactors: wrong.toml:1: unknown key 'nmae'; did you mean 'name'?",
            "zenactors: wrong.toml:6: component 1 (tailer): unknown option 'patern';"
            " did you mean 'patterns'?",
            "zenactors: wrong.toml:11: component 2 (RawWriter): unknown option 'pth';"
            " did you mean 'path'?",
        ]


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["run", "none.toml"], "none.toml: there is no such file"),
        (["run", "nothing"], "SPEC 'nothing' is neither a file nor of the form"
                             " 'package.module:attribute'"),
        (["run", "x", "--app-dir", "/dev/null"], "--app-dir '/dev/null' is not a directory"),
    ],
)  # fmt: skip
def test_a_spec_that_cannot_be_loaded_is_one_line(
    argv: list[str], expected: str, capsys: Capture
) -> None:
    assert main(argv) == 78
    assert capsys.readouterr() == ("", f"zenactors: {expected}\n")
    assert list(Path.cwd().iterdir()) == []


def test_an_ordering_for_a_daemon_made_in_code_is_refused(capsys: Capture) -> None:
    assert main(["run", "zenactors:ZenDaemon", "--ordering", "event"]) == 78
    assert capsys.readouterr().err == (
        "zenactors: zenactors:ZenDaemon: 'ordering' can be set for a TOML file only;"
        " give it to the ZenDaemon in the code\n"
    )


def test_a_log_file_that_cannot_be_opened_is_a_configuration_error(capsys: Capture) -> None:
    write("right.toml", RIGHT)
    assert main(["run", "right.toml", "--log-file", "/no/x.log"]) == 78
    assert capsys.readouterr().err == (
        "Log file '/no/x.log' cannot be opened: No such file or directory."
        " Create the directory /no first.\n"
    )


def test_check_shows_components_and_chains_in_order(capsys: Capture) -> None:
    write("right.toml", RIGHT)
    assert main(["check", "right.toml"]) == 0

    shown = capsys.readouterr()
    assert shown.err == ""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in shown.out.splitlines()]
    assert any(row[:2] == ["tailer", "zenactors.components.tail.tailer.FileTailer"] for row in rows)
    assert any(row[0] == "tailer" and row[3] == "lines" for row in rows if len(row) == 4)
    assert ["lines", "1. RawWriter.cbk_event_lines"] in rows
    assert ["stop", "1. right.cbk_event_stop"] in rows
    assert not Path("out.log").exists()  # nothing was started


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_check_cuts_nothing_off_on_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "50")
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "dumb")
    write("right.toml", RIGHT)
    assert main(["check", "right.toml"]) == 0

    rows = [line.split("│") for line in terminal.getvalue().splitlines() if "│" in line]
    columns = ["".join(row[2].strip() for row in rows if len(row) == 6)]
    assert "zenactors.components.tail.tailer.FileTailer" in columns[0]
    assert "…" not in terminal.getvalue()


@pytest.mark.parametrize("no_color", ["1", ""])
def test_tables_are_plain_text_if_no_color_is_wanted(
    monkeypatch: pytest.MonkeyPatch, no_color: str
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", no_color)
    write("right.toml", RIGHT)
    assert main(["check", "right.toml"]) == 0
    assert ("\x1b" in terminal.getvalue()) == (no_color == "")


def test_check_draws_with_the_characters_of_standard_output(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write("right.toml", RIGHT.replace('"tailer"', '"hänger"'))
    ascii_only = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(ascii_only, encoding="ascii"))
    assert main(["check", "right.toml"]) == 0
    assert b"| h\\xe4nger" in ascii_only.getvalue()


def test_a_bug_keeps_its_traceback(capsys: Capture) -> None:
    write(
        "buggy.py",
        "from zenactors import ZenDaemon\n"
        "class Buggy(ZenDaemon):\n"
        "    def chains(self): return 1 / 0\n"
        "daemon = Buggy(name='buggy')\n",
    )
    assert main(["check", "buggy:daemon"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_during_the_start_up_ends_quietly(number: int, capsys: Capture) -> None:
    # The module is imported in the middle of the start-up, before the daemon traps signals.
    write("impatient.py", f"import signal\nsignal.raise_signal({int(number)})\n")
    before = signal.getsignal(signal.SIGTERM)

    assert main(["run", "impatient:daemon"]) == 0
    assert capsys.readouterr() == ("", "")
    assert signal.getsignal(signal.SIGTERM) is before


@pytest.mark.parametrize(
    "argv", [["run", "\x1b[2J.toml"], ["tail", "--from", "\x1b[2J", "x"], ["\x1b[2J"]]
)
def test_an_argument_does_not_steer_the_terminal(argv: list[str], capsys: Capture) -> None:
    assert main(argv) != 0

    shown = capsys.readouterr().err
    assert "\\x1b[2J" in shown
    assert "\x1b" not in shown


def test_nor_does_one_of_a_daemon() -> None:
    program = "from zenactors import ZenDaemon; ZenDaemon(name='own').run()"
    result = run_python("-c", program, "--config-file", "/\x1b[2J.toml")
    assert "\\x1b[2J.toml: there is no such file" in result.stderr
    assert "\x1b" not in result.stderr


def test_the_help_of_run_names_the_default_places(capsys: Capture) -> None:
    assert main(["run", "--help"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "the default files are NAME.pid and NAME.state in /var/run" in shown


@pytest.mark.parametrize(
    "line",
    [
        "tail --from beginning --exit-when-idle -- -a.log",
        "tail --exit-when-idle --from=beginning -- -a.log -a.log",
        "-- tail --exit-when-idle --from beginning ./-a.log",
        "run --exit-when-idle --no-summary -- -a.toml",
    ],
)
def test_after_two_dashes_there_are_no_options(
    line: str, capfd: pytest.CaptureFixture[str]
) -> None:
    write("-a.log", "text\n")
    spec = """
        name = "a"
        [[component]]
        use = "zenactors.components:FileTailer"
        options = { patterns = ["-a.log"], start = "beginning" }
        [[component]]
        use = "zenactors.components:RawWriter"
    """
    write("-a.toml", spec)

    assert main(line.split()) == 0
    assert capfd.readouterr().out == "text\n"
