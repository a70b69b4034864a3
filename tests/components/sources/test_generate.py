from __future__ import annotations

from datetime import datetime
from typing import Any

import pytest

from zenactors import ZenDaemonComponent, handles
from zenactors.components import AccessLogParser, JsonParser, SyslogParser
from zenactors.components.sources.generate import Generate
from zenactors.testing import Crash, Harness, Kill, Probe, ProcessCrashed
from zenactors.testing.files import VirtualFiles

KINDS = ["access", "json", "lines", "records", "syslog"]


def batches(**options: Any) -> list[list[Any]]:
    probe = Probe("lines")
    with Harness([Generate(**options), probe], exit_when_idle=True) as harness:
        harness.run()
    return [args for _, args in probe.received]


def items(**options: Any) -> list[Any]:
    return [item for batch in batches(**options) for item in batch]


def parsed(parser: Any, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    probe = Probe("lines")
    with Harness([Generate(**options), parser, probe], exit_when_idle=True) as harness:
        harness.run()
    return [record for _, args in probe.received for record in args], parser.statistics_cur


class Slow(ZenDaemonComponent):
    """Holds each event until the test lets it go."""

    def setup(self, daemon: Any) -> None:
        self.held: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.held.append(daemon.hold())

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        for hold in self.held:
            hold.release()
        self.held = []


# --- what is generated --------------------------------------------------------------------------


def test_the_count_ends_it_and_a_batch_has_its_size():
    assert list(map(len, batches(count=250, kind="lines"))) == [100, 100, 50]
    assert items(count=3, kind="lines", batch=2) == [b"line 1", b"line 2", b"line 3"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_seed_gives_the_same_items_in_batches_of_any_size(kind):
    first = items(count=100, kind=kind, seed=3)
    assert items(count=100, kind=kind, seed=3, batch=7) == first


@pytest.mark.parametrize("kind", ["access", "json", "records", "syslog"])
def test_another_seed_gives_other_items(kind):
    assert items(count=100, kind=kind, seed=3) != items(count=100, kind=kind, seed=4)


def test_what_a_seed_gives_does_not_change_from_version_to_version():
    assert items(count=1, kind="records") == [
        {"number": 1, "time": "2026-01-01T00:00:00+00:00", "user": "alice", "value": 925}
    ]


def test_the_access_log_parser_understands_every_line():
    records, statistics = parsed(AccessLogParser(), count=2_000, kind="access")
    assert statistics["records"] == 2_000
    assert "unmatched" not in statistics
    statuses = [record["status"] for record in records]
    assert 100 < statuses.count(404) < 400
    assert 10 < statuses.count(500) < 100
    assert statuses.count(200) > 1_000
    assert all(record["method"] in ("GET", "POST") for record in records)


def test_the_syslog_parser_understands_every_line():
    records, statistics = parsed(SyslogParser(), count=500, kind="syslog")
    assert len(records) == 500
    assert "unmatched" not in statistics


def test_the_json_parser_makes_the_records_of_the_json_lines():
    records, _ = parsed(JsonParser(), count=500, kind="json", seed=9)
    assert records == items(count=500, kind="records", seed=9)


def test_times_advance_by_the_step():
    records = items(count=3, kind="records", step=0.5)
    times = [datetime.fromisoformat(record["time"]) for record in records]
    assert [(time - times[0]).total_seconds() for time in times] == [0.0, 0.5, 1.0]


def test_no_step_leads_beyond_the_last_date():
    assert len(items(count=1_000, kind="records", step=1e9)) == 1_000


# --- how fast -----------------------------------------------------------------------------------


def test_a_rate_is_kept():
    generate = Generate(rate=10, kind="lines")
    with Harness([generate, probe := Probe("lines")]) as harness:
        harness.advance(0.95)
        assert [args for _, args in probe.received] == [[b"line %d" % n] for n in range(1, 11)]
        harness.advance(60)
        assert generate.statistics_cur["items"] == 610


def test_a_high_rate_hands_over_several_items_at_once():
    generate = Generate(rate=5_000, kind="lines")
    with Harness([generate, probe := Probe("lines")]) as harness:
        harness.advance(10)
        assert abs(generate.statistics_cur["items"] - 50_000) <= 100
        assert max(len(args) for _, args in probe.received) <= 100


def test_a_finite_source_with_a_rate_ends():
    with Harness(
        [generate := Generate(count=25, rate=10, kind="lines"), Probe("lines")],
        exit_when_idle=True,
    ) as harness:
        harness.run()
        assert generate.statistics_cur["items"] == 25
        assert 2.4 <= harness.now < 2.6


@pytest.mark.parametrize("rate", [None, 1_000.0])
def test_a_slow_sink_bounds_what_is_under_way(rate):
    generate = Generate(kind="lines", batch=1, rate=rate)
    with Harness([generate, Slow()]) as harness:
        harness.advance(10)
        assert generate.get_state()["unfinished"] == 64
        harness.queue.schedule("release")
        harness.advance(10)
        assert generate.get_state()["unfinished"] == 64
        assert generate.statistics_cur["items"] == 128


def test_time_without_room_is_not_made_up_for():
    generate = Generate(kind="lines", batch=1, rate=10)
    with Harness([generate, Slow()]) as harness:
        harness.advance(600)
        harness.queue.schedule("release")
        harness.advance(2.05)
        assert generate.statistics_cur["items"] == 64 + 21


def test_large_lines_are_bounded_by_their_bytes():
    generate = Generate(kind="access", batch=20_000)
    with Harness([generate, Slow()]) as harness:
        harness.advance(10)
        assert generate.get_state()["unfinished_bytes"] < (8 << 20) + 20_000 * 400
        assert generate.get_state()["full"]


# --- restarts and faults --------------------------------------------------------------------------


def build() -> list[Any]:
    return [Generate(count=1_000, kind="records", batch=10), Probe("lines")]


@pytest.mark.parametrize("seed", range(8))
def test_items_come_in_order_whatever_the_threads_do(seed):
    generate = Generate(count=300, kind="lines", batch=3, rate=1_000.0)
    components = [generate, Slow(), probe := Probe("lines")]
    with Harness(components, seed=seed, exit_when_idle=True) as harness:
        for _ in range(400):
            harness.advance(1)
            harness.queue.schedule("release")
        lines = [line for _, args in probe.received for line in args]
        assert lines == [b"line %d" % number for number in range(1, 301)]


@pytest.mark.parametrize("nth", [1, 17, 18, 33, 77])
def test_after_a_kill_every_item_has_come_and_is_what_it_would_have_been(nth):
    kill = Kill(component="probe", event="lines", nth=nth)
    first, second = build(), build()
    harness = Harness(
        first, state_dir="state", files=VirtualFiles(), exit_when_idle=True, faults=[kill]
    )
    with pytest.raises(ProcessCrashed), harness:
        harness.run()
    with harness.next_life(second) as after:
        after.run()
    events = [*first[1].received, *second[1].received]
    came = [record for _, args in events for record in args]
    unique = {record["number"]: record for record in came}
    assert [unique[number] for number in sorted(unique)] == items(count=1_000, kind="records")
    assert all(record == unique[record["number"]] for record in came)


def test_the_next_run_goes_on_where_the_last_was_done(tmp_path):
    state = str(tmp_path)
    with Harness([Generate(count=10, kind="lines"), Probe("lines")], state_dir=state) as harness:
        harness.run_until_idle()
    more = [Generate(count=12, kind="lines"), probe := Probe("lines")]
    with Harness(more, state_dir=state) as harness:
        harness.run_until_idle()
    assert [args for _, args in probe.received] == [[b"line 11", b"line 12"]]


def test_an_event_that_fails_does_not_stop_it():
    crash = Crash(component="probe", event="lines", nth=2)
    generate = Generate(count=500, kind="lines")
    with Harness(
        [generate, probe := Probe("lines")], exit_when_idle=True, faults=[crash]
    ) as harness:
        harness.run()
        assert len(probe.received) == 4
        (letter,) = harness.dead_letters()
        assert letter.args[0] == b"line 101"


def test_on_real_threads_every_item_arrives(zen_daemon):
    probe = Probe("lines")
    zen_daemon([Generate(count=20_000, kind="access"), probe])
    events = probe.receive_n(200, within=30)
    assert sum(len(args) for _, args in events) == 20_000


def test_a_stop_ends_an_endless_source_on_real_threads(zen_daemon):
    probe = Probe("lines")
    zen_daemon([Generate(kind="lines"), probe])  # the fixture checks that it stops
    assert probe.expect("lines", within=30)[0] == b"line 1"


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": -1}, "count is -1.*or 0 for no end"),
        ({"count": True}, "count is True"),
        ({"rate": 0}, "rate is 0.*items a second"),
        ({"kind": "xml"}, "kind is 'xml', but one of 'access', 'json', 'lines'"),
        ({"batch": 0}, "batch is 0"),
        ({"seed": 1.5}, "seed is 1.5"),
        ({"step": -1}, "step is -1"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Generate(**options)
