from __future__ import annotations

import errno
import os

import pytest

from zenactors.components import Lines
from zenactors.components._files import SYSTEM_FILES
from zenactors.errors import EXIT_NO_INPUT

from .tailing import append, deny, fail_reads


def test_an_overlong_line_is_handed_on_in_pieces_and_warned_about_once(tail, log, logged):
    append(log, b"x" * 25 + b"\n" + b"y" * 25 + b"\nend\n")
    one = tail(log, max_line_bytes=10, long_lines="split")
    batches = one.poll()

    assert b"".join(lines.data for lines in batches) == log.read_bytes()
    assert [len(lines.data) for lines in batches if not lines.complete] == [10, 10, 6] * 2
    assert one.count("lines_split") == 2
    assert one.count("lines") == 5
    assert len(logged.of("WARNING")) == 1
    assert str(log) in logged.of("WARNING")[0]


def test_a_missing_named_file_is_reported_once_and_read_when_it_appears(tail, tmp_path, logged):
    path = tmp_path / "late.log"
    one = tail(path, start="end")
    assert one.poll(3) == []
    assert len(logged.of("WARNING")) == 1
    assert str(path) in logged.of("WARNING")[0]

    path.write_bytes(b"here\n")
    assert one.poll() == [Lines(str(path), 0, b"here\n")]


def test_a_missing_relative_path_is_reported_with_the_directory(
    tail, tmp_path, monkeypatch, logged
):
    monkeypatch.chdir(tmp_path)
    tail("late.log", "*.txt")
    shown = "\n".join(logged.of("WARNING"))
    assert f"late.log: there is no such file in {tmp_path}. " in shown
    assert f"*.txt: it matches no file in {tmp_path}. " in shown


def test_a_directory_that_cannot_be_searched_is_reported_and_known_files_are_read_on(
    tail, tmp_path, monkeypatch, logged
):
    path = tmp_path / "deep" / "a.log"
    path.parent.mkdir()
    path.write_bytes(b"one\n")
    real = os.scandir

    def scandir(directory):  # root may read every directory, so its permissions do not help
        if directory == f"{path.parent}/":
            raise PermissionError(errno.EACCES, "Permission denied", directory)
        return real(directory)

    one = tail(tmp_path / "**" / "*.log")
    assert one.text() == b"one\n"
    with monkeypatch.context() as denied:
        denied.setattr(os, "scandir", scandir)
        append(path, b"two\n")
        assert one.text(3) == b"two\n"
        assert len(logged.of("ERROR")) == 1
        assert f"Cannot search {path.parent}: Permission denied" in logged.of("ERROR")[0]
        assert logged.of("WARNING") == []
        ending = tail(tmp_path / "**" / "*.log", exit_when_idle=True)
        assert ending.run() == b""
        assert ending.daemon.status == [EXIT_NO_INPUT]
    append(path, b"three\n")
    assert one.text() == b"three\n"


def test_a_directory_that_is_named_is_reported_and_one_in_a_glob_is_not(tail, tmp_path, logged):
    (tmp_path / "directory").mkdir()
    tail(tmp_path / "*").poll(2)
    assert logged.of("WARNING") == []

    tail(tmp_path / "directory").poll(2)
    assert len(logged.of("WARNING")) == 1
    assert "it is a directory" in logged.of("WARNING")[0]


def test_a_special_file_is_left_alone_and_reported_if_it_is_named(tail, tmp_path, logged):
    os.mkfifo(tmp_path / "pipe")

    assert tail(tmp_path / "*").poll(2) == []
    assert logged.of("WARNING") == []
    tail(os.devnull).poll(2)
    assert "not a regular file" in logged.of("WARNING")[0]


def test_a_named_pipe_is_not_reported_as_a_file_that_is_not_read(tail, tmp_path, logged):
    os.mkfifo(tmp_path / "pipe")
    tail(tmp_path / "pipe").poll(2)

    assert logged.of("WARNING") == []


