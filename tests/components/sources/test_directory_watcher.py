"""`DirectoryWatcher`: each file that is complete is reported once."""

from __future__ import annotations

import errno
import os
from typing import Any

import pytest

from tests.sweeps import swept
from zenactors import Dispatcher, RestartComponent, Supervision, ZenDaemonComponent, handles
from zenactors.components import DirectoryWatcher, JsonLinesWriter
from zenactors.testing import Crash, Harness, Kill, Probe, ProcessCrashed, VirtualFiles


def make_files(**contents: str) -> VirtualFiles:
    """Return files with these in `in`, and with a directory for states."""
    files = VirtualFiles()
    for path in ("in/.directory", "state/.directory"):
        files.put(path)
    for name, content in contents.items():
        files.put(f"in/{name}", content)
    return files


def names(probe: Probe) -> list[str]:
    return [record["name"] for _, (record,) in probe.received]


def watcher(**options: Any) -> DirectoryWatcher:
    return DirectoryWatcher(**{"patterns": ["in/*"], **options})


# --- options --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("patterns", [], "patterns is [], but at least one path or glob is expected."),
        ("patterns", "a", "patterns is 'a', but a list of paths or globs is expected"),
        ("exclude", "a", "exclude is 'a', but a list of globs is expected"),
        ("settle", 0, "settle is 0, but a number of seconds above 0 is expected."),
        ("on_close", 1, "on_close is 1, but true or false is expected."),
        ("existing", "skip", 'existing is \'skip\', but "report" or "ignore" is expected.'),
        ("changed", None, "changed is None, but true or false is expected."),
        ("max_files", 0, "max_files is 0, but a whole number of at least 1 is expected."),
        ("poll_interval", -1, "poll_interval is -1, but a number of seconds above 0"),
        ("notifications", 0, "notifications is 0, but true or false is expected."),
    ],
)
def test_a_wrong_option_is_refused(option, value, message):
    with pytest.raises(ValueError, match="expected") as caught:
        watcher(**{option: value})
    assert message in str(caught.value)


# --- when a file is complete ----------------------------------------------------------------


def test_a_file_is_reported_once_it_has_stayed_the_same(zen_harness):
    files = make_files()
    harness = zen_harness([watcher(settle=2.0), probe := Probe("lines")], files=files)
    for _ in range(3):
        files.append("in/a", "more\n")
        harness.advance(1.5)
    assert probe.received == []
    harness.advance(2)
    ((_, (record,)),) = probe.received
    assert record == {
        "path": "in/a",
        "name": "a",
        "directory": "in",
        "size": 15,
        "mtime": files.stat("in/a").st_mtime,
    }
    harness.advance(3600)
    assert len(probe.received) == 1
    assert harness.component("DirectoryWatcher").statistics_cur == {"files": 1}


def test_files_are_reported_by_path_and_others_are_left_out(zen_harness):
    files = make_files(b="", a="", c="", **{"x.part": "", "d": ""})
    files.put("in/directory/inside", "")
    component = watcher(exclude=["*.part", "in/c", "d"])
    harness = zen_harness([component, probe := Probe("lines")], files=files)
    harness.advance(4)
    assert names(probe) == ["a", "b"]


def test_a_file_that_was_renamed_into_place_is_complete_at_once_on_demand(zen_harness):
    files = make_files()
    component = watcher(settle=60.0, on_close=True)
    harness = zen_harness([component, probe := Probe("lines")], files=files)
    harness.run_until_idle()
    files.put("elsewhere", "x")
    files.rename("elsewhere", "in/a")
    fd = files.open("in/b", os.O_WRONLY | os.O_CREAT)
    harness.advance(5)
    assert names(probe) == ["a"]
    files.write(fd, b"x")
    harness.advance(5)
    files.close(fd)
    harness.run_until_idle()
    assert names(probe) == ["a", "b"]


def test_without_hints_files_are_found_by_looking(zen_harness):
    files = make_files()
    component = watcher(settle=1.0, on_close=True, poll_interval=1.0)
    harness = zen_harness([component, probe := Probe("lines")], files=files)
    files.drop_hints()
    files.put("in/a", "x")
    harness.advance(3)
    assert names(probe) == ["a"]


