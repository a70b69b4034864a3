"""`zenactors run` as an operator uses it: in the background, by actions, reloaded."""

from __future__ import annotations

import functools
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.forked import ForkServer
from tests.running import ROOT, run_python
from zenactors.cli import main

Capture = pytest.CaptureFixture[str]

DEADLINE = 30.0  # seconds: generous, so that only a hang fails
SPEC = """\
name = "copy"
pid_file = "copy.pid"
log_file = "copy.log"
state_file = "copy.state"
runlog_dir = "runs"

[[component]]
use = "zenactors.components:FileTailer"
name = "tailer"
options.patterns = ["in.*"]
options.start = "beginning"
options.poll_interval = 0.05

[[component]]
use = "zenactors.components:RawWriter"
name = "writer"
options.path = "{output}"
"""


def write_spec(output: str = "out.log", more: str = "") -> None:
    write("copy.toml", SPEC.format(output=output) + more)


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def zenactors(forks: ForkServer, directory: Path) -> Run:
    return functools.partial(forks.run, "-m", "zenactors", "run", cwd=directory)


class Background:
    """The daemon that a start has left in the background."""

    def __init__(self) -> None:
        argv = ("-m", "zenactors", "run", "copy.toml", "--daemon")
        started = run_python(*argv, cwd=Path.cwd())
        assert (started.returncode, started.stdout, started.stderr) == (0, "", "")
        self.pid = int(Path("copy.pid").read_text().split()[0])
        self._ended = os.pidfd_open(self.pid)

    def has_ended(self, seconds: float) -> bool:
        return bool(select.select([self._ended], [], [], seconds)[0])

    def close(self) -> None:
        if not self.has_ended(0):
            signal.pidfd_send_signal(self._ended, signal.SIGKILL)
            self.has_ended(DEADLINE)
        os.close(self._ended)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Start daemons in a directory whose name looks like a pattern, by a SPEC without its name."""
    directory = tmp_path / "logs[of]*"
    directory.mkdir()
    monkeypatch.chdir(directory)
    return directory


@pytest.fixture
def background() -> Iterator[Background]:
    write_spec()
    Path("in.log").write_bytes(b"one\n")
    daemon = Background()
    yield daemon
    daemon.close()


def wait_for(path: str, content: str) -> str:
    """Return a file's text as soon as it holds `content`; there is no event to wait for."""
    poll = select.poll()
    for _ in range(int(DEADLINE / 0.02)):
        text = Path(path).read_text() if Path(path).exists() else ""
        if content in text:
            return text
        poll.poll(20)
    raise AssertionError(f"{content!r} is not in {path}: {text!r}")


def test_a_file_s_daemon_goes_through_its_life_in_the_background(
    background: Background, zenactors: Run
) -> None:
    wait_for("out.log", "one\n")
    check = zenactors("copy.toml", "--action", "signal-check")
    assert (check.returncode, f"process {background.pid} " in check.stdout) == (0, True)
    again = zenactors("copy.toml", "--daemon")
    assert (again.returncode, f"process {background.pid} holds" in again.stderr) == (73, True)

    write_spec(output="other.log")
    os.kill(background.pid, signal.SIGHUP)
    wait_for("copy.log", "Configuration reloaded; changed: components; components: writer")
    with Path("in.log").open("ab") as file:
        file.write(b"two\n")
    assert wait_for("other.log", "two\n") == "two\n"
    assert Path("out.log").read_bytes() == b"one\n"

    write_spec(output="third.log", more='options.pth = "x"\n')
    os.kill(background.pid, signal.SIGHUP)
    wait_for("copy.log", "unknown option 'pth'; did you mean 'path'?")
    write_spec(more='[[component]]\nuse = "zenactors.components:Statistics"\noptions.by = ["x"]\n')
    os.kill(background.pid, signal.SIGHUP)
    wait_for("copy.log", "Only a restart can change: component 3 (use)")

    # The file is wrong now, and a start would fail: the action reports how to work without it.
    write("copy.toml", "name = 5\n")
    broken = zenactors("copy.toml", "--action", "signal-int")
    assert (broken.returncode, "--pid-file FILE" in broken.stderr) == (78, True)
    stopped = zenactors("copy.toml", "--action", "signal-int", "--pid-file", "copy.pid")
    assert stopped.returncode == 0
    assert background.has_ended(DEADLINE)
    assert not Path("copy.pid").exists()
    [runlog] = Path("runs").iterdir()
    assert json.loads(runlog.read_text())["status"] == 0


