"""`SqliteSink`: rows in a real database."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.databases import close_left_over
from tests.sweeps import seeds
from zenactors import (
    Dispatcher,
    RestartComponent,
    TokenOutcome,
    ZenDaemonComponent,
    handles,
)
from zenactors.components import (
    AccessLogParser,
    FileTailer,
    Lines,
    OutputCheckpoint,
    Router,
    SqliteSink,
)
from zenactors.components.sinks._sqlite_table import is_name
from zenactors.core.tokens import Origin
from zenactors.errors import ComponentStartError
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles

DONE, FAILED = TokenOutcome.DONE, TokenOutcome.FAILED
LINE = '1.2.3.4 - - [10/Oct/2000:13:55:36 -0700] "GET /{} HTTP/1.0" 200 10\n'


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "out.db")


@pytest.fixture(autouse=True)
def no_database_is_left_open() -> Iterator[None]:
    yield
    close_left_over()


def query(path: str, statement: str) -> list[Any]:
    with contextlib.closing(sqlite3.connect(path)) as database:
        return database.execute(statement).fetchall()


class Source(ZenDaemonComponent):
    """Schedules `lines` for each `go`, whose args are records and the range they are read from."""

    def __init__(self) -> None:
        super().__init__()
        self.outcomes: list[TokenOutcome] = []

    @handles("go")
    def cbk_event_go(self, daemon: Any, args: Any) -> None:
        records, begin, end = args
        origin = Origin("lines", "source", "k", [begin], [end], [0], end)
        daemon.queue.schedule("lines", records, on_done=self.outcomes.append, position=origin)


def write(sink: SqliteSink, *events: Any, seconds: float = 10.0) -> Any:
    """Write events of records, and return the dead letters."""
    with Harness([sink]) as harness:
        for records in events:
            harness.queue.schedule("lines", records)
        harness.advance(seconds)
        return harness.dead_letters()


# --- rows and columns -------------------------------------------------------------------------


def test_columns_are_made_of_the_records(path):
    sink = SqliteSink(path=path, table="t")
    write(sink, [{"a": 1, "b": "x"}], [{"a": 2.5, "c": b"\0", "d": None}])

    assert query(path, "SELECT * FROM t") == [(1, "x", None, None), (2.5, None, b"\0", None)]
    names = [name for _, name, *_ in query(path, "PRAGMA table_info(t)")]
    assert names == ["a", "b", "c", "d"]


def test_values_are_stored_as_they_are(path):
    write(SqliteSink(path=path), [{"a": 7}, {"a": "007"}, {"a": 7.5}, {"a": "7.5"}])
    assert query(path, "SELECT a FROM records") == [(7,), ("007",), (7.5,), ("7.5",)]


def test_a_column_that_comes_later_is_added_and_logged(path):
    sink = SqliteSink(path=path)
    with Harness([sink]) as harness:
        harness.queue.schedule("lines", [{"a": 1}])
        harness.advance(1)
        harness.queue.schedule("lines", [{"a": 2, "b": 3}])
        harness.advance(1)
        assert "Column b was added to records" in [each.message for each in harness.logs]
    assert query(path, "SELECT a, b FROM records") == [(1, None), (2, 3)]
    assert sink.statistics_cur["columns_added"] == 1


def test_lines_and_texts_have_a_column_line(path):
    sink = SqliteSink(path=path)
    write(sink, Lines("a.log", 3, b"one\n", count=1), [b"two\xff", "three"])

    assert query(path, "SELECT line, file, offset FROM records") == [
        ("one", "a.log", 3),
        ("two\ufffd", None, None),
        ("three", None, None),
    ]


def test_declared_columns_are_all_there_are(path):
    sink = SqliteSink(path=path, columns={"a": "integer", "b": "TEXT"})
    write(sink, [{"a": "1", "c": 5}, {"x": 1, "y": 2}])

    assert query(path, "SELECT * FROM records") == [(1, None), (None, None)]
    assert sink.statistics_cur["values_dropped"] == 3


def test_an_existing_table_is_used_as_it_is(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (b TEXT DEFAULT 'x', a INTEGER NOT NULL)")
    write(SqliteSink(path=path, table="t"), [{"a": 1}])

    assert query(path, "SELECT a, b FROM t") == [(1, None)]


def test_declared_columns_are_added_to_an_existing_table(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE records (a INTEGER)")
    write(SqliteSink(path=path, columns={"a": "INTEGER", "b": "TEXT"}), [{"a": 1, "b": "x"}])

    assert query(path, "SELECT a, b FROM records") == [(1, "x")]


@pytest.mark.parametrize(
    ("table", "rows", "dropped"),
    [
        ("CREATE TABLE t (a, c AS (a + 1))", [(1, 2, None), (2, 3, "007")], 1),
        ("CREATE TABLE t (a INTEGER, c INTEGER) STRICT", [(1, None, None), (2, 5, "007")], 0),
        (
            "CREATE TABLE x (a, c); CREATE VIEW t AS SELECT a, c FROM x; CREATE TRIGGER i"
            " INSTEAD OF INSERT ON t BEGIN INSERT INTO x VALUES (NEW.a, NEW.c); END",
            [(1, None), (2, 5)],
            1,
        ),
    ],
)
def test_a_table_of_another_kind_takes_what_it_can(path, table, rows, dropped):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(table)
    sink = SqliteSink(path=path, table="t")
    write(sink, [{"a": 1}], [{"a": 2, "b": "007", "c": 5}])

    assert query(path, "SELECT * FROM t") == rows
    assert sink.statistics_cur.get("values_dropped", 0) == dropped


@pytest.mark.parametrize(
    ("table", "options"),
    [
        ("CREATE TABLE x (a); CREATE VIEW t AS SELECT a FROM x", {}),
        ("CREATE TABLE t (a, c AS (a + 1))", {"columns": {"a": "ANY", "c": "ANY"}}),
    ],
)
def test_a_table_that_takes_nothing_is_one_line(path, table, options):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript(table)
    with pytest.raises(ComponentStartError, match="Cannot use table 't' of the database"):
        write(SqliteSink(path=path, table="t", **options))


def test_names_are_quoted(path):
    sink = SqliteSink(path=path, table='a"b; DROP TABLE c', key=["select"])
    write(sink, [{"select": 1, 'x"y': 2}])

    assert query(path, 'SELECT "select", "x""y" FROM "a""b; DROP TABLE c"') == [(1, 2)]


def test_keys_that_are_no_columns_are_dropped_and_counted(path):
    sink = SqliteSink(path=path)
    record = {"a": 1, "A": 2, "": 3, "\0": 4, "\ud800": 5, "x" * 200: 6, 7: 8}
    write(sink, [record])

    assert query(path, "SELECT * FROM records") == [(1,)]
    assert sink.statistics_cur["values_dropped"] == 6


def test_there_are_at_most_500_columns(path):
    sink = SqliteSink(path=path)
    write(sink, [{f"c{number}": number for number in range(700)}])

    assert len(query(path, "SELECT * FROM records")[0]) == 500
    assert sink.statistics_cur["values_dropped"] == 200


def test_values_that_sqlite_does_not_know_are_json(path):
    circle: list[Any] = []
    circle.append(circle)
    values = [True, 2**70, float("nan"), {"x": [1]}, "\ud800", (1, 2), circle, 1 + 2j]
    write(SqliteSink(path=path), [{"a": value} for value in values])

    assert [value for (value,) in query(path, "SELECT a FROM records")] == [
        1,
        "1180591620717411303424",
        None,
        '{"x":[1]}',
        "\\ud800",
        "[1,2]",
        "[[...]]",
        '"(1+2j)"',
    ]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


RECORDS = st.lists(st.dictionaries(st.text() | st.integers(), anything, max_size=5), max_size=5)


@settings(max_examples=20)
@given(RECORDS)
def test_any_record_is_a_row_or_has_no_key(tmp_path_factory, records):
    check_rows(str(tmp_path_factory.mktemp("any") / "out.db"), records)


@pytest.mark.slow
@settings(max_examples=500)
@given(RECORDS)
def test_each_of_many_records_is_a_row_or_has_no_key(tmp_path_factory, records):
    check_rows(str(tmp_path_factory.mktemp("any") / "out.db"), records)


def check_rows(path: str, records: list[Any]) -> None:
    assert write(SqliteSink(path=path), records, seconds=1) == []

    has_keys = any(type(key) is str and is_name(key) for record in records for key in record)
    if has_keys:
        assert query(path, "SELECT count(*) FROM records") == [(len(records),)]
    else:
        assert query(path, "SELECT name FROM sqlite_master WHERE name = 'records'") == []


# --- keys -------------------------------------------------------------------------------------


def test_a_record_with_the_same_key_replaces_the_row(path):
    sink = SqliteSink(path=path, key=["host", "minute"])
    write(
        sink,
        [{"host": "a", "minute": 1, "count": 5}, {"host": "b", "minute": 1, "count": 2}],
        [{"host": "a", "minute": 1, "count": 9}],
    )

    assert query(path, "SELECT host, count FROM records ORDER BY host") == [("a", 9), ("b", 2)]


def test_a_record_that_is_all_key_is_there_once(path):
    write(SqliteSink(path=path, key=["a"]), [{"a": 1}, {"a": 1}])
    assert query(path, "SELECT * FROM records") == [(1,)]


def test_a_record_without_its_key_is_a_dead_letter_and_the_others_are_written(path):
    sink = SqliteSink(path=path, key=["a"])
    (letter,) = write(sink, [{"a": 1, "b": 1}, {"b": 2}, {"a": 3, "b": 3}])

    assert letter.args == [{"b": 2}]
    assert "NOT NULL constraint failed: records.a" in letter.cause_text
    assert query(path, "SELECT a FROM records") == [(1,), (3,)]
    assert sink.statistics_cur["failed"] == 1


@pytest.mark.parametrize("first", [1, None])
def test_a_table_that_rolls_all_back_loses_and_doubles_nothing(path, first):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE t (a INTEGER NOT NULL, b UNIQUE ON CONFLICT ROLLBACK)")
    events = [[{"a": a, "b": b}] for a, b in [(first, 1), (2, 2), (3, 2), (4, 4)]]
    letters = write(SqliteSink(path=path, table="t"), *events)

    rows = query(path, "SELECT a, b FROM t")
    rows += [tuple(letter.args[0].values()) for letter in letters]
    assert sorted(rows, key=str) == sorted([(first, 1), (2, 2), (3, 2), (4, 4)], key=str)
    assert len(letters) == (1 if first else 2)


def test_a_key_that_is_not_unique_in_an_existing_table_is_one_line(path):
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.executescript("CREATE TABLE records (a); INSERT INTO records VALUES (1), (1)")

    with (
        pytest.raises(ComponentStartError, match=r"Cannot use table 'records' .*UNIQUE"),
        Harness([SqliteSink(path=path, key=["a"])]),
    ):
        pass


# --- what goes wrong ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"path": ""}, r"path is ''"),
        ({"path": "a\0"}, r"path has a null character"),
        ({"table": ""}, r"table is ''"),
        ({"table": "sqlite_x"}, r"table is 'sqlite_x', which is reserved"),
        ({"table": "zenactors_applied"}, r"which is reserved"),
        ({"columns": {}}, r"columns is \{\}"),
        ({"columns": {"a": "DATE"}}, r"columns: the type of 'a' is 'DATE'"),
        ({"columns": {"": "TEXT"}}, r"columns is ''"),
        ({"key": "a"}, r"key is 'a', but a list"),
        ({"key": ["b"], "columns": {"a": "TEXT"}}, r"key has 'b', which is not in columns"),
        ({"synchronous": "off"}, r"synchronous is 'off'"),
        ({"busy_timeout": 0}, r"busy_timeout is 0"),
        ({"batch_count": 0}, r"batch_count is 0"),
    ],
)
def test_a_wrong_option_is_one_line(options, problem):
    with pytest.raises(ValueError, match=problem) as caught:
        SqliteSink(**{"path": "x", **options})
    assert "\n" not in str(caught.value)


def test_a_directory_that_does_not_exist_is_one_line(tmp_path):
    with (
        pytest.raises(ComponentStartError, match=r"no/out.*Create the directory"),
        Harness([SqliteSink(path=str(tmp_path / "no" / "out.db"))]),
    ):
        pass


def test_a_file_that_is_no_database_is_one_line(tmp_path):
    (tmp_path / "text").write_text("not a database, but a text that is long enough" * 20)
    with (
        pytest.raises(ComponentStartError, match="file is not a database"),
        Harness([SqliteSink(path=str(tmp_path / "text"))]),
    ):
        pass


def test_while_another_program_has_the_lock_batches_are_tried_again(path):
    sink = SqliteSink(path=path, busy_timeout=0.001)
    other = sqlite3.connect(path, isolation_level=None)
    with Harness([Source(), sink]) as harness:
        other.execute("BEGIN IMMEDIATE")
        harness.queue.schedule("go", ([{"a": 1}], 0, 1))
        harness.advance(0.3)
        assert sink.statistics_cur["retries"] >= 1
        other.execute("ROLLBACK")
        harness.advance(5)
    other.close()
    assert query(path, "SELECT a FROM records") == [(1,)]


def test_a_full_disk_stops_the_daemon_and_the_source_keeps_the_event(path):
    source, sink = Source(), SqliteSink(path=path)
    with Harness([source, sink]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 1))
        harness.advance(1)
        assert sink._database is not None
        sink._database.execute("PRAGMA max_page_count = 1")
        harness.queue.schedule("go", ([{"a": "x" * 1_000_000}], 1, 2))
        harness.advance(1)
        assert harness.report is None or harness.report
        messages = [each.message for each in harness.logs]
    assert any("Cannot write to the database" in each and "full" in each for each in messages)
    assert source.outcomes == [DONE, TokenOutcome.LEFT]
    assert query(path, "SELECT a FROM records") == [(1,)]


def test_interrupt_breaks_off_a_statement_and_its_batch_is_tried_again(path):
    sink = SqliteSink(path=path)
    with Dispatcher([sink]) as dispatcher:
        dispatcher.queue.schedule("lines", [{"a": 1}])
        dispatcher.drain()
        sink.interrupt()  # from another thread, although nothing is under way
        dispatcher.queue.schedule("lines", [{"a": 2}])
        dispatcher.drain()
    sink.interrupt()  # after the end
    assert query(path, "SELECT a FROM records") == [(1,), (2,)]


# --- exactly once -------------------------------------------------------------------------------


def test_what_is_in_the_table_is_left_out_in_any_portions(path):
    with Harness([source := Source(), SqliteSink(path=path)]) as harness:
        harness.queue.schedule("go", ([{"a": 1}, {"a": 2}], 0, 2))
        harness.queue.schedule("go", ([{"a": 3}], 2, 3))
        harness.advance(1)
    sink = SqliteSink(path=path)
    with Harness([source := Source(), sink]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 1))
        harness.queue.schedule("go", ([{"a": 2}, {"a": 3}], 1, 3))
        harness.queue.schedule("go", ([{"a": 4}], 3, 4))
        harness.advance(1)
    assert source.outcomes == [DONE, DONE, DONE]
    assert query(path, "SELECT a FROM records") == [(1,), (2,), (3,), (4,)]
    assert sink.statistics_cur["left_out"] == 3


def test_another_sink_or_table_begins_anew(path):
    for make in (
        lambda: SqliteSink(path=path),
        lambda: SqliteSink(path=path, name="other"),
        lambda: SqliteSink(path=path, table="other"),
    ):
        with Harness([Source(), make()]) as harness:
            harness.queue.schedule("go", ([{"a": 1}], 0, 1))
            harness.advance(1)
    assert query(path, "SELECT count(*) FROM records") == [(2,)]
    assert query(path, "SELECT count(*) FROM other") == [(1,)]


def test_a_batch_that_is_rolled_back_is_not_noted(path):
    sink = SqliteSink(path=path, busy_timeout=0.001, attempts=1)
    other = sqlite3.connect(path, isolation_level=None)
    with Harness([source := Source(), sink]) as harness:
        other.execute("BEGIN IMMEDIATE")
        harness.queue.schedule("go", ([{"a": 1}], 0, 1))
        harness.advance(1)
        other.execute("ROLLBACK")
        harness.queue.schedule("go", ([{"a": 1}], 0, 1))
        harness.advance(1)
    other.close()
    assert source.outcomes == [FAILED, DONE]
    assert query(path, "SELECT a FROM records") == [(1,)]


def test_it_answers_which_ranges_it_has_and_forgets_old_keys(path):
    answers = []

    class Asker(ZenDaemonComponent):
        @handles("ask")
        def cbk_event_ask(self, daemon: Any, keys: Any) -> None:
            question = OutputCheckpoint(source="source", keys=keys)
            daemon.queue.schedule(
                "checkpoint", question, on_done=lambda _: answers.append(question.applied)
            )

    with Harness([Source(), Asker(), SqliteSink(path=path)]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 2))
        harness.queue.schedule("ask", frozenset("k"))
        harness.queue.schedule("ask", None)
        harness.queue.schedule("ask", frozenset("other"))
        harness.advance(1)
    assert answers == [
        {"SqliteSink": {"k": [([0], [2], 2)]}},
        {"SqliteSink": {"k": [([0], [2], 2)]}},
        {"SqliteSink": {}},
    ]
    assert query(path, "SELECT * FROM zenactors_applied") == []


def test_it_answers_while_another_program_has_the_lock_and_forgets_in_the_next_run(path):
    question = OutputCheckpoint(source="source", keys=frozenset())
    other = sqlite3.connect(path, isolation_level=None)
    with Harness([Source(), SqliteSink(path=path, busy_timeout=0.001)]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 2))
        harness.advance(1)
        other.execute("BEGIN IMMEDIATE")
        harness.queue.schedule("checkpoint", question)
        harness.advance(1)
        other.execute("ROLLBACK")
        assert harness.dead_letters() == []
    other.close()
    assert question.applied == {"SqliteSink": {}}

    with Harness([SqliteSink(path=path)]) as harness:
        harness.queue.schedule("checkpoint", question)
        harness.advance(1)
    assert query(path, "SELECT * FROM zenactors_applied") == []


def test_a_note_that_is_broken_is_one_line(path):
    with Harness([Source(), SqliteSink(path=path)]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 2))
        harness.advance(1)
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute("UPDATE zenactors_applied SET ranges = 'x'")

    with (
        pytest.raises(ComponentStartError, match="Expecting value"),
        Harness([SqliteSink(path=path)]),
    ):
        pass


@seeds(4, soak=40)
def test_each_line_of_a_tailer_is_there_once_after_crashes_at_random_moments(path, seed):
    files = VirtualFiles()
    files.put("/log/a.log", b"")

    def components() -> list[Any]:
        return [
            FileTailer(patterns=["/log/a.log"], start="beginning", exactly_once=True),
            AccessLogParser(),
            SqliteSink(path=path, table="t", synchronous="normal"),
        ]

    random = Random(seed)
    harness = Harness(components(), files=files, state_dir="/state", seed=seed)
    harness.__enter__()
    written = 0
    for _ in range(2):  # after a third one without progress, lines may become dead letters
        for _ in range(random.randrange(4)):
            count = random.randrange(1, 30)
            lines = "".join(LINE.format(number) for number in range(written, written + count))
            written += count
            harness.files.append("/log/a.log", lines.encode())
            harness.advance(random.choice([0.001, 0.01, 0.3]))
        for _ in range(random.randrange(60)):
            harness.step()
        harness.kill()
        harness = harness.next_life(components())
        harness.__enter__()
    harness.files.append("/log/a.log", LINE.format(written).encode())
    written += 1
    harness.advance(5)
    harness.stop()
    harness.close()

    paths = [int(path[1:]) for (path,) in query(path, "SELECT path FROM t ORDER BY rowid")]
    assert paths == list(range(written))
    (ranges,) = [
        json.loads(each) for (each,) in query(path, "SELECT ranges FROM zenactors_applied")
    ]
    assert len(ranges) <= 1 + written


def test_files_that_the_tailer_has_forgotten_are_forgotten(path, monkeypatch):
    monkeypatch.setattr("zenactors.components.tail.memory.FORGOTTEN_AFTER", 30.0)
    files = VirtualFiles()
    tailer = FileTailer(patterns=["/log/*"], start="beginning", exactly_once=True)
    with Harness([tailer, SqliteSink(path=path)], files=files, state_dir="/state") as harness:
        for number in range(10):
            harness.files.put(f"/log/{number}", b"%d\n" % number)
            harness.advance(20)
            harness.files.remove(f"/log/{number}")
        harness.advance(5)
    assert query(path, "SELECT line FROM records") == [(str(number),) for number in range(10)]
    assert len(query(path, "SELECT * FROM zenactors_applied")) < 5


@pytest.mark.parametrize("ordering", ["component", "event"])
def test_each_line_is_there_once_although_the_tailer_is_made_anew_while_some_are_under_way(
    path, ordering
):
    class Tailer(FileTailer):
        @handles("restart")
        def cbk_event_restart(self, daemon: Any, args: Any) -> None:
            raise RestartComponent("on purpose")

    class Slow(ZenDaemonComponent):
        @handles("lines")
        def cbk_event_lines(self, daemon: Any, args: Any) -> None:
            daemon.wait(2.0)

    files = VirtualFiles()
    files.put("/log/a.log", b"0\n")
    made = [
        Tailer(patterns=["/log/a.log"], start="beginning", exactly_once=True),
        Slow(),
        Router(otherwise="routed"),
        SqliteSink(path=path, event_map={"lines": "routed"}),
    ]
    with Harness(made, files=files, state_dir="/state", ordering=ordering) as harness:
        harness.advance(1)
        for line in (b"1\n", b"2\n"):
            harness.files.append("/log/a.log", line)
            harness.advance(0.5)
        harness.queue.schedule("restart")
        harness.advance(0.1)
        harness.files.append("/log/a.log", b"3\n")  # read together with those that are under way
        harness.advance(30)
    assert query(path, "SELECT line FROM records") == [("0",), ("1",), ("2",), ("3",)]


def test_a_daemon_does_not_forget_what_another_one_has_applied_by_the_same_names(path):
    def components(name: str) -> list[Any]:
        pattern = f"/log/{name}.log"
        tailer = FileTailer(patterns=[pattern], start="beginning", exactly_once=True)
        return [tailer, SqliteSink(path=path)]

    files = VirtualFiles()
    for name in "ab":
        files.put(f"/log/{name}.log", f"{name}\n".encode())
    with Harness(components("a"), files=files, state_dir="/a", seed=1) as one:
        one.advance(0.05)  # the tailer has not saved that it is done
        one.kill()
    with Harness(components("b"), files=files, state_dir="/b", seed=2) as other:
        other.advance(5)
    with one.next_life(components("a")) as again:
        again.advance(5)
    assert query(path, "SELECT line FROM records ORDER BY line") == [("a",), ("b",)]
    assert len(query(path, "SELECT * FROM zenactors_applied")) == 2


def test_a_table_of_an_earlier_version_is_used(path):
    with contextlib.closing(sqlite3.connect(path)) as database, database:
        database.execute(
            "CREATE TABLE zenactors_applied (sink TEXT, path TEXT, key TEXT, ranges TEXT,"
            " PRIMARY KEY (sink, path, key)) WITHOUT ROWID"
        )
        row = ("SqliteSink:records", "source", "k", "[[[0], [2]]]")
        database.execute("INSERT INTO zenactors_applied VALUES (?, ?, ?, ?)", row)
    with Harness([source := Source(), SqliteSink(path=path)]) as harness:
        harness.queue.schedule("go", ([{"a": 1}], 0, 2))
        harness.queue.schedule("go", ([{"a": 2}], 2, 3))
        harness.advance(1)
    assert source.outcomes == [DONE, DONE]
    assert query(path, "SELECT a FROM records") == [(2,)]
    assert query(path, "SELECT ranges FROM zenactors_applied") == [("[[[0], [3], 3]]",)]
