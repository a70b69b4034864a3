"""`Dispatcher` and `ZenDaemon` implement the protocol of `daemon`."""

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
def test_the_daemons_have_everything_that_the_protocol_has(cls: type) -> None:
    attributes = {"queue", "logger", "exit_when_idle"}  # set by the constructor of Dispatcher
    assert promised(Daemon) - offered(cls) <= attributes


def test_the_queue_and_io_have_everything_that_the_protocols_have() -> None:
    assert promised(EventQueue) <= offered(LiveQueue)
    assert promised(Reactor) <= offered(ComponentReactor)


def test_the_comparison_can_fail() -> None:
    assert promised(Daemon) - offered(EventQueue)
