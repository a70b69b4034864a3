"""The tailers that are compared, each as a process with its own files in a temporary directory."""

from __future__ import annotations

import dataclasses
import functools
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, Any, ClassVar

from benchmarks.common import ROOT, BenchmarkError, wait_until

PEERS = ROOT / "build" / "peers"  # where packages may be unpacked that cannot be installed
INSTALL = (
    "apt-get install rsyslog; Debian permits only one of both, so unpack the other:"
    " apt-get download syslog-ng-core libivykis0 libnet1 libpcre3 libwrap0,"
    " then dpkg -x each of them build/peers"
)
READY_TIMEOUT = 30.0  # seconds


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task:
    """The work of one tailer.

    Attributes:
        pattern: The files to follow, from their beginnings: a path or a glob.
        directory: For configuration and state; it outlives the process.
        output: A file to append to; None: a pipe.
        safe: Keep state, as safe against a kill as the tailer can be configured.
    """

    pattern: str
    directory: Path
    output: Path | None = None
    safe: bool = False

    @property
    def paths(self) -> list[str]:
        """The files that exist now."""
        pattern = Path(self.pattern)
        return sorted(map(str, pattern.parent.glob(pattern.name)))


class Tailer:
    """What a benchmark has to know about a tailer.

    Attributes:
        follows_patterns: New files that match a glob are followed, too.
        keeps_state: A tailer that is started again goes on where the last one was killed.
        writes_file: The tailer opens the output; otherwise it writes to standard output.
    """

    name: ClassVar[str]
    follows_patterns: ClassVar[bool] = True
    writes_file: ClassVar[bool] = False

    @property
    def keeps_state(self) -> bool:
        return True

    def missing(self) -> str:
        """Return what to install, or an empty string if the tailer is there."""
        return ""

    def command(self, task: Task) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}


class Ours(Tailer):
    """`zenactors tail`, as users run it."""

    name = "zenactors"

    @property
    def keeps_state(self) -> bool:
        return "--state-dir" in _our_help()

    def command(self, task: Task) -> list[str]:
        command = [*_our_program(), "tail", "--from", "beginning"]
        if task.safe and self.keeps_state:
            state = task.directory / "state"
            state.mkdir(exist_ok=True)
            command += ["--state-dir", str(state)]
        if self.writes_file and task.output is not None:
            command += ["--output", str(task.output)]
        return [*command, task.pattern]


class OursToFile(Ours):
    """The same with `--output`, which can cut off the output of an attempt that was killed."""

    name = "zenactors --output"
    writes_file = True


class OursWithCopies(Ours):
    """The same, with a glob that rotated copies match, too."""

    name = "zenactors, glob"

    def command(self, task: Task) -> list[str]:
        return super().command(dataclasses.replace(task, pattern=task.pattern + "*"))


class OursWithState(Ours):
    """The same, with checkpoints."""

    name = "zenactors --state-dir"

    def command(self, task: Task) -> list[str]:
        return super().command(dataclasses.replace(task, safe=True))


class CoreutilsTail(Tailer):
    name = "tail -F"
    follows_patterns = False
    keeps_state = False

    def command(self, task: Task) -> list[str]:
        return ["tail", "-q", "-n", "+1", "-F", "--", *task.paths]

    def missing(self) -> str:
        return "" if shutil.which("tail") else "coreutils"


class Ponytail(Tailer):
    name = "ponytail"
    follows_patterns = False

    def command(self, task: Task) -> list[str]:
        return [sys.executable, "-m", "benchmarks.ponytail_peer", str(task.directory), *task.paths]


class Rsyslog(Tailer):
    """imfile to omfile; the safe one has no queue, and saves a position after the lines before it.

    A position after each line would be safer, but some file systems flush each one to the disk.
    """

    name = "rsyslog"
    writes_file = True

    def missing(self) -> str:
        return "" if _find("rsyslogd") else INSTALL

    def command(self, task: Task) -> list[str]:
        state = task.directory / "state"
        state.mkdir(exist_ok=True)
        configuration = task.directory / "rsyslog.conf"
        configuration.write_text(
            f'global(workDirectory="{state}" maxMessageSize="64k")\n'
            'module(load="imfile" mode="inotify")\n'
            + ('main_queue(queue.type="Direct")\n' if task.safe else "")
            + 'template(name="line" type="string" string="%msg%\\n")\n'
            'ruleset(name="copy") { action(type="omfile" template="line"'
            f' file="{task.output or "/dev/stdout"}") }}\n'
            f'input(type="imfile" file="{task.pattern}" tag="x" ruleset="copy"'
            + (' persistStateAfterSubmission="on"' if task.safe else "")
            + ' persistStateInterval="1000" reopenOnTruncate="on")\n',
            "utf-8",
        )
        return [_find("rsyslogd"), "-n", "-f", str(configuration), "-i", "NONE"]


