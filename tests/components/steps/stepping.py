"""Steps under the real engine, and the examples of their docstrings as real processes."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Iterable
from typing import Any

from zenactors import TokenOutcome, ZenDaemonComponent, handles
from zenactors.testing import Harness, Probe


class Sender(ZenDaemonComponent):
    """Schedules events as a source does, and remembers their outcomes."""

    emits = ("lines",)

    def __init__(self, *batches: Any) -> None:
        super().__init__()
        self.batches = batches
        self.outcomes: list[TokenOutcome] = []

    @handles("start")
    def cbk_event_start(self, daemon: Any, args: Any) -> None:
        for batch in self.batches:
            self.send(daemon, batch)

    @handles("send")
    def cbk_event_send(self, daemon: Any, args: Any) -> None:
        self.send(daemon, args)

    def send(self, daemon: Any, batch: Any) -> None:
        daemon.queue.schedule("lines", batch, on_done=self.outcomes.append)


class Stepping:
    """What came of some events.

    Attributes:
        passed_on: The args of each `lines` event that has passed the step.
        outcomes: Of each event.
        letters: The dead letters.
        logs: Each message.
    """

    def __init__(self, step: Any, batches: Iterable[Any], events: Iterable[Any] = ()) -> None:
        sender, probe = Sender(*batches), Probe("lines", *events)
        with Harness([sender, step, probe]) as harness:
            harness.run_until_idle()
            self.letters = harness.dead_letters()
            self.logs = [each.message for each in harness.logs]
        self.received = [(event, args) for event, args in probe.received]
        self.passed_on = [args for event, args in self.received if event == "lines"]
        self.outcomes = sender.outcomes


def run_step(step: Any, *batches: Any, events: Iterable[Any] = ()) -> Stepping:
    """Send batches through a step, and return what has come of them."""
    return Stepping(step, batches, events)


def example_of(cls: type) -> str:
    """Return the SPEC in a component's docstring."""
    text = inspect.cleandoc(cls.__doc__ or "")
    example = text.partition("\nExample:\n")[2]
    assert example, f"{cls.__name__} has no example"
    return textwrap.dedent(example)
