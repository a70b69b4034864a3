"""Samples for the tests of SPECs: a module `parts` as text, and tables that use it."""

from __future__ import annotations

PARTS = """
from __future__ import annotations
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zenactors import ZenDaemon, ZenDaemonComponent, handles

if TYPE_CHECKING:
    from nowhere import Unknown


class Source(ZenDaemonComponent):
    emits = ("line",)

    def __init__(
        self, *, pattern: str, start: Literal["beginning", "end"] = "end", size: int = 1,
        rate: float = 1.0, paths: Iterable[str] = (), directory: Path | None = None,
        other: Unknown = None, loose=None, **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.pattern, self.start, self.size, self.rate = pattern, start, size, rate
        self.paths, self.directory, self.other, self.loose = paths, directory, other, loose


class SubSource(Source):
    def __init__(self, *, extra: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.extra = extra


class Sink(ZenDaemonComponent):
    @handles("line")
    def cbk_event_line(self, daemon, args):
        pass


class Plain(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()

    @handles("line")
    def cbk_event_line(self, daemon, args):
        pass


class Deaf(ZenDaemonComponent):
    def get_events(self):
        return [self.gen_event_handler("line", self.cbk_event_line)]

    def cbk_event_line(self, daemon, args):
        pass


class Broken(ZenDaemonComponent):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        raise ValueError("the disk\\nis not there")


class Mute(ZenDaemonComponent):
    def get_events(self):
        return [{"evnt": "line"}]


def make() -> ZenDaemon:
    return ZenDaemon(name="made", components=[Sink()])


def make_of(number):
    return None


def make_nothing():
    return None


def fail():
    raise OSError("no such thing")


class Daemon(ZenDaemon):
    def __init__(self) -> None:
        super().__init__(name="subclass", components=[Sink()])


daemon = ZenDaemon(name="instance", components=[Sink()])
unheard = ZenDaemon(name="unheard", components=[Source(pattern="a")])
number = 5
"""

SINK = '[[component]]\nuse = "parts:Sink"\n'
SOURCE = '[[component]]\nuse = "parts:Source"\nname = "source"\n'
