"""A daemon whose children do not end still ends, with its own status."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.running import ROOT

DEADLINE = 60.0  # seconds: generous, so that only a hang fails


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_children_of_multiprocessing_end_with_the_daemon(
    method: str, number: int, tmp_path: Path
) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.daemon.forking", method, str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        children = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        held = [os.readlink(f"/proc/{pid}/fd/{fd}")  # noqa: PTH115
                for pid in children for fd in os.listdir(f"/proc/{pid}/fd")]  # noqa: PTH208  # fmt: skip
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE)  # the pipes close when all have ended
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0
    assert not any(link.startswith(str(tmp_path / "x.pid")) for link in held)
    assert err.count("did not end: killed") == 2
    assert [pid for pid in children if Path(f"/proc/{pid}").exists()] == []