@pytest.mark.parametrize(("existing", "expected"), [("report", ["a", "b"]), ("ignore", ["b"])])
def test_files_that_exist_are_reported_or_ignored(zen_harness, existing, expected):
    files = make_files(a="")
    harness = zen_harness([watcher(existing=existing), probe := Probe("lines")], files=files)
    harness.advance(4)
    files.put("in/b", "")
    harness.advance(4)
    assert names(probe) == expected


@pytest.mark.parametrize("changed", [True, False])
def test_a_changed_file_is_reported_again_on_demand(zen_harness, changed):
    files = make_files(a="1")
    harness = zen_harness([watcher(changed=changed), probe := Probe("lines")], files=files)
    harness.advance(4)
    files.append("in/a", "2")
    harness.advance(4)
    assert names(probe) == (["a", "a"] if changed else ["a"])


def test_another_file_with_the_name_is_a_new_one(zen_harness):
    files = make_files(a="1", b="1")
    harness = zen_harness([watcher(), probe := Probe("lines")], files=files)
    harness.advance(4)
    files.put("new", "1")
    files.rename("new", "in/a")
    files.remove("in/b")
    harness.advance(4)
    files.put("in/b", "1")
    harness.advance(4)
    assert names(probe) == ["a", "b", "a", "b"]
    assert harness.component("DirectoryWatcher").get_state()["known"] == 2


def test_no_more_files_are_remembered_than_allowed(zen_harness):
    files = make_files(a="", b="", c="")
    harness = zen_harness([watcher(max_files=2), probe := Probe("lines")], files=files)
    harness.advance(4)
    assert names(probe) == ["a", "b"]
    errors = [each.message for each in harness.logs if each.level == "ERROR"]
    assert len(errors) == 1
    assert errors[0].startswith("There are more than 2 files: ")
    files.remove("in/a")
    harness.advance(4)
    assert names(probe) == ["a", "b", "c"]


def test_it_ends_when_all_files_are_reported_if_the_daemon_exits_when_idle(zen_harness):
    files = make_files(a="", b="")
    components = [watcher(settle=5.0), probe := Probe("lines")]
    harness = zen_harness(components, files=files, exit_when_idle=True)
    harness.run_until_idle()
    harness.advance(6)
    assert names(probe) == ["a", "b"]
    before = harness.now
    harness.advance(60)
    assert harness.now == before + 60


class Holder(ZenDaemonComponent):
    def setup(self, daemon: Any) -> None:
        self.held: list[Any] = []

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        self.held.append((args, daemon.hold()))

    @handles("release")
    def cbk_event_release(self, daemon: Any, args: Any) -> None:
        for _, hold in self.held:
            hold.release()
        self.held.clear()


def test_it_is_bounded(zen_harness):
    files = make_files(**{f"{number:03}": "" for number in range(300)})
    harness = zen_harness([watcher(), holder := Holder()], files=files)
    harness.advance(10)
    assert len(holder.held) == 256
    harness.queue.schedule("release")
    harness.advance(1)
    assert len(holder.held) == 44


def test_a_file_that_changes_while_it_is_under_way_is_reported_behind_that(zen_harness):
    files = make_files(a="1")
    harness = zen_harness([watcher(changed=True), holder := Holder()], files=files)
    harness.advance(5)
    files.append("in/a", "2")
    harness.advance(5)
    assert [args[0]["size"] for args, _ in holder.held] == [1]
    harness.queue.schedule("release")
    harness.advance(5)
    assert [args[0]["size"] for args, _ in holder.held] == [2]


# --- what fails -----------------------------------------------------------------------------


def test_a_directory_that_cannot_be_read_forgets_no_file(zen_harness):
    files = make_files(a="")
    failure = OSError(errno.EACCES, "Permission denied")
    faults = [Crash(point="file", event="stat", nth=8, error=failure)]
    harness = zen_harness([watcher(), probe := Probe("lines")], files=files, faults=faults)
    harness.advance(30)
    assert names(probe) == ["a"]
    errors = [each.message for each in harness.logs if each.level == "ERROR"]
    assert errors == [
        "Cannot look into in/a: Permission denied. Give this user permission to read it; it is"
        " tried again"
    ]


class Refusing(ZenDaemonComponent):
    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Any) -> None:
        raise ValueError("no")


def test_a_file_that_failed_is_not_reported_again(zen_harness):
    harness = zen_harness([watcher(), Refusing()], files=make_files(a=""))
    harness.advance(30)
    assert len(harness.dead_letters()) == 1
    assert harness.component("DirectoryWatcher").statistics_cur == {"failed": 1}


