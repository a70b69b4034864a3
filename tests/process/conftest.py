"""A launching process and its daemon, as the tests of both ends of their dialogue need them."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DEADLINE = 60.0  # seconds: generous, so that only a hang fails
ROOT = Path(__file__).parents[2]


class Launched:
    """A launching process, and its daemon once that has connected."""

    def __init__(self, mode: str, *arguments: object) -> None:
        address = f"zenactors-{uuid.uuid4()}"
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(f"\0{address}")
        self.listener.listen()
        self.listener.settimeout(DEADLINE)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.process.daemonize_program", mode, address]
            + [str(each) for each in arguments],
            cwd=ROOT,
            env={n: v for n, v in os.environ.items() if n != "PYTHONUNBUFFERED"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.connection: socket.socket | None = None
        self.pid = 0
        self.pidfd = -1

    def accept(self) -> None:
        """Wait until the daemon connects."""
        self.connection, _ = self.listener.accept()
        self.connection.settimeout(DEADLINE)
        peer = self.connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        self.pid, _, _ = struct.unpack("iii", peer)
        self.pidfd = os.pidfd_open(self.pid)
        self.reader = self.connection.makefile("r")
        self.writer = self.connection.makefile("w")

    def hear(self) -> Any:
        return json.loads(self.reader.readline())

    def send(self, order: str) -> None:
        self.writer.write(f"{order}\n")
        self.writer.flush()

    def order(self, order: str) -> Any:
        self.send(order)
        return self.hear()

    def shown(self) -> str:
        """Return the next line that the launching process writes to standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline().decode()

    def waits(self) -> bool:
        return self.process.poll() is None

    def left(self) -> tuple[int, str]:
        """Wait for the launching process; return its status and the rest of its standard error."""
        _, err = self.process.communicate(timeout=DEADLINE)
        return self.process.returncode, err.decode()

    def daemon_ended(self) -> bool:
        """Wait for the daemon's end."""
        return bool(select.select([self.pidfd], [], [], DEADLINE)[0])

    def clean_up(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()
        if self.connection is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            assert self.daemon_ended()
            os.close(self.pidfd)
            with contextlib.suppress(OSError):  # its buffer may have no reader
                self.writer.close()
            self.reader.close()
            self.connection.close()
        self.listener.close()


Launch = Callable[..., Launched]


@pytest.fixture
def launch() -> Iterator[Launch]:
    launched: list[Launched] = []

    def start(mode: str, *arguments: object, calls: bool = True) -> Launched:
        launched.append(Launched(mode, *arguments))
        if calls:
            launched[-1].accept()
        return launched[-1]

    yield start
    for each in launched:
        each.clean_up()
