from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.components.fakes import FakeDaemon
from zenactors import ZenDaemon
from zenactors.components import AccessLogParser, FileTailer, Lines
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP
from zenactors.errors import EXIT_DATA_ERROR, EXIT_OK, ZenDaemonComponentException

DAEMON: Any = FakeDaemon()

COMMON = '192.0.2.1 - alice [10/Oct/2000:13:55:36 -0700] "GET /a?b=c HTTP/1.0" 200 2326'
COMBINED = COMMON + ' "https://www.example.com/" "Mozilla/5.0 (X11)"'
SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "access.log"


def parse(*lines: str | bytes, **options):
    parser = AccessLogParser(**options)
    raw = [line if isinstance(line, bytes) else line.encode() for line in lines]
    return parser, parser.cbk_event_lines(DAEMON, raw)[1]


def test_a_common_line_becomes_a_record():
    _, records = parse(COMMON)

    assert records == [
        {
            "host": "192.0.2.1",
            "ident": "-",
            "user": "alice",
            "time": "2000-10-10T13:55:36-07:00",
            "method": "GET",
            "path": "/a?b=c",
            "protocol": "HTTP/1.0",
            "status": 200,
            "size": 2326,
        }
    ]


def test_a_combined_line_has_referer_and_agent_too():
    parser, (common, combined) = parse(COMMON, COMBINED)

    assert combined == {
        **common,
        "referer": "https://www.example.com/",
        "agent": "Mozilla/5.0 (X11)",
    }
    assert parser.statistics_cur == {"lines": 2, "records": 2}


def line(
    request='"GET / HTTP/1.1"', *, host="192.0.2.1", time="10/Oct/2000:13:55:36 -0700", rest="200 0"
):
    return f"{host} - - [{time}] {request} {rest}"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (line(rest="304 -"), {"status": 304, "size": 0}),
        (line(host="2001:db8::1"), {"host": "2001:db8::1"}),
        (line(host="www.example.com"), {"host": "www.example.com"}),
        (line('"-"'), {"method": None, "path": "-", "protocol": None}),
        (line('""'), {"method": None, "path": "", "protocol": None}),
        (line('"GET /"'), {"method": None, "path": "GET /", "protocol": None}),
        (line(r'"\x16\x03"'), {"method": None, "path": r"\x16\x03"}),
        (line('"GET /a b HTTP/1.1"'), {"method": "GET", "path": "/a b", "protocol": "HTTP/1.1"}),
        (line('"M-SEARCH * HTTP/1.1"'), {"method": "M-SEARCH", "path": "*"}),
        (line(r'"GET /\"x\" HTTP/1.1"'), {"path": '/"x"'}),
        (line(r'"GET /\\ HTTP/1.1"'), {"path": "/\\"}),
        (line(rest=r'200 5 "-" "a \"b\" c\\"'), {"referer": "-", "agent": 'a "b" c\\'}),
        (line(rest='200 5 "" ""'), {"referer": "", "agent": ""}),
        (line(rest='200 5 "-" "x" "192.0.2.9"'), {"agent": "x"}),
        (line(rest='200 5 "-" "x" "192.0.2.9"'), {"more": '"192.0.2.9"'}),
        (line(rest='200 5 "-" "x" 0.005 rt="0, 1" -'), {"agent": "x", "more": '0.005 rt="0, 1" -'}),
        (
            line(host="www.example.org:443 192.0.2.4"),
            {"vhost": "www.example.org:443", "host": "192.0.2.4", "user": "-"},
        ),
        (
            line(host="w:80 192.0.2.4, ::1"),
            {"vhost": "w:80", "host": "192.0.2.4", "proxies": ["::1"]},
        ),
        (
            line(host="192.0.2.5, 10.0.0.1, 10.0.0.2"),
            {"host": "192.0.2.5", "proxies": ["10.0.0.1", "10.0.0.2"], "user": "-"},
        ),
        (line(host="192.0.2.5:1234"), {"host": "192.0.2.5:1234"}),
        (line().replace("- -", "- Ada Lovelace"), {"user": "Ada Lovelace", "host": "192.0.2.1"}),
        (line(host="w:80 192.0.2.4").replace("- -", "- A B"), {"user": "A B", "host": "192.0.2.4"}),
        (line().replace("- -", "- "), {"user": "", "ident": "-"}),
        (line().replace("- -", "frank -"), {"user": "-", "ident": "frank"}),
        ("\ufeff" + line(), {"host": "192.0.2.1"}),
        ("\0" * 100 + line(), {"host": "192.0.2.1"}),
        (line() + "\r", {"size": 0}),
        (line(time="29/Feb/2024:23:59:60 +0530"), {"time": "2024-02-29T23:59:60+05:30"}),
        (line('"GET /ž HTTP/1.1"'), {"path": "/ž"}),
    ],
)
def test_good_lines_are_understood(text, expected):
    parser, records = parse(text)

    assert len(records) == 1, parser.get_state()["unmatched"]
    assert {key: records[0][key] for key in expected} == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        line('"GET / HTTP/1.1'),
        line(rest="20 0"),
        line(rest="200"),
        line(rest="200 many"),
        line(rest='200 5 "referer only"'),
        line(rest=r'200 5 "-" "never ends\"'),
        line(rest="200 5 and more"),
        line(time="10/Oct/2000 13:55:36"),
        line(time="10/Foo/2000:13:55:36 -0700"),
        line(time="30/Feb/2000:13:55:36 -0700"),
        line(time="30/Feb/2000:13:55:60 -0700"),
        line(time="10/Oct/2000:25:55:36 -0700"),
        "www.example.com " + line(),
        line(host="192.0.2.1 extra 192.0.2.2"),
        line(host="192.0.2.1 - - - " + '"x"'),
        line(host="a\0b"),
        line(host="a\0b, 192.0.2.1"),
        line(rest='200 5 "-" "x" never"ends'),
        line() + "\n" + line(),
    ],
)
def test_bad_lines_are_counted_and_kept(text):
    parser, records = parse(text, COMMON)

    assert len(records) == 1
    assert parser.statistics_cur["unmatched"] == 1
    assert parser.get_state()["unmatched"] == [text]


