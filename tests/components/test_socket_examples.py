"""The examples in the docstrings of listeners and of `SocketSink` run, with a partner."""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.sockets import connect, receive_all
from tests.running import LIMIT, ROOT
from zenactors.components import HttpListener, LineListener, SocketSink


@pytest.fixture(autouse=True)
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tmp_path.chmod(0o755)  # as root, a SPEC that others can change is refused


@contextlib.contextmanager
def running(component: type, *options: str) -> Iterator[subprocess.Popen[str]]:
    """Run a component's example; at the end, wait until it has ended by itself."""
    text = inspect.cleandoc(component.__doc__ or "").partition("\nExample:\n")[2]
    Path("example.toml").write_text(textwrap.dedent(text))
    Path("example.toml").chmod(0o644)
    argv = [sys.executable, "-m", "zenactors", "run", "example.toml", "--exit-when-idle", *options]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, env=environment, stdout=pipe, stderr=pipe, text=True) as process:
        try:
            yield process
            output, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, errors
            Path("output").write_text(output)
        finally:
            process.kill()


def started(process: subprocess.Popen[str]) -> None:
    assert process.stderr is not None
    shown = ""
    while " starts" not in shown:
        line = process.stderr.readline()
        assert line, shown
        shown += line


def test_the_example_of_the_line_listener() -> None:
    with running(LineListener) as process:
        started(process)
        with connect("unix://lines.sock") as client:
            client.sendall(b'{"a": 1}\n')
    assert json.loads(Path("output").read_text()) == {"a": 1}


def test_the_example_of_the_http_listener() -> None:
    with running(HttpListener) as process:
        started(process)
        with connect("unix://hooks.sock") as client:
            client.sendall(b"POST /hooks/x HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}")
            assert receive_all(client).endswith(b"\r\n\r\ndone\n")
    assert json.loads(Path("output").read_text())["path"] == "/hooks/x"


def test_the_example_of_the_socket_sink() -> None:
    Path("access.log").write_text("one\ntwo\n")
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(LIMIT)
        address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
        with running(SocketSink, "--set", f"components.SocketSink.address={address}"):
            server = listening.accept()[0]
            with server:
                server.settimeout(LIMIT)
                assert receive_all(server) == b"one\ntwo\n"
