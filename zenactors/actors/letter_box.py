"""`daemon.dead_letters`: look at dead letters, replay them, forget them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.core.callbacks import callback_name
from zenactors.core.dead_letters import DeadLetter
from zenactors.core.letter_records import Where, is_replayable, matching
from zenactors.core.replicas import Replicas
from zenactors.core.tokens import ReplayToken
from zenactors.errors import UnknownEventError

if TYPE_CHECKING:
    from zenactors.actors.engine import Engine
    from zenactors.actors.live_queue import LiveQueue
    from zenactors.core.chain import Chain

Chosen = DeadLetter | str | Iterable[DeadLetter | str]
OnRead = Callable[[Sequence[DeadLetter]], Any]


class LetterBox:
    """The last 1,000 events that could not be handled, those that failed first before the others.

        for letter in daemon.dead_letters(component="sink"):
            print(letter.id, letter.event, letter.cause_text)
        daemon.dead_letters.replay(component="sink")

    Methods that choose letters take these arguments; without any, they choose all:

    - `letters`: letters, or their ids; one, or several.
    - `event`: only those of this event.
    - `component`: only those that this component failed on.
    - `where`: only those for which `where(letter)` is true.

    Args:
        engine: The engine.
        queue: Where replays are scheduled.
        on_read: Called with the letters whenever they are read.

    Thread: any.
    """

    def __init__(self, engine: Engine, queue: LiveQueue, on_read: OnRead | None = None) -> None:
        self._engine = engine
        self._queue = queue
        self._on_read = on_read

    def read_by(self, on_read: OnRead) -> LetterBox:
        """Return the same with another `on_read`."""
        return LetterBox(self._engine, self._queue, on_read)

    def __call__(
        self, *, event: Any = None, component: str | None = None, where: Where | None = None
    ) -> list[DeadLetter]:
        """Return the letters that are chosen."""
        letters = self._engine.dead_letters.kept()
        if self._on_read is not None:
            self._on_read(letters)
        return matching(letters, event=event, component=component, where=where)

    def __iter__(self) -> Iterator[DeadLetter]:
        return iter(self())

    def __len__(self) -> int:
        return len(self._engine.dead_letters.kept())

    def __bool__(self) -> bool:
        return bool(len(self))

    @property
    def unwritten(self) -> int:
        """How many lines could not be written to `dead_letter_file`."""
        return self._engine.dead_letters.file.lost

    def show(self, letter_id: str) -> DeadLetter:
        """Return the letter with an id.

        Raises:
            LookupError: It is not kept: it was replayed or purged, or 1,000 others came after it.
        """
        for letter in self():
            if letter.id == letter_id:
                return letter
        raise LookupError(f"There is no dead letter {letter_id!r}.")

    def purge(
        self,
        letters: Chosen | None = None,
        *,
        event: Any = None,
        component: str | None = None,
        where: Where | None = None,
    ) -> list[DeadLetter]:
        """Forget the letters that are chosen; return them.

        Raises:
            AbandonedError: The calling thread was abandoned.
        """
        self._queue.check_not_abandoned()
        found = matching(self._of(letters), event=event, component=component, where=where)
        return self._engine.dead_letters.purge(found)

    def replay(
        self,
        letters: Chosen | None = None,
        *,
        event: Any = None,
        component: str | None = None,
        where: Where | None = None,
        into: Any = None,
    ) -> list[DeadLetter]:
        """Schedule the events of the letters that are chosen again, behind all others.

        Each goes on in its chain at the callback that failed, which gets the letter's args: the
        callbacks before it have handled the event already. When it is done, with everything that
        came of it, the letter is gone. If any of it fails again, there is no second letter: this
        one has the new cause, and one delivery more. If it is left undone, by a stop say, the
        letter stays as it is.

        Args:
            letters: As above; so are `event`, `component` and `where`.
            event: As above.
            component: As above.
            where: As above.
            into: The event to schedule with the letters' args instead, from the beginning of its
                chain.

        Returns:
            Those that are replayed now. A letter whose replay is under way is not replayed a second
            time meanwhile.

        Raises:
            UnknownEventError: No component handles the event. As after all errors, nothing is
                replayed.
            ValueError: A letter cannot be replayed: it was read from a file that does not hold all
                of its args, it is of a control event, its callback is not in the chain any more, or
                its component is best effort and others have handled the event.
            NotRunningError: No event starts any more. `AbandonedError`: the calling thread was
                abandoned.
        """
        self._queue.check_not_abandoned()
        found = matching(self._of(letters), event=event, component=component, where=where)
        begins = [self._begin(letter, into) for letter in found]
        return [
            letter
            for letter, (name, owner, skip) in zip(found, begins, strict=True)
            if self._schedule(letter, name, owner, skip)
        ]

    def take(self, letters: Iterable[DeadLetter], when_replayed: Callable[[], Any]) -> None:
        """Keep letters that were read from a file. For `zenactors dead-letters`.

        Args:
            letters: The letters. They are not counted.
            when_replayed: Called whenever no replay is under way any more. Thread: any.
        """
        self._engine.dead_letters.when_replayed = when_replayed
        self._engine.dead_letters.take(list(letters))

    def _of(self, letters: Chosen | None) -> list[DeadLetter]:
        if letters is None:
            return self()
        if isinstance(letters, DeadLetter | str):
            letters = (letters,)
        kept = {letter.id: letter for letter in self()}
        ids = [each if isinstance(each, str) else each.id for each in letters]
        return [kept[each] for each in dict.fromkeys(ids) if each in kept]

    def _schedule(self, letter: DeadLetter, event: Any, owner: int, skip: int) -> bool:
        letters = self._engine.dead_letters
        if not letters.begin_replay(letter):
            return False
        ended = functools.partial(letters.end_replay, letter)
        now = self._engine.clock.monotonic()
        try:
            self._queue.replay(ReplayToken(owner, ended, now, letter, event, skip))
        except BaseException:  # it was not scheduled, whatever it was
            letters.forget_replay(letter)
            raise
        return True

    def _begin(self, letter: DeadLetter, into: Any) -> tuple[Any, int, int]:
        """Return the event to schedule, the component of its first step, and where it begins."""
        event = letter.event if into is None else into
        chain_states = self._engine.state.chain_states
        if event not in chain_states:
            raise UnknownEventError(event, known=chain_states)
        chain = chain_states[event].chain
        if chain.is_control_event:
            raise ValueError(
                f"Event {event!r} is a control event and cannot be replayed: replay the dead letter"
                f" {letter.id} into another one (into=)."
            )
        if not is_replayable(letter.args):
            raise ValueError(
                f"Dead letter {letter.id} cannot be replayed: its args hold objects that its file"
                " could not. Schedule its event anew, with args of your own, and purge it."
            )
        skip = 0 if into is not None else self._done_before(letter, chain)
        return event, chain.all_steps()[0].component, skip

    def _done_before(self, letter: DeadLetter, chain: Chain) -> int:
        """Return how many callbacks of its chain had handled a letter's event before it failed."""
        entries = self._engine.entries
        index = next((i for i, each in enumerate(entries) if each.name == letter.component), None)
        if index is not None and (router := entries[index].router) is not None:
            index = router
        if any(tap.component == index for taps in chain.taps or () for tap in taps):
            if len(chain.all_steps()) == 1:
                return 0
            raise ValueError(
                f"Dead letter {letter.id} cannot be replayed: {letter.component!r} is best effort,"
                " and the others have handled its event. Purge it, or replay it into an event that"
                " only this component handles (into=)."
            )
        links = [
            (step.component, callback_name(callback))
            for step in chain.steps
            for callback in step.callbacks
        ]
        found = [number for number, link in enumerate(links) if link == (index, letter.callback)]
        if not found and index is not None and isinstance(entries[index].component, Replicas):
            found = [number for number, link in enumerate(links) if link[0] == index]  # its `key`
        if not letter.callback or (len(links) == 1 and not found):
            return 0
        if len(found) != 1:
            raise ValueError(
                f"Dead letter {letter.id} failed in {letter.callback} of {letter.component!r}, and"
                f" the chain of {letter.event!r} has {'several of that name' if found else 'none'}"
                " now: replay it into an event whose chain begins there (into=)."
            )
        return found[0]
