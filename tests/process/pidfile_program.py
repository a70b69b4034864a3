"""Processes for the tests of PID files: cheap ones, forked from one that has imported everything.

The program prints one JSON value, and ends only its own children.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from zenactors.errors import AlreadyRunningError
from zenactors.process.pidfile import PidFile, look_up


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        run(work)
    return child


def run(work: Callable[[], None]) -> NoReturn:
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)


def wait_for_end_of(descriptor: int) -> None:
    while os.read(descriptor, 4096):
        pass


def race(path: Path, rounds: int, starters: int) -> list[dict[str, Any]]:
    """Let many start at once; return, per round, the PIDs that won and that the others named."""
    results = []
    for _ in range(rounds):
        gate_reader, gate = os.pipe()
        result_reader, result = os.pipe()
        life_reader, life = os.pipe()

        def start() -> None:
            os.close(gate)  # noqa: B023 - called at once
            os.close(life)  # noqa: B023
            wait_for_end_of(gate_reader)  # noqa: B023
            try:
                PidFile(path).acquire()
                word = f"won {os.getpid()}"
            except AlreadyRunningError as cause:
                word = f"named {cause.pid}"
            except Exception as cause:  # the test prints it
                word = f"failed {cause!r}"
            os.write(result, f"{word}\n".encode())  # noqa: B023
            os.close(result)  # noqa: B023
            wait_for_end_of(life_reader)  # noqa: B023 - the winner lives until all have tried

        children = [fork(start) for _ in range(starters)]
        os.close(gate_reader)
        os.close(gate)
        os.close(result)
        with open(result_reader) as stream:  # noqa: PTH123 - a descriptor
            words = [line.split(maxsplit=1) for line in stream]
        os.close(life)
        os.close(life_reader)
        for child in children:
            os.waitpid(child, 0)
        results.append(
            {
                "answers": len(words),
                "won": [int(rest) for word, rest in words if word == "won"],
                "named": sorted({rest.strip() for word, rest in words if word == "named"}),
                "failed": [rest for word, rest in words if word == "failed"],
            }
        )
    return results


def kill(path: Path, rounds: int) -> list[str]:
    """Start, kill -9 and start again; return every wrong answer."""
    wrong = []
    for number in range(rounds):
        reader, writer = os.pipe()
        never, _ = os.pipe()

        def hold() -> None:
            PidFile(path).acquire()
            os.write(writer, b"held")  # noqa: B023 - called at once
            os.read(never, 1)  # noqa: B023

        child = fork(hold)
        os.close(writer)
        said = os.read(reader, 4)
        before = look_up(path)
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        zombie = look_up(path)
        os.waitpid(child, 0)
        after = look_up(path)
        seen = [said.decode(), before.state, before.pid == child, zombie.state, after.state]
        if seen != ["held", "running", True, "stale", "stale"]:
            wrong.append(f"{number}: {seen}")
        for descriptor in (reader, never, _):
            os.close(descriptor)
    return wrong


def churn(path: Path, rounds: int, starters: int) -> dict[str, Any]:
    """Acquire and release in several processes at once, while another reads."""
    mark = path.with_suffix(".mark")
    complaints_reader, complaints = os.pipe()
    wins_reader, wins = os.pipe()

    def live() -> None:
        pid_file = PidFile(path)
        for _ in range(rounds):
            try:
                pid_file.acquire()
            except AlreadyRunningError:
                continue
            try:
                os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
                os.write(wins, b".")
                mark.unlink()
            except FileExistsError:
                os.write(complaints, b"two at a time\n")
            pid_file.release()

    def read() -> None:
        while os.getppid() == parent and not path.with_suffix(".end").exists():
            if look_up(path).state == "malformed":
                os.write(complaints, b"malformed\n")

    parent = os.getpid()
    reader = fork(read)
    children = [fork(live) for _ in range(starters)]
    statuses = [os.waitpid(child, 0)[1] for child in children]
    path.with_suffix(".end").touch()
    statuses.append(os.waitpid(reader, 0)[1])
    os.close(complaints)
    os.close(wins)
    with open(complaints_reader) as stream, open(wins_reader) as won:  # noqa: PTH123
        return {
            "complaints": stream.read(),
            "wins": len(won.read()),
            "statuses": statuses,
            "left": look_up(path).state,
        }


def child_releases(path: Path) -> list[str]:
    """Let a forked child release the inherited object; return the states that its parent sees."""
    pid_file = PidFile(path)
    pid_file.acquire()
    os.waitpid(fork(pid_file.release), 0)
    states: list[str] = [look_up(path).state]
    with contextlib.suppress(AlreadyRunningError):
        PidFile(path).acquire()
        states.append("lock lost")
    pid_file.release()
    return [*states, look_up(path).state]


def drop(path: Path, user: int) -> list[Any]:
    """Acquire, become another user, release; return the states before and after."""
    pid_file = PidFile(path)
    pid_file.acquire()
    os.setresuid(user, user, user)
    before = look_up(path).state
    pid_file.release()
    return [before, look_up(path).state, path.stat().st_size]


def chroot(path: Path, root: Path) -> list[Any]:
    """Acquire, change the root to one with another's file at the same path, release."""
    inside = root / path.relative_to("/")
    inside.parent.mkdir(parents=True)
    inside.write_text("another's")
    pid_file = PidFile(path)
    pid_file.acquire()
    outside = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    os.chroot(root)
    pid_file.release()
    os.fchdir(outside)
    os.chroot(".")
    return [path.stat().st_size, inside.read_text()]


def hold(path: Path) -> str:
    """Hold the file until standard input ends, then end without releasing it."""
    PidFile(path).acquire()
    os.write(1, b"held\n")
    wait_for_end_of(0)
    return "ended"


def main() -> None:
    name, path, *arguments = sys.argv[1:]
    works: dict[str, Callable[..., Any]] = {
        work.__name__: work for work in (race, kill, churn, child_releases, drop, hold)
    }
    if name == "chroot":
        result: Any = chroot(Path(path), Path(arguments[0]))
    else:
        result = works[name](Path(path), *map(int, arguments))
    os.write(1, f"{json.dumps(result)}\n".encode())


if __name__ == "__main__":
    main()
