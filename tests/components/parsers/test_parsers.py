"""Every parser: hostile input, pieces of lines, the source, rejects, and a file of another kind."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.components.fakes import FakeDaemon
from tests.sweeps import swept
from zenactors import ZenDaemon
from zenactors.components import (
    AccessLogParser,
    CsvParser,
    FileTailer,
    JsonLinesWriter,
    JsonParser,
    Lines,
    LogfmtParser,
    Parse,
    RegexParser,
    SyslogParser,
)
from zenactors.components.parsers import base
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP
from zenactors.errors import EXIT_DATA_ERROR

DAEMON: Any = FakeDaemon()
ACCESS = '::1 - - [10/Oct/2000:13:55:36 -0700] "GET /a HTTP/1.0" 200 1 "-" "x" 1 "2"'
SYSLOG = '<34>1 2003-10-11T22:14:15.003Z host app 1 ID [a b="c\\]" b="d"][e] text'
PATTERN = "^(?P<key>[a-z]+)=(?P<value>.*)$"
COLUMNS = ["a", "b", "c"]
KINDS: dict[str, tuple[Any, str]] = {
    "access": (AccessLogParser, ACCESS),
    "access extra": (lambda **kw: AccessLogParser(extra=["n", "x", "y"], **kw), ACCESS),
    "json": (JsonParser, '{"a": [1.5, {"b": null}], "c": "\\ud83d\\ude00"}'),
    "logfmt": (LogfmtParser, 'a=1 b="x \\"y\\" \\u00e9\\x" c d= e=f=='),
    "syslog 5424": (SyslogParser, SYSLOG),
    "syslog 3164": (SyslogParser, "<13>Oct  1 22:14:15 host app[1]: text"),
    "syslog zone": (lambda **kw: SyslogParser(zone="UTC", **kw), "Oct  1 22:14:15 host app: text"),
    "syslog file": (SyslogParser, "2003-10-11T22:14:15.003+02:00 host app[1]: text"),
    "regex": (lambda **kw: RegexParser(pattern=PATTERN, **kw), "a=b"),
    "csv": (lambda **kw: CsvParser(columns=COLUMNS, **kw), 'x,"y ""z"", 1",'),
    "parse access": (lambda **kw: Parse(format="access", **kw), ACCESS),
    "parse csv": (lambda **kw: Parse(format="csv", columns=COLUMNS, **kw), 'x,"y",z'),
    "parse json": (lambda **kw: Parse(format="json", **kw), '{"a": {}}'),
    "parse logfmt": (lambda **kw: Parse(format="logfmt", **kw), 'a="b c"'),
    "parse regex": (lambda **kw: Parse(format="regex", pattern=PATTERN, **kw), "a=b"),
    "parse syslog": (lambda **kw: Parse(format="syslog", zone="UTC", **kw), SYSLOG),
}
every_kind = pytest.mark.parametrize(("make", "good"), KINDS.values(), ids=KINDS)
FORMATS = {name: kind for name, kind in KINDS.items() if not name.startswith("parse ")}
every_format = pytest.mark.parametrize(("make", "good"), FORMATS.values(), ids=FORMATS)


@every_kind
def test_its_own_line_is_a_record_and_another_one_is_not(make, good):
    parser = make()
    flag, records = parser.cbk_event_lines(DAEMON, [good.encode(), b"\x01nonsense"])

    assert (flag, len(records)) == (FLAG_CONTINUE, 1)
    assert parser.statistics_cur == {"lines": 2, "records": 1, "unmatched": 1}
    assert parser.get_state()["unmatched"] == ["\x01nonsense"]


def check_sound(records: Any) -> None:
    """Every sink can write the records: JSON has their values, and UTF-8 their texts."""
    json.dumps(records, allow_nan=False, ensure_ascii=False).encode()


def check_each_line_is_counted_once(make: Any, good: str, data: st.DataObject) -> None:
    characters = st.sampled_from(sorted({*good, *'\0\x1f "\\=[]{}<>:-,\r\t\ufeff\xe9'}))
    noise = st.text(characters, max_size=20) | st.text(max_size=5)
    begin = st.integers(0, len(good)).map(lambda n: good[:n])
    end = st.integers(0, len(good)).map(lambda n: good[n:])
    hostile = st.tuples(begin, noise, end).map("".join) | noise
    encoded = hostile.map(lambda text: text.encode("utf-8", "surrogatepass"))
    lines = data.draw(st.lists(encoded | st.binary(max_size=20), max_size=5))
    parser = make(add_source=True)
    whole = Lines("f", 0, b"".join(line.replace(b"\n", b"") + b"\n" for line in lines))

    _, records = parser.cbk_event_lines(DAEMON, whole)

    counts = parser.statistics_cur
    assert counts.get("lines", 0) == len(lines)
    assert counts.get("records", 0) == len(records)
    assert len(records) + counts.get("unmatched", 0) == len(lines)
    check_sound(records)


@every_kind
@settings(max_examples=20)
@given(data=st.data())
def test_a_parser_never_fails_and_each_line_is_counted_once(make, good, data):
    check_each_line_is_counted_once(make, good, data)


@pytest.mark.slow
@every_kind
@settings(max_examples=500)
@given(data=st.data())
def test_a_parser_never_fails_on_many_lines(make, good, data):
    check_each_line_is_counted_once(make, good, data)


@every_kind
@settings(max_examples=30)
@given(data=st.data())
def test_texts_with_lone_surrogates_are_lines_too(make, good, data):
    characters = st.sampled_from([*good, "\ud800", "\udc80", "\ude00", "\0"])
    noise = st.text(characters, max_size=5)
    at = data.draw(st.integers(0, len(good)))
    text = good[:at] + data.draw(noise) + good[at:]
    parser = make()

    _, records = parser.cbk_event_lines(DAEMON, [text])

    assert len(records) + parser.statistics_cur.get("unmatched", 0) == 1
    check_sound(records)
    json.dumps(parser.get_state(), ensure_ascii=False).encode()


MIB = 1 << 20
NASTY = {
    "empty": "",
    "blank": " ",
    "null": "\0",
    "nulls": "\0" * MIB,
    "marks": "\ufeff" * 1000,
    "lone surrogate": "\ud800",
    "controls": "".join(map(chr, range(32))),
    "1 MiB": "x" * MIB,
    "1 MiB of two bytes": "\xe9" * MIB,
    "quotes": '"' * 100_000,
    "an odd number of quotes": '"' * 100_001,
    "backslashes": "\\" * 100_001,
    "a quote and backslashes": '"' + "\\" * 100_001,
    "deep arrays": '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
    "deep objects": '{"a":' * 100_000 + "1" + "}" * 100_000,
    "5,000 digits": "9" * 5_000,
    "an integer of 5,000 digits": '{"a": ' + "9" * 5_000 + "}",
    "a fraction of 5,000 digits": '{"a": 0.' + "9" * 5_000 + "}",
    "a huge number": '{"a": 1e9999}',
    "a huge exponent": '{"a": 1e' + "9" * 5_000 + "}",
    "NaN": '{"a": NaN, "b": Infinity, "c": -Infinity}',
    "half a pair": '{"a": "\\ud800"}',
    "half a pair in a key": '{"\\uDFFF": 1}',
    "half a pair in logfmt": 'a="\\ud800\\n"',
    "duplicate keys": '{"a": 1, "a": 2}',
    "20,000 pairs": " ".join(f"k{number}=v" for number in range(20_000)),
    "20,000 duplicates": "a=1 " * 20_000,
    "100,000 values": "," * 100_000,
    "100,000 clients": "a, " * 100_000 + ACCESS,
    "a size of 5,000 digits": ACCESS.replace(" 1 ", f" {'9' * 5_000} "),
    "a priority of 5,000 digits": f"<{'9' * 5_000}>Oct  1 22:14:15 host app: text",
    "many elements": "<34>1 - - - - - " + '[a b="c"]' * 20_000,
    "many parameters": "<34>1 - - - - - [a" + ' b="c"' * 20_000 + "] x",
}


@every_format
@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_nasty_line_is_a_sound_record_or_kept_aside(make, good, text):
    parser = make()
    _, records = parser.cbk_event_lines(DAEMON, [text, good.encode()])

    counts = parser.statistics_cur
    assert counts["lines"] == 2
    assert counts["records"] == len(records) >= 1
    assert counts["records"] + counts.get("unmatched", 0) == 2
    assert len(parser.get_state()["unmatched"]) == counts.get("unmatched", 0)
    check_sound(records)


PARTS = [
    '"',
    "\\",
    '\\"',
    "{",
    "[",
    '{"a":',
    "a ",
    "a=",
    'a="',
    " ",
    "a",
    "9",
    "[a",
    "[a]",
    ' b="',
    "-",
    ":",
    "a, ",
    ",",
    '""',
    '","',
    '",',
    "\\ud800",
    "\0",
    "\ufeff",
    "\r",
    "<",
    "x=",
    "1e",
]


@swept("length", [100_000], soak=[1_000_000])
@every_format
@pytest.mark.parametrize("part", PARTS)
def test_a_long_hostile_line_takes_one_pass(make, good, part, length):
    """The same all over: if each took another look at the rest, it would take 64 times."""
    for _ in range(3):  # the machine may have been busy
        short = cpu_time(make(), hostile_lines(good, part, length // 8))
        long = cpu_time(make(), hostile_lines(good, part, length))
        if long < 30 * max(short, 0.001):
            return
    pytest.fail(f"{short} seconds for {length // 8} characters, and {long} for {length}")


def hostile_lines(good: str, part: str, length: int) -> list[bytes]:
    middle = part * (length // len(part))
    lines = [
        middle,
        good + middle,
        middle + good,
        good[:-1] + middle,
        good[: len(good) // 2] + middle,
    ]
    return [line.encode() for line in lines]


def cpu_time(parser: Any, lines: list[bytes]) -> float:
    begin = time.process_time()
    parser.cbk_event_lines(DAEMON, lines)
    elapsed = time.process_time() - begin
    assert parser.statistics_cur["lines"] == len(lines)
    return elapsed


@every_kind
@pytest.mark.parametrize("kind", [{"complete": False}, {"truncated": True}])
def test_a_piece_of_a_line_is_no_record(make, good, kind, logged):
    parser = make()
    piece = Lines("f", 7, good.encode(), **kind)

    assert parser.cbk_event_lines(DAEMON, piece) == (FLAG_STOP, [])
    assert parser.statistics_cur == {"pieces": 1}
    assert len(logged.of("WARNING")) == 1


@every_kind
def test_the_source_identifies_the_line(make, good):
    lines = Lines("f", 100, f"\x01\n{good}\n".encode(), file_id="i", generation=3)
    _, (record,) = make(add_source=True).cbk_event_lines(DAEMON, lines)

    assert {key: record[key] for key in ("file", "offset", "id", "generation")} == {
        "file": "f",
        "offset": 102,
        "id": "i",
        "generation": 3,
    }


def test_a_line_cannot_forge_its_source():
    data = b'{"file": "x", "offset": 1, "id": "y", "generation": 9}\n'
    parser = JsonParser(add_source=True)
    _, records = parser.cbk_event_lines(DAEMON, Lines("f", 5, data, file_id="i"))

    assert records == [{"file": "f", "offset": 5, "id": "i", "generation": 0}]


def test_rejects_of_a_file_keep_their_line_ends(tmp_path):
    parser = JsonParser(rejects=str(tmp_path / "rejects"))
    parser.setup(DAEMON)
    parser.cbk_event_lines(DAEMON, Lines("f", 9, b'bad\r\n{"a": 1}\r\nworse\xff\nlast'))
    parser.teardown(DAEMON)

    assert (tmp_path / "rejects").read_bytes() == b"bad\r\nworse\xff\nlast\n"


@every_kind
def test_rejects_of_lists_are_whole_lines(make, good, tmp_path):
    parser = make(rejects=str(tmp_path / "rejects"))
    parser.setup(DAEMON)
    parser.cbk_event_lines(DAEMON, [b"\x01 \xff\r", good.encode(), bytearray(b"\x02")])
    parser.cbk_event_lines(DAEMON, ["\x01 \xe9", good, "\x02\ud800"])
    parser.teardown(DAEMON)

    rejects = (tmp_path / "rejects").read_bytes()
    assert rejects == b"\x01 \xff\r\n\x02\n\x01 \xc3\xa9\n\x02\xed\xa0\x80\n"
    assert parser.statistics_cur == {"lines": 6, "records": 2, "unmatched": 4, "bad_utf8": 2}


@every_kind
def test_texts_and_bytes_are_the_same_lines(make, good):
    as_texts, as_bytes = make(), make()

    _, records = as_texts.cbk_event_lines(DAEMON, [good, good.encode(), "\x01"])
    assert records == as_bytes.cbk_event_lines(DAEMON, [good.encode()] * 2 + [b"\x01"])[1]
    assert as_texts.statistics_cur == as_bytes.statistics_cur


@every_kind
@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([{"a": 1}], "takes lines, but got a list with a dict. .* use Parse with the option field"),
        ([b"a", {"a": 1}], "takes lines, but got a list with a dict"),
        ([None], r"takes lines, but got a list with a NoneType\.$"),
        ({"a": 1}, "takes Lines or a list of lines, but got dict"),
        (b"a", "takes Lines or a list of lines, but got bytes"),
    ],
)
def test_what_are_no_lines_is_a_clear_error(make, good, args, message):
    with pytest.raises(TypeError, match=message):
        make().cbk_event_lines(DAEMON, args)


def test_whether_a_file_had_a_record_is_noted_for_a_bounded_number_of_files(monkeypatch, logged):
    monkeypatch.setattr(base, "_MOST_SOURCES", 2)
    parser = JsonParser()
    for path in ("a", "b", "c", "a"):
        parser.cbk_event_lines(DAEMON, Lines(path, 0, b"bad\n"))
    parser.teardown(DAEMON)

    assert [text[:22] for text in logged.of("ERROR")] == [
        "Not one line of a is a",
        "Not one line of b is a",
    ]


def test_the_encoding_of_the_lines_counts():
    lines = Lines("f", 0, '{"a": "\xe9"}\n'.encode("latin-1"), encoding="latin-1")
    parser = JsonParser()

    assert parser.cbk_event_lines(DAEMON, lines)[1] == [{"a": "\xe9"}]
    assert parser.statistics_cur == {"lines": 1, "records": 1}


def test_lines_that_cannot_be_decoded_are_counted():
    parser = LogfmtParser()

    assert parser.cbk_event_lines(DAEMON, Lines("f", 0, b"a=\xff\nb=1\n"))[1] == [
        {"a": "\ufffd"},
        {"b": "1"},
    ]
    assert parser.statistics_cur["bad_utf8"] == 1


@every_kind
def test_a_file_of_another_kind_is_no_success(make, good, tmp_path, logged):
    (tmp_path / "x.log").write_text("\x01\n\x02\n")
    tailer = FileTailer(patterns=[str(tmp_path / "x.log")], start="beginning")
    daemon = ZenDaemon(
        name="x",
        components=[tailer, make(), JsonLinesWriter(path=str(tmp_path / "out"))],
        exit_when_idle=True,
    )

    assert daemon.serve() == EXIT_DATA_ERROR
    assert (tmp_path / "out").read_bytes() == b""
    (error,) = logged.of("ERROR")
    assert error.startswith(f"Not one line of {tmp_path}/x.log is ")


# -- json --------------------------------------------------------------------------------------


def parsed(parser: Any, *lines: str) -> Any:
    return parser.cbk_event_lines(DAEMON, [line.encode() for line in lines])[1]


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


OBJECTS = st.dictionaries(
    st.text(),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=10,
    ),
)


def check_object(record: dict[str, Any]) -> None:
    (found,) = parsed(JsonParser(), json.dumps(record))

    assert found == record
    assert list(found) == list(record)


@settings(max_examples=30)
@given(record=OBJECTS)
@example(record={"z": 1, "a": 2})
def test_an_object_is_the_record(record):
    check_object(record)


@pytest.mark.slow
@settings(max_examples=1_000)
@given(record=OBJECTS)
def test_each_of_many_objects_is_the_record(record):
    check_object(record)


@pytest.mark.parametrize(
    "text", ["\ufeff{}", "\0\0{}", ' {"a": 1} ', nested(100), f'{{"a": {"9" * 4300}}}']
)
def test_an_unusual_object_is_a_record(text):
    assert len(parsed(JsonParser(), text)) == 1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '"text"',
        "null",
        "{} {}",
        '{"a": 1',
        '{"a": 1, "a": 1}',
        '[{"b": 1}]',
        '{"b": {"a": 1, "a": 2}}',
        '{"a": NaN}',
        '{"a": -Infinity}',
        '{"a": 1e999}',
        f'{{"a": {"9" * 4301}}}',
        nested(101),
        nested(100_000),
        '{"a": ' + "[" * 100_000,
        "{'a': 1}",
        r'{"a": "\ud800"}',
        r'{"a": ["\uDE00\uD83D"]}',
        r'{"\ud83d": 1}',
    ],
    ids=lambda text: text[:20],
)
def test_what_is_not_one_plain_object_is_no_record(text):
    parser = JsonParser()

    assert parsed(parser, text) == []
    assert parser.statistics_cur["unmatched"] == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [(r'{"a": "\ud83d\ude00"}', "\U0001f600"), (r'{"a": "\\ud800"}', r"\ud800")],
)
def test_a_pair_of_surrogates_is_one_character(text, expected):
    assert parsed(JsonParser(), text) == [{"a": expected}]


def test_many_brackets_are_not_many_levels():
    text = json.dumps({"a": [[1]] * 1000, "b": "[" * 1000})

    assert parsed(JsonParser(), text) == [json.loads(text)]


# -- logfmt ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=1", {"a": "1"}),
        ("  a=1\tb=2  ", {"a": "1", "b": "2"}),
        ("ok a=", {"ok": True, "a": ""}),
        ('a=""', {"a": ""}),
        ('a="b c" d', {"a": "b c", "d": True}),
        ("a=b=c&d=e==", {"a": "b=c&d=e=="}),
        (r'a="\"\\\n\t\/"', {"a": '"\\\n\t/'}),
        (r'a="\u00e9\ud83d\ude00"', {"a": "\xe9\U0001f600"}),
        (r'a="\x41\n\""', {"a": '\\x41\n"'}),
        (r'a="\ud800\n"', {"a": "\\ud800\n"}),
        ('a="x\ty"', {"a": "x\ty"}),
        ("\ufeffa=\xe9", {"a": "\xe9"}),
        ("a.b-c/d@1=x'y", {"a.b-c/d@1": "x'y"}),
    ],
)
def test_pairs_become_a_record(text, expected):
    assert parsed(LogfmtParser(), text) == [expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain words",
        "=b",
        "a=1 =",
        'a="b',
        'a="b\\"',
        'a="b"c',
        'a=b"c"',
        '"a"=b',
        "a=1 a=2",
        "a a=1",
        "a\x01=b",
    ],
)
def test_what_are_no_pairs_is_no_record(text):
    assert parsed(LogfmtParser(), text) == []


# -- syslog ------------------------------------------------------------------------------------

NOTHING = dict.fromkeys(
    ("facility", "severity", "time", "host", "app", "pid", "msgid", "structured_data")
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "<34>1 2003-10-11T22:14:15.003Z a.example su - ID47 - \ufeff'su root' failed",
            {
                "facility": "auth",
                "severity": "crit",
                "time": "2003-10-11T22:14:15.003Z",
                "host": "a.example",
                "app": "su",
                "msgid": "ID47",
                "message": "'su root' failed",
            },
        ),
        (
            r'<165>12 2003-08-24T05:14:15.00003-07:00 ::1 p 8 - [x@1 a="1" b="\"\\\]\n" a="2"][y] ',
            {
                "facility": "local4",
                "severity": "notice",
                "time": "2003-08-24T05:14:15.00003-07:00",
                "host": "::1",
                "app": "p",
                "pid": "8",
                "structured_data": {"x@1": {"a": ["1", "2"], "b": '"\\]\\n'}, "y": {}},
                "message": "",
            },
        ),
        ("<0>1 - - - - - -", {"facility": "kern", "severity": "emerg", "message": ""}),
        ("<191>1 - - - - - - \n", {"facility": "local7", "severity": "debug", "message": "\n"}),
        ("<1>1 2016-12-31T23:59:60Z - - - - - x",
         {"facility": "kern", "severity": "alert", "time": "2016-12-31T23:59:60Z", "message": "x"}),
        (
            "<34>Oct 11 22:14:15 host su[9]: failed: x",
            {
                "facility": "auth",
                "severity": "crit",
                "time": "Oct 11 22:14:15",
                "host": "host",
                "app": "su",
                "pid": "9",
                "message": "failed: x",
            },
        ),
        ("Feb 29 22:14:15 h kernel: [1.2] x",
         {"time": "Feb 29 22:14:15", "host": "h", "app": "kernel", "message": "[1.2] x"}),
        ("<13>Oct  1 22:14:15 cron[1]: x",
         {"facility": "user", "severity": "notice", "time": "Oct  1 22:14:15", "app": "cron",
          "pid": "1", "message": "x"}),
        ("Oct  1 22:14:15 cron: x y", {"time": "Oct  1 22:14:15", "app": "cron", "message": "x y"}),
        ("Oct  1 22:14:15 fe80::1 a/b:",
         {"time": "Oct  1 22:14:15", "host": "fe80::1", "app": "a/b", "message": ""}),
        ("Oct  1 22:14:15 h last message repeated 2 times",
         {"time": "Oct  1 22:14:15", "host": "h", "message": "last message repeated 2 times"}),
        ("2024-02-29T00:00:00.5+01:00 h a: x",
         {"time": "2024-02-29T00:00:00.5+01:00", "host": "h", "app": "a", "message": "x"}),
    ],
)  # fmt: skip
def test_a_message_becomes_a_record(text, expected):
    assert parsed(SyslogParser(), text) == [NOTHING | expected]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text",
        "<34>",
        "<192>1 - - - - - -",
        "<1000>1 - - - - - -",
        "<192>Oct 11 22:14:15 h a: x",
        "<34>0 - - - - - -",
        "<34>1 - - - - -",
        "<34>1 2003-02-30T22:14:15Z - - - - -",
        "<34>1 2003-02-20T22:14:15 - - - - -",
        "<34>1 Oct 11 22:14:15 - - - - -",
        '<34>1 - - - - - [a b="c] x',
        "<34>1 - - - - - [a b=c] x",
        "<34>1 - - - - - [] x",
        "<34>1 - - - - - [a][a] x",
        "<34>1 - - - - - [a]x",
        "Foo 11 22:14:15 h a: x",
        "Feb 30 22:14:15 h a: x",
        "Oct 1 22:14:15 h a: x",
        "Oct 11 25:14:15 h a: x",
        "2024-02-30T00:00:00Z h a: x",
    ],
)
def test_what_is_no_message_is_no_record(text):
    assert parsed(SyslogParser(), text) == []


# -- regex -------------------------------------------------------------------------------------


def test_named_groups_become_a_record():
    parser = RegexParser(pattern=r"(\d+) (?P<a>\w+)(?: (?P<b>\w+))?")

    assert parsed(parser, "x 1 y z", "2 y", "none") == [{"a": "y", "b": "z"}, {"a": "y", "b": None}]
    assert parser.statistics_cur == {"lines": 3, "records": 2, "unmatched": 1}


def test_a_bug_of_re_costs_only_the_line():
    """Groups in possessive repetitions: several Python versions raise a SystemError."""
    pattern = r'(?:(?P<k>[^ =]++)(?:(=)(?:("[^"]*+")|([^ "]*+)))?+(?: ++|$))++'
    parser = RegexParser(pattern=pattern)

    parsed(parser, "a=b", '"="cb" bc=a=')

    assert parser.statistics_cur["lines"] == 2


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("", "pattern is '', but a regular expression with named groups is expected"),
        (7, "pattern is 7, but a regular expression"),
        (
            "(?P<a>",
            r"which is no regular expression: missing \), unterminated subpattern at position 0",
        ),
        ("(?P<a>x){99999999999999}", "which is no regular expression"),
        ("(a)b", r"has no named group: .* as in \(\?P<user>"),
    ],
)
def test_a_wrong_pattern_is_refused_in_one_line(pattern, message):
    with pytest.raises(ValueError, match=message) as caught:
        RegexParser(pattern=pattern)
    assert "\n" not in str(caught.value)
