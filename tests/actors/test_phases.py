"""The phases of a dispatcher, and their log lines."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
from loguru import logger

from tests.actors.fakes import DEADLINE, Fake, raising
from zenactors.actors.dispatcher import Dispatcher
from zenactors.core.phase import Phase
from zenactors.errors import ComponentStartError, NotRunningError, ZenDaemonStopException

PHASE_LINE = r"DEBUG Phase (\w+) begins; (\w+) ended after \d+\.\d{3} s"


@pytest.fixture
def lines() -> Iterator[list[str]]:
    """Collect the log lines about phases."""
    found: list[str] = []
    sink = logger.add(
        found.append, format="{level} {message}", filter=lambda r: "phase" in r["extra"]
    )
    yield found
    logger.remove(sink)


def phases(lines: list[Any]) -> list[str]:
    """Return the phases that began, and check that each line names the one that ended then."""
    found = [re.fullmatch(PHASE_LINE, str(line).rstrip()) for line in lines]
    begun = [match[1] for match in found if match]
    assert len(begun) == len(lines)
    assert [match[2] for match in found if match] == ["NEW", *begun[:-1]]
    return begun


def test_a_dispatcher_goes_through_all_phases(lines: list[str]) -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    with dispatcher:
        pass
    assert phases(lines) == ["SETTING_UP", "STARTING", "OPEN", "DRAINING", "HALTED", "DOWN"]


def test_each_component_sees_the_phase_that_its_hook_belongs_to() -> None:
    seen: dict[str, Phase] = {}

    def note(hook: str) -> Any:
        def cbk(daemon: Any, _args: Any = None) -> None:
            seen[hook] = daemon._engine.lifecycle.phase

        return cbk

    callbacks = {event: note(event) for event in ("start", "x", "stop")}
    component = Fake(callbacks, setup=note("setup"), teardown=note("teardown"))
    with Dispatcher([component]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.drain(DEADLINE)
    assert seen == {
        "setup": Phase.SETTING_UP,
        "start": Phase.STARTING,
        "x": Phase.OPEN,
        "stop": Phase.DRAINING,
        "teardown": Phase.HALTED,
    }


def test_a_setup_that_fails_leads_from_setting_up_to_halted(lines: list[str]) -> None:
    dispatcher = Dispatcher([Fake(setup=raising(OSError("no")))])
    with pytest.raises(ComponentStartError):
        dispatcher.start()
    assert phases(lines) == ["SETTING_UP", "HALTED", "DOWN"]


def test_a_start_callback_that_fails_leads_from_starting_to_halted(lines: list[str]) -> None:
    dispatcher = Dispatcher([Fake({"start": raising(OSError("no"))})])
    with pytest.raises(ComponentStartError):
        dispatcher.start()
    assert phases(lines) == ["SETTING_UP", "STARTING", "HALTED", "DOWN"]


def test_a_callback_that_stops_everything_leads_from_open_to_halted(lines: list[str]) -> None:
    with Dispatcher([Fake({"x": raising(ZenDaemonStopException())})]) as dispatcher:
        dispatcher.queue.schedule("x")
        assert dispatcher.wait(DEADLINE)
    assert phases(lines) == ["SETTING_UP", "STARTING", "OPEN", "HALTED", "DOWN"]


def test_a_stop_without_draining_leads_from_open_to_halted(lines: list[str]) -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.start()
    dispatcher.stop(drain=False)
    assert phases(lines) == ["SETTING_UP", "STARTING", "OPEN", "HALTED", "DOWN"]


def test_a_dispatcher_that_never_started_can_be_stopped_but_not_started_then(
    lines: list[str],
) -> None:
    dispatcher = Dispatcher([Fake({"x": None})])
    dispatcher.stop()
    assert phases(lines) == ["HALTED", "DOWN"]
    with pytest.raises(NotRunningError, match="started once"):
        dispatcher.start()
    assert dispatcher._engine.lifecycle.phase is Phase.DOWN
