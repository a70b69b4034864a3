from __future__ import annotations

import gzip
import hashlib
import json
import sys
from typing import Any

import pytest

from tests.components.http_server import Reply, Request, Server, serving
from tests.running import LIMIT
from zenactors import Supervision
from zenactors.components import Lines
from zenactors.components.sinks.http_sink import HttpSink
from zenactors.components.sources.generate import Generate
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Kill, ProcessCrashed
from zenactors.testing.files import VirtualFiles

KEY = "idempotency-key"


def send(harness: Harness, *events: Any) -> None:
    for args in events:
        harness.queue.schedule("lines", args)
    harness.advance(2)


def bodies(server: Server) -> list[Any]:
    return [json.loads(each.body) for each in server.requests]


# --- requests -------------------------------------------------------------------------------------


def test_a_batch_is_one_request_with_an_array():
    with serving(Reply(201)) as server, Harness([HttpSink(url=f"{server.url}/in")]) as harness:
        send(harness, [{"a": 1}, {"a": 2}], [{"a": 3}])
        (request,) = server.requests
        assert (request.method, request.path) == ("POST", "/in")
        assert json.loads(request.body) == [{"a": 1}, {"a": 2}, {"a": 3}]
        assert request.headers["content-type"] == "application/json"
        assert harness.component("HttpSink").statistics_cur == {
            "records": 3,
            "batches": 1,
            "bytes": len(request.body),
        }


def test_ndjson_has_a_record_on_each_line():
    with serving() as server:
        with Harness([HttpSink(url=server.url, format="ndjson", method="PUT")]) as harness:
            send(harness, [{"a": 1}, {"a": "\u00e4\n"}])
        (request,) = server.requests
        assert request.method == "PUT"
        assert request.body == b'{"a":1}\n{"a":"\\u00e4\\n"}\n'
        assert request.headers["content-type"] == "application/x-ndjson"


def test_a_compressed_body_has_the_key_of_its_content():
    with serving() as server:
        with Harness([HttpSink(url=server.url, compress=True)]) as harness:
            send(harness, [{"a": 1}] * 1_000)
        (request,) = server.requests
        body = gzip.decompress(request.body)
        assert json.loads(body) == [{"a": 1}] * 1_000
        assert len(request.body) < 200
        assert request.headers["content-encoding"] == "gzip"
        assert request.headers[KEY] == hashlib.sha256(body).hexdigest()


def test_lines_and_what_json_does_not_have_are_sent_as_text():
    with serving() as server:
        with Harness([HttpSink(url=server.url)]) as harness:
            send(harness, Lines("f", 5, b"one\n"), [b"\xfftwo"], [{"at": 1 + 2j, "b": "\ud800"}])
        assert bodies(server) == [
            [
                {"file": "f", "offset": 5, "line": "one"},
                {"line": "\ufffdtwo"},
                {"at": "(1+2j)", "b": "\ud800"},
            ]
        ]


def test_the_header_of_the_key_can_have_another_name_or_none():
    with serving() as server:
        for header in ("X-Batch", None):
            sink = HttpSink(url=server.url, idempotency_header=header, headers={"X-Key": "k"})
            with Harness([sink]) as harness:
                send(harness, [{"a": 1}])
        first, second = server.requests
        assert "x-batch" in first.headers
        assert not {"x-batch", KEY} & second.headers.keys()
        assert first.headers["x-key"] == "k"


def test_requests_share_a_connection():
    with serving() as server, Harness([HttpSink(url=server.url, batch_count=1)]) as harness:
        send(harness, *[[{"a": number}] for number in range(20)])
        assert len(server.requests) == 20
        assert server.connections == 1


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bad", [Reply(500), Reply(503), Reply(429), Reply(how="reset"), Reply(200, b"x", how="cut")]
)
def test_a_temporary_error_is_tried_again_with_the_same_key(bad):
    with serving(bad, bad, Reply(200)) as server, Harness([HttpSink(url=server.url)]) as harness:
        begin = harness.now
        send(harness, [{"a": 1}], [{"a": 2}])
        assert bodies(server) == [[{"a": 1}, {"a": 2}]] * 3
        assert len({each.headers[KEY] for each in server.requests}) == 1
        assert harness.component("HttpSink").statistics_cur["retries"] == 2
        assert harness.now - begin >= 0.6
        assert harness.dead_letters() == []


