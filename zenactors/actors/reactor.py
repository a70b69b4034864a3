"""A component's descriptors and timers: its actor waits for them and for messages together.

Only components that register a descriptor pay for a selector and its wake-up descriptor.

Atomic operations relied on: storing and reading an attribute (`ComponentReactor.wake`). For the
order of `park` and `wake`, see `actors.mailbox`.
"""

from __future__ import annotations

import contextlib
import errno
import heapq
import itertools
import os
import selectors
from collections.abc import Callable, Iterator
from typing import Any

from zenactors.advice import advice_for, reason
from zenactors.core.clock import LONGEST_SLEEP, Clock, to_seconds
from zenactors.core.event_queue import MIN_PRUNED
from zenactors.errors import AbandonedError

MIN_INTERVAL = 0.000_001  # seconds: a smaller one would overflow the count of missed calls
BUSY_POLL = 0.001  # seconds between two looks at the descriptors while there are batches to run

_ADVICE = {
    errno.EPERM: "A regular file or a directory is always ready: use it without waiting",
    errno.EBADF: "Register a descriptor while it is open",
    errno.ENOENT: "It was closed while it was registered: cancel first, then close",
    errno.ENOSPC: "Raise the limit of watched descriptors (sysctl fs.epoll.max_user_watches)",
}

ReactorCallback = Callable[[Any], Any]


class Registration:
    """One registered descriptor, timer or `keep_alive`. Thread: own."""

    __slots__ = ("callback", "fd", "interval", "mask", "reactor")

    def __init__(
        self,
        reactor: ComponentReactor,
        callback: ReactorCallback,
        *,
        interval: float | None = None,
        fd: int = -1,
        mask: int = 0,
    ) -> None:
        self.reactor: ComponentReactor | None = reactor
        self.callback = callback
        self.interval = interval
        self.fd = fd
        self.mask = mask

    def cancel(self) -> bool:
        """Cancel it. False: it was cancelled before, or was a timer that has run."""
        reactor, self.reactor = self.reactor, None
        return reactor is not None and reactor.forget(self)


class WakeUp:
    """An eventfd that is open as long as any thread has a reference to it.

    If its owner closed it, a late write could reach another file with the same number.
    """

    fd = -1

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)

    def __del__(self) -> None:
        if self.fd >= 0:  # otherwise there was none to be had
            with contextlib.suppress(OSError):  # the component's own code has closed it
                os.close(self.fd)

    def set(self) -> None:
        """Make the descriptor readable. Never blocks. Thread: any."""
        with contextlib.suppress(BlockingIOError):  # the counter is full: it is readable
            os.eventfd_write(self.fd, 1)

    def clear(self) -> None:
        """Make it unreadable again."""
        with contextlib.suppress(BlockingIOError):
            os.eventfd_read(self.fd)


