"""The careful start: which event do processes die of? Pure decisions.

A source has one or several *keys*, each with a saved checkpoint, say one for each file. All events
behind the checkpoint that were handed over when a process died come again in the next one, and so
does the event that it died of. So an event that kills the process would do it at each start.

Of each key is counted how many processes in a row have handed events of it over and then ended
uncleanly, without progress. From the third process on, its events are handed over one at a time,
and each is noted first. If a process finds such a note, the one before died under the noted event:
it is *condemned*, and not handed over again.

Progress is that more events of the key came behind its checkpoint in one run than may be under way
at a time: then the event that earlier processes died of must have been among them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

CAREFUL_AFTER = 2  # unclean ends without progress


@dataclasses.dataclass(slots=True)
class _Record:
    """What is known of a key.

    Attributes:
        unclean: How many processes in a row ended uncleanly, without progress since.
        blamed: How many of these are explained by condemned events.
        is_open: Events of it were handed over, and no clean end came after that.
        bound: How many events of it may have been under way when these processes ended.
        passed: How many events came behind its checkpoint in this run. Not stored.
    """

    unclean: int = 0
    blamed: int = 0
    is_open: bool = False
    bound: int = 0
    passed: int = 0


class CarefulStart:
    """Count the unclean ends of a source, and find the events of which processes die.

    Args:
        stored: The result of `stored()` in an earlier run; None in the first.
        bound: How many events may be handed over and not behind a saved checkpoint.
        continued: The earlier run was in this process: the component was made anew.

    Thread: own.
    """

    def __init__(
        self, stored: Mapping[str, Any] | None, *, bound: int, continued: bool = False
    ) -> None:
        stored = stored or {}
        self._bound = bound
        self._records = {key: _Record(**fields) for key, fields in stored.get("keys", {}).items()}
        self._note: list[Any] | None = stored.get("note")
        # By key and position: how many processes died of it.
        self._condemned: dict[str, dict[str, int]] = {
            key: dict(positions) for key, positions in stored.get("condemned", {}).items()
        }
        if not continued:
            self._begin()

    def _begin(self) -> None:
        for record in self._records.values():
            record.unclean += record.is_open
            record.is_open = False
        note, self._note = self._note, None
        if note is not None:
            key, position = note
            record = self._records.setdefault(key, _Record())
            times = max(1, record.unclean - record.blamed)
            record.blamed = record.unclean
            self._condemned.setdefault(key, {})[position] = times

    def is_careful(self, key: str) -> bool:
        """Return True if events of a key are handed over one at a time, each noted before."""
        record = self._records.get(key)
        return record is not None and record.unclean >= CAREFUL_AFTER

    def unclean_ends(self, key: str) -> int:
        """Return how many processes in a row ended uncleanly, without progress of the key."""
        record = self._records.get(key)
        return 0 if record is None else record.unclean

    def deaths(self, key: str, position: Any) -> int:
        """Return how many processes died of an event. If any did, do not hand it over."""
        condemned = self._condemned.get(key)
        return 0 if condemned is None else condemned.get(_text(position), 0)

    def open(self, key: str) -> bool:
        """Note that events of a key are about to be handed over. True: that must be saved first."""
        record = self._records.get(key)
        if record is None:
            record = self._records[key] = _Record()
        if record.is_open:
            return False
        record.is_open = True
        record.bound = max(self._bound, record.bound if record.unclean else 0)
        return True

    def note(self, key: str, position: Any) -> None:
        """Note an event that is about to be handed over alone. It must be saved first."""
        self._note = [key, _text(position)]

    def clear_note(self) -> None:
        """Note that the event has ended, or is not handed over after all."""
        self._note = None

    def passed(self, key: str, count: int) -> bool:
        """Note that `count` more events are behind a key's saved checkpoint.

        Returns:
            True if that was progress: the unclean ends do not count any more.
        """
        record = self._records.setdefault(key, _Record())
        record.passed += count
        if not record.unclean or record.passed <= record.bound:
            return False
        record.unclean = record.blamed = 0
        record.bound = self._bound
        self._condemned.pop(key, None)
        return True

    def leave_behind(self, key: str, position: Any) -> None:
        """Note that an event is behind the checkpoint: if it was condemned, forget it."""
        condemned = self._condemned.get(key)
        if condemned is not None:
            condemned.pop(_text(position), None)

    def forget(self, key: str) -> None:
        """Forget a key."""
        self._records.pop(key, None)
        self._condemned.pop(key, None)

    def end_cleanly(self) -> bool:
        """Note that the process ends in order. True: that must be saved."""
        changed = [each for each in self._records.values() if each.is_open or each.unclean]
        self._note = None
        for record in changed:
            record.unclean = record.blamed = 0
            record.is_open = False
        return bool(changed)

    def stored(self) -> dict[str, Any]:
        """Return what the next run must know, for JSON."""
        keys = {}
        for key, record in self._records.items():
            fields = dataclasses.asdict(record)
            del fields["passed"]
            if record.is_open or record.unclean:
                keys[key] = fields
        stored: dict[str, Any] = {"keys": keys}
        if self._note is not None:
            stored["note"] = self._note
        if condemned := {key: found for key, found in self._condemned.items() if found}:
            stored["condemned"] = condemned
        return stored


def _text(position: Any) -> str:
    """Return a position in a form that is the same before and after it was saved."""
    return json.dumps(json.loads(json.dumps(position)), sort_keys=True)  # its keys are text then
