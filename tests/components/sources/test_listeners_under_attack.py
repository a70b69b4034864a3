"""Clients that mean harm: memory stays bounded, others are served, and the daemon can be stopped.

None of them may bring an error or a traceback into the log.
"""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.components.sockets import CERTIFICATE, KEY, Collector, connect, receive_all
from tests.running import LIMIT
from zenactors import Dispatcher
from zenactors.components.sources.http_listener import HttpListener
from zenactors.components.sources.line_listener import LineListener
from zenactors.testing import Harness

MEGABYTE = 1 << 20
GOOD = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"


@contextlib.contextmanager
def under_attack(listener: LineListener | HttpListener) -> Iterator[tuple[Harness, Collector]]:
    """Run a listener under a harness; fail if it logs what only a bug, or an operator, should."""
    collector = Collector()
    with Harness([listener, collector]) as harness:
        yield harness, collector
    assert not harness.hook_failures()
    assert not harness.dead_letters()
    assert not [each for each in harness.logs if each.level in ("ERROR", "CRITICAL")]
    state = listener.get_state()
    assert (state["clients"], state["unfinished"]) == (0, 0)


@pytest.fixture
def address(tmp_path, monkeypatch) -> str:
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    return "unix://x.sock"


# --- random bytes ---------------------------------------------------------------------------------

CHUNKS = st.lists(st.binary(max_size=300), max_size=5)
HTTP_CHUNKS = st.lists(
    st.binary(max_size=100)
    | st.sampled_from(
        [
            GOOD,
            b"POST / HTTP/1.1\r\n",
            b"GET /",
            b"Host: x\r\n",
            b"Content-Length: 5\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"Expect: 100-continue\r\n",
            b"Upgrade: h2c\r\nConnection: upgrade\r\n",
            b"\r\n",
            b"5\r\nhello\r\n",
            b"0\r\n\r\n",
            b"{}",
        ]
    ),
    max_size=8,
)


def attack(listener: LineListener | HttpListener, address: str, chunks: list[bytes]) -> None:
    with under_attack(listener) as (harness, _), connect(address) as client:
        client.settimeout(0.0)
        for chunk in chunks:
            with contextlib.suppress(OSError):  # it has closed, or does not read
                client.sendall(chunk)
            harness.run_until_idle()
        client.close()
        harness.advance(5)
        assert listener.get_state()["clients"] == 0


def attack_with_lines(framing: Any, chunks: list[bytes], size: int) -> None:
    listener = LineListener(listen=["unix://x.sock"], framing=framing, max_line_bytes=size)
    attack(listener, "unix://x.sock", chunks)


def attack_with_datagrams(chunks: list[bytes]) -> None:
    listener = LineListener(listen=["unixgram://x.sock"], framing="auto", add_peer=True)
    with under_attack(listener) as (harness, _), connect("unixgram://x.sock") as client:
        for chunk in chunks:
            client.send(chunk)
        harness.run_until_idle()


def attack_with_requests(chunks: list[bytes], body: Any) -> None:
    listener = HttpListener(
        listen=["unix://x.sock"], body=body, max_body_bytes=50, methods=["POST", "GET", "HEAD"]
    )
    attack(listener, "unix://x.sock", chunks)


def attack_with_tls(data: bytes) -> None:
    listener = HttpListener(
        listen=["https://127.0.0.1:0"], tls_certificate=CERTIFICATE, tls_key=KEY
    )
    with under_attack(listener) as (harness, collector):
        with connect(listener.listening[0].replace("https", "tcp")) as client:
            with contextlib.suppress(OSError):
                client.sendall(data)
                client.shutdown(socket.SHUT_WR)
            assert harness.wait_until(lambda: listener.statistics_cur.get("connections"))
            assert harness.wait_until(lambda: not listener.get_state()["clients"], within=20)
        assert collector.lines == []


FEW = settings(max_examples=25)
MANY = settings(max_examples=500)
FRAMINGS = st.sampled_from(["line", "octet", "auto"])
BODIES = st.sampled_from(["json", "text", "ndjson", "lines"])
SIZES = st.integers(1, 100)


