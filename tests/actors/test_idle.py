"""A dump of all stacks shows who works; who waits for work is counted and named."""

from __future__ import annotations

import os
import select
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE, Fake, Gate
from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.idle import is_idle
from zenactors.process.diagnostics import stacks

COUNT = 200


def dump_with(idle: int, names: tuple[str, ...] = ()) -> str:
    """Return the stacks once so many threads are idle; there is no event to wait for."""
    poll = select.poll()
    for _ in range(int(DEADLINE * 100)):
        text = stacks(names, is_idle=is_idle)
        if f"({idle:,} threads)" in text.rpartition("\n")[2]:
            return text
        poll.poll(10)
    pytest.fail(f"not {idle} threads are idle:\n{text}")


def test_idle_actors_of_each_kind_are_one_line_and_busy_ones_have_their_stacks() -> None:
    reader, writer = os.pipe()
    gate = Gate()

    def with_timer(daemon: Any) -> None:
        daemon.io.call_every(3600.0, print)

    def with_descriptor(daemon: Any) -> None:
        daemon.io.add_reader(reader, print)

    components = [
        Fake({"x": None}, name="plain"),
        Fake(name="timer", setup=with_timer),
        Fake(name="reader", setup=with_descriptor),
        Fake({"wait": gate}, name="one"),
        Fake({"wait too": gate}, name="two"),
        Fake({"wait for itself": lambda *_: gate()}, name="three"),
    ]
    try:
        with Dispatcher(components) as dispatcher:
            for event in ("wait", "wait too", "wait for itself"):
                dispatcher.queue.schedule(event)
            text = dump_with(4)
            gate.open()
    finally:
        os.close(reader)
        os.close(writer)

    heads = [line for line in text.splitlines() if not line.startswith(" ") and line]
    names = ("dispatcher", "plain", "reader", "timer")
    assert heads[0] == "MainThread:"
    assert heads[-1] == "Idle: " + ", ".join(f"zenactors:{name}" for name in names) + " (4 threads)"
    assert [head for head in heads if "zenactors:" in head][:-1] == [
        "zenactors:one, zenactors:two (2 threads):",  # the same stack
        "zenactors:three:",
    ]
    assert text.count("assert self.opened.wait") == 2


def test_hundreds_of_idle_actors_hide_nothing() -> None:
    gate = Gate()
    components = [Fake({n: None}, name=f"n{n}") for n in range(COUNT)]
    busy = Fake({"work": gate}, name="busy")
    with Dispatcher([*components, busy]) as dispatcher:
        dispatcher.queue.schedule("work")
        text = dump_with(COUNT + 1)
        some = dump_with(2, ("zenactors:busy", "zenactors:n7", "zenactors:n8"))
        gate.open()

    assert len(text.splitlines()) < COUNT
    assert text.count("zenactors:n") == COUNT
    assert some.startswith("zenactors:busy:\n")
    assert some.endswith("\n\nIdle: zenactors:n7, zenactors:n8 (2 threads)")
