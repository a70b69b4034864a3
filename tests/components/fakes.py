"""A daemon without threads: records scheduled events, and holds timers until a test fires them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP
from zenactors.core.component import ZenDaemonComponent


class FakeTimer:
    def __init__(self, callback: Callable[[Any], Any], *, every: float | None) -> None:
        self.callback = callback
        self.every = every
        self.active = True

    def cancel(self) -> bool:
        was, self.active = self.active, False
        return was


class FakeIO:
    """The timers of one component."""

    def __init__(self) -> None:
        self.timers: list[FakeTimer] = []

    @property
    def active(self) -> list[FakeTimer]:
        return [timer for timer in self.timers if timer.active]

    def call_every(self, interval: float, callback: Callable[[Any], Any]) -> FakeTimer:
        self.timers.append(FakeTimer(callback, every=interval))
        return self.timers[-1]

    def call_later(self, delay: float, callback: Callable[[Any], Any]) -> FakeTimer:
        assert delay == 0
        self.timers.append(FakeTimer(callback, every=None))
        return self.timers[-1]


class FakeDaemon:
    """Replaces daemon, queue and dispatcher for one component at a time."""

    FLAG_CONTINUE = FLAG_CONTINUE
    FLAG_STOP = FLAG_STOP

    def __init__(self, *, exit_when_idle: bool = False) -> None:
        self.exit_when_idle = exit_when_idle
        self.done = False
        self.status: list[int] = []
        self.scheduled: deque[tuple[Any, Any]] = deque()
        self.delivered: list[tuple[Any, Any]] = []
        self.io = FakeIO()

    @property
    def queue(self) -> FakeDaemon:
        return self

    def schedule(self, event: Any, args: Any = None) -> None:
        self.scheduled.append((event, args))

    def is_done(self) -> bool:
        return self.done

    def set_exit_status(self, status: int) -> None:
        self.status.append(status)

    def fire(self) -> None:
        """Fire all timers that are due after one interval."""
        for timer in self.io.active:
            if timer.every is None:
                timer.active = False
            timer.callback(self)

    def step(self, component: ZenDaemonComponent) -> bool:
        """Deliver the next scheduled event; return False if there is none."""
        if not self.scheduled:
            return False
        event, args = self.scheduled.popleft()
        handlers = [h for h in component.get_events() if h["event"] == event]
        if not handlers:
            self.delivered.append((event, args))
        for handler in handlers:
            assert handler["callback"](self, args) is None
        return True

    def drain(self, component: ZenDaemonComponent) -> None:
        while self.step(component):
            pass

    def poll(self, component: ZenDaemonComponent, times: int = 1) -> None:
        """Fire the timers, and deliver the events that follow."""
        for _ in range(times):
            self.fire()
            self.drain(component)

    def run_until_ended(self, component: ZenDaemonComponent) -> None:
        """Poll until the component has no active timer."""
        for _ in range(1000):
            if not self.io.active:
                return
            self.poll(component)
        raise AssertionError("the component never ended")

    def take(self, event: Any = "lines") -> list[Any]:
        """Return the args delivered under `event` since the last call."""
        taken = [args for name, args in self.delivered if name == event]
        self.delivered = [(name, args) for name, args in self.delivered if name != event]
        return taken
