"""The listeners on real threads, with real TCP, UDP and TLS."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import signal
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import pytest

from tests.components.sockets import (
    CERTIFICATE,
    KEY,
    Collector,
    connect,
    receive_all,
    trusting,
)
from tests.forked import Forked, ForkServer
from tests.running import LIMIT
from zenactors import Dispatcher
from zenactors.components.sources.http_listener import HttpListener
from zenactors.components.sources.line_listener import LineListener
from zenactors.testing import Harness

TLS: dict[str, Any] = {"tls_certificate": CERTIFICATE, "tls_key": KEY}


@contextlib.contextmanager
def running(listener):
    collector = Collector()
    with Dispatcher([listener, collector]) as dispatcher:
        yield collector
        assert not dispatcher.dead_letters()


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "udp://:0"])
def test_lines_over_the_network(address):
    if "[::1]" in address and not has_ipv6():
        pytest.skip("this machine has no IPv6")
    listener = LineListener(listen=[address])
    with running(listener) as collector, connect(listener.listening[0]) as client:
        client.sendall(b"one\n")
        collector.wait_until(lambda: collector.lines == [b"one"])
        client.sendall(b"two\n")
        collector.wait_until(lambda: collector.lines == [b"one", b"two"])


def has_ipv6() -> bool:
    try:
        with socket.create_server(("::1", 0), family=socket.AF_INET6):
            return True
    except OSError:
        return False


def test_many_lines_of_many_senders_all_arrive_in_the_order_of_each():
    listener = LineListener(listen=["tcp://:0"])
    listener.max_unfinished = 4
    with running(listener) as collector, contextlib.ExitStack() as stack:
        senders = [stack.enter_context(connect(listener.listening[0])) for _ in range(10)]
        for part in range(20):
            for number, client in enumerate(senders):
                lines = (b"%d %d" % (number, part * 100 + at) for at in range(100))
                client.sendall(b"\n".join(lines) + b"\n")
        collector.wait_until(lambda: len(collector.lines) == 20_000)
        for number in range(10):
            mine = [line for line in collector.lines if line.startswith(b"%d " % number)]
            assert mine == [b"%d %d" % (number, at) for at in range(2_000)]


def test_the_system_s_drops_are_counted():
    listener = LineListener(listen=["udp://:0"], name="listener")
    listener.max_unfinished = 1
    collector = Collector(keeps=True)
    with Harness([listener, collector]) as harness, connect(listener.listening[0]) as client:
        (bound,) = listener._bound.values()
        bound.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)  # less than is sent
        client.send(b"first")
        assert harness.wait_until(lambda: collector.lines)
        for _ in range(5_000):
            client.send(b"x" * 1_000)
        for _ in range(5_000):
            harness.queue.schedule("release")
            harness.run_until_idle()
            if not listener.get_state()["unfinished"]:
                break
        collector.keeps = False
        harness.queue.schedule("release")
        for number in range(3):  # each of them brings the system's count
            client.send(b"last %d" % number)
        assert harness.wait_until(lambda: collector.lines[-1] == b"last 2")
        counted = listener.statistics_cur
        assert counted["dropped"] > 0
        assert counted["datagrams"] + counted["dropped"] == 5_004


def test_lines_over_tls():
    listener = LineListener(listen=["tls://:0"], **TLS)
    with running(listener) as collector:
        with connect(listener.listening[0], context=trusting()) as client:
            client.sendall(b"x" * 50_000 + b"\n" + b"y\n" * 50_000)
            collector.wait_until(lambda: len(collector.lines) == 50_001)
        with connect(listener.listening[0]) as plain:
            plain.sendall(b"this is no TLS\n" * 10)
            receive_all(plain)
    assert len(collector.lines) == 50_001
    assert listener.statistics_cur["tls_failed"] == 1


def test_a_client_s_certificate_is_required_if_its_issuer_is_given():
    listener = LineListener(listen=["tls://:0"], tls_client_ca=CERTIFICATE, **TLS)
    with running(listener) as collector:
        assert is_refused(listener.listening[0], trusting())
        with connect(listener.listening[0], context=trusting(with_certificate=True)) as client:
            client.sendall(b"y\n")
            collector.wait_until(lambda: collector.lines == [b"y"])


def is_refused(address: str, context: ssl.SSLContext) -> bool:
    try:
        with connect(address, context=context) as client:
            client.sendall(b"x\n")
            return not client.recv(1)  # with TLS 1.3 the client's handshake is over before
    except (ssl.SSLError, ConnectionError):
        return True


def test_a_handshake_has_a_time_limit():
    listener = LineListener(listen=["tls://:0"], name="listener", **TLS)
    with Harness([listener, Collector()]) as harness, connect(listener.listening[0]) as client:
        assert harness.wait_until(lambda: listener.get_state()["clients"] == 1)
        harness.advance(9)
        assert listener.get_state()["clients"] == 1
        harness.advance(2)
        assert listener.get_state()["clients"] == 0
        assert receive_all(client) == b""
        assert listener.statistics_cur["tls_failed"] == 1


def post(address: str, body: bytes, context: ssl.SSLContext | None = None) -> tuple[int, bytes]:
    url = urlsplit(address)
    assert url.hostname is not None
    client = (
        http.client.HTTPConnection(url.hostname, url.port, timeout=LIMIT)
        if context is None
        else http.client.HTTPSConnection("localhost", url.port, timeout=LIMIT, context=context)
    )
    with contextlib.closing(client):
        client.request("POST", "/hook", body)
        answer = client.getresponse()
        return answer.status, answer.read()


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_requests_over_the_network(scheme):
    secure = scheme == "https"
    listener = HttpListener(listen=[f"{scheme}://127.0.0.1:0"], **(TLS if secure else {}))
    with running(listener) as collector:
        context = trusting() if secure else None
        body = json.dumps({"a": "x" * 500_000}).encode()
        assert post(listener.listening[0], body, context) == (200, b"done\n")
        assert [record["json"] for record in collector.lines] == [json.loads(body)]
        assert post(listener.listening[0], b"x" * 2_000_000, context)[0] == 413
        assert post(listener.listening[0], b"nonsense", context)[0] == 400


SPEC = """
name = "hooks"

