"""`daemon.state_store()`: one file for each component, in a directory that one daemon uses."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from zenactors import (
    ComponentStartError,
    Dispatcher,
    Replicas,
    RestartComponent,
    Supervision,
    ZenDaemon,
    ZenDaemonComponent,
    handles,
)
from zenactors.actors.state_directory import LONGEST_NAME, StateDirectory, file_name
from zenactors.components._state_store import StateStore
from zenactors.errors import EXIT_START_FAILED, StateStoreError
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles


class Counter(ZenDaemonComponent):
    """It counts events over all its runs."""

    supervision = Supervision(delay=0.0)

    def setup(self, daemon: Any) -> None:
        self.store = daemon.state_store()
        self.count = self.store.value or 0

    @handles("count")
    def cbk_event_count(self, daemon: Any, args: Any) -> None:
        self.count += 1
        self.store.save(self.count)
        if args == "restart":
            raise RestartComponent("as asked")


def run_with(files: VirtualFiles, *components: Any, events: int = 1, args: Any = None) -> Harness:
    with Harness(components, files=files, state_dir="/state") as harness:
        for _ in range(events):
            harness.queue.schedule("count", args)
            harness.advance(1.0)
    return harness


def value_of(files: VirtualFiles, name: str) -> Any:
    return StateStore(f"/state/{name}", files=files).value


def test_a_component_finds_what_it_saved_in_an_earlier_run() -> None:
    files = VirtualFiles()
    for _ in range(3):
        harness = run_with(files, Counter(name="c"), events=2)

    assert harness.component("c").count == value_of(files, "c.store") == 6
    assert stat.S_IMODE(files.stat("/state").st_mode) == 0o700
    assert files.paths() == ["/state/c.store", "/state/lock"]
    assert files.open_descriptors() == []


def test_an_incarnation_goes_on_where_the_one_before_was() -> None:
    files = VirtualFiles()
    with Harness([Counter(name="c")], files=files, state_dir="/state") as harness:
        old = harness.component("c").store
        harness.queue.schedule("count", "restart")
        harness.advance(1.0)
        with pytest.raises(RuntimeError, match="its component has opened it again"):
            old.save("late")
        harness.queue.schedule("count")
        harness.advance(1.0)
        harness.dead_letters()
        assert harness.component("c").store.generation == 2

    assert value_of(files, "c.store") == 2


def test_each_component_and_each_replica_has_a_file_of_its_own() -> None:
    class Named(Counter):
        def setup(self, daemon: Any) -> None:
            store = daemon.state_store()
            store.save(str(self))
            opened.append(store.value)

    opened = list[Any]()
    files = VirtualFiles()
    with Harness(
        [Named(name="a/b c"), Replicas(Named, 2, name="r")], files=files, state_dir="/state"
    ):
        assert len(opened) == 3

    names = ("a%2Fb%20c.store", "r%2F1.store", "r%2F2.store")
    assert [value_of(files, name) for name in names] == opened
    assert files.paths() == [f"/state/{name}" for name in (names[0], "lock", *names[1:])]


def test_names_of_files_are_safe_and_different() -> None:
    names = ["a", ".", "..", "../x", "a.store", "ä", "\udc80", "%61", "A b\n", "lock", ""]
    long = ["x" * 300, "x" * 301, "ü" * 100]
    made = [file_name(name) for name in (*names, *long)]

    assert len({*made}) == len(made)
    assert file_name("tail-access_log1") == "tail-access_log1.store"
    for each in made:
        assert each.isascii()
        assert not {"/", "\0", "\n", " "} & {*each}
        assert not each.startswith(".") or each == ".store"
        assert len(each) <= LONGEST_NAME + 30


def test_without_a_directory_the_error_names_the_key() -> None:
    with (
        pytest.raises(
            ComponentStartError, match=r"Component 'c' failed in setup: .*set state_dir$"
        ),
        Dispatcher([Counter(name="c")]),
    ):
        pytest.fail("it starts")


def test_a_daemon_is_refused_the_directory_of_another_until_that_has_stopped(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "state"
    with Dispatcher([Counter(name="c")], state_dir=directory):
        with pytest.raises(ComponentStartError) as error:
            Dispatcher([Counter(name="c")], state_dir=directory).start()
        assert "\n" not in str(error.value)
        assert f"state_dir: another daemon uses {str(directory)!r}. Stop it" in str(error.value)
    with Dispatcher([Counter(name="c")], state_dir=directory) as dispatcher:
        dispatcher.queue.schedule("count")
    assert StateStore(str(directory / "c.store")).value == 1
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    modes = [stat.S_IMODE(each.stat().st_mode) for each in directory.iterdir()]
    assert modes == [0o600, 0o600]


def test_a_forked_child_does_not_keep_the_lock(tmp_path: Path) -> None:
    dispatcher = Dispatcher([Counter(name="c")], state_dir=tmp_path)
    dispatcher.start()
    ready, child_ready = os.pipe()
    end, parent_ends = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(child_ready, b"x")
        os.close(parent_ends)
        os.read(end, 1)
        os._exit(0)
    try:
        os.read(ready, 1)
        dispatcher.stop()
        with Dispatcher([Counter(name="c")], state_dir=tmp_path) as other:
            assert other.is_open
    finally:
        for each in (parent_ends, end, ready, child_ready):
            os.close(each)
        os.waitpid(child, 0)


def test_a_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ComponentStartError) as error:
        Dispatcher([Counter(name="c")], state_dir=tmp_path / "file" / "state").start()
    assert str(error.value).startswith("Component 'c' failed in setup: ")
    assert "cannot be used: Not a directory. Choose a path whose parents are" in str(error.value)


def test_a_component_that_keeps_nothing_needs_no_directory(tmp_path: Path) -> None:
    class Plain(ZenDaemonComponent):
        @handles("count")
        def cbk_event_count(self, daemon: Any, args: Any) -> None: ...

    with Dispatcher([Plain()], state_dir=tmp_path / "state"):
        assert list(tmp_path.iterdir()) == []


def test_a_store_belongs_to_a_component_and_ends_with_the_daemon() -> None:
    files = VirtualFiles()
    with Harness([counter := Counter(name="c")], files=files, state_dir="/state") as harness:
        with pytest.raises(RuntimeError, match=r"state_store\(\) belongs to a component's own"):
            harness.daemon.state_store()
        store = counter.store
    with pytest.raises(RuntimeError, match="the daemon has stopped"):
        store.save(1)


def test_a_broken_file_is_one_line_in_the_log() -> None:
    files = VirtualFiles()
    files.put("/state/c.store", "{")
    harness = run_with(files, Counter(name="c"))

    lines = [each.message for each in harness.logs if "cannot be used" in each.message]
    assert lines == [
        "/state/c.store cannot be used: it is damaged. The component begins without it; it is now"
        " /state/c.store.broken-1"
    ]
    assert value_of(files, "c.store") == 1


def test_a_daemon_has_the_directory_in_its_configuration() -> None:
    files = VirtualFiles()
    for _ in range(2):
        daemon = ZenDaemon(
            name="d",
            components=[Counter(name="c")],
            schedule=[("count",)],
            default_state_dir="/state",
        )
        with Harness(daemon, files=files) as harness:
            harness.run()
        assert harness.status == 0
    assert value_of(files, "c.store") == 2


def test_a_daemon_without_it_does_not_start() -> None:
    with Harness(ZenDaemon(name="d", components=[Counter(name="c")])) as harness:
        harness.run()
    assert harness.status == EXIT_START_FAILED
    errors = [each.message for each in harness.logs if each.level == "ERROR"]
    assert [each.endswith("set state_dir") for each in errors] == [True]


def test_a_relative_directory_is_where_the_daemon_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    daemon = ZenDaemon(name="d", default_state_dir="kept")
    daemon.configure({})
    assert daemon.c("state_dir") == str(tmp_path / "kept")


@pytest.mark.parametrize("ending", [SystemExit(3), KeyboardInterrupt(), None])
def test_an_end_is_clean_unless_an_exception_caused_it(ending: BaseException | None) -> None:
    class Ending(ZenDaemonComponent):
        @handles("end")
        def cbk_event_end(self, daemon: Any, args: Any) -> None:
            if ending is None:
                daemon.set_done()
            else:
                raise ending

    daemon = ZenDaemon(name="d", components=[Ending()], schedule=[("end",)])
    with Harness(daemon) as harness:
        harness.run()
        harness.dead_letters()
    assert daemon.ends_cleanly is (ending is None)


def test_an_end_by_sigterm_is_clean() -> None:
    class Waiting(ZenDaemonComponent):
        def setup(self, daemon: Any) -> None:
            daemon.io.keep_alive()

    daemon = ZenDaemon(name="d", components=[Waiting()])
    with Harness(daemon) as harness:
        harness.advance(1.0)
        harness.signal(15)
        harness.run()
    assert harness.status == 0
    assert daemon.ends_cleanly


class SlowDisk(VirtualFiles):
    """While a file whose path ends in `slow` is opened, the daemon stops."""

    slow = ""
    directory: StateDirectory
    stop_ended = False

    def open(self, path: str, flags: int, mode: int = 0o777) -> int:
        if path.endswith(self.slow):
            stop = threading.Thread(target=self.directory.close, daemon=True)
            stop.start()
            stop.join(10)
            self.stop_ended = not stop.is_alive()
        return super().open(path, flags, mode)


@pytest.mark.parametrize("slow", ["/lock", "/a.store"])
def test_a_disk_that_hangs_does_not_hold_up_the_stop(slow: str) -> None:
    files = SlowDisk()
    files.slow = slow
    files.directory = StateDirectory("/state", files, threading.RLock, lambda: None)
    with pytest.raises(RuntimeError, match="The daemon has stopped"):
        files.directory.open("a")
    assert files.stop_ended
    assert not files.open_descriptors()


def test_a_store_that_could_not_be_opened_does_not_count(tmp_path: Path) -> None:
    directory = StateDirectory(str(tmp_path), None, threading.RLock, lambda: None)
    (tmp_path / "a.store").mkdir()
    with pytest.raises(StateStoreError, match="Is a directory"):
        directory.open("a")
    (tmp_path / "a.store").rmdir()
    assert [directory.open("a").generation for _ in range(2)] == [1, 2]
    directory.close()


def test_a_pipe_in_place_of_a_store_is_set_aside(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.store")
    lines = list[str]()
    assert StateStore(str(tmp_path / "a.store"), warn=lines.append).value is None
    assert "cannot be used: it is empty" in lines[0]
