"""`DirectoryQueue`: each file is handed on, and ends where it belongs."""

from __future__ import annotations

import errno
import json
from collections import Counter
from typing import Any

import pytest

from tests.sweeps import swept
from zenactors import RestartComponent, Supervision, ZenDaemonComponent, handles
from zenactors.components import DirectoryQueue, JsonLinesWriter, Lines, enqueue
from zenactors.errors import ComponentStartError
from zenactors.testing import (
    Crash,
    Harness,
    Kill,
    PowerFailure,
    Probe,
    ProcessCrashed,
    VirtualFiles,
)


class Holder(ZenDaemonComponent):
    """A sink that finishes its events only when a test says so."""

    def __init__(self, name: str = "Holder") -> None:
        super().__init__(name=name)
        self.held: list[tuple[Any, Any]] = []

    @property
    def args(self) -> list[Any]:
        return [args for args, _ in self.held]

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.held.append((args, daemon.hold()))

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        for _, hold in self.held:
            hold.release()
        self.held.clear()

    @handles("release_last")
    def cbk_event_release_last(self, daemon: Any, args: Any) -> None:
        self.held.pop()[1].release()

    @handles("fail")
    def cbk_event_fail(self, daemon: Any, args: Any) -> None:
        for _, hold in self.held:
            hold.fail()
        self.held.clear()


class Refusing(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        raise ValueError("no such city")


def prepared(**contents: str) -> VirtualFiles:
    """Return files with these in `q/incoming`; two underscores make a dot."""
    files = VirtualFiles()
    files.put("q/incoming/.directory")  # which is on the disk, too
    for name, content in contents.items():
        files.put(f"q/incoming/{name.replace('__', '.')}", content)
    return files


def names(files: VirtualFiles, directory: str) -> list[str]:
    """Return the names of the files in a directory of the queue, without locks."""
    return [name for name in files.entries(f"q/{directory}") if not name.startswith(".")]


def situation(files: VirtualFiles) -> dict[str, list[str]]:
    return {each: names(files, each) for each in ("incoming", "pending", "done", "errors")}


EMPTY: dict[str, list[str]] = {"incoming": [], "pending": [], "done": [], "errors": []}


def lines_of(probe: Probe) -> list[bytes]:
    return [line for _, args in probe.received for line in args.lines()]


# --- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("path", "", "path is '', but the path of a directory is expected."),
        ("path", 3, "path is 3, but the path of a directory is expected."),
        ("path", "a\0", "path has a null character"),
        ("content", "text", 'is \'text\', but "lines", "records" or "path" is expected.'),
        ("keep_done", 1, "keep_done is 1, but true or false is expected."),
        ("notifications", "no", "notifications is 'no', but true or false is expected."),
        ("max_files", 0, "max_files is 0, but a whole number of at least 1 is expected."),
        ("max_line_bytes", -1, "max_line_bytes is -1, but a whole number of at least 1"),
        ("poll_interval", 0, "poll_interval is 0, but a number of seconds above 0 is expected."),
    ],
)
def test_a_wrong_option_is_refused(option, value, message):
    with pytest.raises(ValueError, match=r"expected|null character") as caught:
        DirectoryQueue(**{"path": "q", option: value})
    assert message in str(caught.value)


# --- the way of a file ----------------------------------------------------------------------


def test_files_come_by_name_and_go_to_done(zen_harness):
    files = prepared(b__txt="three\n", a__txt="one\ntwo\n")
    harness = zen_harness([DirectoryQueue(path="q"), probe := Probe("lines")], files=files)
    harness.run_until_idle()

    assert lines_of(probe) == [b"one", b"two", b"three"]
    assert probe.received[0][1].path == "q/incoming/a.txt"
    assert situation(files) == {**EMPTY, "done": ["a.txt", "b.txt"]}
    assert harness.component("DirectoryQueue").statistics_cur == {
        "claimed": 2,
        "recovered": 0,
        "events": 2,
        "bytes": 14,
        "done": 2,
    }


