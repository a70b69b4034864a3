"""The way of a source's events: when is each handed over, and what is behind the checkpoint?

Pure decisions: what is to be done is done by `Effects`. See `careful_start` for the reason of some.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

from zenactors.core.careful_start import CarefulStart

_SHARE = 4  # the checkpoints are saved when a quarter of the bound is done


class Item:
    """An event of a source.

    Attributes:
        key: Which of the source's positions it moves.
        event: The event.
        args: Its args, until it has ended.
        position: The position to go on at once it, and all before it, are done.
        is_done: It needs not come again.
        times_left: How many times it was left undone, because a component was made anew.
    """

    __slots__ = ("args", "event", "is_done", "key", "position", "times_left")

    def __init__(self, key: str, event: Any, args: Any, position: Any) -> None:
        self.key = key
        self.event = event
        self.args = args
        self.position = position
        self.is_done = False
        self.times_left = 0


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
    ) -> None:
        stored = stored or {}
        self.data: Any = stored.get("data")
        self.is_dirty = False
        self._effects = effects
        self._bound = bound
        self._careful = CarefulStart(stored.get("careful"), bound=bound, continued=continued)
        self._positions: dict[str, Any] = dict(stored.get("positions", {}))
        self._items: dict[str, deque[Item]] = {}  # not behind the checkpoint, in their order
        self._waiting: deque[Item] = deque()  # not handed over yet
        self._under_way = 0
        self._alone: Item | None = None  # the one that was noted, while it is under way
        self._done_alone = False  # it has ended, and its note is still saved
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

    def careful_keys(self) -> list[str]:
        """Return the keys that go carefully, of those with events."""
        return [key for key in self._items if self._careful.is_careful(key)]

    # --- changing -------------------------------------------------------------------------------

    def add(self, item: Item) -> None:
        """Take an event, behind all others of its key. `pump` hands it over."""
        self._items.setdefault(item.key, deque()).append(item)
        self._waiting.append(item)

    def pump(self) -> bool:
        """Hand over what may be handed over now.

        Returns:
            False if something could not be saved, so that it should be tried again later.
        """
        while (item := self._next()) is not None:
            times = self._careful.deaths(item.key, item.position)
            if times:
                self._effects.give_up(item, times)
                self._waiting.popleft()
                self._ahead += 1
                self._end(item, done=True)
                if not self.save_if_due():
                    return False
                continue
            if not self._prepare(item):
                return False
            self._waiting.popleft()
            self._ahead += 1
            self._under_way += 1
            self._effects.hand_over(item)
        return True

    def _next(self) -> Item | None:
        """Return the event that may be handed over now, if there is one."""
        if not self._waiting or self._alone is not None or self._ahead >= self._bound:
            return None
        item = self._waiting[0]
        if self._under_way and self._careful.is_careful(item.key):
            return None
        return item

    def _prepare(self, item: Item) -> bool:
        """Save what must be saved before an event is handed over. False: it was not saved."""
        key = item.key
        # A note that is left would blame the wrong event if the process dies of this one.
        must_save = self._careful.open(key) or self._done_alone
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
        if key not in self._announced:
            self._announced.add(key)
            self._effects.goes_carefully(key, self._careful.unclean_ends(key))

    def ended(self, item: Item, *, done: bool) -> None:
        """Note that an event has ended.

        Args:
            item: An event that was handed over.
            done: False: it must come again in the next run, so the checkpoint stays before it.
        """
        self._under_way -= 1
        if item is self._alone:
            self._alone = None
            self._careful.clear_note()
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
        only_a_note = self._done_alone and not self._waiting
        if only_a_note or (unsaved and (unsaved >= max(1, self._bound // _SHARE) or stuck)):
            return self.save()
        return True

    def save(self) -> bool:
        """Save, if there is something to save. False: it was not saved."""
        if not self.is_dirty:
            return True
        if not self._effects.save(self.stored()):
            return False
        self.is_dirty = self._done_alone = False
        unsaved, self._unsaved = self._unsaved, {}
        for key, count in unsaved.items():
            self._ahead -= count
            if self._careful.passed(key, count):
                self.is_dirty = True
                if key in self._announced:
                    self._announced.remove(key)
                    self._effects.goes_on(key)
        return True

    def stored(self) -> dict[str, Any]:
        """Return what the next run must know, for JSON."""
        stored = {"positions": self._positions, "careful": self._careful.stored()}
        return stored if self.data is None else {**stored, "data": self.data}
