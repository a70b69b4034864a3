from __future__ import annotations

import shutil

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from zenactors.components import FileTailer, Lines
from zenactors.components.tail.rotation import is_compressed
from zenactors.errors import EXIT_NO_INPUT

from .tailing import Tail, append, deny, fail_reads, open_handles

# -- options ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patterns": "/var/log/x"}, r"patterns is '/var/log/x'.*write \['/var/log/x'\]"),
        ({"patterns": []}, "patterns is .*at least one"),
        ({"patterns": ["a", ""]}, "patterns is .*list of paths"),
        ({"patterns": [1]}, "patterns is .*list of paths"),
        ({"patterns": ["a"], "start": "middle"}, "start is 'middle'.*'beginning' or 'end'"),
        ({"patterns": ["a"], "poll_interval": 0}, "poll_interval is 0.*above 0"),
        ({"patterns": ["a"], "poll_interval": float("nan")}, "poll_interval is nan"),
        ({"patterns": ["a"], "max_line_bytes": 0}, "max_line_bytes is 0.*at least 1"),
        ({"patterns": ["a"], "max_line_bytes": 1.5}, "max_line_bytes is 1.5"),
    ],
)
def test_a_wrong_option_is_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        FileTailer(**options)


def test_an_event_map_renames_the_emitted_event(tail, log):
    one = tail(log, event_map={"lines": "web"})
    one.poll()

    assert [lines.data for lines in one.daemon.take("web")] == [b"one\ntwo\n"]


# -- what is read ----------------------------------------------------------------------------


def test_appended_data_comes_with_its_offset(tail, log):
    one = tail(log)

    assert one.poll() == [Lines(str(log), 0, b"one\ntwo\n")]
    assert one.poll() == []
    append(log, b"three\n")
    assert one.poll() == [Lines(str(log), 8, b"three\n")]


def test_start_at_the_end_skips_existing_data_but_not_new_data(tail, tmp_path, log):
    one = tail(tmp_path / "*.log", start="end")
    append(log, b"three\n")  # after setup, before the first poll

    assert one.poll() == [Lines(str(log), 8, b"three\n")]
    (tmp_path / "b.log").write_bytes(b"new\n")
    assert one.poll() == [Lines(str(tmp_path / "b.log"), 0, b"new\n")]


def test_the_rest_of_a_line_begun_before_the_start_is_a_piece(tail, log):
    log.write_bytes(b"old\nbeg")
    one = tail(log, start="end")
    append(log, b"un\nwhole\n")

    assert one.poll() == [
        Lines(str(log), 7, b"un\n", complete=False),
        Lines(str(log), 10, b"whole\n"),
    ]


def test_so_is_the_rest_of_a_line_whose_beginning_was_handed_on_at_a_stop(tail, log):
    log.write_bytes(b"beg")
    one = tail(log)
    one.poll()
    assert one.stop() == [Lines(str(log), 0, b"beg", complete=False)]
    one.tailer.teardown(one.daemon)
    append(log, b"un\nwhole\n")
    one.daemon.done = False
    one.tailer.setup(one.daemon)

    assert [(lines.data, lines.complete) for lines in one.poll()] == [
        (b"un\n", False),
        (b"whole\n", True),
    ]


def test_start_at_the_end_holds_for_a_file_that_could_not_be_opened_at_first(
    tail, log, monkeypatch
):
    with monkeypatch.context() as denied:
        deny(denied, log)
        one = tail(log, start="end")
        append(log, b"three\n")

    assert one.poll() == [Lines(str(log), 8, b"three\n")]


def test_new_options_leave_followed_files_at_their_offsets(tail, tmp_path, log):
    other = tmp_path / "b.log"
    other.write_bytes(b"old\n")
    one = tail(log)
    assert one.text() == b"one\ntwo\n"
    append(log, b"three\nfo")
    assert one.text() == b"three\n"

    one.tailer.reconfigure(
        one.daemon, {"patterns": [str(log), str(other)], "start": "end", "poll_interval": 1.0}
    )
    append(log, b"ur\n")
    append(other, b"new\n")

    assert one.text(3) == b"four\nnew\n"


