from __future__ import annotations

import contextlib
import gzip
import itertools
import json
import sys
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.components.http_server import Reply, Server, serving
from tests.running import LIMIT
from zenactors import Supervision, ZenDaemonComponent, handles
from zenactors.components._http import Answer
from zenactors.components.sources._http_answers import AnswerError, items_of
from zenactors.components.sources.http_poller import HttpPoller
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Kill, Probe, ProcessCrashed
from zenactors.testing.files import VirtualFiles


def reply(value: Any, status: int = 200, **headers: str) -> Reply:
    headers = {name.replace("_", "-"): text for name, text in headers.items()}
    return Reply(
        status, json.dumps(value).encode(), {"Content-Type": "application/json", **headers}
    )


def records(probe: Probe) -> list[Any]:
    return [record for _, args in probe.received for record in args]


def answers(*replies: Reply, seconds: float = 0.0, **options: Any) -> list[Any]:
    """Return what a poller hands on."""
    probe = Probe("lines")
    with serving(*replies) as server:
        poller = HttpPoller(url=server.url, **options)
        with Harness([poller, probe]) as harness:
            harness.advance(seconds)
    return records(probe)


def sent(server: Server, header: str) -> list[str | None]:
    return [each.headers.get(header) for each in server.requests]


def warnings(harness: Harness) -> list[str]:
    return [each.message for each in harness.logs if each.level == "WARNING"]


class Slow(ZenDaemonComponent):
    """Holds each event until the test lets it go, except those before `first`."""

    def __init__(self, first: int = 0) -> None:
        super().__init__()
        self.first = first

    def setup(self, daemon: Any) -> None:
        self.held: list[Any] = []
        self.seen = 0

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        if self.seen >= self.first:
            self.held.append(daemon.hold())
        self.seen += 1

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        for hold in self.held:
            hold.release()
        self.held = []


# --- answers --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "options", "expected"),
    [
        ([{"a": 1}, {"a": 2}], {}, [{"a": 1}, {"a": 2}]),
        ({"a": 1}, {}, [{"a": 1}]),
        ([1, "x", None], {}, [{"value": 1}, {"value": "x"}, {"value": None}]),
        ([], {}, []),
        ({"data": {"items": [{"a": 1}]}}, {"records": "data.items"}, [{"a": 1}]),
        ({"data": {"a": 1}}, {"records": "data"}, [{"a": 1}]),
    ],
)
def test_json_becomes_records(value, options, expected):
    assert answers(reply(value), **options) == expected


@pytest.mark.parametrize(
    ("content_type", "body", "expected"),
    [
        ("application/x-ndjson", b'{"a": 1}\n\n{"a": 2}\r\n', [{"a": 1}, {"a": 2}]),
        ("text/plain; charset=utf-8", b"one\r\ntwo\n\nfour", [b"one", b"two", b"", b"four"]),
        ("application/vnd.api+json", b'{"a": 1}', [{"a": 1}]),
        ("", b'{"a": 1}', [{"a": 1}]),
    ],
)
def test_the_content_type_says_what_an_answer_is(content_type, body, expected):
    assert answers(Reply(200, body, {"Content-Type": content_type})) == expected


def test_the_format_can_be_given():
    text = {"Content-Type": "text/html"}
    assert answers(Reply(200, b'{"a": 1}', text), format="json") == [{"a": 1}]
    assert answers(Reply(200, b'{"a": 1}', text), format="ndjson") == [{"a": 1}]
    assert answers(reply({"a": 1}), format="lines") == [b'{"a": 1}']


def test_a_large_answer_is_handed_on_in_batches():
    with serving(reply(list(range(25)))) as server:
        poller = HttpPoller(url=server.url, batch=10)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.run_until_idle()
            assert [len(args) for _, args in probe.received] == [10, 10, 5]
            assert poller.statistics_cur["records"] == 25


def test_a_compressed_answer_is_read():
    body = gzip.compress(b'{"a": 1}')
    assert answers(Reply(200, body, {"Content-Encoding": "gzip"})) == [{"a": 1}]


# --- polls ----------------------------------------------------------------------------------------


def test_it_asks_at_once_and_then_once_each_interval():
    with serving(reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=60)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.advance(59)
            assert len(server.requests) == 1
            harness.advance(122)
            assert len(server.requests) == 4
            assert len(probe.received) == 4


