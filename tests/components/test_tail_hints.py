"""Hints of the file system make a tailer fast; without them it misses nothing."""

from __future__ import annotations

import errno

import pytest

from .tail_scene import Scene

LINES = 10_000


def lone_line(scene: Scene) -> float:
    """Return the virtual seconds from a line that comes after a while to its event."""
    scene.advance(5.1)
    scene.take()
    begin = scene.now
    scene.files.append("/log/a.log", "lone\n")
    scene.advance(3.0)
    (heard,) = scene.heard
    return heard.when - begin


def test_a_lone_line_is_read_at_once() -> None:
    with Scene() as scene:
        scene.files.put("/log/a.log", "one\n")
        assert lone_line(scene) == 0.0


def test_without_hints_a_lone_line_is_found_by_the_next_poll() -> None:
    with Scene(notifications=False) as scene:
        scene.files.put("/log/a.log", "one\n")
        assert 0.0 < lone_line(scene) <= 0.25


def test_if_all_hints_are_dropped_every_line_and_file_comes_within_a_second() -> None:
    with Scene("/log/*.log") as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(1.0)
        scene.files.drop_hints()
        for number in range(1, 20):
            scene.files.append("/log/a.log", f"{number}\n")
            if number % 5 == 0:
                scene.files.put(f"/log/{number}.log", f"new {number}\n")
            scene.advance(0.3)
        scene.files.rename("/log/a.log", "/log/a.log.1")
        scene.files.put("/log/a.log", "after\n")
        begin = scene.now
        scene.advance(3.0)
        assert all(each.when - begin <= 1.0 for each in scene.heard)
        got = scene.text().split(b"\n")
    expected = [b"%d" % number for number in range(20)]
    assert [each for each in got if each.isdigit()] == expected
    assert sorted(each for each in got if not each.isdigit() and each) == [
        b"after",
        b"new 10",
        b"new 15",
        b"new 5",
    ]


def test_an_overflow_makes_it_look_at_once() -> None:
    with Scene("/log/*.log") as scene:
        scene.files.put("/log/a.log", "0\n")
        scene.advance(5.1)
        scene.files.drop_hints()
        scene.files.append("/log/a.log", "1\n")
        scene.files.put("/log/b.log", "2\n")
        scene.files.overflow_hints()
        scene.advance(0.1)
        assert scene.text() == b"0\n1\n2\n"


@pytest.mark.parametrize(
    ("call", "number", "limit"),
    [
        ("watch", errno.EMFILE, "max_user_instances"),
        ("add", errno.ENOSPC, "max_user_watches"),
    ],
)
def test_a_limit_of_the_system_is_named_once_and_files_are_polled(
    call: str, number: int, limit: str
) -> None:
    scene = Scene("/log/*.log", "/more/*.log")
    scene.files.mkdir("/more")
    scene.files.failing[call] = number
    with scene:
        for count in range(8):
            scene.files.append("/log/a.log", f"{count}\n")
            scene.files.append("/more/a.log", f"{count}\n")
            begin = scene.now
            scene.advance(1.3)
            assert all(each.when - begin <= 0.25 for each in scene.heard)
            assert scene.text() == b"%d\n%d\n" % (count, count)
        (warning,) = [each for each in scene.warnings() if "hints" in each]
        assert limit in warning
        assert "0.25 s" in warning


def test_a_network_file_system_is_only_polled() -> None:
    scene = Scene("/log/*.log", "/net/*.log")
    scene.files.put("/net/a.log", "0\n")
    scene.files.network_directories.add("/net")
    with scene:
        assert lone_line(scene) <= 0.25  # even where hints would come: not all are watched
        assert scene.files.watched == {"/log"}
        scene.files.append("/net/a.log", "1\n")
        begin = scene.now
        scene.advance(1.0)
        (heard,) = scene.heard[1:]
        assert 0.0 < heard.when - begin <= 0.25