def test_the_server_says_when_to_come_again():
    with (
        serving(Reply(429, headers={"Retry-After": "120"}), Reply(200)) as server,
        Harness([HttpSink(url=server.url, batch_count=1)]) as harness,
    ):
        harness.queue.schedule("lines", [{"a": 1}])
        harness.advance(119)
        assert len(server.requests) == 1
        harness.advance(2)
        assert len(server.requests) == 2


def test_it_does_not_wait_for_longer_than_five_minutes():
    with (
        serving(Reply(503, headers={"Retry-After": "80000"}), Reply(200)) as server,
        Harness([HttpSink(url=server.url, batch_count=1)]) as harness,
    ):
        harness.queue.schedule("lines", [{"a": 1}])
        harness.advance(301)
        assert len(server.requests) == 2


def test_after_the_last_attempt_the_events_are_dead_letters():
    with (
        serving(Reply(503, b"come back\nlater")) as server,
        Harness([HttpSink(url=server.url, attempts=3)]) as harness,
    ):
        send(harness, [{"a": 1}], [{"a": 2}])
        assert len(server.requests) == 3
        letters = harness.dead_letters()
        assert [each.args for each in letters] == [[{"a": 1}], [{"a": 2}]]
        assert str(letters[0].cause) == f"POST {server.url}: status 503: come back later"


class Picky(Server):
    """Refuses batches with a bad record."""

    def next_reply(self, request: Request) -> Reply:
        super().next_reply(request)
        return Reply(422, b"a is bad") if b"bad" in request.body else Reply(200)


def test_the_event_that_is_refused_is_a_dead_letter_and_the_others_are_sent(monkeypatch):
    monkeypatch.setattr("tests.components.http_server.Server", Picky)
    with serving() as server, Harness([HttpSink(url=server.url)]) as harness:
        send(harness, [{"a": 1}], [{"a": "bad"}], [{"a": 3}])
        assert bodies(server)[1:] == [[{"a": 1}], [{"a": "bad"}], [{"a": 3}]]
        (letter,) = harness.dead_letters()
        assert letter.args == [{"a": "bad"}]
        assert "status 422: a is bad" in str(letter.cause)
        assert harness.component("HttpSink").statistics_cur["records"] == 2


def test_a_redirect_is_not_followed():
    with (
        serving(Reply(307, headers={"Location": "/there"})) as server,
        Harness([HttpSink(url=server.url)]) as harness,
    ):
        send(harness, [{"a": 1}])
        (letter,) = harness.dead_letters()
        assert "status 307, a redirect, which is not followed" in str(letter.cause)
        assert len(server.requests) == 1


@pytest.mark.parametrize("record", [{"a": float("nan")}, {(1, 2): 3}])
def test_an_event_that_is_no_json_fails_alone(record):
    with serving() as server, Harness([HttpSink(url=server.url)]) as harness:
        send(harness, [{"a": 1}], [record])
        assert bodies(server) == [[{"a": 1}]]
        assert len(harness.dead_letters()) == 1


def test_a_huge_answer_is_not_read_and_no_error():
    with (
        serving(Reply(200, b"x" * 10_000_000)) as server,
        Harness([HttpSink(url=server.url, batch_count=1)]) as harness,
    ):
        send(harness, [{"a": 1}], [{"a": 2}])
        assert harness.dead_letters() == []
        assert server.connections == 2


# --- restarts, faults and real threads ------------------------------------------------------------


def test_with_a_source_that_acknowledges_every_item_arrives_over_a_kill():
    def build(server: Server) -> list[Any]:
        return [Generate(count=500, kind="records", batch=10), HttpSink(url=server.url)]

    with serving() as server:
        kill = Kill(component="HttpSink", event="lines", nth=30)
        harness = Harness(
            build(server),
            files=VirtualFiles(),
            state_dir="state",
            exit_when_idle=True,
            faults=[kill],
        )
        with pytest.raises(ProcessCrashed), harness:
            harness.run()
        with harness.next_life(build(server)) as after:
            after.run()
        assert {record["number"] for body in bodies(server) for record in body} == set(
            range(1, 501)
        )


