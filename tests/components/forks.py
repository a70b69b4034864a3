"""Programs with stock components, which are forked from a process that has imported these."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from tests.forked import ForkServer
from tests.running import LIMIT

PRELOAD = (
    "import zenactors.cli.run, zenactors.daemon.launch, zenactors.spec.assemble;"
    " import zenactors, zenactors.components;"
    " [getattr(each, name) for each in (zenactors, zenactors.components) for name in each.__all__]"
)


def output_of(forks: ForkServer, *argv: str | Path, stdin: IO[bytes]) -> tuple[int, bytes]:
    """Run a program to its end, and return its status and what it has printed."""
    with tempfile.TemporaryFile() as stdout, Path(os.devnull).open("wb") as null:
        words = [*map(str, argv)]
        process = forks.start(words, environ={}, stdin=stdin, stdout=stdout, stderr=null)
        try:
            status = process.wait(LIMIT)
        finally:
            process.kill()
            process.wait()
        stdout.seek(0)
        return status, stdout.read()


@contextlib.contextmanager
def killed(forks: ForkServer, *argv: str | Path, cwd: Path) -> Iterator[IO[bytes]]:
    """Run a program during the body, which gets its standard output; then kill it with -9."""
    ours, theirs = os.pipe()
    with os.fdopen(ours, "rb") as output, Path(os.devnull).open("r+b") as null:
        with os.fdopen(theirs, "wb") as stdout:
            words = [*map(str, argv)]
            process = forks.start(
                words, environ={}, stdin=null, stdout=stdout, stderr=null, cwd=cwd
            )
        try:
            yield output
        finally:
            process.kill()
            output.read()
            process.wait(LIMIT)
