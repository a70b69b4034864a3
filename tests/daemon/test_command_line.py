"""A daemon's command line follows from its model; errors name the option."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field

from tests.running import run_python
from zenactors.config.options import DaemonOptions
from zenactors.daemon.command_line import HelpShown, UsageError, parse_daemon, usage

ACTIONS = {"signal-check": "Say whether the daemon runs.", "config-view": "Show it."}


class Options(DaemonOptions):
    greeting: str = Field(
        "hello",
        description="What to say; usage: with --name [default: 5].",
    )
    loud: bool = Field(default=True, description="Say it loudly.")
    directory: Path = Field(default=Path("/data"), description="Where to look.")
    mode: Literal["fast", "safe"] = "safe"
    # Its second line must not begin with the option: docopt would take that for a definition.
    hint: str = Field("", description=f"What {'a' * 57} b --quiet does.")
    count2: int | None = None
    ratio: float = 0.5
    a_key_with_a_name_that_is_longer_than_others: str = Field("", description="Long.")
    tags: list[str] = Field(default=[])
    limits: dict[str, int] = Field(default={})


DOC = usage("my-daemon", "Greets everyone: usage: see below.", Options, ACTIONS)


def parsed(line: str) -> dict[str, Any]:
    keys, _ = parse_daemon(line.split(), DOC, Options, actions=ACTIONS, version="1.2")
    return keys


def test_the_help_of_a_daemon() -> None:
    class Small(DaemonOptions):
        greeting: str = Field("hello", description="What to say first.")

    text = usage("hello", "Greets.", Small, {"config-view": "Show the configuration."})
    assert (
        text
        == """\
Greets.

Usage:
  hello [options] [--verbose]... [--set KEY=VALUE]...
  hello (-h | --help | --version)

Configuration:
  --name NAME                Name of the daemon in logs and file names.
  --config-file FILE         Configuration file: TOML (.toml) or JSON with comments.
  --config-dir DIR           Directory of configuration files, read in order of their names.
  --config-file-silent       Ignore a missing configuration file.
  --config-dir-silent        Ignore a missing configuration directory.
  --set KEY=VALUE            Set one key, also of a table or of a component, such as
                             components.tailer.start=end; may be repeated. Takes precedence over all
                             else.

Logs:
  --log-file FILE            Append log lines to this file.
  --log-level LEVEL          Minimum log level: TRACE, DEBUG, INFO, WARNING, ERROR, CRITICAL.
                             Default: INFO.
  --log-json                 Write the log file as JSON lines.
  --debug                    Set the minimum log level to DEBUG.
  --quiet                    Write only errors to the terminal.
  --verbose                  More output on the terminal; may be repeated.

Process:
  --no-daemon                Run in the foreground, without detaching.
  --paralel                  Allow several instances, each with its own files.
  --parallel                 Same as --paralel.
  --pid-file FILE            File that holds the PID; must end in .pid.
  --user USER                User to run as, name or number.
  --group GROUP              Group to run as, name or number.
  --chroot-dir DIR           Directory to make the root directory (chroot).
  --work-dir DIR             Working directory.
  --umask MASK               File-mode creation mask (umask), octal. Default: 022.

Operation:
  --action ACTION            Perform this action instead of running; see the list of actions.
  --state-file FILE          File to which SIGUSR2 writes the state, as JSON.
  --dead-letter-file FILE    Append events that fail to this file, as JSON lines.
  --state-dir DIR            Directory of what components keep from one run to the next (state
                             stores).
  --runlog-dir DIR           Directory for runlogs: a summary of each run, as JSON.
  --stats-interval SECONDS   Seconds between statistics in the log; 0: none. Default: 300.
  --runlog-interval SECONDS  Seconds between saves of the runlog; 0: only at the end. Default: 300.
  --start-timeout SECONDS    Time limit for the start of each component, in seconds. Default: 30.
  --stop-timeout SECONDS     Time limit for a graceful stop, in seconds. Default: 30.
  --sigterm VALUE            Effect of SIGTERM: terminate (at once) or stop (gracefully).
                             Default: terminate.

Options of hello:
  --greeting VALUE           What to say first. Default: hello.

