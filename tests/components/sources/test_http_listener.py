"""`HttpListener` under a harness: real Unix sockets, virtual time."""

from __future__ import annotations

import contextlib
import hmac
import json
import re
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.components.sockets import Collector, connect
from zenactors import handles
from zenactors.components.sources.http_listener import HttpListener
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing import Crash, Harness

WHERE = "unix://hooks.sock"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    return tmp_path


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Listener(HttpListener):
    """A listener whose options an event changes, as a reload does."""

    @handles("change")
    def cbk_event_change(self, daemon, args):
        self.reconfigure(daemon, {**self.options, **args})


class Client:
    """A connection to the listener."""

    def __init__(self, harness: Harness) -> None:
        self.harness = harness
        self.socket = connect(WHERE)
        self.socket.settimeout(0.0)
        self.received = b""

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)
        self.harness.run_until_idle()

    def post(self, body: bytes = b"{}", *headers: str, path: str = "/", method="POST") -> None:
        lines = [f"{method} {path} HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers]
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1") + body)

    def answer(self) -> Answer | None:
        """Return the next answer; None if there is none yet."""
        self._receive()
        head, found, rest = self.received.partition(b"\r\n\r\n")
        if not found:
            return None
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value for name, value in (line.split(": ") for line in lines)}
        size = int(headers.get("content-length", "0"))
        self.received = rest[size:]
        return Answer(int(first.split()[1]), headers, rest[:size].decode())

    def status(self) -> int | None:
        answer = self.answer()
        return None if answer is None else answer.status

    def is_disconnected(self) -> bool:
        return self._receive()

    def _receive(self) -> bool:
        self.harness.run_until_idle()
        try:
            while data := self.socket.recv(65_536):
                self.received += data
        except BlockingIOError:
            return False
        except ConnectionResetError:
            pass
        return True


class Scene(NamedTuple):
    harness: Harness
    listener: Listener
    collector: Collector
    stack: contextlib.ExitStack

    def client(self) -> Client:
        client = Client(self.harness)
        self.stack.callback(client.socket.close)
        return client

    def tell(self, event: str, args: object = None) -> None:
        self.harness.queue.schedule(event, args)
        self.harness.run_until_idle()

    @property
    def records(self):
        self.harness.run_until_idle()
        return self.collector.lines

    def count(self, name: str) -> int:
        self.harness.run_until_idle()
        return int(self.listener.statistics_cur.get(name, 0))


@contextlib.contextmanager
def scene(*, keeps=False, faults=(), limit=256, **options) -> Iterator[Scene]:
    listener = Listener(listen=[WHERE], name="listener", **options)
    listener.max_unfinished = limit
    collector = Collector(keeps=keeps)
    with contextlib.ExitStack() as stack:
        with Harness([listener, collector], faults=faults) as harness:
            yield Scene(harness, listener, collector, stack)
        assert listener.get_state()["body_bytes"] == 0
        assert not harness.hook_failures()


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"listen": ["tcp://:1"]}, "begins with one of http://, https://, unix://"),
        ({"listen": ["https://:1"]}, "tls_certificate is not given"),
        ({"paths": []}, "at least one path"),
        ({"paths": ["hooks"]}, "a path such as"),
        ({"paths": ["/a?b"]}, "a path such as"),
        ({"methods": []}, "at least one method"),
        ({"methods": ["post"]}, "a method such as"),
        ({"methods": ["CONNECT"]}, "a method such as"),
        ({"body": "xml"}, "body is 'xml'"),
        ({"answer": "later"}, "answer is 'later'"),
        ({"headers": "X-A"}, "a list of names of headers"),
        ({"token_file": ""}, "the path of a file"),
        ({"signature_header": ""}, "the name of a header"),
        ({"max_body_bytes": 0}, "max_body_bytes is 0"),
        ({"max_header_bytes": 0}, "max_header_bytes is 0"),
        ({"request_timeout": -1}, "request_timeout is -1"),
        ({"retry_after": 0}, "retry_after is 0"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as raised:
        HttpListener(**{"listen": [WHERE], **options})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("text", "said"), [(None, "Cannot read token_file"), (" \n", "is empty")])
def test_a_token_file_that_cannot_be_used_is_one_line(text, said):
    if text is not None:
        Path("tokens").write_text(text)
    listener = HttpListener(listen=[WHERE], token_file="tokens")
    with pytest.raises(ZenDaemonComponentException, match=said), Harness([listener, Collector()]):
        pass


