"""The careful start: which event do processes die of? Pure decisions.

A source has one or several *keys*, each with a saved checkpoint, say one for each file. All events
behind the checkpoint that were handed over when a process died come again in the next one, and so
does the event that it died of. So an event that kills the process would do it at each start.

Of each key is counted how many processes in a row have handed events of it over and then ended
uncleanly, without progress. Progress is that the key's saved checkpoint has moved: a process that
is killed from outside now and then makes progress, and one that dies of the first event behind the
checkpoint does not. From the third process on, the key's events are handed over one at a time, and
each is noted first.

If a process finds such a note, the one before ended under the noted event, which is a *suspect*:
it may be the reason, or have been near when something else was. It is handed over once more, alone
again, and before all others that wait. If a second process ends under it, it is *condemned*, and
not handed over again. If it ends without that, it is a suspect no more.

A note remains for a moment when its event has ended, and is there a moment before its event is
handed over: as long as a save takes. A kill in that moment makes a suspect too, because only a
further save could tell the difference, and it would have such moments itself. So the second chance
is what protects an innocent event.

The care ends when more events have come behind the saved checkpoint since it began than may have
been under way before: then the event that the processes died of was among them. They may have come
there in several runs.

Some sources have thousands of keys, and cannot save before the first event of each. If they count
*together*, one record of the source is saved before its first event, and all keys go carefully if
one does. A busy key would then hide the poison of another, because it makes progress in each run.
So the records of the keys are kept as well. These are not saved before the key's first event, but
with the next save, whatever that is for.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

CAREFUL_AFTER = 2  # unclean ends without progress
CONDEMNED_AFTER = 2  # unclean ends while the event was noted


@dataclasses.dataclass(slots=True)
class _Record:
    """What is known of a key, or of all together.

    Attributes:
        unclean: How many processes in a row ended uncleanly and without progress, before the care.
        blamed: How many of these are explained by condemned events.
        is_open: Events of it were handed over, and no clean end came after that.
        has_moved: Its saved checkpoint has moved in this run.
        bound: How many events of it may have been under way when these processes ended.
        passed: How many events came behind its saved checkpoint in the care, in all runs.
    """

    unclean: int = 0
    blamed: int = 0
    is_open: bool = False
    has_moved: bool = False
    bound: int = 0
    passed: int = 0

    @property
    def is_careful(self) -> bool:
        """True if events go one at a time."""
        return self.unclean >= CAREFUL_AFTER

    def begin(self) -> None:
        """Note that a new process begins."""
        if self.is_open and not self.is_careful:
            self.unclean = 0 if self.has_moved else self.unclean + 1
        self.is_open = self.has_moved = False

    def open(self, bound: int) -> bool:
        """Note that events are about to be handed over. False: that was known."""
        if self.is_open:
            return False
        self.is_open = True
        self.bound = max(bound, self.bound if self.unclean else 0)
        return True

    def clear(self) -> None:
        """Forget the unclean ends."""
        self.unclean = self.blamed = self.passed = 0

    def stored(self, unsaved: int) -> dict[str, Any]:
        """Return the fields that have a value, once `unsaved` more events are behind it."""
        # By hand, because a source may have thousands of keys: `asdict` takes ten times as long.
        fields = {
            "unclean": self.unclean,
            "blamed": self.blamed,
            "is_open": self.is_open,
            "has_moved": self.has_moved or unsaved > 0,
            "bound": self.bound,
            "passed": self.passed + unsaved if self.is_careful else 0,
        }
        return {name: value for name, value in fields.items() if value}


class CarefulStart:
    """Count the unclean ends of a source, and find the events of which processes die.

    Args:
        stored: The result of `stored()` in an earlier run; None in the first.
        bound: How many events may be handed over and not behind a saved checkpoint.
        continued: The earlier run was in this process: the component was made anew.
        together: Go carefully with all keys if with one, and save one record before the first
            event, instead of one for each key.

    Thread: own.
    """

    def __init__(
        self,
        stored: Mapping[str, Any] | None,
        *,
        bound: int,
        continued: bool = False,
        together: bool = False,
    ) -> None:
        stored = stored or {}
        self._bound = bound
        self._records = {key: _Record(**fields) for key, fields in stored.get("keys", {}).items()}
        self._all = _Record(**stored.get("all", {})) if together else None
        self._note: list[Any] | None = stored.get("note")
        # By key and position: how many processes ended under it.
        self._suspects = _copy(stored.get("suspects", {}))
        self._condemned = _copy(stored.get("condemned", {}))
        if not continued:
            self._begin()

    def _begin(self) -> None:
        for record in self._records.values():
            record.begin()
        if self._all is not None:
            self._all.begin()
            found = [each.unclean for each in self._records.values() if each.is_careful]
            self._all.unclean = max([self._all.unclean, *found])
        note, self._note = self._note, None
        if note is not None:
            self._suspect(*note)

    def _suspect(self, key: str, position: str) -> None:
        suspects = self._suspects.setdefault(key, {})
        suspects[position] = times = suspects.get(position, 0) + 1
        if times < CONDEMNED_AFTER:
            return
        self._acquit(key, position)
        record = self._record(key)
        self._condemned.setdefault(key, {})[position] = times + record.unclean - record.blamed
        record.blamed = record.unclean

    def _record(self, key: str) -> _Record:
        """Return the record that says if a key is careful."""
        if self._all is not None:
            return self._all
        return self._records.setdefault(key, _Record())

    def source(self, key: str) -> str:
        """Return the key that stands for all those that are careful if this one is."""
        return key if self._all is None else ""

    def is_careful(self, key: str) -> bool:
        """Return True if events of a key are handed over one at a time, each noted before."""
        record = self._records.get(key) if self._all is None else self._all
        return record is not None and record.is_careful

    def unclean_ends(self, key: str) -> int:
        """Return how many processes in a row ended uncleanly and without progress of the key.

        Those that end in the care are not counted any more.
        """
        record = self._records.get(key) if self._all is None else self._all
        return 0 if record is None else record.unclean

    def deaths(self, key: str, position: Any) -> int:
        """Return how many processes died of an event. If any did, do not hand it over."""
        condemned = self._condemned.get(key)
        return 0 if not condemned else condemned.get(_text(position), 0)

    @property
    def has_suspects(self) -> bool:
        """True if there may be events that `is_suspect`."""
        return bool(self._suspects)

    def is_suspect(self, key: str, position: Any) -> bool:
        """Return True if an event is to be handed over before others that wait."""
        suspects = self._suspects.get(key)
        return suspects is not None and self.is_careful(key) and _text(position) in suspects

    def open(self, key: str) -> bool:
        """Note that events of a key are about to be handed over. True: that must be saved first."""
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record()
        is_new = record.open(self._bound)
        return is_new if self._all is None else self._all.open(self._bound)

    def note(self, key: str, position: Any) -> None:
        """Note an event that is about to be handed over alone. It must be saved first."""
        self._note = [key, _text(position)]

    def clear_note(self) -> None:
        """Note that the event is not handed over after all."""
        self._note = None

    def survived(self, key: str, position: Any) -> None:
        """Note that the noted event has ended, and the process has not."""
        self._note = None
        if key in self._suspects:
            self._acquit(key, _text(position))

    def _acquit(self, key: str, position: str) -> None:
        suspects = self._suspects[key]
        suspects.pop(position, None)
        if not suspects:
            del self._suspects[key]

    def passed(self, key: str, count: int) -> bool:
        """Note that `count` more events are behind a key's saved checkpoint.

        Returns:
            True if that ends the care: the unclean ends do not count any more.
        """
        self._records.setdefault(key, _Record()).has_moved = True
        record = self._record(key)
        record.has_moved = True
        if not record.is_careful:
            return False
        record.passed += count
        if record.passed <= record.bound:
            return False
        record.clear()
        record.bound = self._bound
        if self._all is None:
            self._suspects.pop(key, None)
            self._condemned.pop(key, None)
        else:  # an event of another key may not have come again yet: it remains condemned
            for each in self._records.values():
                each.clear()
        return True

    def leave_behind(self, key: str, position: Any) -> None:
        """Note that an event is behind the checkpoint: if it was condemned, forget it."""
        if key in self._suspects:
            self._acquit(key, _text(position))
        condemned = self._condemned.get(key)
        if condemned:
            condemned.pop(_text(position), None)

    def forget(self, key: str) -> None:
        """Forget a key."""
        self._records.pop(key, None)
        self._suspects.pop(key, None)
        self._condemned.pop(key, None)

    def end_cleanly(self) -> bool:
        """Note that the process ends in order. True: that must be saved."""
        records = [*self._records.values(), *([] if self._all is None else [self._all])]
        changed = [each for each in records if each.is_open or each.unclean]
        changes = bool(changed or self._suspects)
        self._note = None
        self._suspects.clear()
        for record in changed:
            record.clear()
            record.is_open = False
        return changes

    def stored(self, unsaved: Mapping[str, int] | None = None) -> dict[str, Any]:
        """Return what the next run must know, for JSON.

        Args:
            unsaved: How many events of each key come behind its saved checkpoint by this save.
        """
        unsaved = unsaved or {}
        keys = {}
        for key, record in self._records.items():
            fields = record.stored(unsaved.get(key, 0))
            # Of keys that count together, those that have moved say nothing to the next run.
            is_open = record.is_open and (self._all is None or "has_moved" not in fields)
            if is_open or record.unclean:
                keys[key] = fields
        stored: dict[str, Any] = {"keys": keys}
        if self._all is not None and (self._all.is_open or self._all.unclean):
            stored["all"] = self._all.stored(sum(unsaved.values()))
        if self._note is not None:
            stored["note"] = self._note
        if self._suspects:
            stored["suspects"] = self._suspects
        if condemned := {key: found for key, found in self._condemned.items() if found}:
            stored["condemned"] = condemned
        return stored


def _copy(events: Mapping[str, Mapping[str, int]]) -> dict[str, dict[str, int]]:
    return {key: dict(positions) for key, positions in events.items()}


def _text(position: Any) -> str:
    """Return a position in a form that is the same before and after it was saved."""
    return json.dumps(json.loads(json.dumps(position)), sort_keys=True)  # its keys are text then
