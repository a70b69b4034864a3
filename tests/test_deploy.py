"""`examples/deploy` works as described: its commands, its numbers, and its signals.

The commands of the files are run with the system's directories moved into a temporary one. Neither
systemd nor Docker is started.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import select
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.forked import ForkServer
from tests.running import LIMIT, ROOT
from zenactors import spec
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_CONFIG,
    EXIT_DATA_ERROR,
    EXIT_NO_INPUT,
    EXIT_NOT_RUNNING,
    EXIT_START_FAILED,
    EXIT_USAGE,
)
from zenactors.process.launcher import GRACE

DEPLOY = ROOT / "examples/deploy"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}
MARGIN = 5.0  # seconds beyond the time-out of a stop, in which hanging threads are left behind

TOML = "/etc/access-log.toml"
PROGRAM = "/opt/access-log/bin/zenactors"
MOVED = ("/run/access-log", "/var/lib/access-log", "/var/log/access-log", "/var/log/nginx")

Settings = dict[str, list[str]]


def text_of(name: str) -> str:
    return (DEPLOY / name).read_text()


def unit(name: str = "access-log.service") -> Settings:
    """Return a unit's settings; a key that occurs several times has several values."""
    found: Settings = {}
    for line in text_of(name).replace("\\\n", " ").splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def dockerfile() -> Settings:
    """Return the arguments of each kind of instruction, without comments."""
    found: Settings = {}
    lines = [line for line in text_of("Dockerfile").splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.partition(" ")
        found.setdefault(name, []).append(rest.strip())
    return found


def configuration() -> dict[str, Any]:
    return tomllib.loads(text_of("access-log.toml"))


def seconds_in(pattern: str, text: str) -> list[float]:
    return [float(number) for number in re.findall(pattern, text)]


def in_background() -> list[str]:
    [command] = unit()["ExecStart"]
    return shlex.split(command)


def in_foreground() -> list[str]:
    [_reset, command] = unit("foreground.conf")["ExecStart"]
    return shlex.split(command)


def in_container() -> list[str]:
    instructions = dockerfile()
    return [*json.loads(instructions["ENTRYPOINT"][0]), *json.loads(instructions["CMD"][0])]


def health_check() -> list[str]:
    [check] = dockerfile()["HEALTHCHECK"]
    command, _, otherwise = check.partition("CMD ")[2].partition(" || ")
    assert otherwise == "exit 1"
    return shlex.split(command)


def shown() -> Iterator[str]:
    """Yield the command lines that are shown to readers."""
    for name in ("README.md", "Dockerfile", "access-log.toml", "compose.yaml"):
        yield from re.findall(
            r"(?:bin/|`|access-log )(zenactors (?:run|check) [^`#\n]*)", text_of(name)
        )


@pytest.fixture
def system(tmp_path: Path) -> Path:
    """Return a directory that replaces the system's root, with the daemon's files in it."""
    for directory in (*MOVED, "/etc"):
        (tmp_path / directory[1:]).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)  # as root, a configuration that others can change is refused
    (tmp_path / TOML[1:]).write_text(moved(text_of("access-log.toml"), tmp_path))
    (tmp_path / TOML[1:]).chmod(0o644)
    (tmp_path / "var/log/nginx/access.log").touch()
    return tmp_path


def moved(text: str, system: Path) -> str:
    """Return a text with the daemon's paths beneath another root."""
    pattern = "|".join(map(re.escape, (TOML, *MOVED)))
    return re.sub(rf"(?<![\w/])({pattern})", rf"{system}\1", text)


def arguments(command: list[str], system: Path) -> list[str]:
    program, *options = command
    assert program in {PROGRAM, "zenactors"}
    return ["-m", "zenactors", *(moved(each, system) for each in options)]


Run = Callable[[list[str]], subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def server() -> Iterator[ForkServer]:
    """Yield a server that has imported what the daemon of the TOML file imports."""
    components = "AccessLogParser, FileTailer, JsonLinesWriter, Statistics"
    with ForkServer(
        f"from zenactors import spec, ZenDaemon; from zenactors.components import {components}"
    ) as server:
        yield server


@pytest.fixture
def run(server: ForkServer, system: Path) -> Run:
    """Return a function that runs a command to its end."""

    def run(command: list[str]) -> subprocess.CompletedProcess[str]:
        return server.run(*arguments(command, system), cwd=system)

    return run


def started(command: list[str], system: Path) -> subprocess.Popen[bytes]:
    """Start a command in the foreground; return when its components have started."""
    process = subprocess.Popen(
        [sys.executable, *arguments(command, system)],
        env=ENVIRONMENT,
        cwd=system,
        stderr=subprocess.PIPE,
    )
    assert "ERROR" not in said_until(process, "access-log starts")
    return process


def said_until(process: subprocess.Popen[bytes], text: str) -> str:
    """Read its standard error until it contains a text; return everything read."""
    assert process.stderr is not None
    poll = select.poll()
    poll.register(process.stderr, select.POLLIN)
    output = ""
    while text not in output:
        piece = os.read(process.stderr.fileno(), 65_536) if poll.poll(LIMIT * 1000) else b""
        if not piece:
            process.kill()
            process.wait(LIMIT)
            raise AssertionError(f"without {text!r}: {output}")
        output += piece.decode()
    return output


def has_ended(pidfd: int) -> bool:
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(LIMIT * 1000))


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# --- the settings in the files -----------------------------------------------------------------


