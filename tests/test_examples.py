"""Run the examples as a reader does, as whole processes, and check output and exit statuses."""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.forked import ForkServer
from tests.running import LIMIT, ROOT, run_python

EXAMPLES = ROOT / "examples"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def test_hello_greets_and_ends_by_itself(tmp_path: Path) -> None:
    done = run_python(EXAMPLES / "hello.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    at_once = ["Hello, world!", "Hello, reader!"]
    greetings = done.stdout.splitlines()
    # On a machine that is busy, the start takes longer than the second.
    assert [each for each in greetings if each in at_once] == at_once
    assert [each for each in greetings if each not in at_once] == ["Hello, world, a second later!"]


def test_embed_counts_words_and_contains_the_bad_line(tmp_path: Path, forks: ForkServer) -> None:
    done = forks.run(EXAMPLES / "embed.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "  6 the",
        "  3 is",
        "  2 way",
        "3 lines counted, 1 blank, 1 dead-lettered",
        "dead letter: 'line' with None: "
        "AttributeError(\"'NoneType' object has no attribute 'split'\")",
    ]


def test_line_counter_counts_the_content_of_the_file(tmp_path: Path, forks: ForkServer) -> None:
    content = b"one two\n\nthree four five\nno end"
    (tmp_path / "some.log").write_bytes(content)
    done = forks.run(EXAMPLES / "line_counter.py", "some.log", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"4 lines, 7 words, {len(content)} bytes\n"


def test_line_counter_names_the_missing_file(tmp_path: Path, forks: ForkServer) -> None:
    done = forks.run(EXAMPLES / "line_counter.py", "none.log", cwd=tmp_path)
    assert done.returncode == 66
    assert "none.log" in done.stderr
    assert forks.run(EXAMPLES / "line_counter.py", cwd=tmp_path).returncode == 1


def test_line_counter_can_be_run_by_the_command_line(tmp_path: Path, forks: ForkServer) -> None:
    (tmp_path / "app.py").write_text(
        "import line_counter\ndef make():\n    return line_counter.make_daemon('app.py')\n"
    )
    shutil.copy(EXAMPLES / "line_counter.py", tmp_path)
    make_safe(tmp_path)
    done = forks.run("-m", "zenactors", "run", "app:make", "--no-summary", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("3 lines, ")


def test_pipeline_shows_the_two_orderings(tmp_path: Path, forks: ForkServer) -> None:
    done = forks.run(EXAMPLES / "pipeline.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    _, component, event = done.stdout.split("ordering=")
    assert re.findall(r"(parcel|letter) (\d)", component) == [
        (kind, str(number)) for number in (1, 2, 3) for kind in ("parcel", "letter")
    ]
    for kind in ("parcel", "letter"):  # ordering="event" promises only this order
        assert re.findall(rf"{kind} (\d)", event) == ["1", "2", "3"]


@contextmanager
def heartbeat(*options: str, cwd: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    command = [sys.executable, str(EXAMPLES / "heartbeat_socket.py"), *options]
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=cwd, stdout=pipe, stderr=pipe, text=True
    ) as process:
        try:
            assert process.stdout is not None
            with selectors.DefaultSelector() as selector:
                selector.register(process.stdout, selectors.EVENT_READ)
                assert selector.select(LIMIT), "the server printed nothing"
            found = re.search(r"port (\d+)", process.stdout.readline())
            assert found, process.communicate(timeout=LIMIT)[1]
            yield process, int(found[1])
        finally:
            process.kill()


def test_heartbeat_socket_answers_and_ends_when_its_client_disconnects(tmp_path: Path) -> None:
    with heartbeat("--once", cwd=tmp_path) as (process, port):
        with socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client:
            client.sendall(b"hello\nyou\n")
            received = b""
            while not {b"HELLO", b"YOU", b"still here"} <= set(received.split(b"\n")):
                data = client.recv(1000)
                assert data, f"the server closed the connection after {received!r}"
                received += data
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors
        lines = received.decode().splitlines()
        assert [line for line in lines if line != "still here"] == ["HELLO", "YOU"]


def test_heartbeat_socket_ends_on_ctrl_c(tmp_path: Path) -> None:
    with (
        heartbeat(cwd=tmp_path) as (process, port),
        socket.create_connection(("127.0.0.1", port), timeout=LIMIT) as client,
    ):
        client.sendall(b"x\n")
        assert client.recv(100)  # the server is serving
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors
        assert "Traceback" not in errors


def make_safe(directory: Path) -> None:
    """Remove write permission for others: as root, a SPEC that others can change is refused."""
    for path in [directory, *directory.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o022)


def test_access_log_writes_a_record_for_each_line_that_matches(tmp_path: Path) -> None:
    shutil.copytree(EXAMPLES, tmp_path / "examples")
    (tmp_path / "build").mkdir()
    make_safe(tmp_path)
    argv = ("-m", "zenactors", "run", "examples/access_log.toml", "--exit-when-idle")
    done = run_python(*argv, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    for shown in ("Summary", "statistics: status", "statistics: path"):
        assert shown in done.stderr
    lines = (EXAMPLES / "data/access.log").read_bytes().count(b"\n")
    records = (tmp_path / "build/access.jsonl").read_text().splitlines()
    assert 0 < len(records) <= lines
    assert {"host", "time", "path", "status"} <= json.loads(records[0]).keys()
    unmatched = re.search(r"parser\W+unmatched\W+(\d+)", done.stderr)
    assert len(records) + int(unmatched[1] if unmatched else 0) == lines


OWN_DAEMON = EXAMPLES / "own_daemon.py"
QUICK = ("--no-daemon", "--pid-file", "watch.pid", "--runlog-dir", "watch")


@contextmanager
def own_daemon(*options: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, str(OWN_DAEMON), *options]
    with subprocess.Popen(
        command, env=ENVIRONMENT, cwd=cwd, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def wait_for(text: str, process: subprocess.Popen[str]) -> str:
    """Return the next log line that contains `text`. Fail if the log ends first."""
    assert process.stderr is not None
    seen = []
    for line in process.stderr:
        if text in line:
            return line
        seen.append(line)
    raise AssertionError(f"no {text!r} in {''.join(seen)}")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def test_own_daemon_needs_at_most_40_lines() -> None:
    assert len(OWN_DAEMON.read_text().splitlines()) <= 40


def test_own_daemon_checks_the_port_given_as_an_option(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        options = (*QUICK, "--port", str(port), "--look-interval", "0.05")
        with own_daemon(*options, cwd=tmp_path) as process:
            assert f"Port {port} is open" in wait_for("Port", process)
            server.close()
            assert f"Port {port} is closed" in wait_for("Port", process)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=LIMIT)
            assert process.returncode == 0, errors


def test_own_daemon_reads_its_key_from_a_file_and_reloads_it(tmp_path: Path) -> None:
    file = tmp_path / "watch.toml"
    shutil.copy(EXAMPLES / "own_daemon.toml", file)
    first, second = free_port(), free_port()
    file.write_text(re.sub(r"port = \d+", f"port = {first}", file.read_text()))
    make_safe(tmp_path)
    with own_daemon("--config-file", "watch.toml", cwd=tmp_path) as process:
        assert f"Port {first} is closed" in wait_for("Port", process)
        file.write_text(file.read_text().replace(f"port = {first}", f"port = {second}"))
        process.send_signal(signal.SIGHUP)
        assert "changed: port" in wait_for("reloaded", process)
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=LIMIT)
        assert process.returncode == 0, errors


def test_own_daemon_shows_the_source_of_each_value(tmp_path: Path, forks: ForkServer) -> None:
    shutil.copy(EXAMPLES / "own_daemon.toml", tmp_path / "watch.toml")
    make_safe(tmp_path)
    options = ("--config-file", "watch.toml", "--port", "8080", "--action", "config-view")
    done = forks.run(OWN_DAEMON, *options, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    shown = {line.split()[0]: line.split(maxsplit=2)[1:] for line in done.stdout.splitlines()}
    assert shown["port"] == ["8080", "command line"]
    assert shown["look_interval"][0] == "2.0"
    assert re.fullmatch(r".*watch\.toml:\d+", shown["look_interval"][1])
    assert not (tmp_path / "port-watch").exists()  # an action does not run the daemon


def test_own_daemon_rejects_invalid_values(tmp_path: Path, forks: ForkServer) -> None:
    done = forks.run(OWN_DAEMON, "--port", "99999", cwd=tmp_path)
    assert done.returncode == 64
    assert "--port" in done.stderr
    (tmp_path / "watch.toml").write_text('look_interval = "often"\n')
    make_safe(tmp_path)
    done = forks.run(OWN_DAEMON, "--config-file", "watch.toml", cwd=tmp_path)
    assert done.returncode == 78
    assert "watch.toml:1" in done.stderr
