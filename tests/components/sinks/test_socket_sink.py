"""`SocketSink` under a harness and on real threads, with real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Iterator

import pytest

from tests.components.sockets import CERTIFICATE, KEY, Collector, connect, receive_all
from tests.running import LIMIT
from zenactors import Dispatcher, Supervision
from zenactors.components.sinks.socket_sink import SocketSink
from zenactors.components.sources.line_listener import LineListener
from zenactors.components.tail.lines import Lines
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing import Harness

WHERE = "unix://peer.sock"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    return tmp_path


@contextlib.contextmanager
def peer(kind: int = socket.SOCK_STREAM) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, kind) as listening:
        listening.bind("peer.sock")
        listening.settimeout(LIMIT)
        if kind == socket.SOCK_STREAM:
            listening.listen()
        yield listening


@contextlib.contextmanager
def sending(**options) -> Iterator[tuple[Harness, SocketSink]]:
    sink = SocketSink(**{"address": WHERE, "name": "sink", **options})
    with Harness([sink]) as harness:
        yield harness, sink


def send(harness: Harness, *batches: object) -> None:
    for batch in batches:
        harness.queue.schedule("lines", batch)
    harness.advance(1)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"address": "localhost:514"}, "begins with one of tcp://, tls://, udp://"),
        ({"address": "tcp://localhost:0"}, "a port above 0"),
        ({"address": "tcp://localhost"}, "a port from 0 to 65535"),
        ({"content": "xml"}, "content is 'xml'"),
        ({"framing": "auto"}, "framing is 'auto'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"tls_ca": "x.pem"}, "nothing would be encrypted"),
        ({"address": "tls://x:1", "tls_key": ""}, "a file in PEM format"),
        ({"attempts": 0}, "attempts is 0"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as raised:
        SocketSink(**{"address": WHERE, **options})
    assert "\n" not in str(raised.value)


def test_a_file_for_tls_that_is_missing_is_one_line():
    sink = SocketSink(address="tls://localhost:1", tls_ca="none.pem")
    with pytest.raises(ZenDaemonComponentException, match="Cannot read tls_ca"), Harness([sink]):
        pass


# --- what is sent ---------------------------------------------------------------------------------

LINES = Lines("a.log", 0, b"one\ntwo\n")


@pytest.mark.parametrize(
    ("options", "args", "data"),
    [
        ({}, [{"a": 1}, {"b": "\xe4\n"}], b'{"a":1}\n{"b":"\xc3\xa4\\n"}\n'),
        ({}, [b"raw \xff"], '{"line":"raw \ufffd"}\n'.encode()),
        ({}, [{"x": "\ud800"}], b'{"x":"\\ud800"}\n'),
        ({"content": "lines"}, LINES, b"one\ntwo\n"),
        ({"content": "lines"}, [b"a\nb", "\xe4", {"line": "c"}], b"a b\n\xc3\xa4\nc\n"),
        ({"content": "lines", "framing": "octet"}, [b"a\nb", b""], b"3 a\nb0 "),
    ],
)
def test_what_is_sent(options, args, data):
    with peer() as listening, sending(**options) as (harness, sink):
        send(harness, args)
        with listening.accept()[0] as server:
            server.settimeout(LIMIT)
            harness.stop()
            assert receive_all(server) == data
    assert sink.statistics_cur["bytes"] == len(data)
    assert sink.statistics_cur["records"] == 2 if len(args) == 2 else 1


def test_records_without_text_are_no_lines():
    with peer(), sending(content="lines") as (harness, _):
        send(harness, [{"a": 1}], [b"fine"])
        assert [letter.args for letter in harness.dead_letters()] == [[{"a": 1}]]
        assert isinstance(harness.dead_letters()[0].cause, TypeError)


def test_each_record_is_a_datagram():
    with (
        peer(socket.SOCK_DGRAM) as listening,
        sending(address="unixgram://peer.sock", content="lines") as (harness, _),
    ):
        send(harness, [b"one", b"two\nlines"])
        assert [listening.recv(100) for _ in range(2)] == [b"one", b"two\nlines"]


def test_a_record_that_is_too_long_for_a_datagram_is_a_dead_letter_and_the_others_are_sent():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening,
        contextlib.ExitStack() as stack,
    ):
        listening.bind(("127.0.0.1", 0))
        listening.settimeout(LIMIT)
        address = f"udp://127.0.0.1:{listening.getsockname()[1]}"
        harness, _ = stack.enter_context(sending(address=address, content="lines"))
        send(harness, [b"x" * 70_000], [b"fine"])
        assert listening.recv(100) == b"fine"
        (letter,) = harness.dead_letters()
        assert "too long for a datagram" in str(letter.cause)


# --- connections ----------------------------------------------------------------------------------


def test_it_waits_for_a_peer_that_is_not_there_yet():
    with contextlib.ExitStack() as stack, sending() as (harness, sink):
        harness.queue.schedule("lines", [{"a": 1}])
        harness.advance(2)
        assert sink.statistics_cur["retries"] >= 2
        warnings = [each.message for each in harness.logs if each.level == "WARNING"]
        assert len(warnings) == 1
        assert "cannot send to unix://peer.sock: No such file or directory" in warnings[0]
        listening = stack.enter_context(peer())
        harness.advance(10)
        server = stack.enter_context(listening.accept()[0])
        assert server.recv(100) == b'{"a":1}\n'


def test_after_all_attempts_it_is_a_dead_letter():
    with sending(attempts=3) as (harness, sink):
        send(harness, [{"a": 1}])
        harness.advance(60)
        (letter,) = harness.dead_letters()
        assert letter.args == [{"a": 1}]
        assert sink.statistics_cur["failed"] == 1


def test_it_notices_that_the_peer_has_left_before_it_sends():
    with peer() as listening, sending() as (harness, sink):
        send(harness, [{"a": 1}])
        with listening.accept()[0] as server:
            server.sendall(b"thank you\n")  # which is thrown away
        send(harness, [{"a": 2}])
        with listening.accept()[0] as server:
            assert server.recv(100) == b'{"a":2}\n'
        assert sink.statistics_cur["connects"] == 2
        assert "retries" not in sink.statistics_cur


def test_what_a_peer_sends_does_not_end_the_connection():
    with peer() as listening, sending() as (harness, sink):
        send(harness, [{"a": 1}])
        with listening.accept()[0] as server:
            for number in range(2, 5):
                server.sendall(b"x" * 100_000)
                send(harness, [{"a": number}])
            assert server.recv(1000).count(b"\n") == 4
        assert sink.statistics_cur["connects"] == 1


def test_a_batch_that_breaks_is_sent_again_as_a_whole():
    listening = socket.create_server(("127.0.0.1", 0))
    listening.settimeout(LIMIT)
    address = f"tcp://127.0.0.1:{listening.getsockname()[1]}"
    records = [{"number": number, "text": "x" * 1000} for number in range(20_000)]
    received: list[bytes] = []

    def serve() -> None:
        with listening.accept()[0] as first:
            first.settimeout(LIMIT)
            received.append(first.recv(100_000))
            linger = b"\1\0\0\0\0\0\0\0"  # so that closing resets
            first.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        with listening.accept()[0] as second:
            second.settimeout(LIMIT)
            lines = b""
            while lines.count(b"\n") < len(records) and (data := second.recv(1 << 20)):
                lines += data
            received.append(lines)

    thread = threading.Thread(target=serve)
    sink = SocketSink(address=address, name="sink")
    with listening, Dispatcher([sink]) as dispatcher:
        thread.start()
        dispatcher.queue.schedule("lines", records)
        thread.join(LIMIT)
    assert not thread.is_alive()
    assert received[0].startswith(b'{"number":0,')
    assert [json.loads(line) for line in received[1].splitlines()] == records
    assert sink.statistics_cur["retries"] == 1
    assert sink.statistics_cur["records"] == 20_000


def test_a_peer_that_does_not_read_is_given_up_after_a_time():
    with peer() as listening:
        sink = SocketSink(address=WHERE, timeout=0.2, attempts=2, batch_count=1)
        with Dispatcher([sink]) as dispatcher:
            dispatcher.queue.schedule("lines", [b"x" * 10_000_000])
            dispatcher.drain()
            (letter,) = dispatcher.dead_letters()
            assert "no answer in time" in str(letter.cause)
            assert sink.statistics_cur["connects"] == 2  # the first has the beginning of a line
        for _ in range(2):
            listening.accept()[0].close()


class Interruptible(SocketSink):
    supervision = Supervision(hard_limit=1.0, delay=0.01)


def test_an_interrupt_ends_a_wait_for_the_peer():
    with peer() as listening, contextlib.ExitStack() as stack:
        sink = Interruptible(address=WHERE, timeout=LIMIT, batch_count=1)
        with Dispatcher([sink]) as dispatcher:
            dispatcher.queue.schedule("lines", [b"x" * 10_000_000])
            stack.enter_context(listening.accept()[0])
            dispatcher.drain()
            assert dispatcher.abandoned() == []
            letters = dispatcher.dead_letters()
            assert letters
            assert all("was interrupted" in str(letter.cause) for letter in letters)


# --- TLS ------------------------------------------------------------------------------------------


def test_lines_over_tls_arrive():
    listener = LineListener(
        listen=["tls://:0"], tls_certificate=CERTIFICATE, tls_key=KEY, tls_client_ca=CERTIFICATE
    )
    collector = Collector()
    with Dispatcher([listener, collector]):
        sink = SocketSink(
            address=listener.listening[0],
            tls_ca=CERTIFICATE,
            tls_certificate=CERTIFICATE,
            tls_key=KEY,
            content="lines",
        )
        with Dispatcher([sink]) as dispatcher:
            dispatcher.queue.schedule("lines", [b"one"])
            dispatcher.drain()
            dispatcher.queue.schedule("lines", [b"two"] * 10_000)
        collector.wait_until(lambda: len(collector.lines) == 10_001)
        assert sink.statistics_cur["connects"] == 1


def test_what_was_sent_over_tls_last_arrives_although_the_server_reads_it_late():
    has_left = threading.Event()
    received: list[bytes] = []
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(CERTIFICATE, KEY)

    def serve() -> None:
        plain = listening.accept()[0]
        plain.settimeout(LIMIT)
        # With TLS 1.3 the server sends something after the handshake, which the sink has not read.
        with context.wrap_socket(plain, server_side=True) as server:
            assert has_left.wait(LIMIT)
            received.append(receive_all(server))

    thread = threading.Thread(target=serve)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)  # the rest waits here
        thread.start()
        address = f"tls://127.0.0.1:{listening.getsockname()[1]}"
        sink = SocketSink(address=address, tls_ca=CERTIFICATE, content="lines", timeout=1.0)
        with Dispatcher([sink]) as dispatcher:
            dispatcher.queue.schedule("lines", [b"last"] * 20_000)
        has_left.set()
        thread.join(LIMIT)
    assert received == [b"last\n" * 20_000]


def test_a_server_with_an_unknown_certificate_gets_nothing():
    listener = LineListener(listen=["tls://:0"], tls_certificate=CERTIFICATE, tls_key=KEY)
    collector = Collector()
    with Dispatcher([listener, collector]):
        sink = SocketSink(address=listener.listening[0], attempts=1, batch_count=1)
        with Dispatcher([sink]) as dispatcher:
            dispatcher.queue.schedule("lines", [b"secret"])
            dispatcher.drain()
            (letter,) = dispatcher.dead_letters()
            assert "certificate" in str(letter.cause).lower()
        with connect(listener.listening[0].replace("tls", "tcp")):
            pass
    assert collector.lines == []