def test_the_daemon_of_the_toml_file_can_be_loaded(system: Path, run: Run) -> None:
    daemon = spec.load(str(system / TOML[1:]), system)
    assert [component.name for component in daemon.components] == [
        "tailer", "parser", "statistics", "writer",
    ]  # fmt: skip
    assert [name for name, _ in daemon.chains()["lines"]] == ["parser", "statistics", "writer"]
    assert run(["zenactors", "check", TOML]).returncode == 0


@pytest.mark.parametrize("command", [in_background, in_foreground, in_container, health_check])
def test_each_command_is_accepted(command: Any, run: Run) -> None:
    words = command()
    if "--action" not in words:
        words += ["--action", "config-view"]  # instead of running it
    done = run(words)
    assert done.returncode in {0, EXIT_NOT_RUNNING}, done.stderr
    assert "Usage" not in done.stderr


def test_each_command_that_is_shown_is_accepted(run: Run) -> None:
    lines = [line for line in shown() if "examples/" not in line]
    assert len(lines) >= 4
    for line in lines:
        done = run(shlex.split(line))
        assert done.returncode in {0, EXIT_NOT_RUNNING, EXIT_NO_INPUT}, (line, done.stderr)


def test_all_that_is_written_is_in_a_directory_that_systemd_makes() -> None:
    settings, config = unit(), configuration()
    directories = [
        Path(base, settings[key][0])
        for key, base in (
            ("RuntimeDirectory", "/run"),
            ("LogsDirectory", "/var/log"),
            ("StateDirectory", "/var/lib"),
        )
    ]
    log_file = in_background()[in_background().index("--log-file") + 1]
    output = config["component"][-1]["options"]["path"]
    written = [config[key] for key in ("pid_file", "state_file", "runlog_dir")]
    for path in (*written, log_file, output):
        assert any(directory in Path(path).parents for directory in directories), path
    assert settings["PIDFile"] == [config["pid_file"]]


def test_systemd_waits_longer_for_a_stop_than_the_daemon() -> None:
    least = configuration()["stop_timeout"] + MARGIN
    assert float(unit()["TimeoutStopSec"][0]) >= least
    shown_by_docker = seconds_in(
        r"--stop-timeout (\d+)", text_of("Dockerfile") + text_of("README.md")
    )
    assert len(shown_by_docker) == 3
    assert min(shown_by_docker) >= least
    [grace] = seconds_in(r"stop_grace_period: (\d+)s", text_of("compose.yaml"))
    assert grace >= least


def launcher_waits(components: int, start_timeout: float) -> float:
    return (components + 2) * start_timeout


def test_systemd_waits_longer_for_a_start_than_the_launching_process() -> None:
    config, settings = configuration(), unit()
    waits = launcher_waits(len(config["component"]), config["start_timeout"])
    start = float(settings["TimeoutStartSec"][0])
    assert start >= waits + 2 * GRACE
    # Also starts that take all of their time are counted before the first is forgotten.
    each = start + float(settings["RestartSec"][0])
    limit = int(settings["StartLimitBurst"][0])
    assert float(settings["StartLimitIntervalSec"][0]) > limit * each
    [period] = seconds_in(r"--start-period=(\d+)s", dockerfile()["HEALTHCHECK"][0])
    assert period >= (len(config["component"]) + 1) * config["start_timeout"]


def test_the_launching_process_waits_as_long_as_the_unit_states(system: Path) -> None:
    toml = system / TOML[1:]
    first = '[[component]]\nuse = "freezing:Freezing"\n\n'
    text = toml.read_text().replace("start_timeout = 10.0", "start_timeout = 0.2")
    toml.write_text(text.replace("[[component]]", f"{first}[[component]]", 1))
    (system / "freezing.py").write_text(
        "import os, pathlib, signal\n"
        "from zenactors import ZenDaemonComponent\n"
        "class Freezing(ZenDaemonComponent):\n"
        "    def setup(self, daemon):\n"
        f"        pathlib.Path({str(system / 'frozen')!r}).write_text(str(os.getpid()))\n"
        "        os.kill(os.getpid(), signal.SIGSTOP)\n"
    )
    (system / "freezing.py").chmod(0o644)
    components = len(configuration()["component"]) + 1
    with subprocess.Popen(
        [sys.executable, *arguments(in_background(), system)],
        env=ENVIRONMENT,
        cwd=system,
        stderr=subprocess.PIPE,
    ) as launching:
        said_until(launching, f"not ready within {launcher_waits(components, 0.2):g} s")
        # Otherwise the launching process would do it, after five seconds.
        os.kill(int((system / "frozen").read_text()), signal.SIGKILL)
        assert launching.wait(LIMIT) == EXIT_START_FAILED


