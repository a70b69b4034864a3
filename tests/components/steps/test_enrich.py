"""Records that get the fields of a table."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from zenactors import TokenOutcome
from zenactors.components import Enrich
from zenactors.errors import ComponentStartError
from zenactors.testing import Crash, Harness, Probe

from .stepping import Sender, example_of

HOSTS = "host,owner,room\na,ann,1\nb,bob,2\n7,dan,3\n"
DEADLINE = 30.0  # seconds: far more than anything here takes


def make_database(path: Path, *rows: tuple[Any, ...], wal: bool = False) -> None:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute('CREATE TABLE IF NOT EXISTS "the hosts" (host, owner, room)')
        connection.execute('DELETE FROM "the hosts"')
        connection.executemany('INSERT INTO "the hosts" VALUES (?, ?, ?)', rows)


class World:
    """A step over virtual or real files, and what it passes on."""

    def __init__(self, files: Any = None, *, faults: Any = (), **options: Any) -> None:
        self.step = Enrich(**{"path": "hosts.csv", "key": "host", **options})
        self.probe, self.sender = Probe("lines"), Sender()
        components = [self.sender, self.step, self.probe]
        self.harness = Harness(components, files=files, faults=faults)

    def enrich(self, *records: Any) -> list[Any]:
        """Return what becomes of the records of one event."""
        before = len(self.probe.received)
        self.harness.queue.schedule("send", list(records))
        self.harness.run_until_idle()
        return [record for _, args in self.probe.received[before:] for record in args]

    def errors(self) -> list[str]:
        return [log.message for log in self.harness.logs if log.level == "ERROR"]


@contextlib.contextmanager
def world(files: Any = None, **options: Any) -> Any:
    made = World({"hosts.csv": HOSTS} if files is None else files, **options)
    with made.harness:
        yield made


def owners(*names: Any) -> list[dict[str, Any]]:
    return [{"host": name} for name in names]


def test_a_record_gets_the_fields_of_its_row():
    with world() as it:
        records = [{"host": "a", "room": 0, "x": 1}, {"host": 7}, {"host": 7.0}]
        assert it.enrich(*records) == [
            {"host": "a", "owner": "ann", "room": "1", "x": 1},
            {"host": 7, "owner": "dan", "room": "3"},
            {"host": 7.0, "owner": "dan", "room": "3"},
        ]
        assert records[0] == {"host": "a", "room": 0, "x": 1}
        assert it.step.get_state()["rows"] == 3


STRANGE: list[Any] = [{"host": "x"}, {"host": None}, {"host": ["a"]}, {"host": True}, {}]


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("pass", STRANGE),
        ("drop", []),
        ("null", [{**record, "owner": None, "room": None} for record in STRANGE]),
    ],
)
def test_records_without_a_row(missing, expected):
    with world({"hosts.csv": f"{HOSTS}True,eve,4\nNone,eve,5\n"}, missing=missing) as it:
        assert it.enrich(*STRANGE) == expected
        assert it.step.statistics_cur["missing"] == 5
        assert it.sender.outcomes == [TokenOutcome.DONE]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [(["room"], {"room": "1"}), ({"owner": "of"}, {"of": "ann"}), (["host"], {})],
)
def test_fields_can_be_chosen_and_renamed(fields, expected):
    with world(fields=fields) as it:
        assert it.enrich({"host": "a"}) == [{"host": "a", **expected}]


def test_the_key_may_have_another_name_in_the_table_and_the_last_row_counts():
    files = {"t": "\ufeffname;text\na;first\n\na;'last\n"}
    with world(files, path="t", column="name", delimiter=";") as it:
        assert it.enrich({"host": "a"}) == [{"host": "a", "text": "'last"}]


def test_what_is_no_dict_is_a_dead_letter_of_its_own():
    with world() as it:
        assert it.enrich(b"a", {"host": "a"}) == [{"host": "a", "owner": "ann", "room": "1"}]
        assert [letter.args for letter in it.harness.dead_letters()] == [[b"a"]]


def test_a_file_that_changed_is_read_again_after_the_interval():
    with world(reload_interval=10.0, fields=["owner"]) as it:
        it.harness.files.put("new", "host,owner\na,eve\n")
        it.harness.files.rename("new", "hosts.csv")
        it.harness.advance(9.9)
        assert it.enrich({"host": "a"})[0]["owner"] == "ann"
        it.harness.advance(0.2)
        assert it.enrich({"host": "a"})[0]["owner"] == "eve"
        it.harness.advance(11)
        it.enrich({"host": "a"})
        assert it.step.statistics_cur["reloads"] == 1  # not again: it is the same


BROKEN = [
    ("host,owner\na\n", "line 2 has 1 fields, and the first line 2"),
    ("host,owner\n" + 'a,"b', "line 2 is no CSV: unexpected end of data"),
    ("name,owner\na,b\n", "it has no column 'host'; its columns are: name, owner"),
    ("", "it has no column 'host'; its columns are: (none)"),
    ("host,owner,owner\n", "it has two columns of one name; its columns are: host, owner, owner"),
    (b"host,owner\na,\xff\n", "it is not UTF-8 at byte 13"),
    ("host,owner\n" + "a,b\n" * 5, "it has more than 4 rows (max_rows)"),
    ("host,owner\n" + "a" * 200, "it has more than 200 bytes (max_bytes)"),
]
LIMITS = {"max_rows": 4, "max_bytes": 200}


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_new_file_keeps_the_old_table_and_is_logged_once(content, message):
    with world(fields=["owner"], **LIMITS) as it:
        it.harness.files.put("hosts.csv", content)
        for _ in range(3):
            it.harness.advance(11)
            assert it.enrich({"host": "a"})[0]["owner"] == "ann"
        assert it.errors() == [
            f"Cannot use the table hosts.csv: {message}. Correct the file. The old table stays in"
            " use"
        ]
        assert it.step.statistics_cur["reload_failures"] == 3
        it.harness.files.put("hosts.csv", "host,owner\na,eve\n")
        it.harness.advance(11)
        assert it.enrich({"host": "a"})[0]["owner"] == "eve"


@pytest.mark.parametrize(("content", "message"), BROKEN)
def test_a_broken_file_at_the_start_is_told_in_one_line(content, message):
    made = World({"hosts.csv": content}, **LIMITS)
    with pytest.raises(ComponentStartError) as caught:
        made.harness.start()
    assert str(caught.value).endswith(f"hosts.csv: {message}. Correct the file.")


def test_a_file_that_is_gone_keeps_the_old_table():
    with world() as it:
        it.harness.files.remove("hosts.csv")
        it.harness.advance(11)
        assert it.enrich({"host": "a"})[0]["owner"] == "ann"
        assert "No such file or directory" in it.errors()[0]


@pytest.mark.parametrize("call", ["stat", "open", "read"])
def test_a_file_that_cannot_be_read_keeps_the_old_table(call):
    denied = OSError(errno.EACCES, os.strerror(errno.EACCES))
    with world(
        faults=[Crash(point="file", event=call, component="Enrich", nth=3, error=denied)]
        if call == "read"
        else [Crash(point="file", event=call, component="Enrich", nth=2, error=denied)],
        fields=["owner"],
    ) as it:
        it.harness.files.put("hosts.csv", "host,owner\na,eve\n")
        it.harness.advance(11)
        assert it.enrich({"host": "a"})[0]["owner"] == "ann"
        assert "Permission denied. Give this user permission to read it." in it.errors()[0]
        it.harness.advance(11)
        assert it.enrich({"host": "a"})[0]["owner"] == "eve"


def test_without_the_file_it_does_not_start_unless_that_is_allowed():
    with pytest.raises(ComponentStartError, match=r"hosts\.csv: No such file or directory\. Check"):
        World({}).harness.start()
    with world({}, must_exist=False, missing="null", fields=["owner"]) as it:
        assert it.enrich({"host": "a"}) == [{"host": "a", "owner": None}]
        it.harness.files.put("hosts.csv", HOSTS)
        it.harness.advance(11)
        assert it.enrich({"host": "a"}) == [{"host": "a", "owner": "ann"}]


# --- SQLite ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("wal", [False, True])
def test_a_table_of_a_database_and_its_changes(tmp_path, wal):
    path = tmp_path / "some hosts?#%.db"
    make_database(path, ("a", "ann", 1), (7, None, b"x"), wal=wal)
    with contextlib.closing(sqlite3.connect(path)) as writer:
        made = World(path=str(path), table="the hosts")
        with made.harness:
            assert made.enrich(*owners("a", 7, "7", "x")) == [
                {"host": "a", "owner": "ann", "room": 1},
                {"host": 7, "owner": None, "room": b"x"},
                {"host": "7", "owner": None, "room": b"x"},
                {"host": "x"},
            ]
            writer.execute('UPDATE "the hosts" SET owner = ? WHERE host = ?', ("eve", "a"))
            writer.commit()
            made.harness.advance(11)
            assert made.enrich({"host": "a"})[0]["owner"] == "eve"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"table": "none"}, "SQLite says: no such table: none"),
        ({"column": "x"}, "it has no column 'x'; its columns are: host, owner, room"),
        ({"fields": ["y"]}, "it has no column 'y'; its columns are: host, owner, room"),
        ({"max_rows": 1}, r"it has more than 1 rows \(max_rows\)"),
        ({"max_bytes": 100}, r"it has more than 100 bytes \(max_bytes\)"),
        ({"table": 'x"; DROP TABLE "the hosts'}, "SQLite says: no such table: x"),
    ],
)
def test_a_database_that_cannot_be_used_is_told_in_one_line(tmp_path, options, message):
    path = tmp_path / "hosts.db"
    make_database(path, ("a", "ann", 1), ("b", "bob", 2))
    with pytest.raises(ComponentStartError, match=message) as caught:
        World(**{"path": str(path), "table": "the hosts", **options}).harness.start()
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_database_keeps_the_old_table(tmp_path):
    path = tmp_path / "hosts.db"
    make_database(path, ("a", "ann", 1))
    made = World(path=str(path), table="the hosts")
    with made.harness:
        path.write_bytes(b"x" * 5_000)
        made.harness.advance(11)
        assert made.enrich({"host": "a"})[0]["owner"] == "ann"
        assert "file is not a database" in made.errors()[0]


def test_a_query_that_takes_long_can_be_interrupted(tmp_path):
    path = tmp_path / "endless.db"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute(
            "CREATE VIEW endless AS WITH RECURSIVE n(host) AS"
            " (SELECT 1 UNION ALL SELECT host + 1 FROM n) SELECT host FROM n WHERE host < 0"
        )
        connection.commit()
    begun = threading.Event()

    class Watched(Enrich):
        def _connected(self, connection: sqlite3.Connection) -> None:
            super()._connected(connection)
            connection.set_progress_handler(begun.set, 1_000)

    step = Watched(path=str(path), key="host", table="endless")
    daemon: Any = type("Daemon", (), {"resolve_path": staticmethod(str)})()
    causes: list[BaseException] = []

    def setup() -> None:
        try:
            step.setup(daemon)
        except Exception as cause:
            causes.append(cause)

    thread = threading.Thread(target=setup, daemon=True)
    thread.start()
    assert begun.wait(DEADLINE)
    step.interrupt()
    thread.join(DEADLINE)
    assert "interrupted" in str(causes[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": ""}, "path is ''"),
        ({"path": "a\0b"}, "null character"),
        ({"key": ""}, "key is ''"),
        ({"column": ""}, "column is ''"),
        ({"table": ""}, "table is ''"),
        ({"fields": []}, r"fields is \[\]"),
        ({"fields": "owner"}, "fields is 'owner'"),
        ({"fields": {"owner": 1}}, "fields is .*a table with their names"),
        ({"delimiter": ""}, "delimiter is ''"),
        ({"delimiter": "\n"}, "delimiter is"),
        ({"missing": "fail"}, 'missing is \'fail\', but "pass", "drop" or "null" is expected'),
        ({"must_exist": 1}, "must_exist is 1"),
        ({"reload_interval": 0}, "reload_interval is 0"),
        ({"max_rows": 0}, "max_rows is 0"),
        ({"max_bytes": 0}, "max_bytes is 0"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Enrich(**{"path": "x", "key": "host", **options})


def test_the_example_runs_without_and_with_its_file(run_spec, tmp_path):
    assert run_spec(example_of(Enrich), tmp_path) == (
        0,
        [{"host": "a", "owner": None}, {"host": "b", "owner": None}],
    )
    (tmp_path / "hosts.csv").write_text(HOSTS)
    assert run_spec(example_of(Enrich), tmp_path) == (
        0,
        [{"host": "a", "owner": "ann"}, {"host": "b", "owner": "bob"}],
    )