def test_what_was_not_modified_does_not_come_again():
    first = reply([1], ETag='"one"', Last_Modified="Mon, 01 Jan 2026 00:00:00 GMT")
    with serving(first, Reply(304), reply([2], ETag='"two"'), Reply(304)) as server:
        poller = HttpPoller(url=server.url, interval=60)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.advance(200)
            assert records(probe) == [{"value": 1}, {"value": 2}]
            assert sent(server, "if-none-match") == [None, '"one"', '"one"', '"two"']
            # The second answer had no date, so the old one is of no use any more.
            assert sent(server, "if-modified-since")[1:] == [
                "Mon, 01 Jan 2026 00:00:00 GMT",
                "Mon, 01 Jan 2026 00:00:00 GMT",
                None,
            ]
            assert poller.statistics_cur["not_modified"] == 2


def test_no_poll_is_made_while_too_much_is_not_done():
    with serving(reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=1)
        poller.max_unfinished = 3
        with Harness([poller, Slow()]) as harness:
            harness.advance(100)
            assert len(server.requests) == 3
            harness.queue.schedule("release")
            harness.advance(0)
            assert len(server.requests) == 4


def test_a_daemon_that_exits_when_idle_asks_once():
    with serving(reply([1])) as server:
        components = [HttpPoller(url=server.url), probe := Probe("lines")]
        with Harness(components, exit_when_idle=True) as harness:
            harness.run()
            assert records(probe) == [{"value": 1}]
            assert len(server.requests) == 1


def test_headers_and_the_path_are_sent():
    with serving(reply([])) as server:
        poller = HttpPoller(url=f"{server.url}/items?since=1", headers={"X-Key": "k"})
        with Harness([poller, Probe("lines")]) as harness:
            harness.run_until_idle()
        assert server.requests[0].path == "/items?since=1"
        assert server.requests[0].headers["x-key"] == "k"


# --- errors ---------------------------------------------------------------------------------------


def asked_at(server: Server, harness: Harness, seconds: int) -> list[int]:
    """Return at which whole seconds requests were made."""
    found = []
    for second in range(seconds):
        before = len(server.requests)
        harness.advance(1)
        found += [second] * (len(server.requests) - before)
    return found


def test_after_errors_it_waits_longer_each_time_and_then_goes_on():
    with serving(*[Reply(500)] * 5, reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=1_000)
        with Harness([poller, probe := Probe("lines")]) as harness:
            at = asked_at(server, harness, 60)
            waits = [after - before for before, after in itertools.pairwise(at)]
            assert len(waits) == 5
            for wait, expected in zip(waits, [1, 2, 4, 8, 16], strict=True):
                assert 0.75 * expected - 1 <= wait <= 1.25 * expected + 1
            assert records(probe) == [{"value": 1}]
            assert poller.statistics_cur["errors"] == 5
            (warning,) = warnings(harness)  # one for all of them
            assert warning.startswith(f"GET {server.url}: status 500. Next attempt in ")
            assert any(each.message.endswith("answers again") for each in harness.logs)
            harness.advance(1_000)
            assert len(server.requests) == 7


def test_the_wait_has_a_limit():
    with serving(Reply(500)) as server:
        poller = HttpPoller(url=server.url, interval=1, max_backoff=10)
        with Harness([poller, Probe("lines")]) as harness:
            harness.advance(1_000)
            assert 80 <= len(server.requests) <= 140


@pytest.mark.parametrize("status", [429, 503])
def test_the_server_says_when_to_come_again(status):
    with serving(Reply(status, headers={"Retry-After": "120"}), reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=10)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.advance(119)
            assert len(server.requests) == 1
            harness.advance(2)
            assert records(probe) == [{"value": 1}]


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (Reply(404), "status 404"),
        (
            Reply(200, b"[1, 2", {"Content-Type": "application/json"}),
            "no JSON, from character",
        ),
        (Reply(200, b"[" * 9_999, {"Content-Type": "application/json"}), "no JSON"),
        (Reply(200, b"\xff\xfe\xff", {"Content-Type": "application/json"}), "no JSON"),
        (Reply(200, b"no\njson", {"Content-Type": "application/x-ndjson"}), "not one of its lines"),
        (Reply(200, b'[{"a"', {}, "cut"), "IncompleteRead"),
        (Reply(how="reset"), "Remote end closed connection"),
        (Reply(302, headers={"Location": "/"}), "more than 5 redirects"),
        (Reply(200, b"x" * 20_000), "more than 10000 bytes"),
        (
            Reply(200, gzip.compress(b"\0" * 10_000_000), {"Content-Encoding": "gzip"}),
            "more than 10000 bytes",
        ),
        (Reply(200, b"no gzip", {"Content-Encoding": "gzip"}), "GET http"),
    ],
)
def test_a_bad_answer_is_an_error_of_one_line_and_the_next_is_read(bad, reason):
    repetitions = 6 if bad.status == 302 else 1
    with serving(*[bad] * repetitions, reply({"a": 1})) as server:
        poller = HttpPoller(url=server.url, max_body_bytes=10_000)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.advance(10)
            (warning,) = warnings(harness)
            assert reason in warning
            assert warning.isprintable()
            assert records(probe) == [{"a": 1}]


