"""The client that the HTTP components share, against a real server on loopback."""

from __future__ import annotations

import functools
import gzip
import socket
import ssl
import subprocess
import threading
import zlib
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from tests.running import LIMIT
from zenactors.components._http import Answer, HttpClient, HttpError, TemporaryHttpError
from zenactors.components._http_options import HttpOptions
from zenactors.core.clock import SystemClock, VirtualClock
from zenactors.errors import ZenDaemonComponentException

from .fakes import FakeDaemon
from .http_server import Reply, serving

DAEMON: Any = FakeDaemon()


def options(url: str, **more: Any) -> HttpOptions:
    defaults: dict[str, Any] = {
        "headers": {},
        "header_files": {},
        "header_environment": {},
        "timeout": 30.0,
        "ca_file": None,
    }
    return HttpOptions(url=url, **{**defaults, **more})


class Client:
    """A client, closed at the end of the test."""

    def __init__(self) -> None:
        self.made: list[HttpClient] = []

    def __call__(self, url: str, *, clock: Any = None, **more: Any) -> HttpClient:
        self.made.append(HttpClient(options(url, **more), clock or SystemClock(), DAEMON))
        return self.made[-1]


@pytest.fixture
def client():
    made = Client()
    yield made
    for each in made.made:
        each.close()


def get(client: HttpClient, **more: Any) -> Answer:
    arguments: dict[str, Any] = {"headers": {}, "max_bytes": 10_000, "redirects": 5, **more}
    return client.request("GET", **arguments)


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


# --- answers --------------------------------------------------------------------------------------


def test_an_answer_has_status_headers_and_body(client):
    with serving(Reply(404, b"hello", {"ETag": '"x"'})) as server:
        answer = get(client(server.url))
        assert (answer.status, answer.body, answer.headers["etag"]) == (404, b"hello", '"x"')


def test_a_connection_is_used_again(client):
    with serving(Reply(body=b"hello")) as server:
        one = client(server.url)
        for _ in range(3):
            get(one)
        assert server.connections == 1


def test_a_connection_that_the_server_has_closed_is_made_anew(client):
    with serving(Reply(headers={"Connection": "close"}), Reply(body=b"x")) as server:
        one = client(server.url)
        get(one)
        assert get(one).body == b"x"


def test_a_compressed_answer_is_decompressed(client):
    body = gzip.compress(b"hello" * 100)
    with serving(Reply(body=body, headers={"Content-Encoding": "gzip"})) as server:
        assert get(client(server.url)).body == b"hello" * 100
        assert server.requests[0].headers["accept-encoding"] == "gzip"


@pytest.mark.parametrize("cut", [False, True])
def test_a_huge_answer_is_not_read_to_its_end(client, cut):
    with serving(Reply(body=b"x" * 10_000_000)) as server:
        if cut:
            assert get(client(server.url), cut=True).body == b"x" * 10_000
            return
        with pytest.raises(HttpError, match="the answer has more than 10000 bytes"):
            get(client(server.url))


def in_chunks(body: bytes, **headers: str) -> Reply:
    """Return a reply in one chunk, whose head does not say how long it is."""
    framed = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return Reply(200, framed, {"Transfer-Encoding": "chunked", **headers})


def test_an_answer_in_chunks_is_read_and_bounded(client):
    with serving(in_chunks(b"hello"), in_chunks(b"x" * 20_000)) as server:
        one = client(server.url)
        assert get(one).body == b"hello"
        with pytest.raises(HttpError, match="more than 10000 bytes"):
            get(one)