def test_files_that_no_new_pattern_names_are_left(tail, tmp_path, log):
    other = tmp_path / "b.log"
    other.write_bytes(b"old\n")
    one = tail(log)
    assert one.text() == b"one\ntwo\n"

    one.tailer.reconfigure(one.daemon, {"patterns": [str(other)], "start": "beginning"})
    append(log, b"three\n")

    assert one.text(3) == b"old\n"


def test_a_change_back_goes_on_where_a_file_was_left(tail, tmp_path, log):
    other = tmp_path / "b.log"
    other.write_bytes(b"")
    one = tail(log)
    assert one.text() == b"one\ntwo\n"
    one.tailer.reconfigure(one.daemon, {"patterns": [str(other)], "start": "end"})
    assert one.text(2) == b""
    append(log, b"three\n")
    one.tailer.reconfigure(one.daemon, {"patterns": [str(log)], "start": "end"})

    assert one.text(2) == b"three\n"


def test_the_rest_of_a_rotated_file_is_read_after_a_change(tail, tmp_path, log):
    one = tail(log)
    assert one.text() == b"one\ntwo\n"
    append(log, b"three\n")
    log.rename(tmp_path / "a.log.1")
    log.write_bytes(b"four\n")
    one.tailer.reconfigure(one.daemon, {"patterns": [str(log)], "start": "end"})

    assert one.text(4) == b"three\nfour\n"


def test_wrong_new_options_change_nothing(tail, log):
    one = tail(log)
    with pytest.raises(ValueError, match="poll_interval"):
        one.tailer.reconfigure(one.daemon, {"patterns": ["x"], "poll_interval": 0})

    assert one.text() == b"one\ntwo\n"


def test_an_unfinished_line_waits_for_its_end(tail, log):
    one = tail(log)
    append(log, b"thr")
    assert one.text() == b"one\ntwo\n"
    (state,) = one.tailer.get_state()["files"]
    assert (state["path"], state["offset"], state["size"], state["held"]) == (str(log), 11, 11, 3)
    append(log, b"ee\n")

    assert one.poll() == [Lines(str(log), 8, b"three\n")]


def test_an_unfinished_line_is_handed_on_at_the_stop(tail, log):
    append(log, b"thr")
    one = tail(log)
    one.poll()

    assert one.stop() == [Lines(str(log), 8, b"thr", complete=False)]
    assert one.daemon.io.active == []
    assert one.stop() == []
    assert one.count("lines") == 3


def test_nothing_is_read_after_the_stop(tail, log):
    one = tail(log)
    one.stop()
    append(log, b"three\n")
    one.daemon.fire()

    assert one.stop() == []
    assert one.count("bytes") == 0


def test_no_more_is_read_than_what_follows_can_take(tail, tmp_path):
    path = tmp_path / "big.log"
    path.write_bytes((b"x" * 99 + b"\n") * 400_000)
    one = tail(path)
    for _ in range(9):
        one.daemon.fire()
    under_way = sum(len(args.data) for _, args, _ in one.daemon.scheduled)
    assert 512 << 10 <= under_way <= 640 << 10  # the first limit, and a quarter of it

    one.daemon.drain(one.tailer)
    one.poll()
    assert one.count("bytes") == 40_000_000


def test_a_big_file_does_not_starve_a_small_one(tail, tmp_path):
    (tmp_path / "a.log").write_bytes(b"x\n" * 200_000)
    (tmp_path / "b.log").write_bytes(b"small\n")
    one = tail(tmp_path / "*.log")

    assert b"small\n" in [lines.data for lines in one.poll()[:3]]


def test_a_daemon_that_is_done_reads_no_more(tail, tmp_path):
    (tmp_path / "a.log").write_bytes((b"x" * 99 + b"\n") * 400_000)
    one = tail(tmp_path / "a.log")
    one.daemon.fire()
    read = one.count("bytes")
    one.daemon.done = True
    one.daemon.drain(one.tailer)

    assert one.count("bytes") == read


def test_a_binary_file_passes_unchanged(tail, tmp_path):
    data = bytes(range(256)) * 1000 + b"\xff\x00no end"
    (tmp_path / "a.log").write_bytes(data)
    one = tail(tmp_path / "a.log")

    assert one.text() + b"".join(lines.data for lines in one.stop()) == data


