from __future__ import annotations

from zenactors.components import Lines

from .tailing import append, fail_reads


def test_a_file_replaced_while_it_cannot_be_read_gives_way_to_the_new_one(
    tail, tmp_path, log, monkeypatch
):
    one = tail(log)
    with monkeypatch.context() as failing:
        fail_reads(failing)
        one.poll()
    log.rename(tmp_path / "old")
    log.write_bytes(b"new\n")

    assert one.text(2) == b"new\n"
    assert len(one.tailer.get_state()["files"]) == 1


def test_a_deleted_file_is_read_to_its_end_before_it_is_closed(tail, tmp_path, logged):
    path = tmp_path / "a.log"
    data = (b"x" * 99 + b"\n") * 2000 + b"rest"
    path.write_bytes(data)
    one = tail(path)
    one.daemon.fire()
    one.daemon.step(one.tailer)
    path.unlink()

    assert one.text(3) == data
    assert one.tailer.get_state()["files"] == []
    assert one.count("vanished") == 1
    assert len(logged.of("WARNING")) == 1
    assert "was deleted" in logged.of("WARNING")[0]


def test_a_deleted_file_that_comes_back_is_read_from_its_beginning(tail, log):
    one = tail(log, start="end")
    one.poll()
    log.unlink()
    one.poll(2)
    log.write_bytes(b"again\n")

    assert one.poll() == [Lines(str(log), 0, b"again\n")]


def test_a_truncated_file_is_read_again_from_its_beginning(tail, log, logged):
    append(log, b"held")
    one = tail(log)
    one.poll()
    log.write_bytes(b"new\n")

    assert one.poll() == [
        Lines(str(log), 8, b"held", complete=False),
        Lines(str(log), 0, b"new\n"),
    ]
    assert one.count("truncated") == 1
    assert "was truncated to 4 bytes after 12" in logged.of("WARNING")[0]


def test_a_rotated_file_is_read_to_its_end_and_then_the_new_one(tail, tmp_path, log):
    one = tail(log)
    one.poll()
    append(log, b"last\n")
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"first\n")

    assert one.text() == b"last\nfirst\n"
    one.poll(2)
    assert one.count("rotated") == 1
    assert [file["offset"] for file in one.tailer.get_state()["files"]] == [6]


def test_a_big_rotated_file_comes_completely_before_the_new_one(tail, tmp_path, log):
    append(log, (b"x" * 99 + b"\n") * 3000)
    one = tail(log)
    old = log.read_bytes()
    log.rename(tmp_path / "a.log.1")
    log.write_bytes((b"y" * 99 + b"\n") * 3000)

    assert one.text(3) == old + log.read_bytes()


def test_lines_added_to_a_renamed_file_before_its_writer_notices_are_not_lost(tail, tmp_path, log):
    one = tail(log)
    one.poll()
    moved = tmp_path / "a.log.1"
    log.rename(moved)
    one.poll()
    append(moved, b"late\n")
    assert one.text() == b"late\n"

    log.write_bytes(b"new\n")
    assert one.text() == b"new\n"
    append(moved, b"too late?\n")
    assert one.text() == b"too late?\n"


def test_a_renamed_file_that_a_glob_still_finds_is_followed_under_its_new_name(tail, tmp_path, log):
    one = tail(tmp_path / "a.log*")
    one.poll()
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"new\n")
    append(tmp_path / "a.log.1", b"more\n")

    assert one.poll() == [
        Lines(str(tmp_path / "a.log.1"), 8, b"more\n"),
        Lines(str(log), 0, b"new\n"),
    ]
    assert one.count("rotated") == 1
    assert one.count("files") == 2