def test_an_error_of_the_start_is_shown_by_the_launching_process(
    directory: Path, zenactors: Run
) -> None:
    write_spec(output="no/out.log")
    started = zenactors("copy.toml", "--daemon")

    assert started.returncode == 69
    assert "Component 'writer' failed in setup" in started.stderr
    assert f"Cannot write to {directory}/no/out.log: " in started.stderr
    assert not Path("copy.pid").exists()


def test_without_a_daemon_the_check_reports_it(capsys: Capture) -> None:
    write_spec()
    assert main(["run", "copy.toml", "--action", "signal-check"]) == 3
    assert capsys.readouterr().err.startswith("Not running: there is no PID file")


def test_the_view_shows_each_value_with_its_origin(capsys: Capture) -> None:
    write_spec()
    assert main(["run", "copy.toml", "--umask", "027", "--action", "config-view"]) == 0

    rows = {line.split()[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert rows["umask"][1:] == ['"027"', "command", "line"]
    assert rows["pid_file"][1:] == ['"copy.pid"', "copy.toml:2"]
    assert rows["stats_interval"][1:] == ["300.0", "default"]


def test_the_schema_is_json(capsys: Capture) -> None:
    write_spec()
    assert main(["run", "copy.toml", "--action", "config-schema"]) == 0
    assert json.loads(capsys.readouterr().out)["additionalProperties"] is False


def test_an_unknown_action_is_one_line(capsys: Capture) -> None:
    write_spec()
    assert main(["run", "copy.toml", "--action", "signal-hub"]) == 78
    assert "action: there is no action 'signal-hub'" in capsys.readouterr().err


@pytest.mark.parametrize("key", ["work_dir", "no_daemon"])
def test_a_relative_path_of_a_component_is_where_the_daemon_works(
    directory: Path, key: str, zenactors: Run
) -> None:
    place = directory / "work"
    place.mkdir()
    (place / "in.log").write_text("one\n")
    write_spec()
    more = {"work_dir": ["--work-dir", "work", "--daemon"], "no_daemon": ["--work-dir", "work"]}
    started = zenactors("copy.toml", "--exit-when-idle", *more[key])

    assert started.returncode == 0, started.stderr
    assert wait_for("work/out.log", "one\n")


def test_a_parser_s_rejects_are_beside_its_inputs(directory: Path, zenactors: Run) -> None:
    (directory / "in.log").write_text("no access\n")
    write_spec()
    with Path("copy.toml").open("a") as file:
        file.write('[[component]]\nuse = "zenactors.components:AccessLogParser"\n')
        file.write('options.rejects = "rejects.log"\n')
    started = zenactors("copy.toml", "--daemon", "--exit-when-idle")

    assert started.returncode in {0, 65}, started.stderr
    assert wait_for("rejects.log", "no access\n")


def test_an_action_finds_the_files_of_a_daemon_in_the_foreground(
    directory: Path, zenactors: Run
) -> None:
    (directory / "in.log").touch()
    spec = SPEC.format(output="out.log").splitlines()
    write(
        "copy.toml",
        "\n".join(line for line in spec if "state_file" not in line).replace(
            'runlog_dir = "runs"\n', ""
        ),
    )
    elsewhere = directory / "elsewhere"
    elsewhere.mkdir()
    command = [sys.executable, "-m", "zenactors", "run", "copy.toml", "--no-summary"]
    with subprocess.Popen(command, cwd=directory, env=os.environ | {"PYTHONPATH": str(ROOT)}) as it:
        try:
            wait_for("copy.log", "copy starts")
            for action, written in (("signal-usr1", "*.runlogs/*"), ("signal-usr2", "*.state")):
                argv = ("../copy.toml", "--action", action, "--pid-file", "../copy.pid")
                done = zenactors(*argv, cwd=elsewhere)
                assert done.returncode == 0, done.stdout + done.stderr
                assert len(list(directory.glob(written))) == 1
        finally:
            it.send_signal(signal.SIGINT)