def test_a_file_that_may_not_be_opened_is_reported_once_and_retried(tail, log, monkeypatch, logged):
    with monkeypatch.context() as denied:
        deny(denied, log)
        one = tail(log)
        assert one.poll(3) == []
    assert one.count("errors") == 1
    assert len(logged.of("ERROR")) == 1
    assert f"Cannot open {log}: Permission denied. Give this user" in logged.of("ERROR")[0]

    assert one.text() == b"one\ntwo\n"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_read_permission_is_reported(tail, log, logged):
    log.chmod(0)
    tail(log).poll(2)

    assert len(logged.of("ERROR")) == 1


def test_a_file_that_cannot_be_read_is_closed_and_read_on_later(tail, log, monkeypatch, logged):
    one = tail(log)
    one.poll()
    append(log, b"thr")
    one.poll()
    append(log, b"ee\n")
    with monkeypatch.context() as failing:
        fail_reads(failing)
        assert one.poll(3) == []
    assert one.count("errors") == 1
    assert len(logged.of("ERROR")) == 1
    assert f"Cannot read {log}: Input/output error" in logged.of("ERROR")[0]

    assert one.poll() == [Lines(str(log), 8, b"three\n")]


def test_a_file_that_its_file_system_lost_is_not_read_until_it_is_back(
    tail, tmp_path, log, monkeypatch, logged
):
    append(tmp_path / "b.log", b"fine\n")
    one = tail(tmp_path / "*.log")
    inode = log.stat().st_ino
    real = SYSTEM_FILES.pread

    def losing(fd, size, offset):
        if os.fstat(fd).st_ino == inode:
            raise OSError(errno.ESTALE, "Stale file handle")
        return real(fd, size, offset)

    with monkeypatch.context() as lost:
        lost.setattr(SYSTEM_FILES, "pread", losing)
        assert one.text() == b"fine\n"
    assert f"Cannot read {log}: Stale file handle" in logged.of("ERROR")[0]

    assert one.text() == b"one\ntwo\n"


def test_a_file_that_cannot_be_opened_again_is_reported_once(tail, log, monkeypatch, logged):
    one = tail(log)
    with monkeypatch.context() as failing:
        fail_reads(failing)
        one.poll()
    with monkeypatch.context() as failing:
        deny(failing, log)
        one.poll(3)
    assert len(logged.of("ERROR")) == 2

    assert one.text() == b"one\ntwo\n"


def test_a_missing_named_file_is_an_input_error_when_it_is_to_end(tail, tmp_path, log):
    one = tail(log, tmp_path / "missing", exit_when_idle=True)

    assert one.run() == b"one\ntwo\n"
    assert one.daemon.status == [EXIT_NO_INPUT]


def test_a_directory_given_as_a_file_is_an_input_error_when_it_is_to_end(tail, tmp_path):
    one = tail(tmp_path, exit_when_idle=True)
    one.run()

    assert one.daemon.status == [EXIT_NO_INPUT]


def test_a_glob_that_finds_nothing_is_an_input_error_when_it_is_to_end(tail, tmp_path):
    one = tail(tmp_path / "*.log", exit_when_idle=True)
    one.run()

    assert one.daemon.status == [66]


def test_a_file_that_may_not_be_read_is_an_input_error_when_it_is_to_end(
    tail, tmp_path, log, monkeypatch
):
    (tmp_path / "b.log").write_bytes(b"fine\n")
    deny(monkeypatch, log)
    one = tail(tmp_path / "*.log", exit_when_idle=True)

    assert one.run() == b"fine\n"
    assert one.daemon.status == [EXIT_NO_INPUT]


def test_a_problem_that_is_over_is_reported_again_when_it_comes_back(
    tail, log, monkeypatch, logged
):
    one = tail(log)
    for _ in range(2):
        with monkeypatch.context() as failing:
            fail_reads(failing)
            append(log, b"more\n")
            one.poll(2)
        one.poll(2)

    assert len(logged.of("ERROR")) == 2