def test_without_h11_one_line_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "zenactors.components.sources._http", None)
    with (
        pytest.raises(ZenDaemonComponentException, match=r"pip install 'zenactors\[web\]'"),
        Harness([HttpListener(listen=[WHERE]), Collector()]),
    ):
        pass


# --- answers --------------------------------------------------------------------------------------


def test_the_answer_comes_when_the_event_is_done():
    with scene(keeps=True) as now:
        client = now.client()
        client.post(b'{"a": 1}', path="/hook?x=1&y")
        assert now.records == [
            {"method": "POST", "path": "/hook", "query": "x=1&y", "peer": WHERE, "json": {"a": 1}}
        ]
        assert client.answer() is None
        now.harness.advance(3600)
        assert client.answer() is None
        now.tell("release")
        assert client.status() == 200
        assert now.count("requests") == 1


def test_an_event_that_fails_is_answered_with_500():
    with scene(keeps=True) as now:
        client = now.client()
        client.post()
        now.tell("fail")
        assert client.status() == 500


def test_a_dead_letter_is_answered_with_500():
    with scene(faults=[Crash(component="collector", event="lines", nth=1)]) as now:
        client = now.client()
        client.post()
        assert client.status() == 500
        assert len(now.harness.dead_letters()) == 1
        client.post()
        assert client.status() == 200


def test_accepted_is_answered_at_once():
    with scene(keeps=True, answer="accepted") as now:
        client = now.client()
        client.post()
        assert client.status() == 202
        client.post()
        assert client.status() == 202
        now.tell("release")
        assert client.answer() is None


def test_a_full_source_asks_to_try_again():
    with scene(keeps=True, limit=1, retry_after=7) as now:
        first, second = now.client(), now.client()
        first.post()
        second.post()
        answer = second.answer()
        assert answer is not None
        assert (answer.status, answer.headers["retry-after"]) == (503, "7")
        now.tell("release")
        assert first.status() == 200
        third = now.client()
        third.post()
        assert len(now.records) == 2
        now.tell("release")
        assert third.status() == 200


def test_at_a_stop_a_whole_request_is_still_answered():
    with scene() as now:
        idle, half, whole = now.client(), now.client(), now.client()
        half.send(b"POST / HTTP/1.1\r\n")
        now.harness.run_until_idle()
        whole.socket.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
        now.harness.run_until_idle()
        now.harness.stop()
        assert whole.status() == 200
        assert half.status() == 503
        assert idle.answer() is None
        assert all(each.is_disconnected() for each in (idle, half, whole))


def test_what_a_stop_leaves_undone_is_answered_with_503():
    with scene(keeps=True) as now:
        client = now.client()
        client.post()
        now.harness.stop()
        answer = client.answer()
        assert answer is not None
        assert answer.status == 503
        assert answer.headers["connection"] == "close"
        assert "retry-after" in answer.headers


def test_a_client_that_has_left_does_not_disturb():
    with scene(keeps=True) as now:
        client = now.client()
        client.post()
        client.socket.close()
        now.tell("release")
        assert now.count("requests") == 1
        assert now.listener.get_state()["unfinished"] == 0


def test_a_client_that_sends_no_more_gets_its_answer():
    with scene(keeps=True) as now:
        client = now.client()
        client.post()
        client.socket.shutdown(socket.SHUT_WR)
        now.tell("release")
        assert client.status() == 200
        assert client.is_disconnected()
        assert now.listener.get_state()["clients"] == 0


# --- connections ----------------------------------------------------------------------------------


def test_a_connection_takes_one_request_after_the_other():
    with scene() as now:
        client = now.client()
        for number in range(3):
            client.post(b"%d" % number)
            assert client.status() == 200
        assert [record["json"] for record in now.records] == [0, 1, 2]
        assert now.count("connections") == 1


def test_requests_that_come_at_once_wait_for_the_answer_before():
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n%d"
    with scene(keeps=True) as now:
        client = now.client()
        client.send(b"".join(one % number for number in range(3)))
        for number in range(3):
            assert [record["json"] for record in now.records] == list(range(number + 1))
            assert client.answer() is None
            now.tell("release")
            assert client.status() == 200
        assert not client.is_disconnected()


