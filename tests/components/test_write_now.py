"""Writing to outputs whose readers may not read."""

from __future__ import annotations

import errno
import fcntl
import os
import select
import socket
from collections.abc import Iterator

import pytest

from zenactors.components import _files
from zenactors.components._files import SYSTEM_FILES

LONG = memoryview(b"x" * (1 << 20))
NEEDS_LINUX = pytest.mark.skipif(
    not hasattr(os, "RWF_NOWAIT"), reason="only Linux can write without waiting to a blocking pipe"
)


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    reader, writer = os.pipe()
    yield reader, writer
    os.close(reader)
    os.close(writer)


@NEEDS_LINUX
def test_a_pipe_takes_all_that_it_has_room_for_in_one_call(pipe):
    reader, writer = pipe
    room = fcntl.fcntl(writer, fcntl.F_GETPIPE_SZ)

    assert SYSTEM_FILES.write_now(writer, LONG) == room
    with pytest.raises(BlockingIOError):
        SYSTEM_FILES.write_now(writer, LONG)
    assert len(os.read(reader, len(LONG))) == room
    assert os.get_blocking(writer)  # it may be another program's, too


@NEEDS_LINUX
def test_a_socket_takes_what_it_has_room_for():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        written = SYSTEM_FILES.write_now(ours.fileno(), LONG)
        assert written > select.PIPE_BUF
        assert theirs.recv(8) == b"x" * 8


def test_where_waiting_cannot_be_refused_as_much_is_written_as_never_waits(pipe, monkeypatch):
    monkeypatch.setattr(_files, "_NOT_WAITING", None)
    assert SYSTEM_FILES.write_now(pipe[1], LONG) == select.PIPE_BUF


def test_a_terminal_gets_the_data():
    master, terminal = os.openpty()
    try:
        assert SYSTEM_FILES.write_now(terminal, memoryview(b"one\n")) == 4
        assert os.read(master, 100).split() == [b"one"]
    finally:
        os.close(master)
        os.close(terminal)


def test_a_pipe_that_nobody_reads_any_more_is_an_error():
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(BrokenPipeError) as raised:
            SYSTEM_FILES.write_now(writer, LONG)
        assert raised.value.errno == errno.EPIPE
    finally:
        os.close(writer)