class SyslogNg(Tailer):
    """A file source to a file destination, with flow control, so that no queue overflows."""

    name = "syslog-ng"
    writes_file = True

    def missing(self) -> str:
        return "" if _find("syslog-ng") else INSTALL

    def command(self, task: Task) -> list[str]:
        path = Path(task.pattern)
        follow = "flags(no-parse) follow-freq(0.05)"
        if "*" in task.pattern:
            source = (
                f'wildcard-file(base-dir("{path.parent}") filename-pattern("{path.name}")'
                f" max-files(20000) log-iw-size(2000000) {follow})"
            )
        else:
            source = f'file("{path}" log-iw-size(10000) log-fetch-limit(1000) {follow})'
        configuration = task.directory / "syslog-ng.conf"
        configuration.write_text(
            "@version: 3.35\n"
            "options { stats-freq(0); };\n"
            f"source s {{ {source}; }};\n"
            f'destination d {{ file("{task.output or "/dev/stdout"}"'
            ' template("${MESSAGE}\\n")); };\n'
            "log { source(s); destination(d); flags(flow-control); };\n",
            "utf-8",
        )
        command = [_find("syslog-ng"), "-F", "--process-mode=foreground", "--no-caps"]
        command += ["-f", str(configuration)]
        for option, name in (("-R", "persist"), ("-c", "control"), ("-p", "pid")):
            command += [option, str(task.directory / name)]
        if command[0].startswith(str(PEERS)):
            modules = next(PEERS.glob("usr/lib/syslog-ng/*/libaffile.so")).parent
            command.append(f"--module-path={modules}")
        return command

    def environment(self) -> dict[str, str]:
        if not _find("syslog-ng").startswith(str(PEERS)):
            return {}
        libraries = ["usr/lib/syslog-ng", "usr/lib/*-linux-gnu", "lib/*-linux-gnu"]
        found = [path for library in libraries for path in PEERS.glob(library)]
        return {"LD_LIBRARY_PATH": ":".join(map(str, found))}


ALL: list[Tailer] = [Ours(), CoreutilsTail(), Ponytail(), Rsyslog(), SyslogNg()]


class Running:
    """A tailer's process. Leaving the block kills it."""

    def __init__(self, tailer: Tailer, task: Task) -> None:
        self.tailer = tailer
        self.task = task
        task.directory.mkdir(exist_ok=True)
        self._errors = task.directory / "errors"
        output: int | IO[bytes] = subprocess.DEVNULL
        if task.output is None:
            output = subprocess.PIPE
        elif not tailer.writes_file:
            output = task.output.open("ab")
        command = tailer.command(task)
        with self._errors.open("ab") as errors:
            self.process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors,
                env={**os.environ, **tailer.environment()},
            )
        if not isinstance(output, int):
            output.close()

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.process.stdout is not None:
            self.process.stdout.close()

    @property
    def pipe(self) -> int:
        assert self.process.stdout is not None
        return self.process.stdout.fileno()

    @property
    def written(self) -> int:
        """The size of the output in bytes."""
        assert self.task.output is not None
        try:
            return self.task.output.stat().st_size
        except FileNotFoundError:
            return 0

    def wait_for(self, size: int, timeout: float = READY_TIMEOUT) -> None:
        """Wait until the output has `size` bytes.

        Raises:
            BenchmarkError: It does not, or the process has ended.
        """

        def is_written() -> bool:
            self.check()
            return self.written >= size

        try:
            wait_until(is_written, timeout=timeout, what=f"{size:,} bytes of {self.tailer.name}")
        except BenchmarkError as cause:
            raise BenchmarkError(f"{cause}; {self.written:,} bytes; {self.last_error()}") from None

    def check(self) -> None:
        """Raise `BenchmarkError` if the process has ended."""
        status = self.process.poll()
        if status is not None:
            raise BenchmarkError(f"{self.tailer.name} ended with {status}: {self.last_error()}")

    def last_error(self) -> str:
        lines = self._errors.read_text("utf-8", "replace").strip().splitlines()
        return lines[-1][:200] if lines else "no message"

    def cpu(self) -> float:
        """Return the CPU time of all threads in seconds, exact to the nanosecond."""
        # See clock_getcpuclockid(3): the clock of the process with this PID, by the scheduler.
        return time.clock_gettime(~self.process.pid << 3 | 2)

    def memory(self) -> tuple[int, int]:
        """Return the resident set size and the proportional one in bytes."""
        sizes = {"Rss": 0, "Pss": 0}
        for line in Path(f"/proc/{self.process.pid}/smaps_rollup").read_text("ascii").splitlines():
            name, _, rest = line.partition(":")
            if name in sizes:
                sizes[name] = int(rest.split()[0]) * 1024
        return sizes["Rss"], sizes["Pss"]

    def descriptors(self) -> int:
        return len(list(Path(f"/proc/{self.process.pid}/fd").iterdir()))


def _find(program: str) -> str:
    """Return the path of a program, or an empty string."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin", f"{PEERS}/usr/sbin"]
    return shutil.which(program, path=":".join(places)) or ""


def _our_program() -> list[str]:
    program = Path(sys.executable).with_name("zenactors")
    return [str(program)] if program.exists() else [sys.executable, "-m", "zenactors"]


@functools.cache
def _our_help() -> str:
    done: Any = subprocess.run(
        [*_our_program(), "tail", "--help"], capture_output=True, text=True, check=True
    )
    return str(done.stdout)