@functools.cache
def gzip_bomb() -> bytes:
    return gzip.compress(b"\0" * 100_000_000)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_gzip_bomb_is_given_up_early(client, monkeypatch, chunked):
    bomb = gzip_bomb()
    headers = {"Content-Encoding": "gzip"}
    reply = in_chunks(bomb, **headers) if chunked else Reply(200, bomb, headers)
    largest = 0
    decompressobj = zlib.decompressobj

    class Measured:
        """Notes how much one call has unpacked."""

        def __init__(self, *args: Any) -> None:
            self._inner = decompressobj(*args)

        def decompress(self, *args: Any, **options: Any) -> bytes:
            nonlocal largest
            data = self._inner.decompress(*args, **options)
            largest = max(largest, len(data))
            return data

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    monkeypatch.setattr(zlib, "decompressobj", Measured)
    with (
        serving(reply) as server,
        pytest.raises(HttpError, match="more than 10000 bytes"),
    ):
        get(client(server.url))
    assert 0 < largest < 1_000_000


# --- errors ---------------------------------------------------------------------------------------


def test_a_refused_connection_is_one_line_and_temporary(client):
    port = unused_port()
    with pytest.raises(TemporaryHttpError) as caught:
        get(client(f"http://127.0.0.1:{port}/x"))
    assert str(caught.value) == f"GET http://127.0.0.1:{port}/x: Connection refused"


