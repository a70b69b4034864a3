"""F5: the tailer as a process, beside other tailers: speed, latency, idle cost, and lost lines.

`zenactors tail` is compared with coreutils' `tail -F`, ponytail, rsyslog and syslog-ng, as far as
they are installed. All follow the same kind of files, and write what they read to a file or a pipe.
Each row of a peer has our figure of the same case, so the ratios are of one run.

CPU is that of the tailer's process. Speed and CPU of a backlog are measured from the first output
on, because the start of an interpreter takes as long as half a million lines; the notes have the
speed with the start, and the time to the first line of a file that has one. Latency is from the
time in a line, taken before the write, to the arrival at the other end of the tailer's pipe. The
cases with many files, and the rotations, run all tailers at the same time on the same files, so all
see the same moments.

A line is lost if the log or a rotated copy of it still has it, and the output has not. What no file
has any longer, because a log was truncated after it was copied, is counted apart.

`TMPDIR` says where the files are; the figures are those of its file system.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import filecmp
import json
import os
import random
import resource
import select
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import (
    ROOT,
    BenchmarkError,
    Options,
    Row,
    Target,
    Verdict,
    paired_row,
    percentile,
    require,
    single_row,
    wait_until,
)
from benchmarks.tail_lines import (
    LINE,
    Count,
    Log,
    count,
    latency_of,
    make_lines,
    number_of,
    preserved_lines,
)
from benchmarks.tailers import (
    ALL,
    Ours,
    OursToFile,
    OursWithCopies,
    OursWithState,
    Running,
    Tailer,
    Task,
)

ID = "F5"
OURS = Ours.name
PAIRS = 3
ROTATIONS = {  # the kind, and whether a glob is tried that matches the rotated files, too
    "rename": True,
    "late writer": True,
    "gzip": True,
    "paused copytruncate": True,
    "copytruncate": True,
    "link": False,
    "dated": False,
}
RATE = 20_000  # lines per second of the log that is rotated
FAST = 50_000  # lines per second of the busy log
SETTLE, QUICK_SETTLE = (
    2.0,
    1.0,
)  # seconds without new output, also of one that starts: nothing more is expected

# A tailer's figures, repeated or not; a string says why there are none.
Figures = dict[str, list[float] | str]


def run(options: Options) -> Iterator[Row]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        for tailer in ALL:
            if tailer.missing():
                yield _absent(f"all of {tailer.name}", tailer.name, tailer.missing())
        yield from _backlog(options)
        yield from _lone_lines(options)
        yield from _many_lines(options)
        yield from _many_files(options, options.size(1000), is_active=True)
        if not options.quick:
            # rsyslog opens two descriptors for each file.
            yield from _many_files(options, min(10_000, (hard - 200) // 2), is_active=False)
        yield from _rotations(options)
        yield from _kills(options)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _present() -> list[Tailer]:
    return [tailer for tailer in ALL if not tailer.missing()]


def _with_state() -> list[Tailer]:
    """Return the same, and ours once more with checkpoints, if it can keep them."""
    return [*_present(), *([OursWithState()] if Ours().keeps_state else [])]


# --- rows --------------------------------------------------------------------------------------


def _rows(
    case: str,
    unit: str,
    figures: Figures,
    *,
    target: Target | None = None,
    ratios: dict[str, Target] | None = None,
    notes: dict[str, str] | None = None,
) -> Iterator[Row]:
    """Return a row for ours, and one for each peer with the ratio to ours.

    Args:
        target: For our own figure.
        ratios: For the ratios to peers.
    """
    notes = notes or {}
    ours = figures[OURS]
    if isinstance(ours, str):
        yield Row(id=ID, case=case, verdict="failed", note=ours)
    else:
        yield single_row(ID, case, ours, unit=unit, target=target, note=notes.get(OURS, ""))
    for name, peer in figures.items():
        if name == OURS:
            continue
        if isinstance(peer, str):
            yield _absent(case, name, peer)
        elif isinstance(ours, str) or not min(peer):
            figure = statistics.median(peer)
            yield Row(id=ID, case=case, unit=unit, peer=figure, peer_name=name, verdict="reported")
        else:
            yield paired_row(
                ID,
                case,
                list(zip(ours, peer, strict=False)),
                unit=unit,
                peer_name=name,
                target=(ratios or {}).get(name),
                note=notes.get(name, ""),
            )


def _notes(figures: Figures, text: str) -> dict[str, str]:
    """Return a note with the median of each tailer's figures."""
    return {
        name: text.format(statistics.median(each))
        for name, each in figures.items()
        if not isinstance(each, str)
    }


