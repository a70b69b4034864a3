"""Threads of zenactors begin with an empty context, whatever the thread that starts them has set.

From Python 3.14 on, threads may inherit a copy of the starter's context, and do by default in
free-threaded builds. The tests let them inherit on every version.
"""

from __future__ import annotations

import contextvars
import queue
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.runtime import Runtime
from zenactors.components._files import SYSTEM_FILES
from zenactors.components.tail.patient_files import PatientFiles
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.testing.harness import Harness

UNSET = "unset"
VARIABLE = contextvars.ContextVar("VARIABLE", default=UNSET)


class InheritingThread(threading.Thread):
    """Runs in a copy of the context of the thread that starts it, as on Python 3.14."""

    def start(self) -> None:
        self.inherited = contextvars.copy_context()
        super().start()

    def run(self) -> None:
        self.inherited.run(super().run)


@pytest.fixture
def inherited(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Let threads inherit a context in which the variable is set."""
    monkeypatch.setattr(threading, "Thread", InheritingThread)
    token = VARIABLE.set("of the starter")
    yield
    VARIABLE.reset(token)


class Looking(ZenDaemonComponent):
    """Notes the variable wherever code of a component runs."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, str] = {}
        self.timer_has_run = threading.Event()

    def look(self, where: str) -> None:
        self.seen[where] = VARIABLE.get()

    def setup(self, daemon: Any) -> None:
        self.look("setup")
        daemon.io.call_later(0.0, self.cbk_timer)

    def cbk_timer(self, daemon: Any) -> None:
        self.look("timer")
        self.timer_has_run.set()

    @handles("x")
    def cbk_x(self, daemon: Any, args: Any) -> None:
        self.look("callback")

    def get_state(self) -> dict[str, Any]:
        self.look("get_state")
        return {}

    def teardown(self, daemon: Any) -> None:
        self.look("teardown")


EVERYWHERE = {"setup", "callback", "timer", "get_state", "teardown"}


def test_the_test_lets_threads_inherit(inherited: None) -> None:
    seen: list[str] = []
    thread = threading.Thread(target=lambda: seen.append(VARIABLE.get()))
    thread.start()
    thread.join(DEADLINE)
    assert seen == ["of the starter"]


def test_a_component_sees_no_context_of_the_thread_that_starts_it(inherited: None) -> None:
    component = Looking()
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert component.timer_has_run.wait(DEADLINE)
        dispatcher.get_state()
    assert component.seen == dict.fromkeys(EVERYWHERE, UNSET)


def test_the_dispatchers_thread_sees_none_either(inherited: None) -> None:
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    with Dispatcher([Fake({"x": None})]) as dispatcher:
        dispatcher._engine.loop.ask(lambda _state: seen.put(VARIABLE.get()))
    assert seen.get(timeout=DEADLINE) == UNSET


@pytest.mark.parametrize("how", ["run_apart", "help"])
def test_a_helper_sees_none_either(how: str, inherited: None) -> None:
    seen: queue.SimpleQueue[str] = queue.SimpleQueue()
    getattr(Runtime(), how)(lambda: seen.put(VARIABLE.get()))
    assert seen.get(timeout=DEADLINE) == UNSET


def test_a_helper_for_network_files_sees_none_either(inherited: None, tmp_path: Path) -> None:
    seen: list[str] = []

    class Mounted(type(SYSTEM_FILES)):  # type: ignore[misc]
        def is_network(self, path: str) -> bool:
            return True

        def lexists(self, path: str) -> bool:
            seen.append(VARIABLE.get())
            return True

    files = PatientFiles(Mounted(), timeout=DEADLINE)
    assert files.lexists(str(tmp_path))
    files.shutdown()
    assert seen == [UNSET]


def test_what_a_component_sets_in_its_setup_is_there_in_its_callbacks_alone() -> None:
    class Setting(Looking):
        def setup(self, daemon: Any) -> None:
            VARIABLE.set("in setup")

    one, other = Setting(), Looking()
    with Dispatcher([one, other]) as dispatcher:
        dispatcher.queue.schedule("x")
    assert (one.seen["callback"], other.seen["callback"]) == ("in setup", UNSET)
    assert VARIABLE.get() == UNSET


def test_components_in_the_harness_see_no_context_of_the_test() -> None:
    token = VARIABLE.set("of the test")
    try:
        component = Looking()
        with Harness([component]) as harness:
            harness.queue.schedule("x")
            harness.advance(1.0)
            harness.daemon.get_state()
    finally:
        VARIABLE.reset(token)
    assert component.seen == dict.fromkeys(EVERYWHERE, UNSET)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="threads never inherit on this Python")
def test_with_pythons_own_inheritance_it_is_the_same() -> None:
    program = (
        "from tests.actors import test_contexts as tests\n"
        "tests.VARIABLE.set('of the starter')\n"
        "tests.test_the_test_lets_threads_inherit(None)\n"
        "tests.test_a_component_sees_no_context_of_the_thread_that_starts_it(None)\n"
    )
    command = [sys.executable, "-X", "thread_inherit_context=1", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