def test_a_client_that_sends_requests_and_reads_no_answer_is_disconnected():
    one = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\n "
    with scene(body="ndjson") as now:
        client = now.client()
        with contextlib.suppress(BlockingIOError, ConnectionError):
            for _ in range(500):
                client.send(one * 1000)
        now.harness.advance(200)
        assert now.count("slow_readers") + now.count("timeouts") == 1
        assert now.listener.get_state()["clients"] == 0


@pytest.mark.parametrize("head", ["HTTP/1.0", "HTTP/1.1\r\nHost: x\r\nConnection: close"])
def test_a_connection_ends_when_the_client_wants_that(head):
    with scene() as now:
        client = now.client()
        client.send(f"POST / {head}\r\nContent-Length: 2\r\n\r\n{{}}".encode())
        assert client.status() == 200
        assert client.is_disconnected()


def test_a_chunked_body():
    with scene() as now:
        client = now.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n")
        client.send(b"2\r\n2]\r\n0\r\n\r\n")
        assert client.status() == 200
        assert [record["json"] for record in now.records] == [[1, 2]]


def test_a_client_may_ask_before_it_sends_the_body():
    head = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n"
    with scene(max_body_bytes=10) as now:
        client = now.client()
        client.send(head.format(2).encode())
        assert client.status() == 100
        client.send(b"{}")
        assert client.status() == 200
        client.send(head.format(11).encode())
        assert client.status() == 413
        assert now.listener.get_state()["body_bytes"] == 0


def test_an_idle_connection_is_closed_without_a_word():
    with scene(idle_timeout=60) as now:
        fresh, used = now.client(), now.client()
        used.post()
        assert used.status() == 200
        now.harness.advance(59)
        assert not fresh.is_disconnected()
        now.harness.advance(2)
        assert fresh.is_disconnected()
        assert used.is_disconnected()
        assert fresh.received == used.received == b""


@pytest.mark.parametrize(
    "part", [b"P", b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{"]
)
def test_a_slow_request_is_answered_with_408_however_busy_it_looks(part):
    with scene(request_timeout=10) as now:
        client = now.client()
        client.send(part)
        for _ in range(9):
            now.harness.advance(1.05)
            client.send(b" " if part[-1:] == b"{" else b"O")
        assert client.answer() is None
        now.harness.advance(1)
        assert client.status() == 408
        now.harness.advance(3)
        assert client.is_disconnected()


# --- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n", 405),
        (b"POST /other HTTP/1.1\r\nHost: x\r\n\r\n", 404),
        (b"POST / HTTP/1.1\r\n\r\n", 400),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 20_000, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (
            b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n"
            + b"x" * 1001
            + b"\r\n",
            413,
        ),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_a_wrong_request_is_answered_and_ends_the_connection(request_, status):
    with scene(max_body_bytes=1000, paths=["/"]) as now:
        client = now.client()
        client.send(request_)
        assert client.status() == status
        now.harness.advance(3)
        assert client.is_disconnected()
        assert now.count(f"status_{status}") == 1
        assert now.records == []
        assert not [record for record in now.harness.logs if record.level in ("ERROR", "WARNING")]


def test_a_client_that_goes_on_sending_still_sees_why_it_is_refused():
    with scene(max_body_bytes=1000) as now:
        client = now.client()
        client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        client.send(b"x" * 100_000)
        assert client.status() == 413
        client.socket.close()
        now.harness.advance(3)
        assert now.listener.get_state()["clients"] == 0


@pytest.mark.parametrize(
    "body", [b"", b"{", b"NaN", b"[Infinity]", b"\xff", b"[" * 100_000, b"9" * 5_000]
)
def test_a_body_that_is_no_json_is_answered_with_400_and_the_connection_goes_on(body):
    with scene() as now:
        client = now.client()
        client.post(body)
        assert client.status() == 400
        client.post(b"{}")
        assert client.status() == 200


def test_all_bodies_together_are_bounded():
    with scene(max_body_bytes=600_000) as now:
        now.listener.max_unfinished_bytes = 1_000_000
        head = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 600000\r\n\r\n"
        clients = [now.client() for _ in range(3)]
        for client in clients:
            client.send(head)
            for _ in range(5):
                with contextlib.suppress(BrokenPipeError):
                    client.send(b"x" * 100_000)
        assert [client.status() for client in clients] == [None, None, 503]
        assert now.listener.get_state()["body_bytes"] <= 1_065_536


@pytest.mark.parametrize(
    ("path", "is_taken"), [("/a", True), ("/a/", False), ("/h/", True), ("/h/x?/y", True)]
)
def test_paths(path, is_taken):
    with scene(paths=["/a", "/h/*"]) as now:
        client = now.client()
        client.post(path=path)
        assert client.status() == (200 if is_taken else 404)


def test_a_path_as_for_a_proxy():
    with scene(paths=["/a"]) as now:
        client = now.client()
        client.post(path="http://example.org/a?b")
        assert client.status() == 200
        assert now.records[0]["query"] == "b"


# --- bodies ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "body", "records"),
    [
        ("ndjson", b'{"a": 1}\r\n\n{"a": 2}', [{"a": 1}, {"a": 2}]),
        ("ndjson", b"", []),
        ("lines", b"one\r\ntwo\n\nthree", [b"one", b"two", b"", b"three"]),
        ("lines", b"", []),
    ],
)
def test_what_a_body_is(kind, body, records):
    with scene(body=kind) as now:
        client = now.client()
        client.post(body)
        assert client.status() == 200
        assert now.records == records


def test_lines_that_are_no_objects_are_refused():
    with scene(body="ndjson") as now:
        client = now.client()
        client.post(b'{"a": 1}\n2\n')
        assert client.status() == 400
        assert now.records == []


def test_a_text_and_headers():
    with scene(body="text", headers=["X-Event", "X-None"]) as now:
        client = now.client()
        client.post(b"\xffx", "x-event: push", "x-event: second")
        assert client.status() == 200
        (record,) = now.records
        assert record["text"] == "\ufffdx"
        assert record["headers"] == {"X-Event": "push"}
        json.dumps(record)


# --- who may send ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status"),
    [
        ("Authorization: Bearer second", 200),
        ("Authorization: bearer  first ", 200),
        ("Authorization: Basic first", 401),
        ("Authorization: Bearer", 401),
        ("Authorization: Bearer \xff", 401),
        ("X: y", 401),
    ],
)
def test_tokens(header, status):
    Path("tokens").write_text("first\nsecond\n")
    with scene(token_file="tokens") as now:
        client = now.client()
        client.post(b"{}", header)
        assert client.status() == status