class ComponentReactor:
    """The descriptors and timers of one component. Thread: own, except `wake`.

    Args:
        clock: The source of time.
        on_active: Called with True when the first registration is made and with False when
            the last is gone.
        on_failure: Called if the system refuses to wait for the descriptors. They never call back
            again; timers do.
    """

    def __init__(
        self,
        clock: Clock,
        on_active: Callable[[bool], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._clock = clock
        self._on_active = on_active
        self._on_failure = on_failure
        self._registered: set[Registration] = set()
        self._timers: list[tuple[float, int, Registration]] = []
        self._order = itertools.count()
        self._idle: list[Registration] = []  # called when there is nothing else to do
        self._is_idle = False
        self._selector: selectors.BaseSelector | None = None
        self._by_fd: dict[int, dict[int, Registration]] = {}
        self._wake_up: WakeUp | None = None
        self._asleep = False
        self._ready: list[tuple[int, int]] = []
        self._next_poll = 0.0
        self._quiet = True
        self._alarm: float | None = None
        self._is_abandoned = False

    # --- for components (core.daemon_api.Reactor) -------------------------------------------

    def add_reader(self, fd: Any, callback: ReactorCallback) -> Registration:
        """Call back whenever `fd` can be read."""
        return self._add_descriptor(fd, selectors.EVENT_READ, callback)

    def add_writer(self, fd: Any, callback: ReactorCallback) -> Registration:
        """Call back whenever `fd` can be written."""
        return self._add_descriptor(fd, selectors.EVENT_WRITE, callback)

    def call_later(self, delay: float, callback: ReactorCallback) -> Registration:
        """Call back once, after `delay` seconds."""
        return self._add_timer(to_seconds("delay", delay), Registration(self, callback))

    def call_every(self, interval: float, callback: ReactorCallback) -> Registration:
        """Call back every `interval` seconds; a late call does not make the next ones late.

        An interval below a microsecond counts as a microsecond.
        """
        seconds = to_seconds("interval", interval)
        if seconds <= 0:
            raise ValueError(f"interval must be more than 0 seconds, not {interval!r}.")
        seconds = max(seconds, MIN_INTERVAL)
        return self._add_timer(seconds, Registration(self, callback, interval=seconds))

    def call_when_idle(self, callback: ReactorCallback) -> Registration:
        """Call back once, as soon as the component has no event to handle."""
        self._check_not_abandoned()
        registration = Registration(self, callback)
        self._idle.append(registration)
        return self._register(registration)

    def keep_alive(self) -> Registration:
        """Count the component as an active source until the result is cancelled."""
        self._check_not_abandoned()
        return self._register(Registration(self, lambda _daemon: None))

    # --- for the component's actor ----------------------------------------------------------

    def open(self) -> None:
        """Begin to call back: every component has started."""
        self._quiet = False

    def is_open(self) -> bool:
        """Return True if descriptors and timers call back. Thread: any."""
        return not self._quiet

    def quiesce(self) -> None:
        """Call back no more, because the daemon stops. Registrations stay."""
        self._quiet = True

    def set_alarm(self, delay: float | None) -> None:
        """Be `due` in so many seconds, even while nothing calls back. None: do not."""
        self._alarm = None if delay is None else self._clock.monotonic() + delay

    def alarm_rings(self) -> bool:
        """Return True, once, if the time of the alarm has come."""
        if self._alarm is None or self._clock.monotonic() < self._alarm:
            return False
        self._alarm = None
        return True

    def has_descriptors(self) -> bool:
        """Return True if there is a selector to wait for."""
        # While nothing is called back, a readable descriptor would end every wait at once.
        return self._selector is not None and not self._quiet

    def due(self) -> bool:
        """Return True if `take_due` would return anything. Does not block."""
        if self._alarm is not None and self._alarm <= self._clock.monotonic():
            return True
        if self._quiet:
            return False
        if self._ready:
            return True
        if not self._timers and not self._by_fd:
            return False
        now = self._clock.monotonic()
        if self._timers and self._timers[0][0] <= now:
            return True
        if self._by_fd and now >= self._next_poll:
            self._next_poll = now + BUSY_POLL
            self._select(0.0)
        return bool(self._ready)

    def has_idle(self) -> bool:
        """Return True if something is to be called when the component is idle."""
        return bool(self._idle) and not self._quiet

    def note_idle(self) -> None:
        """Let `take_due` yield what is to be called when the component is idle: it is."""
        self._is_idle = True

    def timeout(self) -> float | None:
        """Return the seconds until the next timer, or the alarm. None: there is none."""
        moments = [] if self._quiet or not self._timers else [self._timers[0][0]]
        if self._alarm is not None:
            moments.append(self._alarm)
        if not moments:
            return None
        return min(max(0.0, min(moments) - self._clock.monotonic()), LONGEST_SLEEP)

    def park(self, nothing_new: Callable[[], bool]) -> None:
        """Wait for a descriptor, a timer or `wake`, unless `nothing_new()` is False."""
        self._asleep = True
        # Called after the flag was set: a thread that puts a message in later sees the flag.
        if nothing_new():
            self._select(self.timeout())
        self._asleep = False

    def wake(self) -> None:
        """End a `park`. Never blocks. Thread: any."""
        wake_up = self._wake_up
        if self._asleep and wake_up is not None:
            wake_up.set()

    def has_ready(self) -> bool:
        """Return True if the last look found a descriptor that is ready."""
        return bool(self._ready) and not self._quiet

    def look(self) -> bool:
        """Look at the descriptors now. Return True if one is ready."""
        if self.has_descriptors() and not self._ready:
            self._select(0.0)
        return self.has_ready()

    def take_due(self) -> Iterator[ReactorCallback]:
        """Yield the callbacks whose time has come, timers first.

        Call each before taking the next one: registrations that it cancels are left out.
        """
        if self._quiet:
            return
        now = self._clock.monotonic()
        due: list[Registration] = []
        again: list[tuple[float, Registration]] = []
        while self._timers and self._timers[0][0] <= now:
            when, _, timer = heapq.heappop(self._timers)
            if timer not in self._registered:
                continue
            due.append(timer)
            if timer.interval is not None:
                # Keep in step with the first call, and leave out missed calls.
                missed = int((now - when) / timer.interval)
                again.append((when + (missed + 1) * timer.interval, timer))
        for when, timer in again:
            self._push(when, timer)
        ready, self._ready = self._ready, []
        for fd, mask in ready:
            wanted = self._by_fd.get(fd, {})
            due += [registration for each, registration in wanted.items() if mask & each]
        if self._is_idle:
            self._is_idle = False
            due += self._idle
            self._idle = []
        for registration in due:
            if registration not in self._registered:
                continue
            if not registration.mask and registration.interval is None:
                registration.reactor = None
                self._unregister(registration)
            yield registration.callback

    def forget(self, registration: Registration) -> bool:
        """Cancel a registration. False: it is not registered.

        Raises:
            AbandonedError: The calling thread was abandoned.
        """
        self._check_not_abandoned()
        if registration not in self._registered:
            return False
        if registration.mask:
            wanted = self._by_fd[registration.fd]
            del wanted[registration.mask]
            if not wanted:
                del self._by_fd[registration.fd]
            self._unwatch(registration.fd, wanted)
        self._unregister(registration)
        self._prune()
        return True

    def close(self) -> None:
        """Forget everything, and close the selector."""
        if self._is_abandoned:  # `abandon` has closed the selector
            return
        for registration in list(self._registered):
            registration.cancel()
        self._timers.clear()
        self._idle.clear()
        self._close_selector()

    def disown(self) -> None:
        """In a forked child: close its copies. What the parent waits for does not change."""
        self._quiet = True
        self._close_selector()

    def abandon(self) -> None:
        """Wait for nothing more, and refuse what the abandoned thread still asks for.

        Thread: the one that has ended the turn of the call under way.
        """
        self._is_abandoned = True
        self.disown()

    # --- inside -----------------------------------------------------------------------------

    def _check_not_abandoned(self) -> None:
        if self._is_abandoned:
            raise AbandonedError

    def _add_timer(self, delay: float, timer: Registration) -> Registration:
        self._check_not_abandoned()
        self._push(self._clock.monotonic() + delay, timer)
        return self._register(timer)

    def _prune(self) -> None:
        """Drop cancelled timers once they are the majority in the heap."""
        if len(self._timers) > MIN_PRUNED and len(self._timers) > 2 * len(self._registered):
            self._timers = [entry for entry in self._timers if entry[2] in self._registered]
            heapq.heapify(self._timers)

    def _push(self, when: float, timer: Registration) -> None:
        heapq.heappush(self._timers, (when, next(self._order), timer))

    def _add_descriptor(self, fd: Any, mask: int, callback: ReactorCallback) -> Registration:
        self._check_not_abandoned()
        number = fd if isinstance(fd, int) else fd.fileno()
        wanted = self._by_fd.get(number, {})
        if mask in wanted:
            raise ValueError(f"Descriptor {number} is registered already; cancel that first.")
        registration = Registration(self, callback, fd=number, mask=mask)
        try:
            self._watch(number, mask, wanted)
        except OSError as cause:
            raise _refusal(number, cause) from cause
        self._by_fd.setdefault(number, wanted)[mask] = registration
        return self._register(registration)

    def _watch(self, number: int, mask: int, wanted: dict[int, Registration]) -> None:
        """Wait for one more kind of readiness. Either all of it succeeds, or nothing changes."""
        events = _mask(wanted) | mask
        if wanted and self._selector is not None:
            try:
                self._selector.modify(number, events)
            except KeyError:  # an earlier `modify` has found it closed
                raise OSError(errno.ENOENT, os.strerror(errno.ENOENT)) from None
            return
        is_open = self._selector is not None
        try:
            selector = self._selector or self._open_selector()
            selector.register(number, events)
        except BaseException:  # whatever it was, no half-made selector remains
            if not is_open:
                self._close_selector()
            raise

    def _unwatch(self, number: int, wanted: dict[int, Registration]) -> None:
        # A descriptor that was closed before has left the selector already.
        with contextlib.suppress(KeyError, OSError):
            if self._selector is None:
                return
            if wanted:
                self._selector.modify(number, _mask(wanted))
            else:
                self._selector.unregister(number)

    def _open_selector(self) -> selectors.BaseSelector:
        selector = self._selector = selectors.DefaultSelector()
        self._wake_up = WakeUp()
        selector.register(self._wake_up.fd, selectors.EVENT_READ)
        return selector

    def _close_selector(self) -> None:
        selector, self._selector, self._wake_up = self._selector, None, None
        if selector is not None:
            with contextlib.suppress(OSError):  # the component's own code has closed it
                selector.close()

    def _register(self, registration: Registration) -> Registration:
        self._registered.add(registration)
        if len(self._registered) == 1:
            self._on_active(True)  # noqa: FBT003
        return registration

    def _unregister(self, registration: Registration) -> None:
        self._registered.discard(registration)
        if not self._registered:
            self._on_active(False)  # noqa: FBT003

    def _select(self, timeout: float | None) -> None:
        if self._selector is None:
            return  # it has failed
        assert self._wake_up is not None
        try:
            found = self._selector.select(timeout)
        except Exception as cause:  # a component's code has closed its descriptor, for instance
            self._close_selector()
            self._on_failure(cause)
            return
        for key, mask in found:
            if key.fd == self._wake_up.fd:
                self._wake_up.clear()
            elif not self._quiet:
                self._ready.append((key.fd, mask))


def _refusal(number: int, cause: OSError) -> OSError:
    """Return an error of the same kind that names the descriptor and the next step."""
    advice = _ADVICE.get(cause.errno or 0) or advice_for(
        cause, "", "read", otherwise="Check where the descriptor comes from"
    )
    text = f"Cannot wait for descriptor {number}: {reason(cause)}. {advice}."
    return OSError(cause.errno, text)


def _mask(wanted: dict[int, Registration]) -> int:
    mask = 0
    for each in wanted:
        mask |= each
    return mask
