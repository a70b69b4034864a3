"""`Dispatcher` and `ZenDaemon` have everything that the protocol promises to callbacks."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest

from zenactors.actors.dispatcher import Dispatcher
from zenactors.actors.live_queue import LiveQueue
from zenactors.actors.reactor import ComponentReactor
from zenactors.core.daemon_api import Daemon, EventQueue, Reactor
from zenactors.daemon.zendaemon import ZenDaemon

if TYPE_CHECKING:  # mypy compares the signatures
    daemons: list[Daemon] = [Dispatcher([]), ZenDaemon()]


def promised(protocol: Any) -> set[str]:
    return {name for name in {**vars(protocol), **protocol.__annotations__} if name[0] != "_"}


def offered(cls: type) -> set[str]:
    annotated = {name for each in cls.__mro__ for name in inspect.get_annotations(each)}
    return {*dir(cls), *annotated}


@pytest.mark.parametrize("cls", [Dispatcher, ZenDaemon])
def test_a_callback_finds_all_that_is_promised_of_a_daemon(cls: type) -> None:
    attributes = {"queue", "logger", "exit_when_idle"}  # set by the constructor of Dispatcher
    assert promised(Daemon) - offered(cls) <= attributes


def test_a_callback_finds_all_that_is_promised_of_queue_and_io() -> None:
    assert promised(EventQueue) <= offered(LiveQueue)
    assert promised(Reactor) <= offered(ComponentReactor)


def test_the_comparison_can_fail() -> None:
    assert promised(Daemon) - offered(EventQueue)