EXTRA = ["request_time", "upstream", "forwarded"]


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        ("", {}),
        (' 0.005 10.0.0.1:80 "::1"',
         {"request_time": 0.005, "upstream": "10.0.0.1:80", "forwarded": "::1"}),
        (' 17 - "-"', {"request_time": 17, "forwarded": "-"}),
        (' "0.5" "0.1, 0.2" "a \\"b\\""',
         {"request_time": "0.5", "upstream": "0.1, 0.2", "forwarded": 'a "b"'}),
        (" 007 1e5 -1.50", {"request_time": "007", "upstream": "1e5", "forwarded": -1.5}),
        (f" {'9' * 15} {'9' * 16} 0",
         {"request_time": 10**15 - 1, "upstream": "9" * 16, "forwarded": 0}),
        (" rt=0.5", {"request_time": "rt=0.5"}),
        (' 1 2 3 4 "five six" -',
         {"request_time": 1, "upstream": 2, "forwarded": 3, "more": '4 "five six" -'}),
    ],
)  # fmt: skip
def test_fields_behind_the_agent_have_names(behind, expected):
    (record,) = parse(COMBINED + behind, extra=EXTRA)[1]
    plain = {key: value for key, value in parse(COMBINED)[1][0].items() if key != "more"}

    assert record == plain | dict.fromkeys(EXTRA) | expected
    assert {key: type(value) for key, value in record.items() if key in expected} == {
        key: type(value) for key, value in expected.items()
    }


def test_a_common_line_lacks_the_fields_behind_the_agent():
    (record,) = parse(COMMON, extra=["request_time"])[1]

    assert record == parse(COMMON)[1][0] | {"request_time": None}


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("time", r"extra is 'time', but a list of names is expected: write \['time'\]"),
        ([""], "extra is .* but a list of names is expected"),
        (["upstream", "status"], "extra has 'status', which another field has: choose another"),
        (["a", "b", "a"], "extra has 'a', which another field has"),
        (["vhost"], "extra has 'vhost'"),
    ],
)
def test_wrong_names_of_fields_are_refused(extra, message):
    with pytest.raises(ValueError, match=message):
        AccessLogParser(extra=extra)


@pytest.mark.parametrize("size", ["9" * 18, "0" * 18])
def test_a_size_has_up_to_18_digits(size):
    assert parse(line(rest=f"200 {size}"))[1][0]["size"] == int(size)
    assert parse(line(rest=f"200 {size}0"))[1] == []


def test_the_time_is_right_when_it_changes_and_when_it_does_not():
    times = ["10/Oct/2000:13:55:36 -0700"] * 2 + ["01/Jan/2001:00:00:00 +0000"] * 2
    _, records = parse(*(line(time=time) for time in times))

    assert [record["time"] for record in records] == ["2000-10-10T13:55:36-07:00"] * 2 + [
        "2001-01-01T00:00:00+00:00"
    ] * 2


def test_a_chain_goes_on_with_records_and_stops_without():
    parser = AccessLogParser()

    assert parser.cbk_event_lines(DAEMON, Lines("f", 0, b"bad\n")) == (FLAG_STOP, [])
    flag, records = parser.cbk_event_lines(DAEMON, Lines("f", 4, f"bad\n{COMMON}\n".encode()))
    assert flag == FLAG_CONTINUE
    assert len(records) == 1


def test_the_source_is_added_on_request_with_the_right_offsets():
    first, bad = f"{COMMON}\n".encode(), b"bad\n"
    parser = AccessLogParser(add_source=True)
    lines = Lines("f", 1000, first + bad + first, file_id="i", generation=2)
    _, records = parser.cbk_event_lines(DAEMON, lines)

    keys = ("file", "offset", "id", "generation")
    assert [tuple(record[key] for key in keys) for record in records] == [
        ("f", 1000, "i", 2),
        ("f", 1000 + len(first) + len(bad), "i", 2),
    ]
    assert "file" not in parse(COMMON, add_source=True)[1][0]