def test_a_path_that_leads_nowhere_is_an_error():
    with serving(reply({"data": []})) as server:
        poller = HttpPoller(url=server.url, records="data.items")
        with Harness([poller, Probe("lines")]) as harness:
            harness.run_until_idle()
            (warning,) = warnings(harness)
            assert warning.startswith(f"GET {server.url}: the answer has no 'data.items'. Next")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary() | JSON.map(lambda value: json.dumps(value).encode()),
    format_=st.sampled_from(["auto", "json", "ndjson", "lines"]),
    content_type=st.text() | st.sampled_from(["application/json", "text/plain"]),
    path=st.lists(st.text(min_size=1), max_size=2),
)
@example(body=b"9" * 10_000, format_="json", content_type="", path=[])
@example(body=b"[" * 200_000, format_="json", content_type="", path=[])
@example(body=b"{" * 200_000 + b"\n", format_="ndjson", content_type="", path=[])
@example(body=b"\xef\xbb\xbf{}", format_="json", content_type="", path=[])
@example(body=b"NaN", format_="json", content_type="", path=["a"])
def test_no_answer_is_more_than_an_error(body, format_, content_type, path):
    answer = Answer(200, {"content-type": content_type}, body)
    with contextlib.suppress(AnswerError):  # nothing else may be raised
        items, bad = items_of(answer, format_, path)
        assert bad >= 0
        assert all(isinstance(item, dict | bytes) for item in items)


def test_bad_lines_among_good_ones_are_left_out_and_counted():
    body = b'{"a": 1}\n{"a":\n{"a": 3}\n'
    with serving(Reply(200, body, {"Content-Type": "application/x-ndjson"})) as server:
        poller = HttpPoller(url=server.url)
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.run_until_idle()
            assert records(probe) == [{"a": 1}, {"a": 3}]
            assert poller.statistics_cur["bad_lines"] == 1


def test_a_daemon_that_exits_when_idle_gives_up_after_five_attempts(stock_forks, tmp_path):
    spec = tmp_path / "spec.toml"
    with serving(Reply(500)) as server:
        spec.write_text(
            f"""
name = "poll"
[[component]]
use = "zenactors.components.sources.http_poller:HttpPoller"
[component.options]
url = "{server.url}/"
max_backoff = 0.01
[[component]]
use = "zenactors.components:JsonLinesWriter"
"""
        )
        done = stock_forks.run(
            "-m", "zenactors", "run", "spec.toml", "--exit-when-idle", cwd=tmp_path
        )
        assert done.returncode == 66, done.stderr
        assert len(server.requests) == 5
        assert "status 500. Given up" in done.stderr


# --- restarts and faults --------------------------------------------------------------------------


def test_the_next_run_remembers_what_it_has():
    files = VirtualFiles()
    with serving(reply([1], ETag='"one"'), Reply(304)) as server:
        for expected in ([{"value": 1}], []):
            components = [HttpPoller(url=server.url), probe := Probe("lines")]
            with Harness(components, files=files, state_dir="state") as harness:
                harness.run_until_idle()
            assert records(probe) == expected
        assert sent(server, "if-none-match") == [None, '"one"']


@pytest.mark.parametrize("nth", [1, 2, 3])
def test_after_a_kill_the_whole_answer_comes_again(nth):
    def build(server: Server) -> list[Any]:
        return [HttpPoller(url=server.url, batch=1), Probe("lines")]

    with serving(reply([1, 2, 3], ETag='"one"')) as server:
        first, second = build(server), build(server)
        kill = Kill(component="probe", event="lines", nth=nth)
        harness = Harness(first, files=VirtualFiles(), state_dir="state", faults=[kill])
        with pytest.raises(ProcessCrashed), harness:
            harness.advance(1)
        with harness.next_life(second) as after:
            after.advance(1)
        assert sent(server, "if-none-match") == [None, None]
        assert records(second[1]) == [{"value": 1}, {"value": 2}, {"value": 3}]


