"""A daemon without threads: records scheduled events, and holds timers until a test fires them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP
from zenactors.core.clock import VirtualClock
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.tokens import TokenOutcome


class FakeTimer:
    """A registered timer, or a descriptor that never becomes ready."""

    def __init__(
        self, callback: Callable[[Any], Any], *, when: float | None, every: float | None = None
    ) -> None:
        self.callback = callback
        self.when = when
        self.every = every
        self.active = True

    def cancel(self) -> bool:
        was, self.active = self.active, False
        return was


class FakeIO:
    """The timers of one component."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.timers: list[FakeTimer] = []

    @property
    def active(self) -> list[FakeTimer]:
        self.timers = [timer for timer in self.timers if timer.active]
        return self.timers

    def call_later(self, delay: float, callback: Callable[[Any], Any]) -> FakeTimer:
        self.timers.append(FakeTimer(callback, when=self._clock.monotonic() + delay))
        return self.timers[-1]

    def call_every(self, interval: float, callback: Callable[[Any], Any]) -> FakeTimer:
        when = self._clock.monotonic() + interval
        self.timers.append(FakeTimer(callback, when=when, every=interval))
        return self.timers[-1]

    def add_reader(self, _fd: Any, callback: Callable[[Any], Any]) -> FakeTimer:
        self.timers.append(FakeTimer(callback, when=None))
        return self.timers[-1]

    def due(self) -> list[FakeTimer]:
        now = self._clock.monotonic()
        return [timer for timer in self.active if timer.when is not None and timer.when <= now]


class FakeDaemon:
    """Replaces daemon, queue and dispatcher for one component at a time. Time is virtual."""

    FLAG_CONTINUE = FLAG_CONTINUE
    FLAG_STOP = FLAG_STOP

    def __init__(self, *, exit_when_idle: bool = False) -> None:
        self.exit_when_idle = exit_when_idle
        self.done = False
        self.status: list[int] = []
        self.scheduled: deque[tuple[Any, Any, Any]] = deque()
        self.delivered: list[tuple[Any, Any]] = []
        self.clock = VirtualClock()
        self.io = FakeIO(self.clock)

    @property
    def queue(self) -> FakeDaemon:
        return self

    def schedule(
        self,
        event: Any,
        args: Any = None,
        *,
        on_done: Callable[[TokenOutcome], object] | None = None,
        position: Any = None,
    ) -> None:
        self.scheduled.append((event, args, on_done))

    def is_done(self) -> bool:
        return self.done

    def set_exit_status(self, status: int) -> None:
        self.status.append(status)

    def fire(self, seconds: float = 1.0) -> None:
        """Let time pass, and fire the timers that are due then, each once."""
        self.clock.advance(seconds)
        for timer in self.io.due():
            timer.active = timer.every is not None
            if timer.every is not None:
                timer.when = self.clock.monotonic() + timer.every
            timer.callback(self)

    def step(self, component: ZenDaemonComponent) -> bool:
        """Deliver the next scheduled event; return False if there is none."""
        if not self.scheduled:
            return False
        event, args, on_done = self.scheduled.popleft()
        handlers = [h for h in component.get_events() if h["event"] == event]
        if not handlers:
            self.delivered.append((event, args))
        for handler in handlers:
            assert handler["callback"](self, args) is None
        if on_done is not None:
            on_done(TokenOutcome.DONE)
        return True

    def drain(self, component: ZenDaemonComponent) -> None:
        while self.step(component):
            pass

    def poll(self, component: ZenDaemonComponent, times: int = 1) -> None:
        """Let a second pass, fire the timers, and deliver the events, until nothing is left."""
        for _ in range(times):
            self.fire()
            self.drain(component)
            for _ in range(1000):
                if not self.io.due():
                    break
                self.fire(0)
                self.drain(component)
            else:
                raise AssertionError("the component never comes to rest")

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
