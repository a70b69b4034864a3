"""Calls that hang are held at a gate; those that are to be given up get hardly any time."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.components._files import SystemFiles
from zenactors.components.tail.patient_files import PatientFiles
from zenactors.core.clock import VirtualClock

DEADLINE = 30.0  # seconds; a tenth of it is enough for a call, too
HARDLY = 1e-6  # seconds


class Gate:
    def __init__(self) -> None:
        self.reached = threading.Semaphore(0)
        self.opened = threading.Event()


class Disk(SystemFiles):
    """A real disk with mounts that can hang or fail, by operation and first argument."""

    def __init__(self, *mounts) -> None:
        self.mounts = {str(mount) for mount in mounts}
        self.gates: dict[tuple[str, object], Gate] = {}
        self.errors: dict[tuple[str, object], BaseException] = {}
        self.calls: list[tuple[str, object]] = []
        self.threads: set[threading.Thread] = set()
        self.asked: list[str] = []
        self.fds: list[int] = []
        self.closed: list[int] = []

    def hang(self, operation, first) -> Gate:
        first = str(first) if isinstance(first, os.PathLike) else first
        return self.gates.setdefault((operation, first), Gate())

    def _enter(self, operation, first) -> None:
        self.threads.add(threading.current_thread())
        self.calls.append((operation, first))
        if (operation, first) in self.errors:
            raise self.errors[operation, first]
        gate = self.gates.get((operation, first))
        if gate is not None:
            gate.reached.release()
            assert gate.opened.wait(DEADLINE)

    def is_network(self, path) -> bool:
        self.asked.append(path)
        return any(f"{path}/".startswith(f"{mount}/") for mount in self.mounts)

    def open(self, path, flags, mode=0o777) -> int:  # type: ignore[override]
        self._enter("open", path)
        fd = os.open(path, flags, mode)
        self.fds.append(fd)
        return fd

    def close(self, fd) -> None:
        self._enter("close", fd)
        os.close(fd)
        self.closed.append(fd)

    def pread(self, fd, size, offset) -> bytes:
        self._enter("pread", fd)
        return os.pread(fd, size, offset)

    def fstat(self, fd) -> os.stat_result:
        self._enter("fstat", fd)
        return os.fstat(fd)

    def stat(self, path) -> os.stat_result:  # type: ignore[override]
        self._enter("stat", path)
        return SystemFiles.stat(path)

    def lexists(self, path) -> bool:
        self._enter("lexists", path)
        return os.path.lexists(path)

    def realpath(self, path: str) -> str:
        self._enter("realpath", path)
        return os.path.realpath(path)

    def entries(self, path) -> dict[str, int]:
        self._enter("entries", path)
        with os.scandir(path) as found:
            return {entry.name: entry.inode() for entry in found}

    def glob(self, pattern, unreadable=None, **_options) -> list[str]:
        self._enter("glob", pattern)
        if unreadable is not None:
            unreadable["/closed"] = PermissionError(errno.EACCES, "Permission denied")
        return SystemFiles.glob(pattern)

    def watch(self) -> None:
        return None

    @property
    def helpers(self) -> set[threading.Thread]:
        return self.threads - {threading.current_thread()}


class World:
    """Files `a` to `f` in two network mounts and a local directory, and patient files for them."""

    def __init__(self, directory, **options) -> None:
        self.net, self.other, self.local = (directory / each for each in ("net", "other", "local"))
        for each in (self.net, self.other, self.local):
            each.mkdir()
            for name in "abcdef":
                (each / name).write_bytes(f"{each.name} {name}".encode())
        self.disk = Disk(self.net, self.other)
        self.clock = VirtualClock()
        self.files = PatientFiles(self.disk, timeout=DEADLINE, clock=self.clock, **options)
        self.late: list[threading.Event] = []

    @contextlib.contextmanager
    def impatient(self) -> Iterator[None]:
        patience, self.files.timeout = self.files.timeout, HARDLY
        try:
            yield
        finally:
            self.files.timeout = patience

    def give_up(self, operation, first, *args) -> Gate:
        """Make a call that hangs, and give it up when it does."""
        gate = self.disk.hang(operation, first)
        first = str(first) if isinstance(first, os.PathLike) else first
        with self.impatient(), refused():
            getattr(self.files, operation)(first, *args)
        assert gate.reached.acquire(timeout=DEADLINE)
        return gate

    def let_return(self, *gates) -> None:
        """Open gates, and wait until the calls that hang there have returned."""
        opened = {key for key, gate in self.disk.gates.items() if gate in gates}
        firsts = {first for _, first in opened}
        hanging = [call.returned for call in self.files._hung.values() if call.args[0] in firsts]
        for gate in gates:
            gate.opened.set()
        for key in opened:
            del self.disk.gates[key]
        assert all(returned.wait(DEADLINE) for returned in hanging)

    def open(self, path) -> int:
        return self.files.open(str(path), os.O_RDONLY)

    def end(self) -> None:
        self.let_return(*self.disk.gates.values())
        self.files.shutdown()
        for thread in threading.enumerate():  # one may not have come to the disk yet
            if thread.name == "zenactors:network-files":
                thread.join(DEADLINE)
                assert not thread.is_alive()


@contextlib.contextmanager
def refused(path=None) -> Iterator[None]:
    with pytest.raises(TimeoutError, match="network file system does not answer") as caught:
        yield
    assert caught.value.errno == errno.ETIMEDOUT
    assert path is None or caught.value.filename == str(path)


@pytest.fixture
def world(tmp_path) -> Iterator[World]:
    world = World(tmp_path)
    yield world
    world.end()


@pytest.fixture
def interrupts() -> Iterator[list[int]]:
    """The first SIGINT interrupts; others do nothing."""
    seen: list[int] = []

    def interrupt(signum: int, _frame: object) -> None:
        seen.append(signum)
        if len(seen) == 1:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, interrupt)
    yield seen
    signal.signal(signal.SIGINT, before)


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["open", "close", "pread", "stat", "glob", "hang", "return"]),
        st.sampled_from(["net/a", "net/b", "net/c", "other/a", "local/a"]),
    ),
    max_size=40,
)


@given(steps=STEPS, most_threads=st.integers(1, 4))
def test_whatever_hangs_threads_are_few_and_each_descriptor_is_closed_once(
    tmp_path_factory, steps, most_threads
):
    directory = tmp_path_factory.mktemp("world")
    world = World(directory, most_threads=most_threads)
    disk, files = world.disk, world.files
    opened: list[tuple[str, int]] = []
    files.timeout = HARDLY  # calls that do not hang are given up now and then, too
    for step, name in steps:
        path = str(directory / name)
        of_path = [each for each in opened if each[0] == path]
        with contextlib.suppress(TimeoutError):
            if step == "hang":
                for operation in ("open", "stat"):
                    disk.hang(operation, path)
                for _, fd in of_path:
                    disk.hang("pread", fd)
                    disk.hang("close", fd)
            elif step == "return" or name.startswith("local"):
                world.let_return(*disk.gates.values())
            elif step == "open":
                opened.append((path, world.open(path)))
            elif step == "glob":
                files.glob(f"{path}*")
            elif step == "stat":
                files.stat(path)
            elif of_path:
                _, fd = of_path[0]
                if step == "pread":
                    assert files.pread(fd, 100, 0) == name.replace("/", " ").encode()
                else:
                    opened.remove(of_path[0])
                    files.close(fd)
        assert len(disk.helpers) <= most_threads
    for _, fd in opened:
        files.close(fd)
    world.end()
    assert Counter(disk.closed) == Counter(disk.fds)


def test_a_stat_that_hangs_delays_only_its_own_file(world):
    path = str(world.net / "a")
    world.give_up("stat", path)

    before = list(world.disk.calls)
    for operation in ("stat", "lexists", "realpath", "entries", "glob"):
        with refused(path):
            getattr(world.files, operation)(path)
    with refused(path):
        world.open(path)
    assert world.disk.calls == before, "a call was made for a path on which one hangs"

    for place in (world.net, world.other, world.local):
        assert world.files.stat(str(place / "b")).st_size == len(f"{place.name} b")
        assert world.files.entries(str(place)).keys() == set("abcdef")
        fd = world.open(place / "c")
        assert world.files.pread(fd, 100, len(place.name)) == b" c"
        assert world.files.fstat(fd).st_ino == world.files.stat(str(place / "c")).st_ino
        world.files.close(fd)


def test_a_read_that_hangs_holds_up_its_file_under_each_descriptor(world):
    first, second, beside = (world.open(world.net / name) for name in "aab")
    world.give_up("pread", first, 10, 0)

    with refused(world.net / "a"):
        world.files.pread(second, 10, 0)
    with refused(world.net / "a"):
        world.files.fstat(first)
    with refused(world.net / "a"):
        world.files.stat(str(world.net / "a"))
    assert world.files.pread(beside, 10, 0) == b"net b"
    for fd in (first, second, beside):
        world.files.close(fd)


def test_local_calls_are_made_by_the_caller(world):
    path = str(world.local / "a")
    fd = world.open(path)
    assert world.files.pread(fd, 100, 0) == b"local a"
    world.files.fstat(fd)
    world.files.stat(path)
    assert world.files.lexists(path)
    assert world.files.realpath(path) == os.path.realpath(path)
    assert world.files.entries(str(world.local)).keys() == set("abcdef")
    unreadable: dict[str, OSError] = {}
    assert world.files.glob(f"{world.local}/a*", unreadable) == [path]
    assert unreadable.keys() == {"/closed"}
    world.files.close(fd)

    assert world.disk.threads == {threading.current_thread()}


def test_network_calls_are_made_by_a_helper_and_have_the_same_results(world):
    path = str(world.net / "a")
    fd = world.open(path)
    assert world.files.pread(fd, 100, 4) == b"a"
    inode = (world.net / "a").stat().st_ino
    assert world.files.fstat(fd).st_ino == inode
    assert world.files.stat(path).st_ino == inode
    assert world.files.lexists(path)
    assert world.files.realpath(path) == os.path.realpath(path)
    assert world.files.entries(str(world.net)).keys() == set("abcdef")
    unreadable: dict[str, OSError] = {}
    assert world.files.glob(f"{world.net}/a*", unreadable) == [path]
    assert unreadable.keys() == {"/closed"}
    world.files.close(fd)

    assert threading.current_thread() not in world.disk.threads
    assert world.disk.closed == world.disk.fds


def test_ten_thousand_calls_take_one_thread_if_none_hangs(world):
    fd = world.open(world.net / "a")
    for _ in range(10_000):
        world.files.pread(fd, 10, 0)
    world.files.close(fd)
    assert len(world.disk.helpers) == 1


def test_a_look_at_ten_thousand_files_of_a_dead_server_hangs_in_three_calls(world):
    gate = Gate()
    names = [str(world.net / f"{number}.log") for number in range(10_000)]
    world.disk.gates = {("stat", name): gate for name in names}
    with world.impatient():
        for name in names:
            with refused(name):
                world.files.stat(name)
    for _ in range(3):
        assert gate.reached.acquire(timeout=DEADLINE)

    assert sorted(world.disk.calls) == [("stat", name) for name in names[:3]]
    assert len(world.disk.helpers) == 3
    assert world.files.stat(str(world.other / "a")), "the last thread is for other mounts"


def test_calls_beside_one_that_hangs_get_a_tenth_of_the_time(world):
    paths = [world.net / "a", world.net / "b", world.other / "a"]
    for path in paths:
        world.give_up("stat", path)

    patience = [world.files._hung[str(path)].patience for path in paths]
    assert patience == pytest.approx([HARDLY, HARDLY / 10, HARDLY])


def test_if_every_thread_hangs_network_calls_fail_at_once_and_local_ones_do_not(world):
    for path in (world.net / "a", world.net / "b", world.net / "c", world.other / "a"):
        world.give_up("stat", path)
    made = len(world.disk.calls)

    with refused():
        world.files.stat(str(world.other / "b"))
    with refused():
        world.files.glob(f"{world.other}/*")
    assert len(world.disk.calls) == made
    assert world.files.stat(str(world.local / "a"))


def test_a_thread_whose_call_returned_is_used_again(world):
    names = [world.net / name for name in "abc"]
    for _ in range(3):
        world.let_return(*[world.give_up("stat", name) for name in names])
        world.clock.advance(11.0)  # their values are too old
    assert len(world.disk.helpers) == 3
    assert world.files.stat(str(world.net / "d"))
    assert len(world.disk.helpers) == 3


def test_the_descriptor_of_a_late_open_is_closed(world):
    gate = world.give_up("open", world.net / "a", os.O_RDONLY)
    assert world.disk.fds == []
    world.let_return(gate)

    assert len(world.disk.fds) == 1
    assert world.disk.closed == world.disk.fds
    world.files.close(world.open(world.net / "a"))


def test_a_descriptor_is_closed_when_the_call_that_hangs_has_returned(world):
    fd = world.open(world.net / "a")
    gate = world.give_up("pread", fd, 10, 0)
    world.files.close(fd)
    assert world.disk.closed == []

    world.let_return(gate)
    assert world.disk.closed == [fd]


def test_a_close_that_hangs_is_no_error_and_holds_up_its_file(world):
    fd = world.open(world.net / "a")
    gate = world.disk.hang("close", fd)
    with world.impatient():
        world.files.close(fd)
    assert gate.reached.acquire(timeout=DEADLINE)
    with refused(world.net / "a"):
        world.files.stat(str(world.net / "a"))

    world.let_return(gate)
    assert world.disk.closed == [fd]
    assert world.files.stat(str(world.net / "a"))


def test_a_descriptor_is_closed_later_if_no_thread_is_free(world):
    fd, elsewhere = world.open(world.net / "f"), world.open(world.other / "f")
    gates = [world.give_up("stat", world.net / name) for name in "abc"]
    gates.append(world.give_up("stat", world.other / "a"))
    world.files.close(fd)
    world.files.close(elsewhere)
    assert world.disk.closed == []

    world.let_return(gates.pop())
    assert world.disk.closed == [elsewhere]
    world.let_return(*gates)
    assert world.disk.closed == [elsewhere, fd]


def test_an_error_of_a_close_is_raised(world):
    fd = world.open(world.net / "a")
    world.disk.errors["close", fd] = OSError(errno.EIO, "Input/output error")
    with pytest.raises(OSError, match="Input/output error"):
        world.files.close(fd)
    os.close(fd)


def test_a_thread_goes_on_after_an_error_of_a_late_close(world):
    fd = world.open(world.net / "a")
    gate = world.give_up("pread", fd, 10, 0)
    world.files.close(fd)
    world.disk.errors["close", fd] = OSError(errno.EIO, "Input/output error")
    world.let_return(gate)
    os.close(fd)

    assert world.files.stat(str(world.net / "a"))
    assert len(world.disk.helpers) == 1


def test_errors_keep_their_number_and_their_file(world):
    path = str(world.net / "missing")
    with pytest.raises(FileNotFoundError) as caught:
        world.files.stat(path)
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename == path
    with pytest.raises(NotADirectoryError):
        world.files.entries(str(world.net / "a"))


def test_an_exception_that_is_no_error_reaches_the_caller_and_the_thread_goes_on(world):
    path = str(world.net / "a")
    world.disk.errors["stat", path] = SystemExit(3)
    with pytest.raises(SystemExit):
        world.files.stat(path)
    del world.disk.errors["stat", path]
    assert world.files.stat(path)
    assert len(world.disk.helpers) == 1


def test_a_wait_that_is_interrupted_gives_the_call_up(world, interrupts):
    path = str(world.net / "a")
    gate = world.disk.hang("open", path)
    main = threading.get_ident()

    def interrupt() -> None:
        assert gate.reached.acquire(timeout=DEADLINE)
        while not interrupts:  # one that comes just before the wait does not end it
            signal.pthread_kill(main, signal.SIGINT)

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(KeyboardInterrupt):
        world.open(path)
    interrupter.join(DEADLINE)
    with refused(path):
        world.files.stat(path)
    world.let_return(gate)
    assert world.disk.closed == world.disk.fds != []


def test_a_late_value_answers_the_same_call_once(world):
    pattern = f"{world.net}/*"
    gate = world.give_up("glob", pattern)
    world.let_return(gate)
    (world.net / "g").write_bytes(b"")

    unreadable: dict[str, OSError] = {}
    found = world.files.glob(pattern, unreadable)
    assert sorted(found) == [str(world.net / name) for name in "abcdef"]
    assert unreadable.keys() == {"/closed"}
    assert str(world.net / "g") in world.files.glob(pattern)


def test_a_late_value_answers_no_other_call(world):
    fd = world.open(world.net / "a")
    world.let_return(world.give_up("pread", fd, 3, 0))
    assert world.files.pread(fd, 3, 2) == b"t a"
    assert world.files.pread(fd, 3, 0) == b"net"
    world.files.close(fd)


def test_a_late_value_is_dropped_after_ten_seconds(world):
    path = world.net / "a"
    world.let_return(world.give_up("stat", path))
    path.write_bytes(b"longer than before")
    world.clock.advance(10.5)
    assert world.files.stat(str(path)).st_size == len("longer than before")


@pytest.mark.parametrize("returns_before", [True, False])
def test_a_late_read_is_dropped_when_its_descriptor_is_closed(world, returns_before):
    path = world.net / "a"
    fd = world.open(path)
    gate = world.give_up("pread", fd, 10, 0)
    if returns_before:
        world.let_return(gate)
        world.files.close(fd)
    else:
        world.files.close(fd)
        world.let_return(gate)
    path.write_bytes(b"new")
    again = world.open(path)
    assert again == fd
    assert world.files.pread(again, 10, 0) == b"new"
    world.files.close(again)


def test_a_late_error_is_dropped(world):
    path = world.net / "late"
    world.let_return(world.give_up("stat", path))
    path.write_bytes(b"here")
    assert world.files.stat(str(path)).st_size == 4


def test_a_late_search_does_not_touch_the_dictionary_of_the_caller(world):
    unreadable: dict[str, OSError] = {}
    world.let_return(world.give_up("glob", f"{world.net}/*", unreadable))
    assert unreadable == {}


def test_shutdown_does_not_wait_for_a_call_that_hangs(world):
    fd = world.open(world.net / "b")
    gate = world.give_up("stat", world.net / "a")
    idle = world.open(world.other / "a")
    world.files.shutdown()
    assert len([each for each in world.disk.helpers if each.is_alive()]) == 1

    with refused():
        world.files.stat(str(world.other / "b"))
    world.files.close(fd)
    world.files.close(idle)
    assert world.disk.closed == []
    world.let_return(gate)
    for thread in world.disk.helpers:
        thread.join(DEADLINE)
        assert not thread.is_alive()
    assert sorted(world.disk.closed) == sorted([fd, idle])


def test_a_descriptor_can_be_closed_after_the_shutdown(world):
    fd = world.open(world.net / "a")
    world.files.shutdown()
    world.files.close(fd)
    assert world.disk.closed == [fd]


def test_without_a_thread_to_be_had_a_network_call_fails_and_a_close_succeeds(world, monkeypatch):
    def start(thread) -> None:
        raise RuntimeError("can't start new thread")

    fd = world.open(world.net / "a")
    world.files._idle.pop().calls.put(None)
    with monkeypatch.context() as full:
        full.setattr(threading.Thread, "start", start)
        with refused():
            world.files.stat(str(world.net / "b"))
        world.files.close(fd)
    assert world.disk.closed == [fd]
    assert world.files.stat(str(world.net / "b"))


def test_each_directory_is_looked_up_once_until_five_minutes_have_passed(world):
    paths = [str(world.net / name) for name in "abcdef"]
    for path in paths * 2:
        assert world.files.is_network(path)
    assert str(world.net) in world.disk.asked
    assert not set(paths) & set(world.disk.asked), "a network file system was asked about its files"
    asked = len(world.disk.asked)
    assert asked == len(set(world.disk.asked))

    world.disk.mounts.clear()
    world.clock.advance(299.0)
    assert world.files.is_network(paths[0])
    world.clock.advance(2.0)
    assert not world.files.is_network(paths[0])


def test_a_link_to_a_network_file_system_is_followed_by_a_helper(world):
    link = world.local / "link"
    link.symlink_to(world.net / "a")
    world.disk.mounts.add(str(link))
    assert world.files.stat(str(link)).st_size == len("net a")
    assert threading.current_thread() not in world.disk.threads


def test_relative_and_very_deep_paths_have_a_mount_too(world, monkeypatch):
    monkeypatch.chdir(world.net)
    assert not world.files.is_network("a")
    assert not world.files.is_network("/d" * 2000)
    world.disk.mounts.add("b")
    assert world.files.is_network("b")


@pytest.mark.parametrize("pattern", ["net/*", "net/[ab]", "net/**/a", "net/a", "net/a*/b"])
def test_a_pattern_is_on_the_file_system_of_its_fixed_part(world, pattern):
    world.files.glob(f"{world.net.parent}/{pattern}")
    assert len(world.disk.helpers) == 1
    assert threading.current_thread() not in world.disk.threads


def test_a_pattern_without_a_directory_is_searched_in_the_current_one(world, monkeypatch):
    monkeypatch.chdir(world.local)
    assert sorted(world.files.glob("*")) == list("abcdef")
    assert "." in world.disk.asked
    world.files.glob("/*")
    assert "/" in world.disk.asked
    assert not world.disk.helpers