@pytest.mark.usefixtures("address")
class TestRandomBytes:
    @FEW
    @given(FRAMINGS, CHUNKS, SIZES)
    def test_lines(self, framing, chunks, size):
        attack_with_lines(framing, chunks, size)

    @FEW
    @given(CHUNKS)
    def test_datagrams(self, chunks):
        attack_with_datagrams(chunks)

    @FEW
    @given(HTTP_CHUNKS, BODIES)
    @example([GOOD * 3, b"\0"], "json")
    @example([b"POST / HTTP/1.1\r\nUpgrade: x\r\nConnection: upgrade\r\nHost: x\r\n\r\n"], "text")
    @example([b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\nmore"], "text")
    def test_requests(self, chunks, body):
        attack_with_requests(chunks, body)

    @FEW
    @given(st.binary(max_size=2_000))
    @example(b"\x16\x03\x01\x00\xff")
    @example(b"\x80\x2e\x01\x00\x02")
    @example(GOOD)
    def test_tls(self, data):
        attack_with_tls(data)


@pytest.mark.slow
@pytest.mark.usefixtures("address")
class TestManyRandomBytes:
    @MANY
    @given(FRAMINGS, CHUNKS, SIZES)
    def test_lines(self, framing, chunks, size):
        attack_with_lines(framing, chunks, size)

    @MANY
    @given(CHUNKS)
    def test_datagrams(self, chunks):
        attack_with_datagrams(chunks)

    @MANY
    @given(HTTP_CHUNKS, BODIES)
    def test_requests(self, chunks, body):
        attack_with_requests(chunks, body)

    @MANY
    @given(st.binary(max_size=2_000))
    def test_tls(self, data):
        attack_with_tls(data)


# --- slow, long and many --------------------------------------------------------------------------


def test_slow_clients_do_not_keep_others_waiting_and_are_sent_away(address):
    listener = HttpListener(listen=[address], max_clients=101, request_timeout=10)
    with contextlib.ExitStack() as stack, under_attack(listener) as (harness, collector):
        slow = [stack.enter_context(connect(address)) for _ in range(100)]
        good = stack.enter_context(connect(address))
        for second in range(9):
            for number, client in enumerate(slow):
                client.sendall(b"POST / HTTP/1.1\r\nX-%d: " % number if not second else b"x")
            good.sendall(GOOD)
            harness.run_until_idle()
            assert good.recv(1000).startswith(b"HTTP/1.1 200 ")
            harness.advance(1)
        harness.advance(1.5)
        assert listener.statistics_cur["status_408"] == 100
        assert all(client.recv(1000).startswith(b"HTTP/1.1 408 ") for client in slow)
        harness.advance(6)
        assert listener.get_state()["clients"] == 1
        assert len(collector.lines) == 9


@contextlib.contextmanager
def threads(listener: LineListener | HttpListener) -> Iterator[Collector]:
    collector = Collector()
    with Dispatcher([listener, collector]) as dispatcher:
        yield collector
        assert not dispatcher.dead_letters()
        report = dispatcher.stop()
    assert not report.timed_out
    assert not report.stuck


def stream(client: socket.socket, size: int, chunk: bytes = b"x" * 65_536) -> None:
    for _ in range(size // len(chunk)):
        client.sendall(chunk)


@contextlib.contextmanager
def at_most(megabytes: float) -> Iterator[None]:
    """Fail if Python's memory grows by more at any moment."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MEGABYTE
    finally:
        tracemalloc.stop()


def resident() -> int:
    """Return the bytes of memory that this process really has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize(
    "megabytes", [20, pytest.param(1024, marks=pytest.mark.slow)], ids=["20MB", "1GB"]
)
@pytest.mark.parametrize("framing", ["line", "octet", "auto"])
def test_a_line_without_an_end(framing, megabytes):
    listener = LineListener(listen=["tcp://:0"], framing=framing)
    limit = at_most(8) if megabytes < 100 else contextlib.nullcontext()
    with threads(listener) as collector, limit:
        before = resident()
        with connect(listener.listening[0]) as client:
            if framing == "octet":
                client.sendall(b"%d " % (2000 * MEGABYTE))
            stream(client, megabytes * MEGABYTE)
        collector.wait_until(lambda: len(collector.lines) == 1)
        assert len(collector.lines[0]) == listener.max_line_bytes
        assert resident() - before < 64 * MEGABYTE
    assert listener.statistics_cur["long_lines"] == 1
    assert listener.statistics_cur["unfinished_lines"] == 1


@pytest.mark.parametrize("head", [b"", b"Transfer-Encoding: chunked\r\n\r\n7fffffff\r\n"])
def test_a_request_without_an_end(head):
    listener = HttpListener(listen=["http://127.0.0.1:0"])
    answer = b""
    with (
        threads(listener),
        at_most(8),
        connect(listener.listening[0].replace("http", "tcp")) as client,
    ):
        client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\n" + (head or b"X-A: "))
        with contextlib.suppress(ConnectionError):
            stream(client, 20 * MEGABYTE)
        with contextlib.suppress(ConnectionError):
            answer = receive_all(client)
    assert answer[:13] in (b"HTTP/1.1 431 ", b"HTTP/1.1 413 ", b"")  # b"": it was reset before
    counted = listener.statistics_cur
    assert counted.get("status_431", 0) + counted.get("status_413", 0) == 1


def test_a_flood_of_empty_lines():
    listener = LineListener(listen=["tcp://:0"])
    collector = Collector()
    collector.events = Counting()  # type: ignore[assignment]
    with Dispatcher([listener, collector]), at_most(64):
        with connect(listener.listening[0]) as client:
            stream(client, 2 * MEGABYTE, b"\n" * 65_536)
        collector.wait_until(lambda: collector.events.lines == 2 * MEGABYTE)  # type: ignore[attr-defined]


class Counting:
    """A list of events that only counts their lines."""

    lines = 0

    def append(self, event: list[bytes]) -> None:
        self.lines += len(event)


MOST_OF_A_CLIENT = 8_192  # bytes of memory; about 2,000 are what is seen
CROWD = Path(__file__).parents[1] / "crowd.py"


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, have so many descriptors each."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < count:
        pytest.skip(f"the limit of open files is {hard}, and {count} are needed (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@contextlib.contextmanager
def crowd(target: str, count: int, step: int) -> Iterator[Iterator[int]]:
    """Open so many connections out of another process; yield how many there are, step by step."""
    host, port = target.removeprefix("tcp://").split(":")
    argv = [sys.executable, "-S", "-E", CROWD, host, port, count, step]
    with subprocess.Popen(
        list(map(str, argv)), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        try:
            yield map(int, process.stdout)
        finally:
            process.kill()


@pytest.mark.parametrize("count", [500, pytest.param(10_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", ["lines", "requests"])
def test_many_connections_with_something_unfinished(kind, count):
    """An honest client is served among them, memory is bounded, and they do not hinder the stop."""
    listener: LineListener | HttpListener
    options: dict[str, Any] = {"max_clients": count + 1, "idle_timeout": 10 * LIMIT}
    if kind == "lines":
        listener = LineListener(listen=["tcp://:0"], **options)
    else:
        options["request_timeout"] = 10 * LIMIT
        listener = HttpListener(listen=["http://127.0.0.1:0"], **options)
    with (
        descriptors(count + 200),
        contextlib.ExitStack() as clients,  # they are there until the listener has stopped
        threads(listener) as collector,
    ):
        target = listener.listening[0].replace("http", "tcp")
        honest = clients.enter_context(connect(target))
        serve(honest, kind, collector)
        before = resident()
        connected = clients.enter_context(crowd(target, count, step=count // 10))
        for number in range(count // 10, count + 1, count // 10):
            assert next(connected) == number
            serve(honest, kind, collector)
        with connect(target) as refused:
            assert receive_all(refused) == b""
        assert listener.get_state()["clients"] == count + 1
        serve(honest, kind, collector)
        assert resident() - before < 8 * MEGABYTE + count * MOST_OF_A_CLIENT
    assert listener.statistics_cur["connections"] == count + 1
    assert listener.statistics_cur["refused"] == 1
    assert listener.get_state()["clients"] == 0


def serve(client: socket.socket, kind: str, collector: Collector) -> None:
    """Send what the listener takes, and wait for its answer, or for the line."""
    if kind == "requests":
        client.sendall(GOOD)
        assert client.recv(1000).startswith(b"HTTP/1.1 200 ")
        return
    before = collector.lines.count(b"good")
    client.sendall(b"good\n")
    collector.wait_until(lambda: collector.lines.count(b"good") > before)


def test_connections_that_come_and_go():
    listener = LineListener(listen=["tcp://:0"])
    with threads(listener) as collector:
        for number in range(300):
            with connect(listener.listening[0]) as client:
                client.sendall(b"%d\n" % number)
                if number % 3 == 0:  # end with a reset
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        with connect(listener.listening[0]) as client:
            client.settimeout(LIMIT)
            client.sendall(b"last\n")
            collector.wait_until(lambda: b"last" in collector.lines)
    assert listener.get_state()["clients"] == 0


def test_without_descriptors_the_daemon_goes_on():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    listener = LineListener(listen=["tcp://:0"])
    with threads(listener) as collector, connect(listener.listening[0]) as first:
        first.sendall(b"one\n")
        collector.wait_until(lambda: collector.lines == [b"one"])
        used = len(list(Path("/proc/self/fd").iterdir()))
        clients = [socket.socket() for _ in range(20)]
        try:
            # The next descriptor, for the listener's end of a connection, is one too many.
            highest = max(client.fileno() for client in clients)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(highest, used) + 1, hard))
            host, port = listener.listening[0][6:].split(":")
            for client in clients:
                client.connect((host, int(port)))
            first.sendall(b"two\n")
            collector.wait_until(lambda: collector.lines == [b"one", b"two"])
            for client in clients:
                client.settimeout(LIMIT)
            assert clients[0].recv(1) == b""  # by the descriptor in reserve
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for client in clients:
                client.close()
        with connect(listener.listening[0]) as client:
            client.sendall(b"three\n")
            collector.wait_until(lambda: b"three" in collector.lines)
    assert listener.statistics_cur["accept_errors"] >= 1