def test_a_crash_in_a_callback_loses_one_event_only():
    crash = Crash(component="HttpSink", event="lines", nth=2)
    with serving() as server, Harness([HttpSink(url=server.url)], faults=[crash]) as harness:
        send(harness, [{"a": 1}], [{"a": 2}], [{"a": 3}])
        assert bodies(server) == [[{"a": 1}, {"a": 3}]]
        assert len(harness.dead_letters()) == 1


def test_a_stop_sends_what_is_left():
    with serving() as server:
        with Harness([HttpSink(url=server.url, batch_time=1_000.0)]) as harness:
            harness.queue.schedule("lines", [{"a": 1}])
        assert bodies(server) == [[{"a": 1}]]


def test_on_real_threads_every_record_arrives(zen_daemon):
    with serving() as server:
        daemon = zen_daemon(
            [Generate(count=5_000, kind="records"), HttpSink(url=server.url, format="ndjson")]
        )
        assert daemon.drain(LIMIT)
        daemon.stop()
        lines = [line for each in server.requests for line in each.body.splitlines()]
        assert [json.loads(line)["number"] for line in lines] == list(range(1, 5_001))


@pytest.mark.parametrize("how", ["stall", "drip"])
def test_a_request_that_hangs_is_interrupted_over_the_hard_limit(zen_daemon, how):
    with serving(Reply(how=how), Reply(200)) as server:
        sink = HttpSink(url=server.url, timeout=1_000, batch_count=1)
        sink.supervision = Supervision(hard_limit=0.5)
        daemon = zen_daemon([sink])
        daemon.queue.schedule("lines", [{"a": 1}])
        daemon.queue.schedule("lines", [{"a": 2}])
        assert daemon.drain(LIMIT)
        assert bodies(server) == [[{"a": 1}], [{"a": 2}]]
        assert daemon.abandoned() == []
        (letter,) = daemon.dead_letters()
        assert letter.args == [{"a": 1}]
        assert "interrupted" in str(letter.cause)
        daemon.stop()


def test_a_stop_ends_the_wait_for_another_attempt(zen_daemon):
    with serving(Reply(503, headers={"Retry-After": "200"})) as server:
        daemon = zen_daemon([HttpSink(url=server.url, batch_count=1)])
        daemon.queue.schedule("lines", [{"a": 1}])
        assert server.asked.wait(LIMIT)
        daemon.stop()
        assert len(server.requests) == 1
        daemon.dead_letters()


def test_no_secret_is_in_a_dead_letter_the_log_or_the_state(tmp_path):
    (tmp_path / "token").write_text("Bearer geheim")
    with serving(Reply(401)) as server:
        url = server.url.replace("//", "//me:geheim@") + "/x?token=geheim"
        sink = HttpSink(url=url, header_files={"X-Key": str(tmp_path / "token")})
        with Harness([sink]) as harness:
            send(harness, [{"a": 1}])
            (letter,) = harness.dead_letters()
            assert "geheim" not in str(letter) + harness.trace.text() + str(harness.logs)
            assert "geheim" not in json.dumps(sink.get_state())
        assert server.requests[0].headers["x-key"] == "Bearer geheim"


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.delitem(sys.modules, "zenactors.components._http_sockets", raising=False)
    harness = Harness([HttpSink(url="http://x/")])
    with pytest.raises(ComponentStartError, match=r"pip install 'zenactors\[http\]'"), harness:
        pass


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "x"}, "url is 'x', but a URL is expected"),
        ({"method": "GET"}, "method is 'GET', but 'POST' or 'PUT'"),
        ({"format": "xml"}, "format is 'xml'"),
        ({"compress": 1}, "compress is 1"),
        ({"idempotency_header": "a b"}, "idempotency_header has 'a b'"),
        ({"headers": {"X": ""}}, "headers has a value for 'X'"),
        ({"timeout": 0}, "timeout is 0"),
        ({"batch_count": 0}, "batch_count is 0"),
        ({"attempts": 0}, "attempts is 0"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        HttpSink(**{"url": "http://x/", **options})
