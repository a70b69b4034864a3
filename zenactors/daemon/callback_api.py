"""The part of a `ZenDaemon` that callbacks use. Every method forwards to the dispatcher."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from zenactors.actors.percent_logger import PercentLogger

if TYPE_CHECKING:
    import contextlib
    import subprocess

    import tenacity

    from zenactors.actors.dispatcher import Dispatcher
    from zenactors.actors.letter_box import LetterBox
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.actors.reactor import ComponentReactor
    from zenactors.actors.token_holds import TokenHold
    from zenactors.components._state_store import StateStore
    from zenactors.core.accounting import Accounting
    from zenactors.core.dead_letters import DeadLetter


class CallbackApi:
    """The dispatcher's methods for callbacks, on the daemon. Thread: any, but for `io`."""

    @property
    @abc.abstractmethod
    def dispatcher(self) -> Dispatcher:
        """The engine."""

    @property
    def queue(self) -> LiveQueue:
        """The event queue; safe from any thread."""
        return self.dispatcher.queue

    @property
    def io(self) -> ComponentReactor:
        """The calling component's descriptors and timers. Thread: own."""
        return self.dispatcher.io

    @property
    def logger(self) -> PercentLogger:
        """A logger that takes `%s` arguments, and writes to loguru."""
        return PercentLogger()

    def dbgout(self, message: str) -> None:
        """Log a debugging message."""
        self.logger.debug(message)

    def is_done(self) -> bool:
        """Return True once it is time to stop: produce no new work."""
        return self.dispatcher.is_done()

    def set_done(self) -> None:
        """Ask for a graceful stop. Returns at once."""
        self.dispatcher.set_done()

    def wait(self, period: float | None) -> bool:
        """Wait `period` seconds, or until it is time to stop. Return True if it is.

        Args:
            period: None waits until it is time to stop.
        """
        return self.dispatcher.wait(period)

    def retrying(self, **options: Any) -> tenacity.Retrying:
        """Return tenacity's `Retrying`; its waits end when it is time to stop."""
        return self.dispatcher.retrying(**options)

    def spawn(self, argv: Sequence[str], **popen_options: Any) -> subprocess.Popen[Any]:
        """Run a program that is ended with the daemon; see `Dispatcher.spawn`."""
        return self.dispatcher.spawn(argv, **popen_options)

    @property
    def incarnation(self) -> int:
        """How many objects the calling component has been, from 1. Thread: own."""
        return self.dispatcher.incarnation

    def readiness(self) -> list[str]:
        """Return why the components do not all work now; empty if they do."""
        return self.dispatcher.readiness()

    def hold(self) -> TokenHold:
        """Keep the event under way from counting as done. Thread: own."""
        return self.dispatcher.hold()

    def part_of(self, hold: TokenHold) -> contextlib.AbstractContextManager[None]:
        """Let what is scheduled in this block count as part of a held event. Thread: own."""
        return self.dispatcher.part_of(hold)

    def state_store(self) -> StateStore:
        """Return the calling component's state store; see `Dispatcher.state_store`. Thread: own."""
        return self.dispatcher.state_store()

    @property
    def ends_cleanly(self) -> bool:
        """False once an exception out of a callback, or a bug, ends the daemon."""
        return self.dispatcher.ends_cleanly

    def open_tokens(self) -> tuple[int, float]:
        """Return how many events with an `on_done` are not done, and the age of the oldest."""
        return self.dispatcher.open_tokens()

    def abandoned(self) -> list[str]:
        """Return the component of each abandoned thread that still runs."""
        return self.dispatcher.abandoned()

    @property
    def dead_letters(self) -> LetterBox:
        """The last 1,000 events that could not be handled; called, it returns them as a list."""
        return self.dispatcher.dead_letters

    @property
    def replaying(self) -> DeadLetter | None:
        """The dead letter whose replay the event under way is, or None. Thread: own."""
        return self.dispatcher.replaying

    def dead_letter(
        self,
        event: Any,
        args: Any,
        cause: BaseException | str,
        *,
        position: Any = None,
        callback: Any = None,
    ) -> DeadLetter:
        """Make an event a dead letter that this component gives up by itself.

        Args:
            event: The event.
            args: Its args.
            cause: The reason: an exception or a text.
            position: Where the source has read it.
            callback: This component's callback, at which a replay begins. None: at the first one.
        """
        return self.dispatcher.dead_letter(event, args, cause, position=position, callback=callback)

    def accounting(self) -> Accounting:
        """Return the books: where each accepted event is, and what each component has done."""
        return self.dispatcher.accounting()

    def set_exit_status(self, status: int) -> None:
        """Let the process end with this exit status. The first one set counts."""
        self.dispatcher.set_exit_status(status)

    def chains(self) -> dict[Any, list[tuple[str, str]]]:
        """Return each event's chain as `(component, callback)` names, in order."""
        return self.dispatcher.chains()