class Anew(Holder):
    supervision = Supervision(on_error="restart", delay=0.1)

    @handles("anew")
    def cbk_event_anew(self, daemon: Any, args: Any) -> None:
        raise RestartComponent("as told")


@pytest.mark.parametrize("state", [None, "state"])
def test_what_a_component_has_left_undone_comes_again_but_not_for_ever(zen_harness, state):
    components = [watcher(), Anew(name="sink")]
    harness = zen_harness(components, files=make_files(a=""), state_dir=state)
    harness.advance(5)
    for _ in range(3):
        assert len(harness.component("sink").held) == 1
        harness.queue.schedule("anew")
        harness.advance(1)
    assert harness.component("sink").held == []
    assert [letter.event for letter in harness.dead_letters()].count("lines") == 1


# --- from run to run ------------------------------------------------------------------------


def test_a_restart_reports_only_what_is_new():
    files = make_files(a="", b="")
    with Harness([watcher(), probe := Probe("lines")], files=files, state_dir="state") as harness:
        harness.advance(5)
        assert names(probe) == ["a", "b"]
    files.remove("in/a")
    files.put("in/c", "")
    again = Probe("lines")
    with Harness([watcher(), again], files=files, state_dir="state") as harness:
        harness.advance(5)
        assert harness.component("DirectoryWatcher").get_state()["known"] == 2
    assert names(again) == ["c"]


def test_ignored_files_are_ignored_after_a_crash_and_new_ones_are_not():
    files = make_files(a="")
    options = {"existing": "ignore"}
    first = [watcher(**options), Probe("lines")]
    with Harness(first, files=files, state_dir="state") as harness:
        harness.kill()
    after = harness.next_life([watcher(**options), probe := Probe("lines")])
    after.files.put("in/b", "")
    with after:
        after.advance(5)
    assert names(probe) == ["b"]


@swept("step", [3], soak=[1])
def test_every_file_is_reported_whichever_call_the_process_dies_in(step):
    def build() -> list[Any]:
        return [watcher(settle=0.5), JsonLinesWriter(path="out")]

    deaths = 0
    for nth in range(1, 60, step):
        files = make_files(a="", b="", c="")
        fault = Kill(point="file", nth=nth)
        harness = Harness(build(), files=files, state_dir="state", faults=[fault])
        while True:
            try:
                with harness:
                    harness.advance(5)
                break
            except ProcessCrashed:
                deaths += 1
                harness = harness.next_life(build())
        found = harness.files.content("out").decode().splitlines()
        assert {line.partition('"name":"')[2][0] for line in found if '"name":"' in line} == set(
            "abc"
        ), nth
        assert len(found) <= 3 + 3 * deaths
    assert deaths * step > 20


class SlowGlob(VirtualFiles):
    """Files of which a look takes a second."""

    looks = 0
    clock: Any = None

    def glob(self, pattern: str, unreadable: dict[str, OSError] | None = None) -> list[str]:
        self.looks += 1
        if self.clock is not None:
            self.clock.advance(1.0)
        return super().glob(pattern, unreadable)


def test_there_is_a_rest_after_a_look_that_took_long(zen_harness):
    files = SlowGlob()
    files.put("in/.directory")
    component = watcher(on_close=True, settle=500.0, poll_interval=300.0)
    harness = zen_harness([component, probe := Probe("lines")], files=files)
    files.clock = harness.clock
    for name in "abc":
        files.put("elsewhere", "")
        files.rename("elsewhere", f"in/{name}")
        harness.advance(1)
    assert names(probe) == ["a"]
    harness.advance(25)
    assert names(probe) == ["a", "b", "c"]  # no hint was forgotten
    assert files.looks == 3


# --- the real thing -------------------------------------------------------------------------


def test_on_a_real_disk(tmp_path):
    (tmp_path / "old").write_text("12")
    component = DirectoryWatcher(
        patterns=[str(tmp_path / "*")], settle=0.05, poll_interval=0.05, exclude=["*.part"]
    )
    with Dispatcher([component, probe := Probe("lines")]) as dispatcher:
        assert dispatcher is not None
        (record,) = probe.expect("lines", within=30)
        assert (record["name"], record["size"]) == ("old", 2)
        (tmp_path / "new.part").write_text("123")
        (tmp_path / "new.part").rename(tmp_path / "new")
        (record,) = probe.expect("lines", within=30)
        assert (record["path"], record["size"]) == (str(tmp_path / "new"), 3)
