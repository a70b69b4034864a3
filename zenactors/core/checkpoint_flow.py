"""The way of a source's events: when is each handed over, and what is behind the checkpoint?

Pure decisions: what is to be done is done by `Effects`. See `careful_start` for the reason of some.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from zenactors.core.careful_start import CarefulStart
from zenactors.core.tokens import TokenOutcome

_SHARE = 4  # the checkpoints are saved when a quarter of the bound is done


class Item:
    """An event of a source.

    Attributes:
        key: Which of the source's positions it moves.
        event: The event.
        args: Its args, until it has ended.
        position: The position to go on at once it, and all before it, are done.
        is_done: It needs not come again.
        on_done: Called with the outcome once it has ended, by the effects.
        begin: Where it begins, for its origin.
        times_left: How many times it was left undone, because a component was made anew.
        is_condemned: It was given up and not handed over, because processes died of it.
    """

    __slots__ = (
        "args",
        "begin",
        "event",
        "is_condemned",
        "is_done",
        "key",
        "on_done",
        "position",
        "times_left",
    )

    def __init__(
        self,
        key: str,
        event: Any,
        args: Any,
        position: Any,
        on_done: Callable[[TokenOutcome], object] | None = None,
    ) -> None:
        self.key = key
        self.event = event
        self.args = args
        self.position = position
        self.on_done = on_done
        self.is_done = False
        self.begin: list[int] = []
        self.times_left = 0
        self.is_condemned = False


class Effects(Protocol):
    """What a `CheckpointFlow` lets be done."""

    def save(self, stored: dict[str, Any]) -> bool:
        """Save, and return once it is saved. False: it was not; try again later."""
        ...

    def hand_over(self, item: Item) -> None:
        """Schedule an event. Its end is reported by `CheckpointFlow.ended`."""
        ...

    def give_up(self, item: Item, times: int) -> None:
        """Make an event a dead letter, because `times` processes died of it."""
        ...

    def gave_up(self, item: Item) -> None:
        """Report to the source that an event has become a dead letter. It may add others."""
        ...

    def goes_carefully(self, key: str, times: int) -> None:
        """Log that a key goes carefully, after `times` unclean ends."""
        ...

    def goes_on(self, key: str) -> None:
        """Log that a key goes carefully no more."""
        ...


class CheckpointFlow:
    """Hand over a source's events, and move its checkpoints behind what is done.

    Args:
        stored: What an earlier run saved; None: nothing.
        effects: Does what is to be done.
        bound: How many events may be handed over and not behind a saved checkpoint.
        continued: The earlier run was in this process.
        together: Go carefully with all keys if with one; see `careful_start`.

    Attributes:
        data: A JSON value of the source's own, which is saved with the checkpoints.
        is_dirty: There is something to save.

    Thread: own.
    """

    def __init__(
        self,
        stored: Mapping[str, Any] | None,
        effects: Effects,
        *,
        bound: int,
        continued: bool = False,
        together: bool = False,
    ) -> None:
        stored = stored or {}
        self.data: Any = stored.get("data")
        self.is_dirty = False
        self._effects = effects
        self._bound = bound
        self._careful = CarefulStart(
            stored.get("careful"), bound=bound, continued=continued, together=together
        )
        self._positions: dict[str, Any] = dict(stored.get("positions", {}))
        self._items: dict[str, deque[Item]] = {}  # not behind the checkpoint, in their order
        self._waiting: deque[Item] = deque()  # not handed over yet
        self._under_way = 0
        self._alone: Item | None = None  # the one that was noted, while it is under way
        self._done_alone = False  # it has ended, and its note is still saved
        self._is_opening = False  # that events are under way is not saved yet
        self._unsaved: dict[str, int] = {}  # events behind a checkpoint that is not saved
        self._ahead = 0  # handed over, and not behind a saved checkpoint
        self._announced: set[str] = set()

    # --- looking --------------------------------------------------------------------------------

    @property
    def positions(self) -> dict[str, Any]:
        """The checkpoint of each key. Everything before it is done."""
        return self._positions

    @property
    def ahead(self) -> int:
        """How many events were handed over, or wait for that, and may come again after a crash."""
        return self._ahead + len(self._waiting)

    @property
    def waiting(self) -> int:
        """How many events are not handed over yet."""
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        """True if the source should read no more at the moment."""
        return bool(self._waiting) or self._ahead >= self._bound

    def is_careful(self, key: str) -> bool:
        """Return True if events of a key are handed over one at a time."""
        return self._careful.is_careful(key)

    def careful_keys(self) -> list[str]:
        """Return the keys that go carefully, of those with events."""
        return [key for key in self._items if self.is_careful(key)]

    # --- changing -------------------------------------------------------------------------------

    def begin(self, key: str, position: Any) -> bool:
        """Set the checkpoint of a key that has none. False: it has one."""
        if key in self._positions:
            return False
        self._positions[key] = position
        self.is_dirty = True
        return True

    def add(self, item: Item) -> None:
        """Take an event, behind all others of its key. `pump` hands it over."""
        self._items.setdefault(item.key, deque()).append(item)
        self._waiting.append(item)

    def pass_over(self, item: Item) -> None:
        """Take an event that has ended already, behind all others of its key."""
        self._items.setdefault(item.key, deque()).append(item)
        self._ahead += 1
        self._end(item, done=True)

    def pump(self) -> bool:
        """Hand over what may be handed over now.

        Returns:
            False if something could not be saved, so that it should be tried again later.
        """
        while (item := self._next()) is not None:
            times = self._careful.deaths(item.key, item.position)
            if times:
                self._waiting.remove(item)
                self._ahead += 1
                self._effects.give_up(item, times)
                self._end(item, done=True)
                saved = self.save()  # at once, so that the next process makes no second letter
                self._effects.gave_up(item)  # last, because it may add events and come here again
                if not saved:
                    return False
                continue
            if not self._prepare(item):
                return False
            self._waiting.remove(item)
            self._ahead += 1
            self._under_way += 1
            self._effects.hand_over(item)
        return True

    def _next(self) -> Item | None:
        """Return the event that may be handed over now, if there is one."""
        if not self._waiting or self._alone is not None or self._ahead >= self._bound:
            return None
        item = self._first()
        if self._under_way and self.is_careful(item.key):
            return None
        return item

    def _first(self) -> Item:
        """Return the event whose turn it is: a suspect, if no event of its key is before it."""
        if self._careful.has_suspects:
            others: set[str] = set()
            for item in itertools.islice(self._waiting, self._bound):
                if item.key not in others and self._careful.is_suspect(item.key, item.position):
                    return item
                others.add(item.key)
        return self._waiting[0]

    def _prepare(self, item: Item) -> bool:
        """Save what must be saved before an event is handed over. False: it was not saved."""
        key = item.key
        self._is_opening = self._careful.open(key) or self._is_opening
        # A note that is left would blame the wrong event if the process dies of this one.
        must_save = self._is_opening or self._done_alone
        if self._careful.is_careful(key):
            self._announce(key)
            self._careful.note(key, item.position)
            self._alone = item
            must_save = True
        if not must_save:
            return True
        self.is_dirty = True
        if self.save():
            return True
        self._alone = None
        self._careful.clear_note()
        return False

    def _announce(self, key: str) -> None:
        source = self._careful.source(key)
        if source not in self._announced:
            self._announced.add(source)
            self._effects.goes_carefully(source, self._careful.unclean_ends(key))

    def ended(self, item: Item, *, done: bool) -> None:
        """Note that an event has ended.

        Args:
            item: An event that was handed over.
            done: False: it must come again in the next run, so the checkpoint stays before it.
        """
        self._under_way -= 1
        if item is self._alone:
            self._alone = None
            self._careful.survived(item.key, item.position)
            self._done_alone = self.is_dirty = True
        self._end(item, done=done)

    def _end(self, item: Item, *, done: bool) -> None:
        item.args = None
        item.is_done = done
        key = item.key
        items = self._items[key]
        while items and items[0].is_done:
            behind = items.popleft()
            self._positions[key] = behind.position
            self._careful.leave_behind(key, behind.position)
            self._unsaved[key] = self._unsaved.get(key, 0) + 1
            self.is_dirty = True

    def forget(self, key: str) -> None:
        """Forget the checkpoint of a key, if none of its events is left."""
        if not self._items.get(key):
            self._items.pop(key, None)
            self._positions.pop(key, None)
            self._careful.forget(key)
            self._ahead -= self._unsaved.pop(key, 0)
            self.is_dirty = True

    def end_cleanly(self) -> None:
        """Note that the process ends in order."""
        if self._careful.end_cleanly():
            self.is_dirty = True

    # --- saving ---------------------------------------------------------------------------------

    def save_if_due(self) -> bool:
        """Save if enough is done, or nothing more can happen before. False: it was not saved."""
        unsaved = sum(self._unsaved.values())
        stuck = self._ahead >= self._bound and not self._under_way
        # A note that is left would blame an event that has ended.
        only_a_note = self._done_alone and self._next() is None
        if only_a_note or (unsaved and (unsaved >= max(1, self._bound // _SHARE) or stuck)):
            return self.save()
        return True

    def save(self) -> bool:
        """Save, if there is something to save. False: it was not saved."""
        if not self.is_dirty:
            return True
        if not self._effects.save(self.stored()):
            return False
        self.is_dirty = self._done_alone = self._is_opening = False
        unsaved, self._unsaved = self._unsaved, {}
        for key, count in unsaved.items():
            self._ahead -= count
            if self._careful.passed(key, count):
                source = self._careful.source(key)
                self.is_dirty = True
                if source in self._announced:
                    self._announced.remove(source)
                    self._effects.goes_on(source)
        return True

    def stored(self) -> dict[str, Any]:
        """Return what the next run must know, for JSON."""
        stored = {"positions": self._positions, "careful": self._careful.stored(self._unsaved)}
        return stored if self.data is None else {**stored, "data": self.data}
