"""`Checkpoints`: what a source needs so that no event is lost, and none kills for ever."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

from zenactors.core.checkpoint_flow import CheckpointFlow, Item
from zenactors.core.tokens import Origin, TokenOutcome, path_of
from zenactors.errors import EXIT_GAVE_UP, ProcessDiedError, StateStoreError

if TYPE_CHECKING:
    from zenactors.core.clock import Clock
    from zenactors.core.daemon_api import Cancellable, Daemon, Store

ON_FAILED = ("go-on", "hold", "stop")
MOST_LEFT = 3  # times that components may leave an event undone before it is a dead letter
_FIRST_SAVE = 0.1  # seconds after the first event has ended
_REST = 20  # times as long as the last save took, until the next one
_SIMPLE = (int, str)  # are JSON values without a closer look
_KNOWN = {"positions", "careful", "data"}


class Checkpoints:
    """Schedule a source's events, and remember across runs up to where they are done.

        def setup(self, daemon):
            self.checkpoints = Checkpoints(daemon, on_room=self.read)
            self.file.seek(self.checkpoints.resume() or 0)

        def read(self):
            while not self.checkpoints.is_full and (line := self.file.readline()):
                self.checkpoints.schedule("line", line, self.file.tell())

        def teardown(self, daemon):
            self.checkpoints.close()

    An event is delivered at least once: what is behind the saved checkpoint when the process ends
    is scheduled again in the next run. The checkpoint moves when an event, and all before it, are
    done. It is saved when a quarter of `bound` is done, after an interval, and at `close`. The
    first interval is 0.1 s, and each is twice the one before, up to `save_interval`. If a save
    fails, that is logged, and the source is full until one succeeds.

    After two processes in a row that ended uncleanly and in which the saved checkpoint has not
    moved, the third one hands the events over one at a time, and saves which one it is. If the
    process dies of it, the next one hands it over alone once more. If that one dies of it too, the
    event becomes a dead letter, with a `ProcessDiedError`, and the source goes on behind it. So
    a kill from outside makes no event a dead letter, unless two hit the same one.

    Args:
        daemon: What `setup` gets.
        store: The state store, which this object alone uses. Default: the component's,
            `daemon.state_store()`.
        bound: How many events may be handed over and not behind a saved checkpoint: as many may
            come twice.
        save_interval: Seconds until a checkpoint that has moved is saved at the latest, unless
            saves take long; see `clock`.
        on_failed: An event became a dead letter. `"go-on"`: the checkpoint moves on, because the
            letter has the event. `"hold"`: it stays before the event, which comes again in the next
            run; the source goes on until it is full. `"stop"`: as `"hold"`, and the daemon stops,
            with status 76.
        on_room: Called without arguments when the source was full, and may read again.
        collect: Called without arguments before each save: what it returns becomes `data`.
        together: Count the unclean ends for all keys together, and go carefully with all. So a
            source of many keys saves once before its first event, and not once for each key.
        source: The source's name. With it, sinks that keep what they have applied leave out what
            comes again, if the source lets them: see `OutputCheckpoint.applied`. The positions are
            then whole numbers that grow; or `order` makes lists of such numbers of them.
        order: See `source`.
        floor: Returns, for a key, the position that the next run goes on at, if it is not the saved
            checkpoint; None: the first one.
        on_left: Called without arguments when components have left an event undone. If it returns
            True, the source goes back by itself and hands on again what is needed. So the event is
            not scheduled again here, but passed, and its `on_done` gets `TokenOutcome.LEFT`.
        clock: Measures how long saves take: the interval is at least 20 times that, so that they
            do not take more than a twentieth of the time. With it, a daemon that is to end when it
            is idle saves after an interval, too. Default: neither.

    Raises:
        ConfigurationError: There is no `state_dir`.
        StateStoreError: The store cannot be opened.
        ValueError: An argument is wrong.

    Thread: own.
    """

    def __init__(
        self,
        daemon: Daemon,
        store: Store | None = None,
        *,
        bound: int = 1_000,
        save_interval: float = 1.0,
        on_failed: Literal["go-on", "hold", "stop"] = "go-on",
        on_room: Callable[[], object] | None = None,
        collect: Callable[[], Any] | None = None,
        together: bool = False,
        source: str | None = None,
        order: Callable[[Any], list[int]] | None = None,
        floor: Callable[[str], Any] | None = None,
        on_left: Callable[[], bool] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if bound < 1:
            raise ValueError(f"bound must be at least 1, not {bound!r}.")
        if not save_interval > 0:
            raise ValueError(f"save_interval must be greater than 0, not {save_interval!r}.")
        if on_failed not in ON_FAILED:
            expected = ", ".join(map(repr, ON_FAILED))
            raise ValueError(f"on_failed must be one of {expected}, not {on_failed!r}.")
        self._daemon = daemon
        self._store = daemon.state_store() if store is None else store
        self._save_interval = save_interval
        self._interval = min(_FIRST_SAVE, save_interval)
        self._least_interval = 0.0
        self._clock = clock
        self._saved_at = 0.0 if clock is None else clock.monotonic()
        self._on_failed = on_failed
        self._on_room = on_room
        self._collect = collect
        self._was_full = False
        self._saves_fail = False
        self._timer: Cancellable | None = None
        self._is_closed = False
        self._source = source
        self._order = order or _as_list
        self._floor = floor or self.saved
        self._on_left = on_left or bool
        self._ends: dict[str, list[int]] = {}  # of the last event of each key
        self._flow = self._make_flow(bound, together=together)
        self._saved: dict[str, Any] = self._flow.positions.copy()

    def _make_flow(self, bound: int, *, together: bool) -> CheckpointFlow:
        stored = self._store.value
        continued = self._store.generation > 1
        effects = _Effects(self)
        try:
            if stored is not None and not stored.keys() <= _KNOWN:
                raise ValueError("other keys")
            return CheckpointFlow(
                stored, effects, bound=bound, continued=continued, together=together
            )
        except (AttributeError, KeyError, TypeError, ValueError):
            self._daemon.logger.warning(
                "The state store holds something else than checkpoints: the source begins anew"
            )
            return CheckpointFlow(None, effects, bound=bound, together=together)

    # --- for the source -------------------------------------------------------------------------

    def resume(self, key: str = "") -> Any:
        """Return the position to go on at; None if there is none. Everything before it is done."""
        return self._flow.positions.get(key)

    def keys(self) -> list[str]:
        """Return the keys that have a position."""
        return list(self._flow.positions)

    def saved(self, key: str = "") -> Any:
        """Return the position that is saved for a key, which may be behind `resume`; or None."""
        return self._saved.get(key)

    @property
    def is_full(self) -> bool:
        """True if the source should read no more at the moment; see `on_room`."""
        return self._flow.is_full

    @property
    def data(self) -> Any:
        """A JSON value of the source's own, saved together with the checkpoints. Assign it."""
        return self._flow.data

    @data.setter
    def data(self, value: Any) -> None:
        self._flow.data = value
        self._flow.is_dirty = True
        self._plan_save()

    def changed(self) -> None:
        """Let what `collect` returns be saved soon: it has changed."""
        self._flow.is_dirty = True
        self._plan_save()

    def begin(self, position: Any, *, key: str = "") -> None:
        """Set the position of a key that has none: everything before it counts as done.

        It is saved with the next checkpoint. If the key has a position, nothing changes. The
        position is any JSON value.
        """
        if self._flow.begin(key, position):
            self._plan_save()

    def is_careful(self, key: str = "") -> bool:
        """Return True if events of a key are handed over one at a time: make them small."""
        return self._flow.is_careful(key)

    def schedule(
        self,
        event: Any,
        args: Any,
        position: Any,
        *,
        key: str = "",
        begin: list[int] | None = None,
        on_done: Callable[[TokenOutcome], object] | None = None,
    ) -> Item:
        """Hand an event over, or keep it until that may be done. Returns at once, or after a save.

        If the source is full, the event waits, and so do all that come after it. Once the daemon
        stops nothing is handed over any more: it comes in the next run.

        Args:
            event: The event.
            args: Its args. No callback may change them in place, because an event that a component
                has left undone, when it was made anew, is scheduled again, up to two times.
            position: Where to go on once this event, and all before it, are done: any JSON value.
                No two events of a key have the same.
            key: Which of the source's positions it is, if it has several: of each file one, say.
            begin: Where the event begins, in the form of `order`. None: where the last one ends.
            on_done: Called with the outcome, in the own thread, once the event has ended for good
                in this run. A stop that leaves it undone is no such end.

        Returns:
            The event, for `is_condemned`.

        Raises:
            UnknownEventError: No component handles the event.
            TypeError: The position is no JSON value.
            ValueError: The position contains NaN or an infinite number.
            RuntimeError: It is closed.
        """
        if self._is_closed:
            raise RuntimeError("These checkpoints are closed: schedule before teardown.")
        if type(position) not in _SIMPLE:
            json.dumps(position, allow_nan=False)  # now, and not at a save
        item = Item(key, event, args, position, on_done)
        if self._source is not None:
            item.begin = self._begin_of(key) if begin is None else begin
            self._ends[key] = self._order(position)
        self._flow.add(item)
        self._go_on()
        return item

    def give_up(self, event: Any, args: Any, position: Any, times: int, *, key: str = "") -> None:
        """Make an event a dead letter instead of scheduling it again, and go on behind it.

        Args:
            event: As for `schedule`; so are `args`, `position` and `key`.
            args: As above.
            position: As above.
            times: How many times components have left it undone.
            key: As above.
        """
        self._daemon.dead_letter(event, args, why_given_up(times), position=position)
        self.pass_over(position, key=key)

    def pass_over(self, position: Any, *, key: str = "") -> None:
        """Go on behind an event that is a dead letter already."""
        self._flow.pass_over(Item(key, None, None, position))
        self._go_on()

    def _begin_of(self, key: str) -> list[int]:
        if key not in self._ends:
            resumed = self.resume(key)
            self._ends[key] = [] if resumed is None else self._order(resumed)
        return self._ends[key]

    def forget(self, key: str) -> None:
        """Forget the position of a key, if nothing of it is under way: its file is gone, say."""
        self._flow.forget(key)
        self._ends.pop(key, None)
        self._plan_save()

    def save(self) -> bool:
        """Save now what has changed. Blocks. Return False if that failed, which is logged."""
        saved = self._flow.save()
        self._go_on()
        return saved

    def close(self) -> None:
        """Save for the last time; for `teardown`. Blocks. Nothing is scheduled after it."""
        if self._is_closed:
            return
        self._is_closed = True
        self._stop_timer()
        if self._daemon.is_done() and self._daemon.ends_cleanly:
            self._flow.end_cleanly()
        self._flow.save()

    def get_state(self) -> dict[str, Any]:
        """Return figures for the component's `get_state`."""
        return {
            "unacknowledged": self._flow.ahead,
            "waiting": self._flow.waiting,
            "careful": self._flow.careful_keys(),
            "full": self.is_full,
        }

    # --- the way of an event ----------------------------------------------------------------------

    def _go_on(self) -> None:
        """Hand over what may be handed over, and see to it that the rest is saved."""
        if not self._is_closed and not self._daemon.is_done():
            self._flow.pump()
        self._plan_save()
        was_full, self._was_full = self._was_full, self._flow.is_full
        if was_full and not self._was_full and self._on_room is not None and not self._is_closed:
            self._on_room()

    def _hand_over(self, item: Item) -> None:
        self._daemon.queue.schedule(
            item.event,
            item.args,
            on_done=functools.partial(self._ended, item),
            position=item.position if self._source is None else self._origin_of(item),
        )

    def _origin_of(self, item: Item) -> Origin:
        assert self._source is not None
        saved = self._floor(item.key)
        return Origin(
            event=item.event,
            path=path_of(self._source),
            key=item.key,
            begin=item.begin,
            end=self._order(item.position),
            floor=[] if saved is None else self._order(saved),
            position=item.position,
        )

    def _give_up(self, item: Item, times: int) -> None:
        item.is_condemned = True
        cause = ProcessDiedError(times)
        self._daemon.dead_letter(item.event, item.args, cause, position=item.position)

    def _gave_up(self, item: Item) -> None:
        if item.on_done is not None:
            item.on_done(TokenOutcome.FAILED)

    def _ended(self, item: Item, outcome: TokenOutcome) -> None:
        if outcome is TokenOutcome.LEFT:
            # No dead letter has it. If the daemon stops, it is as if it had not ended: the event
            # may be the reason, and if it was noted, the next run must know.
            if self._daemon.is_done():
                return
            if not self._on_left():
                item.times_left += 1
                if item.times_left < MOST_LEFT:
                    self._hand_over(item)
                    return
                # It may be the reason that they are made anew: it must not do that for ever.
                cause = why_given_up(item.times_left)
                self._daemon.dead_letter(item.event, item.args, cause, position=item.position)
                outcome = TokenOutcome.FAILED
        done = True
        if outcome is TokenOutcome.FAILED:
            done = self._on_failed == "go-on"
            if not done:
                self._hold(item)
        self._flow.ended(item, done=done)
        if item.on_done is not None:
            item.on_done(outcome)
        if self._flow.save_if_due() and self._is_overdue():
            self._flow.save()
            self._lengthen_interval()
        self._go_on()

    def _hold(self, item: Item) -> None:
        stops = self._on_failed == "stop"
        self._daemon.logger.error(
            "Event %r at %r failed: the checkpoint stays before it, and it comes again in the next"
            " run%s",
            item.event,
            item.position,
            "; stopping" * stops,
        )
        if stops:
            self._daemon.set_exit_status(EXIT_GAVE_UP)
            self._daemon.set_done()

    # --- saving -----------------------------------------------------------------------------------

    def _save(self, stored: dict[str, Any]) -> bool:
        if self._collect is not None:
            stored["data"] = self._flow.data = self._collect()
        begin = 0.0 if self._clock is None else self._clock.monotonic()
        try:
            self._store.save(stored)
        except StateStoreError as cause:
            if not self._saves_fail:
                self._daemon.logger.error("%s Trying again until it works.", cause)  # noqa: TRY400 - of the system's doing
            self._saves_fail = True
            return False
        self._saved = stored["positions"].copy()
        if self._clock is not None:
            self._saved_at = self._clock.monotonic()
            self._least_interval = _REST * (self._saved_at - begin)
        if self._saves_fail:
            self._saves_fail = False
            self._daemon.logger.info("Checkpoints are saved again")
        return True

    def _plan_save(self) -> None:
        # It counts as activity: a daemon that has nothing else to do ends after it. One that is to
        # end when it is idle saves at its end instead, unless something waits for the save.
        wanted = self._flow.is_dirty and (not self._daemon.exit_when_idle or self._saves_fail)
        if wanted and self._timer is None and not self._is_closed:
            seconds = max(self._interval, self._least_interval)
            self._timer = self._daemon.io.call_later(seconds, self._save_is_due)

    def _save_is_due(self, _daemon: Any) -> None:
        self._timer = None
        self._lengthen_interval()
        self.save()

    def _lengthen_interval(self) -> None:
        self._interval = min(2 * self._interval, self._save_interval)

    def _is_overdue(self) -> bool:
        """Return True if no timer saves, and the interval is over."""
        if self._timer is not None or self._clock is None:
            return False
        seconds = max(self._interval, self._least_interval)
        return self._clock.monotonic() - self._saved_at >= seconds

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


class _Effects:
    """What the flow of a source's events lets be done."""

    def __init__(self, checkpoints: Checkpoints) -> None:
        self.save = checkpoints._save  # noqa: SLF001 - this module's own
        self.hand_over = checkpoints._hand_over  # noqa: SLF001
        self.give_up = checkpoints._give_up  # noqa: SLF001
        self.gave_up = checkpoints._gave_up  # noqa: SLF001
        self._logger = checkpoints._daemon.logger  # noqa: SLF001

    def goes_carefully(self, key: str, times: int) -> None:
        """Log that a key goes carefully."""
        self._logger.warning(
            "The process ended %d times without progress%s: events go one at a time now",
            times,
            _of(key),
        )

    def goes_on(self, key: str) -> None:
        """Log that a key goes carefully no more."""
        self._logger.info("Progress%s: events go at full speed again", _of(key))


def why_given_up(times: int) -> str:
    """Return why an event that components have left undone is a dead letter."""
    return f"components that had it were made anew {times} times"


def _as_list(position: int) -> list[int]:
    return [position]


def _of(key: str) -> str:
    return f" of {key!r}" if key else ""