def test_a_piece_of_a_line_is_never_taken_for_a_record(logged):
    parser = AccessLogParser()
    for data in (COMMON[:-2], COMMON, f"{COMMON}\n"):
        piece = Lines("f", 7, data.encode(), complete=False)
        assert parser.cbk_event_lines(DAEMON, piece) == (FLAG_STOP, [])

    assert parser.statistics_cur == {"pieces": 3}
    (warning,) = logged.of("WARNING")
    assert "A piece of a line of f, at byte 7, is left out" in warning


def test_a_user_cannot_forge_a_request():
    forged = 'x [10/Oct/2000:13:55:36 -0700] \\"GET /forged HTTP/1.1\\" 200 0'
    parser, records = parse(line().replace("- -", f"- {forged}"))
    assert records == []
    assert parser.statistics_cur["unmatched"] == 1


@pytest.mark.parametrize(
    ("data", "options", "status"),
    [
        ("bad\nbad\n", {"exit_when_idle": True}, EXIT_DATA_ERROR),
        (f"{COMMON}\n{COMMON[:-3]}x\n", {"exit_when_idle": True}, EXIT_OK),
        ("", {"exit_when_idle": True}, EXIT_OK),
    ],
)
def test_a_file_without_a_record_is_no_success(data, options, status, tmp_path, logged):
    good, other = tmp_path / "good.log", tmp_path / "other.log"
    good.write_text(f"{COMMON}\n")
    other.write_text(data)
    tailer = FileTailer(patterns=[str(good), str(other)], start="beginning")
    daemon = ZenDaemon(name="x", components=[tailer, AccessLogParser()], **options)

    assert daemon.serve() == status
    assert [str(other) in text for text in logged.of("ERROR")] == [True] * (status != EXIT_OK)


def test_bytes_that_are_not_utf8_are_replaced_and_counted():
    parser, records = parse(COMBINED, COMBINED.replace("X11", "\xe9").encode("latin-1"))

    assert records[1]["agent"] == "Mozilla/5.0 (\ufffd)"
    assert parser.statistics_cur["bad_utf8"] == 1


def test_only_the_first_bad_line_is_logged(logged):
    parse("bad {one}", "bad two", COMMON)

    assert len(logged.of("WARNING")) == 1
    assert "'bad {one}'" in logged.of("WARNING")[0]


def test_the_state_keeps_the_last_hundred_bad_lines_cut_short():
    parser, _ = parse(*(f"{number:03} " + "é" * 500 for number in range(150)))
    kept = parser.get_state()["unmatched"]

    assert [text[:3] for text in kept] == [f"{number:03}" for number in range(50, 150)]
    assert {len(text) for text in kept} == {200}


def test_rejects_are_appended_as_they_are(tmp_path):
    path = tmp_path / "rejects"
    path.write_bytes(b"before\n")
    parser = AccessLogParser(rejects=str(path))
    parser.setup(DAEMON)
    parser.cbk_event_lines(DAEMON, [b"bad \xff\r", COMMON.encode(), b"worse"])
    parser.teardown(DAEMON)
    parser.teardown(DAEMON)

    assert path.read_bytes() == b"before\nbad \xff\r\nworse\n"


def test_rejects_that_cannot_be_written_are_counted_and_reported_once(logged):
    parser = AccessLogParser(rejects="/dev/full")
    parser.setup(DAEMON)
    for _ in range(2):
        assert len(parser.cbk_event_lines(DAEMON, [b"bad", COMMON.encode()])[1]) == 1
    parser.teardown(DAEMON)

    assert parser.statistics_cur["rejects_failed"] == 2
    assert len(logged.of("ERROR")) == 1
    assert "/dev/full: No space left" in logged.of("ERROR")[0]


def test_rejects_in_a_missing_directory_fail_at_the_start(tmp_path):
    parser = AccessLogParser(rejects=str(tmp_path / "no" / "rejects"))

    with pytest.raises(ZenDaemonComponentException, match=f"Create the directory {tmp_path}/no"):
        parser.setup(DAEMON)


@pytest.mark.parametrize(
    ("options", "message"),
    [({"add_source": "yes"}, "add_source is 'yes'"), ({"rejects": ""}, "rejects is ''")],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        AccessLogParser(**options)


def test_the_example_has_one_line_that_does_not_match():
    parser = AccessLogParser()
    data = SAMPLE.read_bytes()
    _, records = parser.cbk_event_lines(DAEMON, Lines("access.log", 0, data))

    assert parser.statistics_cur == {"lines": 200, "records": 199, "unmatched": 1}
    assert {200, 301, 304, 404, 500} <= {record["status"] for record in records}
    assert any('"' in record["path"] for record in records)
