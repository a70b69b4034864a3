from __future__ import annotations

import concurrent.futures
import logging
import multiprocessing.resource_tracker
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.actors.fakes import Gate
from zenactors.testing import _leaks as leaks
from zenactors.testing._leaks import Child, Descriptor, Running, Watch, present, stack_of

WAITING = "input()"  # a program that waits until its standard input is closed


@pytest.fixture(autouse=True)
def without_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 0.0)


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch, without_patience: None) -> None:
    monkeypatch.setattr(leaks, "PATIENCE", 10.0)


@pytest.fixture
def watch() -> Watch:
    watch = Watch()
    watch.begin()
    return watch


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


@pytest.fixture
def zombie() -> Iterator[int]:
    pid = os.posix_spawn("/bin/true", ["true"], {})
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    yield pid
    os.waitpid(pid, 0)


def opened(path: Path | str = os.devnull) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o600)


def test_nothing_is_left_where_nothing_came(watch: Watch) -> None:
    assert watch.end() == []


# --- threads ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("daemon", "said"), [(False, ""), (True, " (daemon=True)")])
def test_a_thread_is_named_with_its_stack(
    watch: Watch, gate: Gate, *, daemon: bool, said: str
) -> None:
    thread = threading.Thread(target=gate, name="busy", daemon=daemon)
    thread.start()
    gate.await_entered()
    (leak,) = watch.end()
    described = str(leak)
    gate.open()
    thread.join()
    assert leak == Running(thread)
    assert described.startswith(f"thread 'busy'{said} runs:\n")
    assert "self.opened.wait(DEADLINE)" in described


def test_the_stack_of_a_thread_shows_where_it_hangs(gate: Gate) -> None:
    thread = threading.Thread(target=gate)
    thread.start()
    gate.await_entered()
    assert "self.opened.wait(DEADLINE)" in stack_of(thread)
    gate.open()
    thread.join()
    assert stack_of(thread) == ""


