"""Records, encodings, delimiters and limits, through the whole tailer."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sweeps import swept
from zenactors.components import Lines

from .tail_scene import Scene

BEGINS = r"\d"
RECORD = "1 begins\n  goes on\n"
LIMIT = 10


def test_the_last_record_comes_after_its_time() -> None:
    with Scene(multiline=BEGINS, multiline_timeout=2.0) as scene:
        scene.files.put("/log/a.log", RECORD)
        begin = scene.now
        scene.advance(10.0)
        (heard,) = scene.heard
        assert heard.lines.texts() == ["1 begins\n  goes on"]
        assert 1.9 <= heard.when - begin <= 2.5


def test_a_record_that_goes_on_in_time_is_one() -> None:
    with Scene(multiline=BEGINS, multiline_timeout=2.0) as scene:
        for _ in range(4):
            scene.files.append("/log/a.log", RECORD if not scene.heard else "")
            scene.files.append("/log/a.log", "  more\n")
            scene.advance(1.5)
        scene.advance(5.0)
        assert all(text.startswith("1 begins") for each in scene.take() for text in each.texts())


def test_records_of_two_files_are_never_mixed() -> None:
    with Scene("/log/*.log", multiline=BEGINS) as scene:
        for number in range(20):
            for name in ("a", "b", "c"):
                scene.files.append(f"/log/{name}.log", f"{number} {name}\n")
            scene.advance(0.3)
            for name in ("c", "b", "a"):
                scene.files.append(f"/log/{name}.log", f"  {name} goes on\n  {name} ends\n")
            scene.advance(0.3)
        scene.advance(10.0)
        records = [text for each in scene.take() for text in each.texts()]
    expected = [
        f"{number} {name}\n  {name} goes on\n  {name} ends"
        for number in range(20)
        for name in "abc"
    ]
    assert sorted(records) == sorted(expected)


def test_a_rotation_ends_a_record_and_the_new_file_begins_its_own() -> None:
    with Scene(multiline=BEGINS, multiline_timeout=1_000.0, rotate_wait=2.0) as scene:
        scene.files.put("/log/a.log", RECORD)
        scene.advance(1.0)
        scene.files.rename("/log/a.log", "/log/a.log.1")
        scene.files.put("/log/a.log", "  no beginning\n2\n")
        scene.advance(0.5)
        scene.files.append("/log/a.log.1", "  late\n")
        scene.advance(10.0)
        records = [text for each in scene.take() for text in each.texts()]
        assert sorted(records) == ["  no beginning", "1 begins\n  goes on\n  late"]


@pytest.mark.parametrize("state", [True, False])
def test_a_stop_hands_a_record_over_or_leaves_it_for_the_next_run(*, state: bool) -> None:
    with Scene(multiline=BEGINS, multiline_timeout=1_000.0, state=state) as scene:
        scene.files.put("/log/a.log", "0\n" + RECORD)
        scene.advance(1.0)
        scene.stop()
        before = [text for each in scene.take() for text in each.texts()]
        assert before == (["0"] if state else ["0", "1 begins\n  goes on"])
        scene.files.append("/log/a.log", "  more\n2\n")
        scene.start_again()
        scene.advance(1.0)
        if state:
            records = [text for each in scene.take() for text in each.texts()]
            assert records == ["1 begins\n  goes on\n  more"]


@pytest.mark.parametrize("nth", range(1, 60, 4))
def test_a_crash_in_the_middle_of_a_record_breaks_none(nth: int) -> None:
    records = [f"{number} begins\n  goes on {number}\n  ends {number}" for number in range(8)]
    lines = [line + "\n" for line in "\n".join(records).split("\n")]
    with Scene(multiline=BEGINS, multiline_timeout=1_000.0, state=True) as scene:
        for number, line in enumerate(lines):
            scene.files.append("/log/a.log", line)
            scene.advance(0.13)
            if number == nth % len(lines):
                scene.kill()
        scene.files.append("/log/a.log", "9\n")
        scene.advance(3.0)
        came = [text for each in scene.take() for text in each.texts()]
    assert set(came) == set(records)
    assert list(dict.fromkeys(came)) == records


@pytest.mark.parametrize("limit", ["lines", "bytes"])
def test_an_endless_record_is_cut_at_its_limit(limit: str) -> None:
    options: dict[str, Any] = (
        {"max_record_lines": 5} if limit == "lines" else {"max_line_bytes": 50}
    )
    with Scene(multiline=BEGINS, **options) as scene:
        scene.files.put("/log/a.log", "1 begins\n" + "  goes on\n" * 50)
        scene.advance(10.0)
        heard = scene.take()
    assert b"".join(each.data for each in heard) == b"1 begins\n" + b"  goes on\n" * 50
    texts = [text for each in heard for text in each.texts()]
    assert len(texts) >= 10
    assert max(text.count("\n") for text in texts) <= 5


def test_a_line_without_an_end_comes_after_its_time_and_its_rest_after_the_end() -> None:
    with Scene(line_timeout=2.0) as scene:
        scene.files.put("/log/a.log", "one\nno e")
        begin = scene.now
        scene.advance(1.0)
        assert scene.text() == b"one\n"
        scene.advance(5.0)
        (heard,) = scene.heard
        assert 1.9 <= heard.when - begin <= 2.5
        assert (heard.lines.data, heard.lines.complete) == (b"no e", False)
        scene.take()
        scene.files.append("/log/a.log", "nd\n")
        scene.advance(1.0)
        (rest,) = scene.take()
        assert (rest.data, rest.offset) == (b"nd\n", 8)


@pytest.mark.parametrize(
    ("encoding", "codec"),
    [("utf-16", "utf-16"), ("utf-16", "utf-16-be"), ("utf-8", "utf-8"), ("latin-1", "latin-1")],
)
@swept("step", [3], soak=[1, 7])
@pytest.mark.parametrize("stop", ["stop", "kill", None])
def test_a_file_that_grows_in_odd_steps_is_decoded(
    encoding: str, codec: str, step: int, stop: str | None
) -> None:
    text = "".join(f"Zeile {number} mit ä und Ċ ਊ".replace("ਊ", "") + "\n" for number in range(6))
    if encoding == "latin-1":
        text = text.replace("Ċ", "ö")
    data = text.encode(codec)
    if codec == "utf-16-be":
        data = b"\xfe\xff" + data
    with Scene(encoding=encoding, state=True) as scene:
        for at in range(0, len(data), step):
            scene.files.append("/log/a.log", data[at : at + step])
            if at % 5 == 0:
                scene.advance(0.3)
            if stop and at // step == len(data) // step // 2:
                if stop == "kill":
                    scene.kill()
                else:
                    scene.stop()
                    scene.start_again()
        scene.advance(2.0)
        heard = scene.take()
    offsets: dict[int, str] = {}
    for each in heard:
        offsets.update(zip(each.offsets(), each.texts(), strict=True))
    lines = text.splitlines()
    assert [offsets[offset] for offset in sorted(offsets)] == lines
    for offset, line in offsets.items():
        mark = 2 if encoding == "utf-16" else 0
        encoded = "\n".encode(codec).removeprefix(b"\xff\xfe").removeprefix(b"\xfe\xff")
        assert offset == 0 or data[offset - len(encoded) : offset] == encoded
        assert offset == 0 or (offset - mark) % 1 == 0
        assert line in lines


def test_bad_bytes_are_replaced_and_can_be_counted() -> None:
    with Scene() as scene:
        scene.files.put("/log/a.log", b"good\nb\xffd\n")
        scene.advance(1.0)
        (lines,) = scene.take()
    assert lines.texts() == ["good", "b\N{REPLACEMENT CHARACTER}d"]
    assert lines.bad_lines() == 1


def test_carriage_returns_are_part_of_the_line_end() -> None:
    with Scene() as scene:
        for part in (b"one\r", b"\ntwo\r\n", b"th\rree\r\n"):
            scene.files.append("/log/a.log", part)
            scene.advance(1.0)
        texts = [text for each in scene.take() for text in each.texts()]
    assert texts == ["one", "two", "th\rree"]


def test_another_delimiter_ends_lines_wherever_blocks_end() -> None:
    with Scene(delimiter="<|>") as scene:
        for part in ("one<", "|", ">two\n<|", "x<|>", "<|>"):
            scene.files.append("/log/a.log", part)
            scene.advance(1.0)
        heard = scene.take()
    assert [text for each in heard for text in each.texts()] == ["one", "two\n<|x", ""]
    assert [offset for each in heard for offset in each.offsets()] == [0, 6, 16]


def test_a_rate_limit_holds_over_time_and_over_a_restart() -> None:
    with Scene(rate_limit=100.0, state=True) as scene:
        scene.files.put("/log/a.log", "x\n" * 1_000)
        begin = scene.now
        scene.advance(4.0)
        for each in scene.heard:
            came = sum(len(h.lines) for h in scene.heard if h.when <= each.when)
            assert came <= 100 * (each.when - begin) + 10
        assert sum(len(each.lines) for each in scene.heard) >= 380
        scene.stop()
        rest = 1_000 - sum(len(each.lines) for each in scene.heard)
        scene.take()
        scene.start_again()
        scene.advance(rest / 100 + 1.0)
        assert sum(len(each) for each in scene.take()) == rest


def test_paths_that_a_glob_excludes_are_not_read() -> None:
    with Scene("/log/**/*.log", exclude=["/log/*/debug*.log", "/log/b.log"]) as scene:
        for path in ("a.log", "b.log", "x/debug.log", "x/debug2.log", "x/c.log"):
            scene.files.put(f"/log/{path}", f"{path}\n")
        scene.advance(3.0)
        scene.files.rename("/log/a.log", "/log/x/debug3.log")
        scene.files.append("/log/x/debug.log", "more\n")
        scene.advance(3.0)
        assert sorted(scene.text().split()) == [b"a.log", b"x/c.log"]


@pytest.mark.parametrize("stop", ["stop", "kill"])
@pytest.mark.parametrize("at", [4, 15, 25, 33, 37])
@pytest.mark.parametrize(
    ("long_lines", "statistic"),
    [("truncate", "lines_truncated"), ("split", "lines_split"), ("skip", "lines_skipped")],
)
def test_a_restart_in_the_middle_of_a_long_line_breaks_nothing(
    long_lines: str, statistic: str, at: int, stop: str
) -> None:
    long = b"".join(b"%02d" % number for number in range(16)) + b"\n"
    data = b"one\n" + long + b"two\nthree\n"
    with Scene(max_line_bytes=LIMIT, long_lines=long_lines, state=True) as scene:
        scene.files.put("/log/a.log", data[:at])
        scene.advance(2.0)
        counted = scene.statistic(statistic)
        if stop == "kill":
            scene.kill()
        else:
            scene.stop()
            scene.start_again()
        scene.files.append("/log/a.log", data[at:])
        scene.advance(2.0)
        assert 1 <= counted + scene.statistic(statistic) <= 2
        came: dict[int, Lines] = {each.offset: each for each in scene.take()}
    whole = b"".join(came[offset].data for offset in sorted(came))
    expected = {
        "split": data,
        "skip": b"one\ntwo\nthree\n",
        "truncate": b"one\n" + long[:LIMIT] + b"\ntwo\nthree\n",
    }
    assert whole == expected[long_lines]