def test_statuses_that_a_restart_does_not_mend_prevent_it_in_the_foreground() -> None:
    prevented = unit("foreground.conf")["RestartPreventExitStatus"][0].split()
    assert {*map(int, prevented)} == {EXIT_USAGE, EXIT_ALREADY_RUNNING, EXIT_CONFIG}
    # The launching process of a forking service is not the main one: there it would do nothing.
    assert unit()["Type"] == ["forking"]
    assert "RestartPreventExitStatus" not in unit()
    assert unit("foreground.conf")["Type"] == ["exec"]


def test_a_stop_with_dead_letters_is_no_failure_of_the_unit() -> None:
    assert unit()["SuccessExitStatus"] == [str(EXIT_DATA_ERROR)]


def test_the_umask_is_set_where_it_holds() -> None:
    assert "UMask" not in unit()
    assert configuration()["umask"] == "027"


@pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)
@pytest.mark.parametrize("drop_ins", [[], ["foreground.conf"]], ids=["background", "foreground"])
def test_systemd_finds_nothing_wrong_with_the_unit(drop_ins: list[str], tmp_path: Path) -> None:
    (tmp_path / "access-log.service.d").mkdir()
    targets = {name: f"access-log.service.d/{name}" for name in drop_ins}
    for name, target in {"access-log.service": "access-log.service", **targets}.items():
        # systemd checks that the program exists.
        (tmp_path / target).write_text(text_of(name).replace(PROGRAM, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", str(tmp_path / "access-log.service")],
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# --- the commands ---------------------------------------------------------------------


def test_in_the_background_the_unit_s_signals_reload_and_stop_in_order(
    system: Path, run: Run
) -> None:
    done = run(in_background())
    assert (done.returncode, done.stderr) == (0, "")
    pid_file = Path(moved(unit()["PIDFile"][0], system))
    pid = int(pid_file.read_text().splitlines()[0])
    pidfd = os.pidfd_open(pid)
    try:
        assert run(health_check()).returncode == 0
        second = run(in_background())
        assert second.returncode == EXIT_ALREADY_RUNNING
        assert str(pid) in second.stderr
        signal.pidfd_send_signal(pidfd, signal.Signals[unit()["KillSignal"][0]])
        assert has_ended(pidfd)
    finally:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
        os.close(pidfd)
    log = system / "var/log/access-log/access-log.log"
    assert "access-log stops: handling the queued events" in log.read_text()
    assert "access-log ended with status 0" in log.read_text()
    assert not pid_file.exists()
    assert mode_of(log) == 0o640
    assert mode_of(system / "var/lib/access-log/access.jsonl") == 0o640


@pytest.mark.parametrize(
    ("command", "number"),
    [
        (in_foreground, lambda: unit()["KillSignal"][0]),
        (in_container, lambda: dockerfile()["STOPSIGNAL"][0]),
    ],
    ids=["systemd", "container"],
)
def test_in_the_foreground_the_stop_signal_stops_in_order(
    command: Any, number: Any, system: Path, run: Run
) -> None:
    with started(command(), system) as process:
        try:
            assert run(health_check()).returncode == 0
            process.send_signal(signal.Signals[number()])
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 0
    assert b"access-log stops: handling the queued events" in errors
    assert run(health_check()).returncode == EXIT_NOT_RUNNING


def test_a_rotation_reloads_so_that_the_log_goes_on_in_a_new_file(system: Path) -> None:
    rotation = text_of("access-log.logrotate")
    assert "systemctl try-reload-or-restart access-log.service" in rotation
    assert "nocreate" in rotation
    [log] = [
        Path(moved(line.split()[0], system)) for line in rotation.splitlines() if line[:1] == "/"
    ]
    command = in_background()
    command.remove("--daemon")
    [reload] = unit()["ExecReload"]
    with started(command, system) as process:
        try:
            log.rename(log.with_suffix(".log.1"))
            subprocess.run(
                shlex.split(reload.replace("$MAINPID", str(process.pid))), check=True, timeout=LIMIT
            )
            said_until(process, "Configuration reloaded")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "access-log starts" in log.with_suffix(".log.1").read_text()
    assert "access-log ended with status 0" in log.read_text()
    assert "access-log ended" not in log.with_suffix(".log.1").read_text()