def test_a_thread_on_its_way_out_gets_the_time_for_it(
    watch: Watch, patience: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate()

    class Leaver(threading.Thread):
        """Ends only when another thread begins to join it."""

        def join(self, timeout: float | None = None) -> None:
            gate.open()
            super().join(timeout)

    Leaver(target=gate).start()
    assert watch.end() == []


def test_what_only_garbage_holds_is_no_leak(watch: Watch, patience: None) -> None:
    class Holder:
        def __init__(self) -> None:
            self.itself = self
            self.executor = concurrent.futures.ThreadPoolExecutor(1)

    Holder().executor.submit(int).result()
    assert watch.end() == []


def test_an_executor_that_is_not_shut_down_leaks(watch: Watch) -> None:
    executor = concurrent.futures.ThreadPoolExecutor(1, "pool")
    executor.submit(int).result()
    found = watch.end()
    executor.shutdown()
    assert [leak.thread.name for leak in found if isinstance(leak, Running)] == ["pool_0"]


def test_a_thread_that_was_there_before_is_no_leak(gate: Gate) -> None:
    thread = threading.Thread(target=gate)
    thread.start()
    watch = Watch()
    watch.begin()
    watch.begin()
    assert watch.end() == []
    gate.open()
    thread.join()


# --- descriptors ------------------------------------------------------------------------------


def test_a_descriptor_is_named_with_what_it_points_at(watch: Watch, tmp_path: Path) -> None:
    number = opened(tmp_path / "file")
    (leak,) = watch.end()
    assert str(leak) == f"descriptor {number} is open: {tmp_path / 'file'}"
    os.close(number)
    assert str(leak) == f"descriptor {number} is open: closed meanwhile"


def test_a_descriptor_that_was_exchanged_for_another_is_a_leak(tmp_path: Path) -> None:
    number = opened(tmp_path / "one")
    watch = Watch()
    watch.begin()
    os.close(number)
    assert opened(tmp_path / "other") == number
    found = watch.end()
    os.close(number)
    assert [leak.number for leak in found if isinstance(leak, Descriptor)] == [number]


def test_an_open_file_that_is_renamed_or_deleted_is_no_leak(tmp_path: Path) -> None:
    number = opened(tmp_path / "one")
    watch = Watch()
    watch.begin()
    (tmp_path / "one").rename(tmp_path / "two")
    (tmp_path / "two").unlink()
    assert watch.end() == []
    os.close(number)


def test_the_standard_streams_may_be_exchanged(watch: Watch, tmp_path: Path) -> None:
    kept = os.dup(0)
    number = opened(tmp_path / "file")
    os.dup2(number, 0)
    os.close(number)
    found = watch.end()
    os.dup2(kept, 0)
    os.close(kept)
    assert [leak.number for leak in found if isinstance(leak, Descriptor)] == [kept]


@pytest.mark.parametrize("path", leaks.SHARED)
def test_a_source_of_randomness_may_stay_open(watch: Watch, path: str) -> None:
    number = os.open(path, os.O_RDONLY)
    assert watch.end() == []
    os.close(number)


def test_a_log_file_may_be_opened_by_a_handler_that_was_there_before(tmp_path: Path) -> None:
    logger = logging.getLogger("zenactors.a.test")
    logger.propagate = False
    before = logging.FileHandler(tmp_path / "before", delay=True)
    logger.addHandler(before)
    watch = Watch()
    watch.begin()
    logger.addHandler(added := logging.FileHandler(tmp_path / "added", delay=True))
    logger.warning("opens both files")
    found = watch.end()
    described = list(map(str, found))
    for handler in (before, added):
        logger.removeHandler(handler)
        handler.close()
    assert [line.rpartition("/")[2] for line in described] == ["added"]


# --- children ---------------------------------------------------------------------------------


def test_a_child_that_runs_is_named(watch: Watch) -> None:
    child = subprocess.Popen([sys.executable, "-c", WAITING], stdin=subprocess.PIPE)
    assert child.stdin is not None
    found = [leak for leak in watch.end() if isinstance(leak, Child)]
    described = list(map(str, found))
    child.stdin.close()
    child.wait()
    assert found == [Child(child.pid)]
    assert described == [f"child process {child.pid} runs: {sys.executable} -c {WAITING}"]


def test_a_child_that_was_not_waited_for_is_a_leak(watch: Watch, zombie: int) -> None:
    (leak,) = watch.end()
    assert str(leak) == f"child process {zombie} (true) has ended, but was not waited for"


def test_a_child_of_another_thread_is_found(watch: Watch) -> None:
    pids: list[int] = []
    gate = Gate()
    before = set(present())  # servers of other tests, say

    def spawn() -> None:
        pids.append(os.posix_spawn("/bin/cat", ["cat", "/dev/null"], {}))
        gate()

    thread = threading.Thread(target=spawn)
    thread.start()
    gate.await_entered()
    children = [thing for thing in set(present()) - before if isinstance(thing, Child)]
    gate.open()
    thread.join()
    found = [leak for leak in watch.end() if isinstance(leak, Child)]
    os.kill(pids[0], signal.SIGKILL)
    os.waitpid(pids[0], 0)
    assert children == found == [Child(pids[0])]


def test_a_child_that_was_waited_for_is_no_leak(watch: Watch) -> None:
    subprocess.run([sys.executable, "-c", "import sys"], check=True)
    assert watch.end() == []


def test_what_multiprocessing_keeps_on_purpose_is_no_leak(watch: Watch) -> None:
    multiprocessing.resource_tracker.ensure_running()
    assert watch.end() == []


def test_a_gone_process_can_still_be_named(zombie: int) -> None:
    assert "gone meanwhile" in str(Child(2**22 + 1))  # above the largest possible PID


# --- owners, and systems without the files in /proc -------------------------------------------


def test_what_an_owner_brings_stays_until_it_is_released(watch: Watch, tmp_path: Path) -> None:
    with watch.owned_by("fixture"):
        number = opened(tmp_path / "file")
    assert watch.end() == []
    watch.begin()
    watch.release("fixture")
    watch.release("fixture")
    found = watch.end()
    os.close(number)
    assert [leak.number for leak in found if isinstance(leak, Descriptor)] == [number]


def test_what_an_owner_has_cleared_away_is_no_leak(watch: Watch, tmp_path: Path) -> None:
    with watch.owned_by("fixture"):
        number = opened(tmp_path / "file")
    os.close(number)
    watch.release("fixture")
    assert watch.end() == []


def test_a_thread_that_the_caller_reports_is_not_reported_again(watch: Watch, gate: Gate) -> None:
    thread = threading.Thread(target=gate)
    thread.start()
    watch.ignore(thread)
    assert watch.end() == []
    gate.open()
    thread.join()


def test_without_proc_only_threads_are_looked_at(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(leaks, "PROC", tmp_path)
    kinds = {type(thing) for thing in present()}
    (tmp_path / "task" / "1").mkdir(parents=True)  # a kernel without the file of children
    assert kinds == {type(thing) for thing in present()} == {Running}
