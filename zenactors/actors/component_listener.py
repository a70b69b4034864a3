"""What a component's actor reports to the engine, and what the engine may do with its thread."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import weakref

    import pykka

    from zenactors.actors.reactor import ComponentReactor
    from zenactors.core.batch_runner import BatchRunner
    from zenactors.core.messages import Scheduled
    from zenactors.core.supervision import Supervision
    from zenactors.core.tokens import Token
    from zenactors.core.turn import Turn


@dataclasses.dataclass(frozen=True, slots=True)
class Inheritance:
    """What an abandoned thread leaves to its successor.

    Attributes:
        cause: Why it was abandoned.
        turn: Its call under way.
        runner: The runner of the successor.
        ref: The reference that names the component, with its mailbox.
        lost: The objects that abandoned threads still use.
        is_open: True if descriptors and timers call back.
        ending: True if the daemon stops.
        drains: True if it stops in order.
        reported_active: True if the component counts as an active source.
        tells_ends: True if the end of some tokens was being told.
    """

    cause: BaseException
    turn: Turn
    runner: BatchRunner
    ref: pykka.ActorRef[Any]
    lost: tuple[weakref.ref[Any], ...]
    is_open: bool
    ending: bool
    drains: bool
    reported_active: bool
    tells_ends: bool


class Life(Protocol):
    """A component's life, for the one that may have to replace its thread. Thread: any."""

    @property
    def component(self) -> Any:
        """The object."""
        ...

    @property
    def runner(self) -> BatchRunner:
        """The runner of the thread."""
        ...

    def why_not_anew(self) -> str:
        """Return why the component cannot become another object; empty if it can."""
        ...

    def stops_when_exhausted(self) -> bool:
        """Return True if the daemon ends rather than go on without the component."""
        ...

    def abandon(self, cause: BaseException, turn: Turn) -> Inheritance:
        """Let go of the thread, and return what its successor needs."""
        ...


class ComponentListener(Protocol):
    """Receives a component's reports. None of its methods blocks. Thread: the component's."""

    def thread_started(
        self, life: Life, runner: BatchRunner, reactor: ComponentReactor, component: Any
    ) -> None:
        """Note that the actor's thread runs. `component` is None if another still uses it."""
        ...

    def object_taken(self, index: int, component: Any) -> None:
        """Note which object the component is from now on; raise if that one runs already."""
        ...

    def thread_ended(self, cause: BaseException | None) -> None:
        """Note that the actor's thread is about to end; with `cause`, because it failed."""
        ...

    def setup_is_over(self, index: int, cause: BaseException | None) -> None:
        """Note that `setup` has returned, or raised `cause`."""
        ...

    def teardown_is_over(self, index: int) -> None:
        """Note that `teardown` is over."""
        ...

    def schedule(self, children: list[Scheduled]) -> None:
        """Accept events that the component scheduled outside of any event."""
        ...

    def ends_told(self) -> None:
        """Note that the component has called the callbacks of tokens that have ended."""
        ...

    def close_tokens(self, index: int) -> list[Token]:
        """End the component's open tokens as failed, and let it have no more; return them."""
        ...

    def source_changed(self, *, active: bool) -> None:
        """Note that the component became an active source, or ceased to be one."""
        ...

    def callback_failed(self, component: str, callback: str, cause: BaseException) -> None:
        """Log an exception of a timer's or descriptor's callback, or of a hook."""
        ...

    def stop_at_once(self, status: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way: a callback of no event asked for it."""
        ...

    def component_down(
        self, index: int, cause: BaseException, delay: float | None, left: int
    ) -> None:
        """Note that a component is made anew in `delay` seconds; it has `left` more restarts.

        `delay` is None while the daemon stops: then it is made anew if events wait for it.
        """
        ...

    def component_suspended(self, index: int, cause: BaseException) -> None:
        """Note that a component has used up its restarts, and does nothing more."""
        ...

    def component_left_down(self, index: int, cause: BaseException) -> None:
        """Note that a component is not made anew, because the daemon stops."""
        ...

    def component_up(self, index: int, incarnation: int) -> None:
        """Note that a component works again."""
        ...

    def supervision_changed(self, index: int, policy: Supervision) -> None:
        """Note the component's new policy."""
        ...

    def gave_up(self, component: int, cause: BaseException) -> None:
        """Stop the daemon in an orderly way: a component has used up its restarts."""
        ...

    def rollback_failed(self, index: int, cause: BaseException) -> None:
        """Note that the component works neither with its new options nor with its old ones."""
        ...

    def descriptors_failed(self, component: str, cause: Exception) -> None:
        """Note that the system refuses to wait for the component's descriptors."""
        ...

    def broken(self, cause: BaseException, where: str) -> None:
        """Note a bug in zenactors itself, or that the memory was not enough for its work."""
        ...
