"""Hand lines over, never more at a time than what follows can take; see to exactly-once outputs."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from zenactors.components.checkpoints import MOST_LEFT, why_given_up
from zenactors.components.tail.file_record import Position
from zenactors.components.tail.identity import mark_of
from zenactors.components.tail.lines import Lines
from zenactors.components.tail.sent_lines import KeptLines, SentLines
from zenactors.core.tokens import TokenOutcome

if TYPE_CHECKING:
    from zenactors.components.checkpoints import Checkpoints
    from zenactors.core.clock import Clock
    from zenactors.core.daemon_api import Daemon

MOST_BYTES = 8 << 20  # under way
FEWEST_BYTES = 256 << 10
_SLOW = 0.2  # seconds that lines may be under way, if there is a choice
_FAST = 0.05
_BURSTS = 20  # a second, under a rate limit


@dataclasses.dataclass(slots=True)
class RateLimit:
    """Allow a number of lines a second.

    Args:
        per_second: How many.
        clock: The source of time.
    """

    per_second: float
    clock: Clock
    _free_at: float = 0.0

    @property
    def burst(self) -> int:
        """How many lines are handed over at once."""
        return max(1, int(self.per_second / _BURSTS))

    def delay(self) -> float:
        """Return the seconds until more lines may be handed over."""
        return max(0.0, self._free_at - self.clock.monotonic())

    def spend(self, lines: int) -> None:
        """Note that lines were handed over."""
        now = self.clock.monotonic()
        self._free_at = max(self._free_at, now) + lines / self.per_second


class Delivery:
    """Hand lines over in order, and count the bytes that are under way.

    How many may be depends on how long they take: a slow sink gets less at a time, so that the
    lines of a quiet file do not wait behind megabytes of another one.

    Args:
        daemon: What `setup` gets.
        event: The event.
        clock: The source of time.
        checkpoints: Remember what is done; None: nothing does.
        rate: Limits the lines a second.
        on_progress: Called when an event has ended: there may be room, or nothing is under way.
        on_left: Called when an event without a position was left undone; see `Checkpoints`.

    Attributes:
        rate: As given.
        paused: Hand nothing over at present that was not handed over before.
        kept: The lines that can be handed over again.
        fences: For each file, offsets (with their generation) that no event may go across, because
            sinks have applied what is before them, or what is behind them.

    Thread: own.
    """

    def __init__(
        self,
        daemon: Daemon,
        event: Any,
        clock: Clock,
        *,
        checkpoints: Checkpoints | None,
        rate: RateLimit | None,
        on_progress: Callable[[], object],
        on_left: Callable[[], bool] = bool,
    ) -> None:
        self._daemon = daemon
        self._event = event
        self._clock = clock
        self._checkpoints = checkpoints
        self.rate = rate
        self._on_progress = on_progress
        self._on_left = on_left
        self._waiting: deque[tuple[str, Lines, Any]] = deque()
        self._under_way = 0  # events
        self._bytes = 0
        self._limit = 2 * FEWEST_BYTES
        self._drains = False  # it was full, and half of that is not done yet
        self._was_full = False
        self.paused = False
        self.kept = KeptLines()
        self._again: deque[SentLines] = deque()  # are to be handed over again
        self._is_alone = False  # the one under way is not to be held together with others
        self.fences: dict[str, set[tuple[int, int]]] = {}
        self._cuts: Counter[tuple[str, int, int]] = Counter()  # around what is under way

    def all_fences(self) -> dict[str, set[tuple[int, int]]]:
        """Return the fences, and those around all that is under way: it may still arrive."""
        fences = {key: places.copy() for key, places in self.fences.items()}
        for key, *place in self._cuts:
            fences.setdefault(key, set()).add((place[0], place[1]))
        return fences

    @property
    def is_full(self) -> bool:
        """True if no more should be read at present: until half of the limit is done."""
        full = (
            self.paused
            or bool(self._waiting)
            or self._drains
            or (self._checkpoints is not None and self._checkpoints.is_full)
        )
        self._was_full = self._was_full or full
        return full

    @property
    def share(self) -> int:
        """How many bytes may be handed over in one event: a quarter of the limit.

        Not as many as there is room for: if each byte that is done made room for another one, the
        events would become ever smaller.
        """
        return self._limit // 4

    @property
    def is_idle(self) -> bool:
        """True if all that was put in is done."""
        return not self._waiting and self.is_settled

    @property
    def is_settled(self) -> bool:
        """True if all that was handed over is done, and nothing is to be handed over again."""
        return not self._under_way and not self._again

    @property
    def delay(self) -> float | None:
        """Seconds until `pump` may do more because of the rate limit; None: it depends on else."""
        if self.paused or not self._waiting or self.rate is None:
            return None
        return self.rate.delay()

    def put(self, key: str, lines: Lines, position: Any) -> None:
        """Hand lines over as soon as that may be.

        Args:
            key: The file.
            lines: The lines.
            position: Where to go on once they, and all before them, are done.
        """
        most = 0 if self.rate is None else self.rate.burst
        if self._checkpoints is not None and self._checkpoints.is_careful(key):
            most = 1
        if most and len(lines) > most:
            self._waiting.extend(
                (key, part, where) for part, where in _parts(lines, most, position)
            )
        else:
            self._waiting.append((key, lines, position))
        self.pump()

    def pump(self) -> None:
        """Hand over what may be handed over now."""
        while self._waiting and not self.paused:
            if self.rate is not None and self.rate.delay() > 0:
                return
            key, lines, position = self._waiting.popleft()
            if self.rate is not None:
                self.rate.spend(len(lines))
            self._send_in_parts(key, lines, position)

    def hand_over_all(self, *, comes_again: bool = False) -> None:
        """Hand over everything, whatever the limits, because the daemon stops.

        Args:
            comes_again: Leave out what has a position: it comes in the next run.
        """
        waiting, self._waiting = self._waiting, deque()
        for key, lines, position in waiting:
            if position is None or not comes_again:
                self._send_in_parts(key, lines, position)

    def _send_in_parts(self, key: str, lines: Lines, position: Any) -> None:
        if key not in self.fences or position is None:
            self._send(key, lines, position)
            return
        offsets = lines.offsets()
        fences = self.fences[key]
        cuts = [n for n in range(1, len(offsets)) if (lines.generation, offsets[n]) in fences]
        for part, where in _cut(lines, [0, *cuts], position):
            self._send(key, part, where)

    def _send(self, key: str, lines: Lines, position: Any) -> None:
        sent = SentLines(key, lines, position)
        self.kept.add(sent)
        self._hand_over(sent)

    def stop_again(self) -> None:
        """Hand nothing over again at present: `hand_over_again` is about to be called."""
        self._again.clear()

    def hand_over_again(self) -> None:
        """Hand over again, in the same order, whatever the rate limit, the lines that are kept.

        Those that have their last chance are handed over alone: components may have been made anew
        because of others that they held together with them.
        """
        self._again = deque(self.kept)
        self._send_again()

    def _send_again(self) -> None:
        while self._again and self._bytes < self._limit and not self._daemon.is_done():
            sent = self._again[0]
            is_last_chance = sent.times_left == MOST_LEFT - 1
            if self._under_way and (is_last_chance or self._is_alone):
                return
            self._again.popleft()
            self._is_alone = is_last_chance
            if sent.times_left >= MOST_LEFT and not sent.is_given_up:
                self._give_up(sent)
            elif sent.is_given_up or (sent.item is not None and sent.item.is_condemned):
                if self._checkpoints is not None and sent.position is not None:
                    self._checkpoints.pass_over(sent.position, key=sent.key)
            else:
                self._hand_over(sent)

    def _give_up(self, sent: SentLines) -> None:
        # They may be the reason that components are made anew: they must not be that for ever.
        sent.is_given_up = True
        event, lines, position, times = self._event, sent.lines, sent.position, sent.times_left
        if self._checkpoints is None or position is None:
            self._daemon.dead_letter(event, lines, why_given_up(times))
        else:
            self._checkpoints.give_up(event, lines, position, times, key=sent.key)

    def _hand_over(self, sent: SentLines) -> None:
        key, lines, position = sent.key, sent.lines, sent.position
        size = len(lines.data)
        self._under_way += 1
        self._bytes += size
        self._drains = self._drains or self._bytes >= self._limit
        begun = self._clock.monotonic()
        cuts: list[tuple[str, int, int]] = []
        if position is not None:
            cuts = [(key, lines.generation, lines.offset), (key, position[0], position[1])]
            self._cuts.update(cuts)

        def done(outcome: TokenOutcome) -> None:
            sent.times_left += outcome is TokenOutcome.LEFT
            for cut in cuts:
                self._cuts[cut] -= 1
                if not self._cuts[cut]:
                    del self._cuts[cut]
            self._ended(size, begun)

        def done_without(outcome: TokenOutcome) -> None:
            if outcome is TokenOutcome.LEFT and not self._daemon.is_done():
                self._on_left()
            done(outcome)

        if self._checkpoints is None or position is None:
            self._daemon.queue.schedule(self._event, lines, on_done=done_without)
        else:
            begin = [lines.generation, lines.offset]
            sent.item = self._checkpoints.schedule(
                self._event, lines, position, key=key, begin=begin, on_done=done
            )

    def _ended(self, size: int, begun: float) -> None:
        self._under_way -= 1
        self._bytes -= size
        took = self._clock.monotonic() - begun
        if took > _SLOW:
            self._limit = max(self._limit // 2, FEWEST_BYTES)
        elif took < _FAST and self._was_full:
            self._limit = min(self._limit * 2, MOST_BYTES)
        self._was_full = False
        most = self._limit // 2 if self._drains else self._limit - 1
        self._drains = self._bytes > most
        self._send_again()
        self._on_progress()


def _parts(lines: Lines, most: int, position: Any) -> Iterator[tuple[Lines, Any]]:
    """Yield the lines in parts of at most `most`, each with its position."""
    return _cut(lines, range(0, len(lines), most), position)


def _cut(lines: Lines, firsts: Sequence[int], position: Any) -> Iterator[tuple[Lines, Any]]:
    """Yield the lines in parts that begin at some of them, each with its position.

    A line has the same position whatever lines it comes with: so a careful start knows it again.
    """
    offsets = [*lines.offsets(), lines.offset + len(lines.data)]
    for first, last in itertools.pairwise([*firsts, len(offsets) - 1]):
        begin, end = offsets[first] - lines.offset, offsets[last] - lines.offset
        starts = lines.starts
        if starts is not None:
            starts = tuple(start - begin for start in starts if begin <= start < end)
        data = lines.data[begin:end]
        part = dataclasses.replace(
            lines, offset=offsets[first], data=data, starts=starts, count=last - first
        )
        if position is None or (last == len(offsets) - 1 and not _is_plain(lines, position)):
            yield part, position
        else:
            mark = mark_of(lines.data[offsets[last - 1] - lines.offset : end])
            yield part, Position(position[0], offsets[last], mark).as_json()


def _is_plain(lines: Lines, position: list[Any]) -> bool:
    """Return True if the next line begins right behind these."""
    return lines.complete and position[1] == lines.offset + len(lines.data) and not position[4]