def test_only_complete_files_are_taken(zen_harness):
    files = prepared(x__tmp="half", __hidden="half")
    files.put("q/incoming/directory/inside", "no\n")
    harness = zen_harness([DirectoryQueue(path="q"), probe := Probe("lines")], files=files)
    harness.advance(5)
    assert probe.received == []
    files.rename("q/incoming/x.tmp", "q/incoming/x")
    harness.run_until_idle()
    assert lines_of(probe) == [b"half"]
    assert names(files, "incoming") == ["directory"]


@pytest.mark.parametrize("hints", [True, False])
def test_new_files_are_found_by_hints_or_by_looking(zen_harness, hints):
    files = prepared()
    queue = DirectoryQueue(path="q", poll_interval=3.0, notifications=hints)
    harness = zen_harness([queue, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    enqueue("q", "a", b"one\n", files=files)
    harness.run_until_idle()
    assert lines_of(probe) == ([b"one"] if hints else [])
    harness.advance(3)
    assert lines_of(probe) == [b"one"]


def test_records_are_the_objects_of_json_lines(zen_harness):
    files = prepared(a='{"n": 1}\n\n{"n": 2}\n')
    queue = DirectoryQueue(path="q", content="records")
    harness = zen_harness([queue, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    assert probe.received == [("lines", [{"n": 1}, {"n": 2}])]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"n": 1}\n{"n"\n', "line 2 is no JSON: "),
        ("[1]\n", "line 1 is JSON, but no object"),
        ('{"text": "' + "x" * 100 + '"}\n', "line 1 is longer than max_line_bytes"),
        ("[" * 60 + "\n", "line 1 is no JSON: "),
    ],
)
def test_a_file_with_a_line_that_is_no_record_goes_to_errors(zen_harness, content, reason):
    files = prepared(a=content, b='{"n": 2}\n')
    queue = DirectoryQueue(path="q", content="records", max_line_bytes=80)
    harness = zen_harness([queue, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    assert probe.received == [("lines", [{"n": 2}])]
    assert situation(files) == {**EMPTY, "done": ["b"], "errors": ["a", "a.why.json"]}
    why = json.loads(files.content("q/errors/a.why.json"))
    assert why["reason"].startswith(reason)
    assert (why["file"], why["attempt"]) == ("a", 1)


def test_only_the_path_is_handed_on_and_the_file_is_there_until_it_is_done(zen_harness):
    files = prepared(a="123")
    queue = DirectoryQueue(path="q", content="path")
    harness = zen_harness([queue, holder := Holder()], files=files)
    harness.run_until_idle()
    ((record,),) = holder.args
    assert (record["name"], record["size"]) == ("a", 3)
    assert files.content(record["path"]) == b"123"
    harness.queue.schedule("release")
    harness.run_until_idle()
    assert situation(files) == {**EMPTY, "done": ["a"]}


def test_files_that_are_done_are_deleted_on_demand(zen_harness):
    files = prepared(a="1\n")
    harness = zen_harness([DirectoryQueue(path="q", keep_done=False), Probe("lines")], files=files)
    harness.run_until_idle()
    assert situation(files) == EMPTY


def test_a_large_file_comes_in_parts_and_is_done_when_all_are(zen_harness):
    text = "".join(f"{number:07}\n" for number in range(100_000))
    files = prepared(a=text)
    harness = zen_harness([DirectoryQueue(path="q"), holder := Holder()], files=files)
    harness.run_until_idle()
    assert len(holder.args) == 4
    assert b"".join(each.data for each in holder.args).decode() == text
    assert all(each.complete and each.data.endswith(b"\n") for each in holder.args)
    harness.queue.schedule("release_last")
    harness.run_until_idle()
    assert len(names(files, "pending")) == 1
    harness.queue.schedule("release")
    harness.run_until_idle()
    assert situation(files) == {**EMPTY, "done": ["a"]}


def test_a_line_that_is_too_long_comes_in_pieces(zen_harness):
    files = prepared(a="x" * 25 + "\nshort\n")
    queue = DirectoryQueue(path="q", max_line_bytes=10)
    harness = zen_harness([queue, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    parts: list[Lines] = [args for _, args in probe.received]
    assert [part.data for part in parts if not part.complete] == [b"x" * 10, b"x" * 10, b"xxxxx\n"]
    assert b"".join(part.data for part in parts) == b"x" * 25 + b"\nshort\n"


def test_memory_is_bounded_however_large_a_file_is(zen_harness):
    files = prepared(a="x" * 99 + "\n")
    files.put("q/incoming/big", ("x" * 99 + "\n") * 200_000)
    harness = zen_harness([DirectoryQueue(path="q"), holder := Holder()], files=files)
    harness.run_until_idle()
    assert 7 << 20 < sum(len(each.data) for each in holder.args) <= (8 << 20) + (256 << 10)
    seen = 0
    while holder.held:
        seen += sum(len(each.data) for each in holder.args)
        harness.queue.schedule("release")
        harness.run_until_idle()
    assert seen == 20_000_100
    assert situation(files) == {**EMPTY, "done": ["a", "big"]}


def test_no_more_files_are_claimed_than_allowed(zen_harness):
    files = prepared(**{f"f{number}": "x\n" for number in range(6)})
    harness = zen_harness([DirectoryQueue(path="q", max_files=2), holder := Holder()], files=files)
    harness.run_until_idle()
    assert len(names(files, "pending")) == len(holder.held) == 2
    for _ in range(3):
        harness.queue.schedule("release")
        harness.run_until_idle()
    assert situation(files) == {**EMPTY, "done": [f"f{number}" for number in range(6)]}


def test_an_empty_file_is_done_at_once(zen_harness):
    files = prepared(a="")
    harness = zen_harness([DirectoryQueue(path="q"), probe := Probe("lines")], files=files)
    harness.run_until_idle()
    assert probe.received == []
    assert situation(files) == {**EMPTY, "done": ["a"]}


def test_a_file_never_replaces_another_one_of_its_name(zen_harness):
    files = prepared()
    harness = zen_harness([DirectoryQueue(path="q"), Probe("lines")], files=files)
    for number in range(12):
        enqueue("q", "a", b"%d\n" % number, files=files)
        harness.run_until_idle()
    kept = [files.content(f"q/done/{name}") for name in names(files, "done")]
    assert sorted(kept) == sorted(b"%d\n" % number for number in range(12))
    assert {"a", "a~2", "a~9"} < set(names(files, "done"))


# --- what fails -----------------------------------------------------------------------------


def test_a_file_of_which_a_part_failed_goes_to_errors_with_the_reason(zen_harness):
    files = prepared(a="1\n")
    harness = zen_harness([DirectoryQueue(path="q"), Refusing()], files=files)
    harness.run_until_idle()
    assert situation(files) == {**EMPTY, "errors": ["a", "a.why.json"]}
    why = json.loads(files.content("q/errors/a.why.json"))
    assert why["reason"] == "part 1 failed in Refusing: no such city"
    (letter,) = harness.dead_letters()
    assert letter.position == {"file": "a", "part": 1}


def test_a_sink_may_fail_a_file_without_a_dead_letter(zen_harness):
    files = prepared(a="1\n")
    harness = zen_harness([DirectoryQueue(path="q"), Holder()], files=files)
    harness.run_until_idle()
    harness.queue.schedule("fail")
    harness.run_until_idle()
    assert json.loads(files.content("q/errors/a.why.json"))["reason"] == "part 1 failed"


def test_a_symbolic_link_is_not_followed(zen_harness, tmp_path):
    (tmp_path / "secret").write_text("x\n")
    (tmp_path / "q/incoming").mkdir(parents=True)
    (tmp_path / "q/incoming/a").symlink_to(tmp_path / "secret")
    queue = DirectoryQueue(path=str(tmp_path / "q"))
    harness = zen_harness([queue, probe := Probe("lines")])
    harness.run_until_idle()
    assert probe.received == []
    assert (tmp_path / "q/errors/a").is_symlink()
    assert (tmp_path / "q/errors/a.why.json").exists()


def test_a_claimed_file_that_cannot_be_looked_at_is_taken_again(zen_harness):
    files = prepared(a="one\n")
    fault = Crash(point="file", event="stat", nth=2, error=OSError(errno.EIO, "broken"))
    harness = zen_harness(
        [DirectoryQueue(path="q"), probe := Probe("lines")], files=files, faults=[fault]
    )
    harness.advance(5)

    assert lines_of(probe) == [b"one"]
    assert situation(files) == {**EMPTY, "done": ["a"]}
    (error,) = [each.message for each in harness.logs if each.level == "ERROR"]
    assert error.startswith("Cannot take a: broken")


def test_a_file_whose_status_cannot_be_read_is_closed(zen_harness):
    files = prepared(a="one\n")
    fault = Crash(point="file", event="fstat", nth=1, error=OSError(errno.EIO, "broken"))
    harness = zen_harness([DirectoryQueue(path="q"), Probe("lines")], files=files, faults=[fault])
    harness.run_until_idle()

    assert "a" in situation(files)["errors"]
    assert [path for _, path in files.open_descriptors() if path.endswith("a")] == []


def test_a_file_that_cannot_be_read_goes_to_errors(zen_harness):
    files = prepared(a="1\n", b="2\n")
    failure = OSError(errno.EIO, "Input/output error")
    faults = [Crash(point="file", component="DirectoryQueue", event="read", nth=1, error=failure)]
    harness = zen_harness(
        [DirectoryQueue(path="q"), probe := Probe("lines")], files=files, faults=faults
    )
    harness.run_until_idle()
    assert lines_of(probe) == [b"2"]
    why = json.loads(files.content("q/errors/a.why.json"))
    assert why["reason"] == "it cannot be read: Input/output error"


def test_a_file_that_cannot_be_moved_is_moved_later(zen_harness):
    files = prepared(a="1\n")
    full = OSError(errno.ENOSPC, "No space left on device")
    faults = [Crash(point="file", event="rename_exclusive", nth=1, error=full)]
    harness = zen_harness(
        [DirectoryQueue(path="q"), probe := Probe("lines")], files=files, faults=faults
    )
    harness.run_until_idle()
    assert names(files, "done") == []
    assert [each.message for each in harness.logs if each.level == "ERROR"] == [
        "Cannot move a: No space left on device. Free some space; it is tried again"
    ]
    harness.advance(1)
    assert names(files, "done") == ["a"]
    assert lines_of(probe) == [b"1"]


def test_a_directory_that_cannot_be_listed_is_listed_later(zen_harness):
    files = prepared(a="1\n")
    failure = OSError(errno.EIO, "Input/output error")
    faults = [Crash(point="file", event="entries", nth=2, error=failure)]
    harness = zen_harness(
        [DirectoryQueue(path="q"), probe := Probe("lines")], files=files, faults=faults
    )
    harness.run_until_idle()
    assert probe.received == []
    harness.advance(1)
    assert lines_of(probe) == [b"1"]


def test_a_directory_that_cannot_be_made_is_one_clear_line():
    files = VirtualFiles()
    files.put("q", "a file")
    harness = Harness([DirectoryQueue(path="q"), Probe("lines")], files=files)
    with pytest.raises(ComponentStartError) as caught, harness:
        pass
    assert str(caught.value.__cause__).startswith("Cannot use q as a queue: Not a directory. ")


def test_a_stop_puts_back_what_is_not_done():
    files = prepared(a="1\n", b="2\n")
    components = [DirectoryQueue(path="q"), Holder()]
    with Harness(components, files=files) as harness:
        harness.run_until_idle()
        assert len(names(files, "pending")) == 2
    assert situation(files) == {**EMPTY, "incoming": ["a", "b"]}
    assert files.entries("q/pending") == {}


def test_a_stop_never_replaces_a_new_file_of_that_name():
    files = prepared(a="old\n")
    with Harness([DirectoryQueue(path="q"), Holder()], files=files) as harness:
        harness.run_until_idle()
        enqueue("q", "a", b"new\n", files=files)
    assert files.content("q/incoming/a") == b"new\n"
    with Harness([DirectoryQueue(path="q"), probe := Probe("lines")], files=files) as harness:
        harness.run_until_idle()
    assert lines_of(probe) == [b"old", b"new"]
    assert situation(files) == {**EMPTY, "done": ["a", "a~2"]}


class Anew(Holder):
    """A sink that is made anew on demand, while it has events."""

    supervision = Supervision(on_error="restart", delay=0.1)

    @handles("anew")
    def cbk_event_anew(self, daemon: Any, args: Any) -> None:
        raise RestartComponent("as told")


def test_what_a_component_has_left_undone_comes_again_but_not_for_ever(zen_harness):
    files = prepared(a="1\n")
    harness = zen_harness([DirectoryQueue(path="q"), Anew("sink")], files=files)
    for _ in range(3):
        harness.advance(0.5)
        assert len(harness.component("sink").held) == 1
        harness.queue.schedule("anew")
        harness.advance(0.5)
    assert situation(files) == {**EMPTY, "errors": ["a", "a.why.json"]}
    why = json.loads(files.content("q/errors/a.why.json"))
    assert "made anew 3 times" in why["reason"]
    assert [letter.event for letter in harness.dead_letters()].count("lines") == 1


# --- several processes ----------------------------------------------------------------------


def test_two_workers_share_the_files_and_none_comes_twice(zen_harness):
    files = prepared(**{f"f{number:02}": f"{number}\n" for number in range(20)})
    one = DirectoryQueue(path="q", name="one", max_files=1)
    two = DirectoryQueue(path="q", name="two", max_files=1)
    harness = zen_harness([one, two, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    assert sorted(map(int, lines_of(probe))) == list(range(20))
    assert situation(files)["done"] == [f"f{number:02}" for number in range(20)]
    assert min(each.statistics_cur["claimed"] for each in (one, two)) > 0


def test_what_a_living_worker_has_is_not_taken(zen_harness):
    files = prepared(a="1\n")
    one = DirectoryQueue(path="q", name="one", event_map={"lines": "held"})
    two = DirectoryQueue(path="q", name="two")
    harness = zen_harness([one, HeldEvents(), two, probe := Probe("lines")], files=files)
    harness.advance(60)
    assert probe.received == []
    assert len(names(files, "pending")) == 1


class HeldEvents(ZenDaemonComponent):
    @handles("held")
    def cbk_event_held(self, daemon: Any, args: Any) -> None:
        self.hold = daemon.hold()


def test_what_a_dead_process_had_is_taken_first_and_alone():
    files = prepared(b="b\n", c="c\n")
    with Harness([DirectoryQueue(path="q", max_files=2), Holder()], files=files) as harness:
        harness.run_until_idle()
        enqueue("q", "a", b"a\n", files=files)
        harness.kill()
        components: list[Any] = [DirectoryQueue(path="q", max_files=2), Holder()]
        with harness.next_life(components) as after:
            order = []
            for _ in range(3):
                after.run_until_idle()
                order.append([line for args in components[1].args for line in args.lines()])
                after.queue.schedule("release")
            after.run_until_idle()
            assert order == [[b"b"], [b"c"], [b"a"]]
            assert situation(after.files) == {**EMPTY, "done": ["a", "b", "c"]}
            assert components[0].statistics_cur["recovered"] == 2
            after.advance(2)
            assert len(after.files.entries("q/pending")) == 1  # no lock but its own


def test_what_a_dead_process_had_waits_until_no_other_file_is_under_way(zen_harness):
    files = prepared(b="b\n")
    harness = zen_harness([DirectoryQueue(path="q"), holder := Holder()], files=files)
    harness.run_until_idle()
    files.put("q/pending/0123456789abcdef.1.a", "a\n")  # without a lock: its owner is dead
    enqueue("q", "c", b"c\n", files=files)
    harness.advance(5)
    assert [each.data for each in holder.args] == [b"b\n"]
    harness.queue.schedule("release")
    harness.run_until_idle()
    assert [each.data for each in holder.args] == [b"a\n"]


def test_a_file_with_two_names_because_of_a_kill_is_handed_on_once(zen_harness, tmp_path):
    queue = tmp_path / "q"
    for directory in ("incoming", "pending", "done"):
        (queue / directory).mkdir(parents=True)
    for end in ("incoming", "done"):  # the process died while it renamed the file
        (queue / end / end).write_text(f"{end}\n")
        (queue / f"pending/0123456789abcdef.1.{end}").hardlink_to(queue / end / end)
    (queue / "incoming/mine").write_text("mine\n")
    (tmp_path / "elsewhere").hardlink_to(queue / "incoming/mine")  # which is the producer's affair
    harness = zen_harness([DirectoryQueue(path=str(queue)), probe := Probe("lines")])
    harness.run_until_idle()
    assert lines_of(probe) == [b"incoming", b"mine"]
    assert sorted(path.name for path in queue.glob("done/*")) == ["done", "incoming", "mine"]


def test_a_file_that_kills_three_processes_goes_to_errors_and_no_other_does():
    files = prepared(a="fine\n", b="deadly\n", c="fine\n")
    harness = Harness([DirectoryQueue(path="q"), Holder()], files=files)
    for _ in range(5):
        with harness:
            holder = harness.component("Holder")
            harness.run_until_idle()
            while holder.held and b"deadly\n" not in [each.data for each in holder.args]:
                harness.queue.schedule("release")
                harness.run_until_idle()
            if not holder.held:
                break
            harness.kill()
        harness = harness.next_life([DirectoryQueue(path="q"), Holder()])
    assert len(harness.lives) == 4
    assert situation(harness.files) == {
        **EMPTY,
        "done": ["a", "c"],
        "errors": ["b", "b.why.json"],
    }
    why = json.loads(harness.files.content("q/errors/b.why.json"))
    assert why["reason"] == "3 processes died while they had it"


# --- crashes --------------------------------------------------------------------------------


CONTENTS = {f"f{number}": f'{{"n": {number}}}\n{{"n": {number}.5}}\n' for number in range(4)}


def survive(fault: Kill, seed: int | None = None) -> tuple[int, VirtualFiles]:
    """Return how many lives the queue needed, and the files at the end."""

    def build() -> list[Any]:
        queue = DirectoryQueue(path="q", content="records", max_files=2)
        return [queue, JsonLinesWriter(path="out")]

    files = prepared(**CONTENTS)
    harness = Harness(build(), files=files, faults=[fault], seed=seed)
    while True:
        try:
            with harness:
                harness.advance(10)
            return len(harness.lives), harness.files
        except ProcessCrashed:
            harness = harness.next_life(build())


def assert_nothing_is_lost(files: VirtualFiles) -> None:
    assert situation(files) == {**EMPTY, "done": list(CONTENTS)}
    assert {name: files.content(f"q/done/{name}").decode() for name in CONTENTS} == CONTENTS
    written = Counter(files.content("out").splitlines())
    assert {json.loads(line)["n"] for line in written} == {n / 2 for n in range(8)}


@swept("step", [3], soak=[1])
@pytest.mark.parametrize("kind", [Kill, PowerFailure])
def test_no_file_is_lost_whichever_call_the_process_dies_in(kind, step):
    deaths = 0
    for nth in range(1, 60, step):
        lives, files = survive(kind(point="file", component="DirectoryQueue", nth=nth))
        assert situation(files) == {**EMPTY, "done": list(CONTENTS)}, nth
        if kind is Kill:  # the writer does not sync
            assert_nothing_is_lost(files)
        deaths += lives - 1
    assert deaths * step > 20


@swept("count", [8], soak=[50])
def test_no_file_is_lost_if_processes_die_often(count):
    deaths = 0
    for seed in range(count):
        lives, files = survive(Kill(point="step", chance=0.02), seed=seed)
        done, failed = names(files, "done"), names(files, "errors")
        assert sorted(done + [each for each in failed if "why" not in each]) == list(CONTENTS)
        deaths += lives - 1
    assert deaths > count // 2