Actions:
  config-view                Show the configuration.

Help:
  -h, --help                 Show this help.
  --version                  Show the version.
"""
    )


def test_every_key_but_tables_and_lists_has_an_option() -> None:
    options = {line.split()[0] for line in DOC.splitlines() if line.startswith("  --")}
    keys = Options.model_fields.keys() - {"tags", "limits", "signals", "components"}
    expected = {"--set", *(f"--{key.replace('_', '-')}" for key in keys)}
    spelled = {"--loud": "--no-loud", "--verbosity": "--verbose"}
    expected = {spelled.get(option, option) for option in expected}
    assert options == expected | {"--parallel", "--version"}


def test_the_help_is_aligned_and_fits() -> None:
    assert max(map(len, DOC.splitlines())) <= 100
    assert "\n  --a-key-with-a-name-that-is-longer-than-others VALUE\n" + " " * 29 + "Long." in DOC
    assert "\n" + " " * 29 + "b --quiet does.\n" in DOC
    assert "\n  --mode VALUE               fast, safe. Default: safe.\n" in DOC
    assert "\n  --no-loud                  Disable: Say it loudly.\n" in DOC


def test_without_actions_there_is_no_option_for_them() -> None:
    assert "--action" not in usage("x", "", Options)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", {}),
        ("--stats-interval 5 --runlog-interval=0.5", {
            "stats_interval": 5.0, "runlog_interval": 0.5}),
        ("--verbose --verbose --verbose", {"verbosity": 3}),
        ("--quiet --no-daemon --log-json", {"quiet": True, "no_daemon": True, "log_json": True}),
        ("--no-loud", {"loud": False}),
        ("--paralel", {"paralel": True}),
        ("--parallel", {"paralel": True}),
        ("--paralel --parallel", {"paralel": True}),
        ("--directory /f --count2 7 --ratio 1 --mode fast", {
            "directory": Path("/f"), "count2": 7, "ratio": 1.0, "mode": "fast"}),
        ("--umask 027 --log-level debug --user 1000 --pid-file /x.pid", {
            "umask": "027", "log_level": "debug", "user": "1000", "pid_file": "/x.pid"}),
        ("--log-file= --pid-file=", {"log_file": "", "pid_file": ""}),
        ("--greeting 5", {"greeting": "5"}),
        ("--greeting --x", {"greeting": "--x"}),
        ("--stats-interval 5 --verbose --config-dir d", {
            "stats_interval": 5.0, "verbosity": 1, "config_dir": "d"}),
        ("--config-file f --config-file-silent", {
            "config_file": "f", "config_file_silent": True}),
        ("--action config-view", {"action": "config-view"}),
    ],
)  # fmt: skip
def test_options_become_keys_with_values_of_the_models_types(
    line: str, expected: dict[str, Any]
) -> None:
    found = parsed(line)
    assert found == expected
    assert list(map(type, found.values())) == [type(expected[key]) for key in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--stats-interval often", "--stats-interval: expected float, got 'often'"),
        ("--stats-interval -5",
         "--stats-interval: input should be greater than or equal to 0, got -5.0"),
        ("--stop-timeout nan", "--stop-timeout: input should be a finite number, got nan"),
        ("--count2 1.5", "--count2: expected int, got '1.5'"),
        ("--umask 9",
         "--umask: must be an octal text such as \"022\", or a number from 0 to 0o777, got '9'"),
        ("--log-level inof",
         "--log-level: expected one of 'TRACE', 'DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL',"
         " got 'inof'; did you mean 'INFO'?"),
        ("--pid-file x", "--pid-file: must end in .pid, got 'x'"),
        ("--ratio x --mode slow",
         "--mode: expected one of 'fast', 'safe', got 'slow'\n--ratio: expected float, got 'x'"),
        ("--quiet --verbose", "--quiet and --verbose exclude each other"),
        ("--action signal-chek",
         "--action must be 'signal-check' or 'config-view', not 'signal-chek';"
         " did you mean 'signal-check'?"),
        ("--config-fiel x", "unknown option '--config-fiel'; did you mean '--config-file'?"),
        ("--loud", "unknown option '--loud'; did you mean '--no-loud'?"),
        ("--tags x", "unknown option '--tags'"),
        ("--config x",
         "unknown option '--config'; did you mean '--config-dir'?"),
        ("--verb", "unknown option '--verb'; did you mean '--verbose'?"),
        ("--work-dir --verb --hel", "unknown option '--hel'; did you mean '--help'?"),
        ("--stats-int=5", "unknown option '--stats-int'; did you mean '--stats-interval'?"),
        ("--para", "unknown option '--para'; did you mean '--paralel' or '--parallel'?"),
        ("--nope", "unknown option '--nope'"),
        ("-verbose", "unknown option '-verbose'; did you mean '--verbose'?"),
        ("--work-dir", "option '--work-dir' needs a value: --work-dir DIR"),
        ("--count2", "option '--count2' needs a value: --count2 NUMBER"),
        ("--work-dir a --work-dir b", "option '--work-dir' is given twice"),
        ("--quiet --quiet", "option '--quiet' is given twice"),
        ("--verbose=5", "option '--verbose' takes no value, but got '--verbose=5'"),
        ("--verbose --verbose start", "unexpected argument 'start'"),
        ("-v", "unknown option '-v'"),
    ],
)  # fmt: skip
def test_a_wrong_command_line_names_the_option_and_the_value(line: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        parsed(line)
    assert str(caught.value) == expected
    assert caught.value.usage == (
        "Usage:\n  my-daemon [options] [--verbose]... [--set KEY=VALUE]...\n"
        "  my-daemon (-h | --help | --version)"
    )


def test_a_secret_is_not_repeated_in_the_message() -> None:
    class Secret(DaemonOptions):
        token: int = 0

    with pytest.raises(UsageError) as caught:
        parse_daemon(["--token", "hunter2"], usage("x", "", Secret), Secret)
    assert str(caught.value) == "--token: expected int, got ***"


@pytest.mark.parametrize(
    ("line", "shown"), [("--help", DOC.strip()), ("-h", DOC.strip()), ("--version", "1.2")]
)
def test_help_and_version_are_shown(
    line: str, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(HelpShown):
        parsed(line)
    assert capsys.readouterr().out.strip() == shown


def test_two_keys_with_one_option_are_refused() -> None:
    class Twice(DaemonOptions):
        daemon: bool = True

    with pytest.raises(ValueError, match="'daemon' of Twice would have the option --no-daemon"):
        usage("x", "", Twice)

    class Help(DaemonOptions):
        help: str = ""

    with pytest.raises(ValueError, match="would have the option --help, which every command line"):
        usage("x", "", Help)


@pytest.mark.parametrize("program", ["my daemon", "tail.py", "x"])
def test_a_program_may_have_any_name(program: str) -> None:
    doc = usage(program, "options: --name x\n-y\nUsage: z", Options, ACTIONS)
    assert parse_daemon(["--no-daemon"], doc, Options, actions=ACTIONS)[0] == {"no_daemon": True}
    with pytest.raises(UsageError, match="unknown option '-y'"):
        parse_daemon(["-y"], doc, Options, actions=ACTIONS)


def test_importing_the_module_is_cheap() -> None:
    program = (
        "import sys, zenactors.daemon.command_line;"
        "sys.exit(str({'pydantic', 'loguru', 'rich'} & set(sys.modules) or ''))"
    )
    done = run_python("-c", program)
    assert (done.returncode, done.stderr.strip()) == (1, ""), done.stderr


def test_the_help_names_the_default_places() -> None:
    program = """if True:
        from zenactors import ZenDaemon
        paths = {"path_cfg": "/c", "path_run": "/r", "path_log": "/l"}
        ZenDaemon(name="watch", default_state_file="/own.state", **paths).run()
    """
    result = run_python("-c", program, "--help")
    shown = " ".join(result.stdout.split())
    for place in (
        "/c/watch.toml, or /c/watch.conf", "/c/watch", "/r/watch.pid", "/own.state",
        "/l/watch.log in the background", "/l/watch",
    ):  # fmt: skip
        assert f"Default: {place} -" in shown
