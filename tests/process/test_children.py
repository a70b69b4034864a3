"""Child processes start clean and are gone after `stop`: real processes."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from zenactors.process.children import Child, Children

DEADLINE = 60.0  # seconds: generous, so that only a hang fails

# Two signals that the C library reserves. Programs that it starts by posix_spawn, as make starts
# all of its own, have them ignored for ever, and no program can change that.
OF_THE_LIBRARY = 1 << (32 - 1) | 1 << (33 - 1)

SHOW_SIGNALS = """
import os
lines = dict(line.split(":\\t", 1) for line in open("/proc/self/status") if ":\\t" in line)
print(lines["SigBlk"].strip(), lines["SigIgn"].strip(), os.getpgid(0) == os.getpid())
"""
WAIT = "print('ready', flush=True); input()"
IGNORE_TERM = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); {WAIT}"
GRANDCHILD = """
import os, signal, sys
signal.signal(signal.SIGTERM, signal.SIG_DFL)
reader, writer = os.pipe()
if os.fork() == 0:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.write(writer, b"x")
    os.close(writer)
    os.read(0, 1)
    os._exit(0)
os.read(reader, 1)
print("ready", flush=True)
if "ends" not in sys.argv:
    os.read(0, 1)
"""

# Python itself ignores these as soon as it runs.
PYTHON = sys.executable
PYTHON_IGNORES = (1 << (signal.SIGPIPE - 1)) | (1 << (signal.SIGXFSZ - 1))


def python(source: str, *arguments: str) -> list[str]:
    return [PYTHON, "-S", "-E", "-c", source, *arguments]


@pytest.fixture
def children() -> Iterator[Children]:
    children = Children(time.monotonic)
    yield children
    assert children.stop(0.0) == []


@pytest.fixture(params=["python", "frozen", "embedded", "none", "chroot"])
def process(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Let this process be a program that runs in an interpreter, or contains one."""
    itself = {"embedded": "/bin/false", "none": "", "chroot": "/no/such/python3"}
    if request.param == "frozen":
        itself["frozen"] = str(tmp_path / "python-tool")  # the program's own name
        Path(itself["frozen"]).symlink_to("/bin/false")
        monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(sys, "executable", itself.get(request.param, sys.executable))


@contextlib.contextmanager
def ignored(number: signal.Signals) -> Iterator[None]:
    before = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(number, before)