def test_a_network_file_system_with_a_new_number_has_the_same_files(monkeypatch) -> None:
    scene = Scene(state=True)
    scene.files.network_directories.add("/log")
    with scene:
        scene.files.put("/log/a.log", "one\n")
        scene.advance(2.0)
        scene.stop()
        monkeypatch.setattr("zenactors.testing._files.node.DEVICE", 77)
        scene.files.append("/log/a.log", "two\n")  # it is described anew
        assert scene.files.stat("/log/a.log").st_dev == 77
        scene.start_again()
        scene.advance(2.0)
        assert scene.text() == b"one\ntwo\n"


def test_a_handle_that_the_server_has_lost_is_opened_again() -> None:
    with Scene(notifications=False) as scene:
        scene.files.network_directories.add("/log")
        scene.files.put("/log/a.log", "one\n")
        scene.advance(1.0)
        scene.files.failing["pread"] = errno.ESTALE
        scene.files.append("/log/a.log", "two\n")
        scene.advance(1.0)
        assert scene.files.open_descriptors() == []
        opened = scene.files.calls.count("open")
        del scene.files.failing["pread"]
        scene.advance(1.0)
        assert scene.files.calls.count("open") > opened
        assert scene.text() == b"one\ntwo\n"


def busy_second(scene: Scene, *, writes: int) -> tuple[int, float]:
    """Let lines come in many small writes for a second.

    Returns:
        How often the file was read, and how many seconds the latest line took.
    """
    scene.files.put("/log/a.log", "begin\n")
    scene.advance(2.0)
    scene.take()
    before = scene.files.calls.count("pread")
    written = {}
    for _ in range(writes):
        written[scene.files.stat("/log/a.log").st_size] = scene.now
        scene.files.append("/log/a.log", b"x\n" * (LINES // writes))
        scene.advance(1.0 / writes)
    reads = scene.files.calls.count("pread") - before
    scene.advance(1.0)
    late = [
        heard.when - written[offset]
        for heard in scene.heard
        for offset in heard.lines.offsets()
        if offset in written
    ]
    assert len(late) == writes
    return reads, max(late)


@pytest.mark.parametrize("notifications", [True, False])
@pytest.mark.parametrize("writes", [1_000, 2_500])
def test_while_lines_keep_coming_reads_do_not_depend_on_their_number(
    notifications: bool,  # noqa: FBT001 - by name
    writes: int,
) -> None:
    with Scene(notifications=notifications) as scene:
        reads, late = busy_second(scene, writes=writes)
        assert reads <= 1.1 / 0.002
        assert late <= (0.003 if notifications else 0.25)
        assert scene.text() == b"x\n" * LINES


def test_a_quiet_file_is_not_read() -> None:
    with Scene() as scene:
        scene.files.put("/log/a.log", "begin\n")
        scene.advance(5.0)
        before = len(scene.files.calls)
        scene.advance(100.0)
        calls = scene.files.calls[before:]
        assert "pread" not in calls
        assert len(calls) <= 5 * 100  # a look a second


@pytest.mark.parametrize("notifications", [True, False])
def test_what_comes_late_to_a_renamed_file_comes_before_the_new_one(*, notifications: bool) -> None:
    with Scene(notifications=notifications) as scene:
        scene.files.put("/log/a.log", "1\n")
        scene.advance(2.0)
        scene.files.rename("/log/a.log", "/log/a.log.1")
        scene.files.put("/log/a.log")
        scene.advance(3.1)
        scene.files.append("/log/a.log.1", "2\n")
        scene.files.append("/log/a.log", "3\n")
        scene.advance(3.0)
        assert scene.text() == b"1\n2\n3\n"


def test_with_hints_a_turn_does_not_look_at_files_that_had_data_earlier():
    with Scene("/log/*.log") as scene:
        for text in ("line\n", "more\n"):
            for number in range(50):
                scene.files.append(f"/log/{number}.log", text)
            scene.advance(3)
        before = scene.files.calls.count("pread")
        for _ in range(20):
            scene.files.append("/log/0.log", "one\n")
            scene.advance(0.05)

        assert scene.files.calls.count("pread") - before < 200