def test_an_empty_file_gives_nothing(tail, tmp_path):
    (tmp_path / "a.log").touch()
    one = tail(tmp_path / "a.log")

    assert one.poll() == []
    assert one.stop() == []
    assert one.daemon.status == []


@given(
    appended=st.lists(st.tuples(st.integers(0, 2), st.binary(max_size=60)), max_size=25),
    limit=st.integers(1, 50),
)
def test_every_file_passes_byte_for_byte_in_order(tmp_path_factory, appended, limit):
    assume(not any(is_compressed("", data) for _, data in appended))
    directory = tmp_path_factory.mktemp("files")
    one = Tail(directory / "*", max_line_bytes=limit, long_lines="split")
    got: list[Lines] = []
    for number, data in appended:
        append(directory / str(number), data)
        got += one.poll()
    got += one.stop()
    one.tailer.teardown(one.daemon)

    for path in directory.iterdir():
        data = b""
        for lines in got:
            if lines.path == str(path):
                assert lines.offset == len(data)
                data += lines.data
        assert data == path.read_bytes()
    shutil.rmtree(directory)


def test_two_paths_to_one_file_are_read_once(tail, tmp_path, log):
    (tmp_path / "b.log").hardlink_to(log)
    (tmp_path / "c.log").symlink_to(log)
    one = tail(log, tmp_path / "*.log", f"{tmp_path}/./a.log")

    assert one.text(2) == b"one\ntwo\n"
    assert one.count("files") == 1


def test_a_link_that_comes_later_is_no_new_file_and_no_rename(tail, tmp_path, log):
    one = tail(tmp_path / "*")
    one.poll()
    (tmp_path / "0-first.log").hardlink_to(log)
    append(log, b"three\n")

    assert one.poll() == [Lines(str(log), 8, b"three\n")]
    assert one.count("rotated") == 0


def test_a_component_that_is_restarted_goes_on_where_it_was(tail, log):
    append(log, b"thr")
    one = tail(log, start="end")
    append(log, b"ee\nfo")
    assert one.text() == b"ee\n"
    one.tailer.teardown(one.daemon)
    append(log, b"ur\n")
    one.tailer.setup(one.daemon)

    assert one.poll() == [Lines(str(log), 14, b"four\n")]


def test_teardown_closes_every_handle(tail, tmp_path, log):
    before = open_handles()
    one = tail(tmp_path / "*.log")
    assert open_handles() > before
    one.tailer.teardown(one.daemon)

    assert open_handles() == before
    assert one.daemon.io.active == []


# -- exit when idle --------------------------------------------------------------------------


def test_it_ends_by_itself_when_everything_is_read(tail, tmp_path, log):
    data = b"x\n" * 100_000 + b"no end"
    (tmp_path / "b.log").write_bytes(data)
    one = tail(tmp_path / "*.log", exit_when_idle=True)
    one.daemon.run_until_ended(one.tailer)
    batches = one.daemon.take()

    assert b"".join(lines.data for lines in batches if lines.path.endswith("b.log")) == data
    assert [lines.complete for lines in batches].index(False) == len(batches) - 1
    assert one.daemon.status == []


def test_a_file_whose_name_looks_like_a_glob_is_that_file(tail, tmp_path):
    (tmp_path / "x[1].log").write_bytes(b"bracketed\n")

    assert tail(tmp_path / "x[1].log", exit_when_idle=True).run() == b"bracketed\n"


def test_an_output_among_the_files_is_never_read(tail, tmp_path):
    (tmp_path / "a.log").write_bytes(b"in\n")
    (tmp_path / "out.log").write_bytes(b"out\n")
    one = tail(tmp_path / "*.log", exclude=[str(tmp_path / "out.log")], exit_when_idle=True)

    assert one.run() == b"in\n"


def test_a_read_error_does_not_keep_it_from_ending(tail, log, monkeypatch):
    fail_reads(monkeypatch)
    one = tail(log, exit_when_idle=True)

    assert one.run() == b""
    assert one.daemon.status == [EXIT_NO_INPUT]
