from __future__ import annotations

import contextlib
import os
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator

import pytest
from loguru import logger

from tests.actors.fakes import Gate
from zenactors.testing import _leaks as leaks
from zenactors.testing.files import VirtualFiles

# With the entry point or without: see the end of test_plugin.
ASKED_FOR = ("-p", "zenactors.testing.plugin")

Run = Callable[..., pytest.RunResult]


@pytest.fixture(scope="package", autouse=True)
def no_logs_on_standard_error() -> Iterator[None]:
    """Remove loguru's own sink, which takes seconds to print some hundred failures."""
    with contextlib.suppress(ValueError):
        logger.remove(0)
    yield
    logger.add(sys.stderr)


class World:
    """The leaks of the inner tests, which the fixture `world` removes."""

    def __init__(self) -> None:
        self.gate = Gate()
        self.children: list[int] = []
        self.descriptors: list[int] = []

    @pytest.fixture
    def world(self) -> World:
        return self

    def leak_thread(self, name: str = "busy") -> threading.Thread:
        thread = threading.Thread(target=self.gate, name=name, daemon=True)
        thread.start()
        self.gate.await_entered()
        return thread

    def leak_descriptor(self) -> int:
        self.descriptors.append(os.open(os.devnull, os.O_RDONLY))
        return self.descriptors[-1]

    def leak_child(self) -> int:
        """Leave a child that has ended."""
        self.children.append(os.posix_spawn("/bin/true", ["true"], {}))
        os.waitid(os.P_PID, self.children[-1], os.WEXITED | os.WNOWAIT)
        return self.children[-1]

    def clear(self) -> None:
        self.gate.open()
        for descriptor in self.descriptors:
            os.close(descriptor)
        for child in self.children:
            os.waitpid(child, 0)


@pytest.fixture
def world() -> Iterator[World]:
    world = World()
    yield world
    world.clear()


@pytest.fixture
def run(pytester: pytest.Pytester, world: World, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run inner tests from their source and arguments, without waiting for leaked threads."""
    monkeypatch.setattr(leaks, "PATIENCE", 0.0)

    def run(source: str, *args: str) -> pytest.RunResult:
        head = "import pytest\nfrom tests.actors.fakes import Fake, Gate, raising\n"
        pytester.makepyfile(head + textwrap.dedent(source))
        return pytester.runpytest_inprocess(*ASKED_FOR, *args, plugins=[world])

    return run


@pytest.fixture
def from_disk() -> VirtualFiles:
    """Return files in memory that copy those of the disk."""
    return VirtualFiles(from_disk=True)