[[component]]
use = "zenactors.components.sources.http_listener:HttpListener"

[component.options]
listen = ["http://127.0.0.1:0"]

[[component]]
use = "zenactors.components:JsonLinesWriter"

[component.options]
path = "hooks.jsonl"
"""


def test_what_was_answered_with_200_survives_kill_9(stock_forks, tmp_path):
    (tmp_path / "hooks.toml").write_text(SPEC)
    for path in (tmp_path, tmp_path / "hooks.toml"):
        path.chmod(path.stat().st_mode & ~0o022)  # as root, what others can change is refused
    sent = answered = 0
    for _ in range(3):
        with hooks(stock_forks, tmp_path) as (process, _, address):
            for number in range(20):
                sent += 1
                assert post(address, b"%d" % sent) == (200, b"done\n")
                answered += 1
                if number == 10:
                    process.kill()
                    break
    lines = (tmp_path / "hooks.jsonl").read_text().splitlines()
    written = [json.loads(line)["json"] for line in lines]
    assert written == list(range(1, answered + 1))


@contextlib.contextmanager
def hooks(forks: ForkServer, directory: Path) -> Iterator[tuple[Forked, IO[str], str]]:
    """Yield a process that listens, its standard error, and where it listens."""
    ours, theirs = os.pipe()
    with os.fdopen(ours) as errors:
        with os.fdopen(theirs, "wb") as stderr, Path(os.devnull).open("r+b") as null:
            argv = ["-m", "zenactors", "run", "hooks.toml"]
            process = forks.start(
                argv, environ={}, stdin=null, stdout=null, stderr=stderr, cwd=directory
            )
        try:
            lines = iter(errors.readline, "")
            found = next(filter(None, (re.search(r"Listening on (\S+)", each) for each in lines)))
            yield process, errors, found[1]
        finally:
            process.kill()
            process.wait(LIMIT)


def test_a_daemon_that_listens_ends_at_sigterm(stock_forks, tmp_path):
    (tmp_path / "hooks.toml").write_text(SPEC)
    for path in (tmp_path, tmp_path / "hooks.toml"):
        path.chmod(path.stat().st_mode & ~0o022)
    with hooks(stock_forks, tmp_path) as (process, errors, address):
        with connect(address.replace("http", "tcp")) as client:
            client.sendall(b"POST / HTTP/1.1\r\n")  # and no more
            assert post(address, b"{}")[0] == 200
            process.send_signal(signal.SIGTERM)
            status = process.wait(LIMIT)
            assert receive_all(client).startswith(b"HTTP/1.1 503 ")
        said = errors.read()
        assert status == 0, said
        assert "Traceback" not in said