def _absent(case: str, name: str, why: str) -> Row:
    verdict: Verdict = "failed" if why.startswith("failed") else "not built"
    return Row(id=ID, case=case, peer_name=name, verdict=verdict, note=why)


def _try(measure: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of `measure`, or a string if the tailer did not do its work."""
    try:
        return measure(*arguments)
    except BenchmarkError as cause:
        return f"failed: {cause}"


# --- a backlog ---------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, kw_only=True)
class Backlog:
    """One run over a backlog: its seconds, lines/s and CPU seconds per million, and bytes.

    `rate` and `cpu` are of the part after the first output, `seconds` of all.
    """

    seconds: float
    rate: float
    cpu: float
    rss: int
    pss: int


def _backlog(options: Options) -> Iterator[Row]:
    lines = options.size(1_000_000)
    starts: dict[str, Any] = {}
    runs: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="bench-tail-") as name:
        directory = Path(name)
        one, many = directory / "one.log", directory / "many.log"
        one.write_bytes(make_lines([0]))
        with many.open("wb") as file:
            for first in range(0, lines, 1000):
                file.write(make_lines(range(first, first + 1000)))
        for number in range(options.repeats(PAIRS)):
            for tailer in _with_state():
                if number and tailer.name in ("rsyslog", "syslog-ng"):
                    continue  # slow, and far from any target
                for path, found in ((one, starts), (many, runs)):
                    found.setdefault(tailer.name, []).append(
                        _try(_read_all, tailer, path, directory)
                    )
    rate: Figures = {}
    cpu: Figures = {}
    rss: Figures = {}
    notes: dict[str, dict[str, str]] = {"rate": {}, "rss": {}}
    for name, found in runs.items():
        why = next((run for run in [*starts[name], *found] if isinstance(run, str)), None)
        if why is not None:
            rate[name] = cpu[name] = rss[name] = why
            continue
        rate[name] = [run.rate for run in found]
        cpu[name] = [run.cpu for run in found]
        rss[name] = [run.rss / 1e6 for run in found]
        start = statistics.median(run.seconds for run in starts[name])
        whole = lines / statistics.median(run.seconds for run in found)
        notes["rate"][name] = f"with the start: {whole:,.0f} lines/s; start: {start:.2f} s"
        notes["rss"][name] = f"PSS: {statistics.median(run.pss for run in found) / 1e6:.1f} MB"
    if _about_ours():
        notes["rate"][OURS] = "; ".join(filter(None, (notes["rate"].get(OURS), _about_ours())))
    case = f"backlog of {lines:,} lines"
    yield from _rows(
        case,
        "lines/s",
        rate,
        ratios={
            "ponytail": Target(bound=1.0, at_least=True),
            "tail -F": Target(bound=0.7, at_least=True),
        },
        notes=notes["rate"],
    )
    yield from _rows(f"{case}, CPU", "CPU s per million", cpu)
    yield from _rows(f"{case}, RSS", "MB", rss, notes=notes["rss"])


def _about_ours() -> str:
    return "" if Ours().keeps_state else "this tailer has no --state-dir"


def _read_all(tailer: Tailer, path: Path, directory: Path) -> Backlog:
    size = path.stat().st_size
    with tempfile.TemporaryDirectory(dir=directory) as name:
        output = Path(name) / "output"
        begin = time.perf_counter()
        task = Task(pattern=str(path), directory=Path(name), output=output)
        with Running(tailer, task) as running:
            running.wait_for(1)
            first, first_at, first_cpu = running.written, time.perf_counter(), running.cpu()
            running.wait_for(size, timeout=120)
            end, cpu = time.perf_counter(), running.cpu()
            rss, pss = running.memory()
        require(filecmp.cmp(path, output, shallow=False), f"{tailer.name} changed the lines")
    lines = max(1, size - first) / LINE
    return Backlog(
        seconds=end - begin,
        rate=lines / (end - first_at),
        cpu=(cpu - first_cpu) / lines * 1e6,
        rss=rss,
        pss=pss,
    )


# --- live --------------------------------------------------------------------------------------


def _lone_lines(options: Options) -> Iterator[Row]:
    lines = options.size(80, quick=10)
    found = {tailer.name: _try(_follow, tailer, 1, lines) for tailer in _present()}
    target = Target(bound=1.0, at_least=False, of="ours", unit="ms")
    yield from _latency_rows("a line every 50 to 100 ms", found, target)


def _many_lines(options: Options) -> Iterator[Row]:
    lines = FAST * options.size(4, quick=1)
    found = {tailer.name: _try(_follow, tailer, FAST, lines) for tailer in _with_state()}
    case = f"{FAST:,} lines/s"
    yield from _latency_rows(case, found, None)
    cpu: Figures = {
        name: each if isinstance(each, str) else [each[1] / lines * 1e6]
        for name, each in found.items()
    }
    target = Target(bound=1.2, at_least=False, of="ours", unit="CPU s per million")
    yield from _rows(f"{case}, CPU", "CPU s per million", cpu, target=target)


def _latency_rows(case: str, found: dict[str, Any], target: Target | None) -> Iterator[Row]:
    notes = _notes(_figures(found, 99), "p99: {:.2f} ms")
    yield from _rows(f"{case}, latency, p50", "ms", _figures(found, 50), target=target, notes=notes)


def _figures(found: dict[str, Any], percent: float) -> Figures:
    return {
        name: each if isinstance(each, str) else [percentile(each[0], percent) * 1000]
        for name, each in found.items()
    }


def _follow(tailer: Tailer, rate: int, lines: int) -> tuple[list[float], float]:
    """Return the latency of each line, and the CPU seconds of the tailer, both from its pipe."""
    with tempfile.TemporaryDirectory(prefix="bench-tail-") as name:
        directory = Path(name) / "logs"
        directory.mkdir()
        log = Log(directory, "none")
        log.write(make_lines([0]))
        log.close()
        with Running(tailer, Task(pattern=log.pattern, directory=Path(name) / "own")) as running:
            fcntl.fcntl(running.pipe, fcntl.F_SETPIPE_SZ, 1 << 20)
            _arrivals(running, 1)
            before = running.cpu()
            with _writing("none", directory, rate, lines) as writer:
                arrivals = _arrivals(running, lines)
                cpu = running.cpu() - before
                _ended(writer)
    latencies, numbers, rest = [], set(), b""
    for arrival, data in arrivals:
        *whole, rest = (rest + data).split(b"\n")
        for line in whole:
            number = number_of(line)
            require(number is not None, f"{tailer.name} wrote {line[:40]!r}")
            numbers.add(number)
            latencies.append(latency_of(line, arrival))
    require(
        numbers == set(range(1, lines + 1)) and len(latencies) == lines,
        f"{tailer.name} wrote {len(latencies):,} lines, and {len(numbers):,} of {lines:,} numbers",
    )
    return latencies, cpu


def _arrivals(running: Running, lines: int) -> list[tuple[int, bytes]]:
    """Read so many lines from the pipe; return the pieces and the times when they came, in ns."""
    found, left = [], lines * LINE
    while left > 0:
        if not select.select([running.pipe], [], [], 15)[0]:
            raise BenchmarkError(f"{left // LINE:,} of {lines:,} lines did not come out")
        data = os.read(running.pipe, 1 << 20)
        if not data:
            running.process.wait()
            running.check()
        found.append((time.monotonic_ns(), data))
        left -= len(data)
    return found


@contextlib.contextmanager
def _writing(kind: str, directory: Path, rate: int, lines: int) -> Iterator[subprocess.Popen[str]]:
    """Run the writer as a process of its own, for the time of the block."""
    command = [sys.executable, "-m", "benchmarks.tail_lines", kind, directory, rate, lines]
    with subprocess.Popen(
        list(map(str, command)), cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _ended(writer: subprocess.Popen[str]) -> dict[str, float]:
    """Wait until the writer has written all, and return its figures."""
    output, _ = writer.communicate(timeout=120)
    require(writer.returncode == 0, f"the writer ended with {writer.returncode}")
    found: dict[str, float] = json.loads(output)
    return found


# --- many files --------------------------------------------------------------------------------


def _many_files(options: Options, files: int, *, is_active: bool) -> Iterator[Row]:
    """Measure all tailers at the same time: first idle, then with a line a second in each file."""
    idle: Figures = {}
    active: Figures = {}
    memory: list[Figures] = [{}, {}]
    descriptors: Figures = {}
    window, rounds = options.size(15, quick=1), options.size(10, quick=2)
    with tempfile.TemporaryDirectory(prefix="bench-tail-") as name, contextlib.ExitStack() as stack:
        directory = Path(name)
        logs = directory / "logs"
        logs.mkdir()
        for number in range(files):
            (logs / f"{number:05}.log").write_bytes(make_lines([number]))
        every = _start_all(stack, _present(), str(logs / "*.log"), directory)
        ready = _ready(every, files * LINE, idle, active, descriptors, *memory)
        time.sleep(options.size(2, quick=0))
        before = {running.tailer.name: running.cpu() for running in ready}
        time.sleep(window)
        for running in ready:
            own = running.tailer.name
            idle[own] = [(running.cpu() - before[own]) * 60 / window]
            descriptors[own] = [float(running.descriptors())]
            for figures, size in zip(memory, running.memory(), strict=True):
                figures[own] = [size / 1e6]
        if is_active:
            _write_to_all(ready, logs, files, rounds, active)
    case = f"{files:,} idle files"
    yield from _rows(case, "CPU s a minute", idle)
    yield from _rows(f"{case}, RSS", "MB", memory[0], notes=_notes(memory[1], "PSS: {:.1f} MB"))
    yield from _rows(f"{case}, open descriptors", "", descriptors)
    if is_active:
        target = Target(bound=1.0, at_least=False, of="ours", unit="CPU s")
        case = f"{files:,} files with a line a second, {rounds} s"
        yield from _rows(case, "CPU s", active, target=target)


def _start_all(
    stack: contextlib.ExitStack, tailers: list[Tailer], pattern: str, directory: Path
) -> list[Running]:
    every = []
    for number, tailer in enumerate(tailers):
        task = Task(
            pattern=pattern,
            directory=directory / f"own-{number}",
            output=directory / f"output-{number}",
        )
        every.append(stack.enter_context(Running(tailer, task)))
    return every


def _ready(every: list[Running], size: int, *figures: dict[str, Any]) -> list[Running]:
    """Return those whose output has `size` bytes; to the others' figures, write why not."""
    found = []
    for running in every:
        why = _try(running.wait_for, size)
        if why is None:
            found.append(running)
        for each in figures:
            if why is not None:
                each[running.tailer.name] = why
    return found


def _write_to_all(
    ready: list[Running], logs: Path, files: int, rounds: int, active: Figures
) -> None:
    before = {running.tailer.name: running.cpu() for running in ready}
    with _writing("many", logs, files, files * rounds) as writer:
        _ended(writer)
    lines = files * (rounds + 1)
    for running in ready:
        own = running.tailer.name
        try:
            running.wait_for(lines * LINE, timeout=5)
            active[own] = [running.cpu() - before[own]]
            found = count(_output(running), lines)
            require(not found.lost + found.duplicated + found.torn, f"{own}: {found}")
        except BenchmarkError as cause:
            active[own] = f"failed: {cause}"


def _output(running: Running) -> bytes:
    assert running.task.output is not None
    return running.task.output.read_bytes()


# --- lost lines --------------------------------------------------------------------------------


def _rotations(options: Options) -> Iterator[Row]:
    lines, settle = RATE * options.size(4, quick=1), QUICK_SETTLE if options.quick else SETTLE
    for kind, with_copies in ROTATIONS.items():
        if options.quick and kind not in ("rename", "copytruncate", "dated"):
            continue
        counts: dict[str, Count | str] = {}
        tailers = [*_present(), *([OursWithCopies()] if with_copies else [])]
        for tailer in tailers:
            if kind == "dated" and not tailer.follows_patterns:
                counts[tailer.name] = "follows no patterns"
        tailers = [tailer for tailer in tailers if tailer.name not in counts]
        with (
            tempfile.TemporaryDirectory(prefix="bench-tail-") as name,
            contextlib.ExitStack() as stack,
        ):
            directory = Path(name)
            log = _new_log(directory, kind)
            every = _start_all(stack, tailers, log.pattern, directory)
            ready = _ready(every, LINE, counts)
            with _writing(kind, log.directory, RATE, lines) as writer:
                done = _ended(writer)
            require(done["rotations"] > 0, "no rotation")
            _wait_until_quiet(ready, (lines + 1) * LINE, settle)
            preserved = preserved_lines(log.directory, lines + 1)
            for running in ready:
                counts[running.tailer.name] = count(_output(running), lines + 1, preserved)
        case = f"rotation: {kind}, {done['rotations']} times in {done['seconds']:.1f} s"
        yield from _count_rows(case, counts, _wrong_in_files if kind == "dated" else _wrong)


def _wrong(found: Count) -> int:
    return found.errors


def _only_lost(found: Count) -> int:
    return found.lost


def _wrong_in_files(found: Count) -> int:
    """The errors, if the order of lines of several files is of no account."""
    return found.errors - found.reordered


def _new_log(directory: Path, kind: str) -> Log:
    logs = directory / "logs"
    logs.mkdir()
    log = Log(logs, kind)
    log.write(make_lines([0]))
    log.close()
    return log


def _wait_until_quiet(every: list[Running], size: int, settle: float) -> None:
    """Wait until all outputs have at least `size` bytes, or no output has grown for a while."""
    last, since = [-1], time.monotonic()

    def is_quiet() -> bool:
        nonlocal last, since
        sizes = [running.written for running in every]
        if sizes != last:
            last, since = sizes, time.monotonic()
        is_complete = all(each >= size for each in sizes)
        return time.monotonic() - since > (settle / 10 if is_complete else settle)

    with contextlib.suppress(BenchmarkError):  # then the count shows it
        wait_until(is_quiet, timeout=15, what="the end of the output")


def _count_rows(
    case: str,
    counts: dict[str, Count | str],
    figure_of: Callable[[Count], int],
    *,
    needs_state: bool = False,
) -> Iterator[Row]:
    """Return a row per tailer. Its figure is by `figure_of`, or all errors of an exact tailer."""
    for name, found in counts.items():
        is_ours = name.startswith(OURS)
        label = f"{case} ({name})" if is_ours and name != OURS else case
        if isinstance(found, str):
            yield _absent(label, "" if is_ours else name, found)
            continue
        figure = float(found.errors if name == OursToFile.name else figure_of(found))
        verdict: Verdict = "reported"
        if is_ours:
            verdict = "missed" if figure else "reached"
            verdict = "not built" if needs_state and not Ours().keeps_state else verdict
        yield Row(
            id=ID,
            case=label,
            unit="lines",
            ours=figure if is_ours else None,
            peer=None if is_ours else figure,
            peer_name="" if is_ours else name,
            target=Target(bound=0, at_least=False, of="ours", unit="lines") if is_ours else None,
            verdict=verdict,
            note=str(found),
            samples=[vars(found)],
        )


def _kills(options: Options) -> Iterator[Row]:
    lines, settle = RATE * options.size(5, quick=1), QUICK_SETTLE if options.quick else SETTLE
    for kind in ["rename"] if options.quick else ["none", "rename"]:
        counts: dict[str, Count | str] = {}
        kills = 0
        glob = [OursWithCopies()] if kind != "none" and not options.quick else []
        for tailer in [OursToFile(), *glob, *_present()]:
            if not tailer.keeps_state and not isinstance(tailer, Ours):
                counts[tailer.name] = "keeps no state"
                continue
            found = _try(_killed, tailer, kind, lines, settle)
            if isinstance(found, str):
                counts[tailer.name] = found
            else:
                counts[tailer.name], kills = found
        rotation = "without rotation" if kind == "none" else f"rotation: {kind}"
        about = f"; {_about_ours()}" if _about_ours() else ""
        case = f"killed {kills} times, {rotation}{about}"
        yield from _count_rows(case, counts, _only_lost, needs_state=True)


def _killed(tailer: Tailer, kind: str, lines: int, settle: float) -> tuple[Count, int]:
    """Kill the tailer again and again, start it after a short time, and count lines and kills."""
    with tempfile.TemporaryDirectory(prefix="bench-tail-") as name:
        directory = Path(name)
        log = _new_log(directory, kind)
        task = Task(
            pattern=log.pattern,
            directory=directory / "own",
            output=directory / "output",
            safe=True,
        )
        running = Running(tailer, task)
        kills = 0
        chance = random.Random(1)  # the same moments for each tailer
        try:
            running.wait_for(LINE)
            with _writing(kind, log.directory, RATE, lines) as writer:
                for _ in range(lines // RATE):
                    time.sleep(chance.uniform(0.5, 1.0))
                    running.check()
                    running.kill()
                    kills += 1
                    time.sleep(chance.uniform(0.0, 0.5))
                    running = Running(tailer, task)
                _ended(writer)
            _wait_until_quiet([running], sys.maxsize, settle)
            running.check()
            preserved = preserved_lines(log.directory, lines + 1)
            return count(_output(running), lines + 1, preserved), kills
        finally:
            running.kill()
