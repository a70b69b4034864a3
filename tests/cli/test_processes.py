"""Whole processes, most as started from a shell, with real files and exit statuses."""

from __future__ import annotations

import functools
import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.forked import ForkServer
from tests.running import LIMIT, ROOT, run_python


def zenactors(*argv: str | Path, **kwargs: Any) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "zenactors", *map(str, argv)]
    options: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **kwargs}
    return subprocess.run(command, env=environment, timeout=LIMIT, check=False, **options)


Warm = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def warm(forks: ForkServer, tmp_path: Path) -> Warm:
    return functools.partial(forks.run_bytes, "-m", "zenactors", cwd=tmp_path)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a file with lines of all lengths, bytes of all values, and no end at its end."""
    chance = random.Random(7)
    lines = [chance.randbytes(chance.randrange(400)) + b"\n" for _ in range(3_000)]
    path = tmp_path / "bytes.log"
    path.write_bytes(b"".join(lines) + b"\r\nno end")
    return path


def test_tail_writes_exactly_the_bytes_of_the_file(log: Path) -> None:
    done = zenactors("tail", log, "--from", "beginning", "--exit-when-idle")
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == log.read_bytes()


def test_tail_appends_to_its_output_file(log: Path, tmp_path: Path, warm: Warm) -> None:
    output = tmp_path / "out.log"
    output.write_bytes(b"before\n")
    argv = ("tail", log, "--from", "beginning", "--exit-when-idle", "--output", output)
    done = warm(*argv)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert output.read_bytes() == b"before\n" + log.read_bytes()


def test_tail_from_the_end_of_a_file_that_does_not_grow_writes_nothing(
    log: Path, warm: Warm
) -> None:
    done = warm("tail", log, "--exit-when-idle")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_tail_of_a_file_that_is_not_there_ends_with_its_status_and_name(
    tmp_path: Path, warm: Warm
) -> None:
    done = warm("tail", tmp_path / "none.log", "--exit-when-idle")
    assert done.returncode == 66
    assert b"none.log" in done.stderr


def test_run_without_summary_writes_only_log_lines(tmp_path: Path, warm: Warm) -> None:
    write(
        tmp_path / "x.toml",
        'name = "x"\n[[component]]\nuse = "zenactors.components:FileTailer"\n'
        'options.patterns = ["x.toml"]\noptions.start = "beginning"\n'
        '[[component]]\nuse = "zenactors.components:RawWriter"\n',
    )
    argv = ("run", "x.toml", "--exit-when-idle", "--no-summary", "--log-level", "error")
    done = warm(*argv)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == (tmp_path / "x.toml").read_bytes()  # data, and only data


def test_tail_into_a_full_disk_reports_it_once_and_ends_with_its_status(log: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        done = zenactors("tail", log, "--from", "beginning", "--exit-when-idle", stdout=full)
    assert done.returncode == 74
    assert done.stderr.count(b"No space left on device") == 1


STUCK = """\
import os, signal
from zenactors import ZenDaemon, ZenDaemonComponent, handles

class Stuck(ZenDaemonComponent):
    @handles("hang")
    def cbk_event_hang(self, daemon, args):
        signal.raise_signal(signal.SIGTERM)
        reader, writer = os.pipe()
        os.read(reader, 1)  # without a writer

daemon = ZenDaemon(name="stuck", components=[Stuck()], schedule=[("hang",)])
"""


def test_a_thread_that_hangs_does_not_hold_the_process(tmp_path: Path) -> None:
    write(tmp_path / "stuck.py", STUCK)
    done = zenactors("run", "stuck:daemon", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert b"left behind: Stuck" in done.stderr


@pytest.mark.parametrize("output", ["full", "closed", "left"])
def test_check_reports_output_that_cannot_be_written(output: str, tmp_path: Path) -> None:
    spec = ROOT / "examples/access_log.toml"
    write(tmp_path / "x.toml", spec.read_text())
    redirections = {"full": ">/dev/full", "closed": ">&-", "left": "| :"}
    # With `left` the shell's pipeline has the status of `:`; PIPESTATUS is bash's.
    line = f'"$0" -m zenactors check x.toml {redirections[output]}; exit "${{PIPESTATUS[0]}}"'
    done = subprocess.run(
        ["bash", "-c", line, sys.executable],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        capture_output=True,
        timeout=LIMIT,
        check=False,
    )
    assert done.returncode == 74
    expected = {
        "full": b"zenactors: standard output cannot be written: No space left on device\n",
        "closed": b"zenactors: standard output is closed; redirect it to a file\n",
        "left": b"",
    }
    assert done.stderr == expected[output]


def test_help_imports_nothing_that_is_slow() -> None:
    code = (
        "import sys; from zenactors.cli import main; status = main(['run', '--help']);"
        " sys.exit(status or str({'pydantic', 'rich', 'zenactors.components'} & {*sys.modules}))"
    )
    done = run_python("-c", code)
    assert done.stderr == "set()\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_daemon_that_follows_a_file_ends_with_status_0_when_asked(
    number: int, tmp_path: Path
) -> None:
    write(
        tmp_path / "x.toml",
        'name = "x"\n[[component]]\nuse = "zenactors.components:FileTailer"\n'
        'options.patterns = ["x.toml"]\noptions.start = "beginning"\n'
        '[[component]]\nuse = "zenactors.components:RawWriter"\n',
    )
    with subprocess.Popen(
        [sys.executable, "-m", "zenactors", "run", "x.toml"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b'name = "x"\n'  # it is under way
        process.send_signal(number)
        _, error = process.communicate(timeout=LIMIT)
    assert process.returncode == 0, error
    if number == signal.SIGINT:  # a graceful stop worked everything off: there is a sum to show
        assert b"Summary" in error