def test_signatures():
    Path("secret").write_text("key\n")
    right = hmac.new(b"key", b"{}", "sha256").hexdigest()
    with scene(secret_file="secret") as now:
        for header, status in (
            (f"X-Hub-Signature-256: sha256={right}", 200),
            (f"X-Hub-Signature-256: {right.upper()}", 200),
            (f"X-Hub-Signature-256: sha256={right[:-1]}", 401),
            ("X-Hub-Signature-256: \xff", 401),
            ("X: y", 401),
        ):
            client = now.client()
            client.post(b"{}", header)
            assert client.status() == status
        shown = repr(now.harness.trace) + json.dumps(now.listener.get_state())
        assert "key\n" not in shown


def test_sighup_reads_tokens_again():
    Path("tokens").write_text("old")
    with scene(token_file="tokens") as now:
        client = now.client()
        client.post(b"{}", "Authorization: Bearer old")
        assert client.status() == 200
        Path("tokens").write_text("new")
        now.tell("signal_hup")
        client.post(b"{}", "Authorization: Bearer new")
        assert client.status() == 200
        Path("tokens").write_text("")
        now.tell("signal_hup")
        client.post(b"{}", "Authorization: Bearer new")
        assert client.status() == 200


def test_a_reload_keeps_connections():
    with scene() as now:
        client = now.client()
        client.post()
        assert client.status() == 200
        now.tell("change", {"paths": ["/new"], "body": "text"})
        client.post(b"x", path="/new")
        assert client.status() == 200
        assert now.records[1]["text"] == "x"
        client.post(path="/")
        assert client.status() == 404
        assert now.count("connections") == 1


def test_a_crash_in_a_callback_leaves_the_request_for_later():
    with contextlib.ExitStack() as stack:
        listener, collector = HttpListener(listen=[WHERE], name="listener"), Collector()
        faults = [Crash(point="timer", component="listener", nth=2)]
        with Harness([listener, collector], faults=faults) as harness:
            client = Client(harness)
            stack.callback(client.socket.close)
            client.post()
            assert client.status() == 200
            assert len(harness.hook_failures()) == 1


def test_answers_have_the_date_of_the_clock():
    with scene() as now:
        client = now.client()
        client.post()
        answer = client.answer()
        assert answer is not None
        assert re.fullmatch(r"Mon, 12 Jan 1970 13:46:\d\d GMT", answer.headers["date"])