def test_an_unknown_host_is_one_line_and_temporary(client):
    with pytest.raises(TemporaryHttpError, match=r"GET http://no\.such\.host\.invalid: ") as caught:
        get(client("http://no.such.host.invalid"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["x" * 70, "ex\u00e4mple.invalid", "a..b"])
def test_a_host_that_has_no_name_is_an_error_of_http(client, host):
    with pytest.raises(HttpError, match="GET http://"):
        get(client(f"http://{host}/?token=geheim"))


@pytest.mark.parametrize(
    ("how", "reason"),
    [("cut", "IncompleteRead"), ("reset", "Remote end closed connection without response")],
)
def test_an_answer_that_breaks_off_is_temporary(client, how, reason):
    with (
        serving(Reply(body=b"half", how=how)) as server,
        pytest.raises(TemporaryHttpError, match=reason),
    ):
        get(client(server.url))


def test_a_server_that_speaks_no_http_is_an_error_in_one_line(client):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(10_000)
                connection.sendall(b"\x1b[31mSSH-2.0\n" * 3)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(TemporaryHttpError) as caught:
            get(client(f"http://127.0.0.1:{server.getsockname()[1]}"))
        thread.join(LIMIT)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("how", ["stall", "drip"])
def test_a_slow_server_takes_no_longer_than_the_time_out(client, how):
    with (
        serving(Reply(how=how)) as server,
        pytest.raises(TemporaryHttpError, match=r"no answer within 0.3 s"),
    ):
        get(client(server.url, timeout=0.3))


@pytest.mark.parametrize("how", ["stall", "drip"])
def test_an_interrupt_ends_a_request(client, how):
    with serving(Reply(how=how), Reply(body=b"x")) as server:
        one = client(server.url, timeout=1_000)
        interrupter = threading.Thread(
            target=lambda: server.stalled.wait(LIMIT) and one.interrupt()
        )
        interrupter.start()
        with pytest.raises(HttpError, match="interrupted"):
            get(one)
        with pytest.raises(HttpError, match="interrupted"):
            get(one)
        one.allow()
        assert get(one).body == b"x"
        interrupter.join(LIMIT)


@pytest.mark.parametrize(
    ("status", "kind", "text"),
    [
        (500, TemporaryHttpError, "status 500"),
        (503, TemporaryHttpError, "status 503"),
        (429, TemporaryHttpError, "status 429"),
        (404, HttpError, "status 404"),
        (302, HttpError, "a redirect, which is not followed"),
    ],
)
def test_a_status_is_temporary_or_not(client, status, kind, text):
    one = client("http://x/")
    with pytest.raises(HttpError, match=text) as caught:
        one.check("GET", Answer(status, {}, b""))
    assert type(caught.value) is kind
    one.check("GET", Answer(204, {}, b""))
    one.check("GET", Answer(304, {}, b""))


NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        (format_datetime(NOW + timedelta(seconds=90), usegmt=True), 90.0),
        (format_datetime(NOW - timedelta(seconds=90), usegmt=True), 0.0),
        ("999999999", 86_400.0),
        ("9" * 5_000, None),
        ("soon", None),
        ("-3", None),
        ("\u0663", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(client, value, seconds):
    one = client("http://x/", clock=VirtualClock(NOW.timestamp()))
    with pytest.raises(TemporaryHttpError) as caught:
        one.check("GET", Answer(429, {"retry-after": value}, b""))
    assert caught.value.retry_after == seconds


# --- redirects ------------------------------------------------------------------------------------


def test_a_redirect_is_followed_with_the_headers(client):
    with serving(Reply(302, headers={"Location": "/there?x=1"}), Reply(body=b"x")) as server:
        assert get(client(f"{server.url}/here", headers={"X-Key": "k"})).body == b"x"
        assert [(each.path, each.headers["x-key"]) for each in server.requests] == [
            ("/here", "k"),
            ("/there?x=1", "k"),
        ]


def test_another_server_does_not_get_the_headers(client):
    with (
        serving(Reply(body=b"x")) as other,
        serving(Reply(307, headers={"Location": other.url})) as server,
    ):
        url = server.url.replace("//", "//me:secret@")
        assert get(client(url, headers={"X-Key": "k"})).body == b"x"
        assert "x-key" in server.requests[0].headers
        assert server.requests[0].headers["authorization"].startswith("Basic ")
        assert not {"x-key", "authorization"} & other.requests[0].headers.keys()


def test_a_redirect_loop_ends(client):
    with serving(Reply(301, headers={"Location": "/again"})) as server:
        with pytest.raises(HttpError, match="more than 5 redirects"):
            get(client(server.url))
        assert len(server.requests) == 6


@pytest.mark.parametrize("target", ["file:///etc/passwd", "gopher://x/", "//[::1"])
def test_a_redirect_leads_to_http_only(client, target):
    with (
        serving(Reply(302, headers={"Location": target})) as server,
        pytest.raises(HttpError, match="not followed: only http and https"),
    ):
        get(client(server.url))


# --- TLS ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate of 127.0.0.1, with its key."""
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    words = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
        " -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1 -out cert.pem -keyout key.pem"
    )
    subprocess.run(words.split(), cwd=path.parent, check=True, capture_output=True, timeout=LIMIT)
    parts = [path.with_name(name).read_text() for name in ("cert.pem", "key.pem")]
    path.write_text("".join(parts))
    return path


def context_of(certificate: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    return context


def test_the_certificate_of_the_server_is_checked(client, certificate):
    with serving(Reply(body=b"x"), tls=context_of(certificate)) as server:
        with pytest.raises(TemporaryHttpError, match=r"(?i)certificate verify failed"):
            get(client(server.url))
        assert get(client(server.url, ca_file=str(certificate))).body == b"x"
        assert len(server.requests) == 1


def test_the_name_in_the_certificate_is_checked(client, certificate):
    with serving(Reply(body=b"x"), tls=context_of(certificate)) as server:
        url = server.url.replace("127.0.0.1", "localhost")
        with pytest.raises(TemporaryHttpError, match=r"(?i)certificate|mismatch"):
            get(client(url, ca_file=str(certificate)))
        assert server.requests == []


def test_over_tls_a_slow_server_takes_no_longer_than_the_time_out(client, certificate):
    with (
        serving(Reply(how="drip"), tls=context_of(certificate)) as server,
        pytest.raises(TemporaryHttpError, match=r"no answer within"),
    ):
        get(client(server.url, ca_file=str(certificate), timeout=2.0))


def test_over_tls_a_request_can_be_interrupted(client, certificate):
    with serving(Reply(how="stall"), tls=context_of(certificate)) as server:
        one = client(server.url, ca_file=str(certificate), timeout=1_000)
        interrupter = threading.Thread(
            target=lambda: server.stalled.wait(LIMIT) and one.interrupt()
        )
        interrupter.start()
        with pytest.raises(HttpError, match="interrupted"):
            get(one)
        interrupter.join(LIMIT)


def test_from_https_no_redirect_leads_to_http(client, certificate):
    reply = Reply(302, headers={"Location": "http://127.0.0.1/"})
    with (
        serving(reply, tls=context_of(certificate)) as server,
        pytest.raises(HttpError, match="only https is"),
    ):
        get(client(server.url, ca_file=str(certificate)))


def test_a_file_without_certificates_is_an_error_of_the_start(client, tmp_path):
    (tmp_path / "empty.pem").write_text("")
    for name in ("empty.pem", "missing.pem"):
        with pytest.raises(ZenDaemonComponentException, match="Give a file of certificates"):
            client("https://x/", ca_file=str(tmp_path / name))


# --- secrets --------------------------------------------------------------------------------------


def test_headers_come_from_files_and_the_environment(client, tmp_path, monkeypatch):
    token = tmp_path / "token"
    token.write_text("Bearer one\n")
    monkeypatch.setenv("MY_KEY", "key")
    with serving() as server:
        one = client(
            server.url,
            header_files={"Authorization": str(token)},
            header_environment={"X-Key": "MY_KEY"},
        )
        get(one)
        token.write_text("Bearer two\n")  # a token is renewed while the daemon runs
        get(one)
        sent = [(each.headers["authorization"], each.headers["x-key"]) for each in server.requests]
        assert sent == [("Bearer one", "key"), ("Bearer two", "key")]


@pytest.mark.parametrize("content", ["two\nlines", "\x00"])
def test_a_file_that_is_no_header_is_refused_without_its_content(client, tmp_path, content):
    (tmp_path / "token").write_text(f"geheim{content}")
    with pytest.raises(ZenDaemonComponentException, match="write one line") as caught:
        client("http://x/", header_files={"X-Key": str(tmp_path / "token")})
    assert "geheim" not in str(caught.value)


def test_a_missing_file_or_variable_is_an_error_of_the_start(client, tmp_path):
    with pytest.raises(ZenDaemonComponentException, match=r"Cannot read .*/nothing, which has"):
        client("http://x/", header_files={"X-Key": str(tmp_path / "nothing")})
    with pytest.raises(ZenDaemonComponentException, match="NO_SUCH_VARIABLE, which is not set"):
        client("http://x/", header_environment={"X-Key": "NO_SUCH_VARIABLE"})


def test_no_error_has_the_secrets_of_the_url(client):
    port = unused_port()
    with pytest.raises(TemporaryHttpError) as caught:
        get(client(f"http://me:geheim@127.0.0.1:{port}/x?token=geheim"))
    assert str(caught.value).startswith(f"GET http://127.0.0.1:{port}/x: ")
    assert "geheim" not in str(caught.value)


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"url": "ftp://x/"}, "url is 'ftp://x/', but a URL is expected"),
        ({"url": "http://"}, "url is 'http://'"),
        ({"url": "http://x:99999/"}, "url is"),
        ({"url": "http://x/a b"}, "url is"),
        ({"url": "http://x/\r\nX: y"}, "url is"),
        ({"url": "http://me:geheim@/x?geheim"}, "url is 'http:///x'"),
        ({"url": 7}, "url is '7'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"headers": ["x"]}, "headers is a list, but a table"),
        ({"headers": {"X Key": "geheim"}}, "headers has 'X Key', which is no name"),
        ({"headers": {"X-Key": "geheim\r\nX: y"}}, "headers has a value for 'X-Key'"),
        ({"headers": {"X-Key": 7}}, "headers has a value for 'X-Key'"),
        ({"headers": {"X-Key": "a"}, "header_files": {"x-key": "b"}}, "'x-key' is given twice"),
        ({"ca_file": "a\0"}, "null character"),
    ],
)
def test_a_wrong_option_is_refused_by_name_and_without_secrets(wrong, message):
    with pytest.raises(ValueError, match=message) as caught:
        options(**{"url": "http://x/", **wrong})
    assert "geheim" not in str(caught.value)