@contextlib.contextmanager
def blocked(*numbers: signal.Signals) -> Iterator[None]:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextlib.contextmanager
def run(children: Children, source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program that reports when it is ready; close its pipes at the end."""
    child = children.spawn(
        python(source, *arguments), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stdin is not None
    try:
        assert child.stdout.readline() == b"ready\n"
        yield child
    finally:
        child.stdin.close()
        child.stdout.close()


def no_writer_is_left(child: subprocess.Popen[bytes]) -> bool:
    """Wait until the child, and all processes that inherited its output, have ended."""
    assert child.stdout is not None
    ready = select.select([child.stdout], [], [], DEADLINE)[0]
    return bool(ready) and child.stdout.read() == b""


def is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


def signals_of(children: Children) -> tuple[int, int, str]:
    child = children.spawn(python(SHOW_SIGNALS), stdout=subprocess.PIPE, text=True)
    out, _ = child.communicate(timeout=DEADLINE)
    mask, ignored_set, leads = out.split()
    return int(mask, 16), int(ignored_set, 16) & ~(PYTHON_IGNORES | OF_THE_LIBRARY), leads


def test_a_child_has_an_empty_mask_default_handlers_and_its_own_group(children: Children) -> None:
    assert signals_of(children) == (0, 0, "True")


@pytest.mark.usefixtures("process")
def test_so_does_a_child_of_a_process_that_ignores_or_blocks_signals(children: Children) -> None:
    with ignored(signal.SIGQUIT):
        assert signals_of(children) == (0, 0, "True")
    with ignored(signal.SIGINT), blocked(signal.SIGTERM, signal.SIGUSR1):
        assert signals_of(children) == (0, 0, "True")
    with blocked(signal.SIGTERM):
        assert signals_of(children) == (0, 0, "True")


@pytest.mark.usefixtures("process")
def test_signals_that_python_ignores_are_not_ignored_in_a_child(children: Children) -> None:
    for context in (contextlib.nullcontext(), ignored(signal.SIGQUIT)):
        with context:
            child = children.spawn(["grep", "SigIgn", "/proc/self/status"], stdout=subprocess.PIPE)
            out, _ = child.communicate(timeout=DEADLINE)
        assert int(out.split()[1], 16) & ~OF_THE_LIBRARY == 0


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("unclean", [False, True])
def test_it_is_a_popen_with_pipes_directory_and_environment(
    children: Children, tmp_path: Path, *, unclean: bool
) -> None:
    with ignored(signal.SIGQUIT) if unclean else contextlib.nullcontext():
        child = children.spawn(
            ["env"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"], "A": "ä b"},
            text=True,
            encoding="utf-8",
        )
        out, _ = child.communicate(timeout=DEADLINE)

    assert sorted(out.splitlines()) == ["A=ä b", f"PATH={os.environ['PATH']}"]
    assert (child.returncode, child.args) == (0, ["env"])


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("unclean", [False, True])
def test_descriptors_can_be_passed_and_no_others_are(children: Children, *, unclean: bool) -> None:
    reader, writer = os.pipe()
    source = "import os; print(*sorted(os.listdir('/proc/self/fd'), key=int))"
    with ignored(signal.SIGQUIT) if unclean else contextlib.nullcontext():
        child = children.spawn(python(source), stdout=subprocess.PIPE, pass_fds=[writer])
        out, _ = child.communicate(timeout=DEADLINE)
    os.close(reader)
    os.close(writer)

    *others, _listing = sorted({int(each) for each in out.split()} - {writer})
    assert others == [0, 1, 2]


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("unclean", [False, True])
def test_a_missing_program_is_an_error_of_spawn(
    children: Children, tmp_path: Path, *, unclean: bool
) -> None:
    plain = tmp_path / "plain"
    plain.touch()
    before = sorted(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names suffice
    with ignored(signal.SIGQUIT) if unclean else contextlib.nullcontext():
        with pytest.raises(FileNotFoundError) as caught:
            children.spawn(["no-such-program"], stdout=subprocess.PIPE)
        with pytest.raises(PermissionError):
            children.spawn([plain], stdin=subprocess.PIPE)

    assert caught.value.filename == "no-such-program"
    assert sorted(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


@pytest.mark.parametrize(
    "option",
    [{"shell": True}, {"preexec_fn": int}, {"process_group": 1}, {"start_new_session": True}],
)
def test_reserved_options_are_refused(children: Children, option: dict[str, object]) -> None:
    with pytest.raises(TypeError, match=next(iter(option))):
        children.spawn(["true"], **option)


@pytest.mark.usefixtures("process")
@pytest.mark.parametrize("unclean", [False, True])
def test_arguments_that_look_like_options_are_the_programs(
    children: Children, *, unclean: bool
) -> None:
    words = ["--", "-c", "-", "--help", "", "-I"]
    with ignored(signal.SIGQUIT) if unclean else contextlib.nullcontext():
        child = children.spawn(["printf", "%s|", *words], stdout=subprocess.PIPE, text=True)
        out, _ = child.communicate(timeout=DEADLINE)

    assert out == "--|-c|-|--help||-I|"


def test_there_is_no_shell(children: Children) -> None:
    with pytest.raises(TypeError, match="not a command line"):
        children.spawn("true")
    child = children.spawn(["echo", "$HOME; `id` *"], stdout=subprocess.PIPE)

    assert child.communicate(timeout=DEADLINE)[0] == b"$HOME; `id` *\n"


def test_stop_ends_children_by_sigterm(children: Children) -> None:
    with run(children, WAIT) as one, run(children, WAIT) as two:
        assert children.stop(DEADLINE) == []

        assert (one.returncode, two.returncode) == (-signal.SIGTERM, -signal.SIGTERM)
        assert not is_there(one.pid)


def test_stop_waits_for_a_child_that_ends_in_order(children: Children) -> None:
    source = f"""
import signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))
{WAIT}
"""
    with run(children, source) as child:
        assert children.stop(DEADLINE) == []
        assert child.returncode == 7


def test_stop_kills_a_child_that_ignores_sigterm(children: Children) -> None:
    with run(children, IGNORE_TERM) as child:
        assert children.stop(0.0) == []

        assert child.returncode == -signal.SIGKILL
        assert not is_there(child.pid)


def test_grandchildren_are_gone_after_stop(children: Children) -> None:
    with run(children, GRANDCHILD) as child:
        children.stop(DEADLINE)

        assert child.returncode == -signal.SIGTERM
        assert no_writer_is_left(child)  # the grandchild ignores SIGTERM


def test_processes_that_a_child_leaves_in_its_group_end_with_it(children: Children) -> None:
    with run(children, GRANDCHILD, "ends") as child:
        assert child.wait(DEADLINE) == 0

        assert no_writer_is_left(child)


def test_the_rest_of_a_group_is_gone_even_if_no_thread_waited_for_the_child(
    children: Children,
) -> None:
    with run(children, GRANDCHILD, "ends") as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        children.stop(DEADLINE)

        assert no_writer_is_left(child)


def test_after_stop_nothing_starts(children: Children) -> None:
    children.stop(0.0)

    with pytest.raises(RuntimeError, match="Cannot run true"):
        children.spawn(["true"])
    assert children.stop(0.0) == []


def test_children_that_ended_are_forgotten(children: Children) -> None:
    before = len(os.listdir("/proc/self/fd"))  # noqa: PTH208 - names suffice
    pids = []
    for _ in range(300):
        child = children.spawn(["true"])
        pids.append(child.pid)
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but not reaped
        assert len(children._children) == 1
    last = pids.pop()

    assert not any(map(is_there, pids))
    assert is_there(last)
    assert len(os.listdir("/proc/self/fd")) == before + 1  # noqa: PTH208


def test_a_wait_has_a_timeout(children: Children) -> None:
    with run(children, WAIT) as child:
        assert child.poll() is None
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(0.0)
        child.terminate()
        assert child.wait(DEADLINE) == -signal.SIGTERM
        child.terminate()  # harmless
        assert child.poll() == child.wait() == -signal.SIGTERM


def test_many_threads_wait_for_one_child(children: Children) -> None:
    seen: list[int] = []
    with run(children, WAIT) as child:
        threads = [
            threading.Thread(target=lambda: seen.append(child.wait(DEADLINE))) for _ in range(20)
        ]
        for thread in threads:
            thread.start()
        child.kill()
        for thread in threads:
            thread.join()

    assert seen == [-signal.SIGKILL] * 20


def test_many_threads_spawn_and_stop_at_once() -> None:
    children = Children(time.monotonic)
    spawned: list[subprocess.Popen[bytes]] = []
    refused = threading.Semaphore(0)
    enough = threading.Semaphore(0)

    def spawn() -> None:
        while True:
            try:
                spawned.append(children.spawn(["cat"], stdin=subprocess.PIPE))
            except RuntimeError:
                refused.release()
                return
            enough.release()

    threads = [threading.Thread(target=spawn) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(20):
        assert enough.acquire(timeout=DEADLINE)
    stoppers = [threading.Thread(target=children.stop, args=(DEADLINE,)) for _ in range(3)]
    for thread in stoppers:
        thread.start()
    for thread in (*threads, *stoppers):
        thread.join()

    assert [child.returncode for child in spawned] == [-signal.SIGTERM] * len(spawned)
    assert not any(is_there(child.pid) for child in spawned)
    for child in spawned:
        assert child.stdin is not None
        child.stdin.close()


def test_a_descriptor_can_be_read_once_the_child_has_ended(children: Children) -> None:
    with run(children, WAIT) as child:
        assert isinstance(child, Child)
        fd = child.exit_descriptor()
        assert fd is not None
        try:
            assert select.select([fd], [], [], 0)[0] == []
            child.send_signal(signal.SIGKILL)
            assert select.select([fd], [], [], DEADLINE)[0] == [fd]
            assert child.poll() == -signal.SIGKILL
            assert child.exit_descriptor() is None
        finally:
            os.close(fd)