def test_a_stop_in_the_middle_of_an_answer_makes_it_come_again():
    files = VirtualFiles()
    with serving(reply([1, 2], ETag='"one"')) as server:
        poller = HttpPoller(url=server.url, batch=1)
        with Harness([poller, Slow(first=1)], files=files, state_dir="state") as harness:
            harness.advance(10)  # that the first of two events is done is saved
        components = [HttpPoller(url=server.url, batch=1), probe := Probe("lines")]
        with Harness(components, files=files, state_dir="state") as harness:
            harness.run_until_idle()
        assert records(probe) == [{"value": 1}, {"value": 2}]
        assert sent(server, "if-none-match") == [None, None]


def test_without_a_state_dir_an_answer_that_was_left_is_asked_for_again():
    sink = Slow()
    sink.supervision = Supervision(on_error="restart")
    with serving(reply([1], ETag='"one"'), Reply(304)) as server:
        poller = HttpPoller(url=server.url, interval=60)
        crash = Crash(component="Slow", event="release", nth=1)
        with Harness([poller, sink], faults=[crash]) as harness:
            harness.advance(1)
            harness.queue.schedule("release")  # Slow is made anew, and loses its hold
            harness.advance(60)
            assert sent(server, "if-none-match") == [None, None]
            harness.dead_letters()


def test_an_event_that_fails_is_a_dead_letter_and_polling_goes_on():
    crash = Crash(component="probe", event="lines", nth=1)
    with serving(reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=60)
        with Harness([poller, probe := Probe("lines")], faults=[crash]) as harness:
            harness.advance(61)
            assert records(probe) == [{"value": 1}]
            assert len(harness.dead_letters()) == 1


def test_a_bug_in_a_poll_does_not_end_polling():
    with serving(reply([1])) as server:
        poller = HttpPoller(url=server.url, interval=60)
        poller.path = None  # type: ignore[assignment]
        with Harness([poller, probe := Probe("lines")]) as harness:
            harness.advance(30)
            assert len(harness.hook_failures()) == 1
            poller.path = []
            harness.advance(60)
            assert records(probe) == [{"value": 1}]


# --- secrets, real threads, programs --------------------------------------------------------------


def test_no_secret_is_in_the_log_or_the_state(tmp_path):
    (tmp_path / "token").write_text("Bearer geheim")
    with serving(Reply(401)) as server:
        url = server.url.replace("//", "//me:geheim@") + "/x?token=geheim"
        poller = HttpPoller(url=url, header_files={"X-Key": str(tmp_path / "token")})
        with Harness([poller, Probe("lines")]) as harness:
            harness.run_until_idle()
            assert "status 401" in warnings(harness)[0]
            assert "geheim" not in harness.trace.text() + str(harness.logs)
            assert "geheim" not in json.dumps(poller.get_state())
        assert server.requests[0].headers["x-key"] == "Bearer geheim"


def test_on_real_threads_it_polls(zen_daemon):
    with serving(reply([1]), reply([2]), Reply(304)) as server:
        probe = Probe("lines")
        daemon = zen_daemon([HttpPoller(url=server.url, interval=0.01), probe])
        assert probe.expect("lines", within=LIMIT) == [{"value": 1}]
        assert probe.expect("lines", within=LIMIT) == [{"value": 2}]
        daemon.stop()


def test_a_request_that_hangs_is_interrupted_over_the_hard_limit(zen_daemon):
    with serving(Reply(how="drip"), reply([1])) as server:
        poller = HttpPoller(url=server.url, timeout=1_000)
        poller.supervision = Supervision(hard_limit=0.5)
        probe = Probe("lines")
        daemon = zen_daemon([poller, probe])
        assert probe.expect("lines", within=LIMIT) == [{"value": 1}]
        assert daemon.abandoned() == []
        daemon.stop()


def test_a_missing_library_is_named_with_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "urllib3", None)
    monkeypatch.delitem(sys.modules, "zenactors.components._http_sockets", raising=False)
    harness = Harness([HttpPoller(url="http://x/"), Probe("lines")])
    with pytest.raises(ComponentStartError, match=r"pip install 'zenactors\[http\]'"), harness:
        pass


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"url": "ftp://x/"}, "url is 'ftp://x/'"),
        ({"interval": 0}, "interval is 0"),
        ({"format": "xml"}, "format is 'xml', but one of 'auto', 'json'"),
        ({"records": "a..b"}, r"records is 'a\.\.b'"),
        ({"records": ""}, "records is ''"),
        ({"timeout": -1}, "timeout is -1"),
        ({"max_body_bytes": 0}, "max_body_bytes is 0"),
        ({"max_backoff": 0}, "max_backoff is 0"),
        ({"batch": 0}, "batch is 0"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        HttpPoller(**{"url": "http://x/", **options})
