"""What a thread outside wants to know of the dispatcher's state: now, or once it is true.

Such a thread never holds the state. It hands its question over, and a thread of the dispatcher
answers.

Atomic operations relied on: `SimpleQueue.put/get`, and storing an attribute (`Watch.met`).
"""

from __future__ import annotations

import queue
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from zenactors.errors import NotRunningError

if TYPE_CHECKING:
    from zenactors.core.dispatch_state import DispatchState


class Question:
    """Ask something of the state, or change it. Answered once.

    Args:
        look: Called with the state by the thread that holds it. It must run no user code.
    """

    def __init__(self, look: Callable[[DispatchState], Any]) -> None:
        self._look = look
        self._is_answered = False
        self._answer: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def reply(self, state: DispatchState) -> None:
        """Answer, unless that was done before. Thread: the one that holds the state."""
        if self._is_answered:
            return
        self._is_answered = True
        try:
            answer: tuple[Any, Exception | None] = (self._look(state), None)
        except Exception as cause:  # it is the asking thread's, as if that had looked itself
            answer = (None, cause)
        except BaseException:  # another thread's exception: it ends the answering thread
            answer = (None, NotRunningError("The dispatcher was struck while it answered."))
            raise
        finally:
            self._answer.put(answer)

    def result(self, timeout: float | None) -> Any:
        """Wait for the answer, and return it or raise its exception.

        Raises:
            queue.Empty: `timeout` seconds were not enough.
        """
        answer, cause = self._answer.get(timeout=timeout)
        if cause is not None:
            raise cause
        return answer


class Watch:
    """Wait until a condition of the state is true at the end of a hold.

    The dispatcher forgets a watch that is met, and one that its creator no longer refers to.

    Args:
        condition: Called with the state by the thread that holds it. It must run no user code.
        notify: Called when the condition is met, by the same thread. It must not block.

    Attributes:
        met: True once the condition was true.
    """

    __slots__ = ("__weakref__", "_condition", "_notify", "met")

    def __init__(
        self, condition: Callable[[DispatchState], bool], notify: Callable[[], None]
    ) -> None:
        self.met = False
        self._condition = condition
        self._notify = notify

    def look(self, state: DispatchState) -> bool:
        """Return True if the condition is met. Thread: the one that holds the state."""
        if not self.met and self._condition(state):
            self.met = True
            self._notify()
        return self.met
