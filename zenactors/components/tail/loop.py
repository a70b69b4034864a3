"""The loop of a tailer: when to look, which block to read next, and when it is done.

One thread does all of it, between events: a turn looks at the directories if that is due, takes the
hints of the file system, reads some blocks, and decides when the next one is.
"""

from __future__ import annotations

import stat as stat_bits
from typing import TYPE_CHECKING, Any

from zenactors.components.checkpoints import Checkpoints
from zenactors.components.tail.context import TailContext
from zenactors.components.tail.delivery import Delivery, RateLimit
from zenactors.components.tail.discovery import Discovery, discover, excluder
from zenactors.components.tail.exactly_once import ExactOutputs
from zenactors.components.tail.fates import Fates
from zenactors.components.tail.file_record import order_of
from zenactors.components.tail.file_set import FileSet
from zenactors.components.tail.followed_files import FollowedFiles
from zenactors.components.tail.handover import Handover
from zenactors.components.tail.hints import DirectoryHints
from zenactors.components.tail.identity import Identities
from zenactors.components.tail.memory import Memory
from zenactors.components.tail.problems import Problems
from zenactors.components.tail.reading import Reading
from zenactors.components.tail.streams import STANDARD_INPUT, Stream
from zenactors.components.tail.wakeups import WakeUps
from zenactors.errors import EXIT_NO_INPUT, ConfigurationError

if TYPE_CHECKING:
    from zenactors.components._files import Files
    from zenactors.components.tail.cutter_rules import CutterRules
    from zenactors.components.tail.followed import Followed
    from zenactors.components.tail.options import TailOptions
    from zenactors.core.component import ZenDaemonComponent
    from zenactors.core.daemon_api import Cancellable, Daemon

LOOK_SHARE = 25  # a look takes at most this fraction of the time
_HINTED_INTERVAL = 1.0  # seconds between looks while the file system gives hints
_LONGEST_INTERVAL = 10.0  # seconds between looks, unless a longer one was asked for
_RETRY = 1.0  # seconds until a failed save, or a failed turn, is tried again
BOUND = 2_000  # events that may come twice


class TailLoop:
    """Drive a tailer's parts from one `setup` to its `teardown`.

    Args:
        tailer: The component.
        daemon: What `setup` gets.
        files: The file system.
        options: How files are followed.
        memory: The one of an earlier loop of the same object, if nothing lasts.

    Thread: own.
    """

    def __init__(
        self,
        tailer: ZenDaemonComponent,
        daemon: Daemon,
        files: Files,
        options: TailOptions,
        memory: Memory | None,
    ) -> None:
        self._tailer = tailer
        self._daemon = daemon
        self._system = files
        self._options = options
        self._clock = tailer.clock
        self._cpu = getattr(tailer.clock, "cpu_time", float)  # in a simulation, turns cost nothing
        self._checkpoints = self._open_checkpoints()
        self.memory = self._open_memory(memory)
        self._problems = Problems(tailer)
        self._identities = Identities(files)
        self._delivery = Delivery(
            daemon,
            tailer.event("lines"),
            self._clock,
            checkpoints=self._checkpoints,
            rate=self._rate(),
            on_progress=self._on_progress,
            on_left=self._on_left,
        )
        self._handover = Handover(tailer, self.memory, self._delivery)
        context = TailContext(
            files=files,
            identities=self._identities,
            memory=self.memory,
            problems=self._problems,
            fates=Fates(tailer),
            clock=self._clock,
            rules_for=self._rules_for,
            hand_over=self._handover.pieces,
        )
        self._set = FileSet(context)
        quiet_time = 0.0 if daemon.exit_when_idle else options.rotate_wait
        self._files = FollowedFiles(context, self._set, quiet_time)
        self._reading = Reading(tailer, context, self._set, self._files, self._delivery)
        self._reading.hold_time = options.hold_time
        self._wake_ups = WakeUps()
        self._streams: dict[str, Stream] = {}
        self._timer: Cancellable | None = None
        self._is_full = False
        self._ended = False
        self._is_flushed = False
        self._cpu_at = 0.0
        self._look_at = 0.0
        self._look_cost = 0.0
        self.progress = (0, 0)
        self.set_patterns([], [])
        self._hints = DirectoryHints(tailer, daemon, files, options, self._on_hint)
        self._exact = self._open_exact()
        if self._exact is not None:
            self._handover.on_sent = self._exact.something_sent

    def _rules_for(self, head: bytes) -> CutterRules:
        return self._options.rules_for(head)

    def _rate(self) -> RateLimit | None:
        rate = self._options.rate_limit
        return None if rate is None else RateLimit(rate, self._clock)

    def _open_checkpoints(self) -> Checkpoints | None:
        try:
            store = self._daemon.state_store()
        except (ConfigurationError, AttributeError):  # no state_dir; a test's daemon
            if self._options.exactly_once:
                raise
            return None
        return Checkpoints(
            self._daemon,
            store,
            bound=BOUND,
            on_room=self._on_progress,
            collect=self._collect,
            together=True,
            clock=self._clock,
            source=self._tailer.name if self._options.exactly_once else None,
            order=order_of,
            floor=lambda key: self.memory.replays_from(key),  # noqa: PLW0108 - made later
            on_left=self._on_left,
        )

    def _collect(self) -> dict[str, Any]:
        return self.memory.collect()

    def _open_memory(self, memory: Memory | None) -> Memory:
        checkpoints = self._checkpoints
        if checkpoints is None and memory is not None:
            return memory
        data = None if checkpoints is None else checkpoints.data

        def make(data: Any) -> Memory:
            return Memory(
                checkpoints,
                data,
                self._tailer.random,
                self._clock.time,
                boot_id=self._system.boot_id(),
                exactly_once=self._options.exactly_once,
            )

        try:
            return make(data)
        except ValueError as cause:
            self._tailer.log.warning(
                "The state store holds something else than files ({cause}): all files are new",
                cause=str(cause),
            )
            return make(None)

    def _open_exact(self) -> ExactOutputs | None:
        if not self._options.exactly_once:
            self.memory.forget_outputs()
            return None
        self.memory.go_back()
        self._delivery.fences = self.memory.take_fences()
        return ExactOutputs(
            self._tailer,
            self._daemon,
            self._tailer.event("checkpoint"),
            self.memory,
            self._delivery,
            self._on_taken,
        )

    # --- from outside -----------------------------------------------------------------------------

    def set_patterns(self, patterns: list[str], exclude: list[str]) -> None:
        """Search for other files from now on."""
        self._patterns = [each for each in patterns if each != STANDARD_INPUT]
        self._reads_input = len(self._patterns) < len(patterns)
        self._outputs = exclude
        self._is_excluded = excluder(exclude)

    def start(self) -> None:
        """Look for the first time, and begin."""
        found = self.discover()
        if self.memory.is_new and self._options.start == "end":
            self.begin_at_end(found)
        self.memory.is_new = False
        left = self._files.restore(found)
        self._take_look(found, left)
        self._set_timer(0.0)

    def reconfigure(self, options: TailOptions, patterns: list[str], exclude: list[str]) -> None:
        """Take new options; see `FileTailer`."""
        self._options = options
        # In this order, so that a file that appears in between counts as a later one, which is read
        # from its beginning.
        identities, files = self._identities, self._system
        found = discover(patterns, files, identities, excluder(exclude))
        before = self.discover()
        for identity in before.paths.keys() - found.paths.keys():
            followed = self._set.known(identity)
            if followed is not None:
                self._reading.forget(followed)
                self._files.drop(followed)
        if self._options.start == "end":
            for identity in found.paths.keys() - before.paths.keys():
                self._files.adoption.begin_at[identity] = found.stats[found.paths[identity]].st_size
        self.set_patterns(patterns, exclude)
        for path in self._streams.keys() - set(patterns):
            stream = self._streams.pop(path)
            stream.flush()
            stream.close()
        self._files.renew_rules(self._options.rotate_wait)
        self._reading.hold_time = options.hold_time
        self._delivery.rate = self._rate()
        self._look_at = 0.0
        if not self._ended and not self._daemon.is_done():
            self._set_timer(0.0)

    def begin_at_end(self, found: Discovery) -> None:
        """Begin at the end of the files that were found and are not followed yet."""
        for identity, path in found.paths.items():
            self._files.adoption.begin_at[identity] = found.stats[path].st_size

    def discover(self) -> Discovery:
        """Search for the files that the patterns match."""
        return discover(self._patterns, self._system, self._identities, self._is_excluded)

    def stop(self) -> None:
        """Read no more, because the daemon stops. What is not handed over comes in the next run.

        If there is none that goes on here, unfinished last lines are handed over now.
        """
        if not self._ended:
            self._end(flush=not self.memory.lasts)
            if self._exact is not None:
                self._exact.want()

    def close(self) -> None:
        """Remember how far each file was handed over, and close all."""
        self._cancel_timer()
        self._hints.close()
        for stream in self._streams.values():
            stream.close()
        self._set.leave_all()
        if self._exact is not None:
            self._exact.close()
            if not self._daemon.is_done():  # what is under way may still arrive
                self.memory.leave_fences(self._delivery.all_fences())
        if self._checkpoints is not None:
            self._checkpoints.close()

    def state(self) -> dict[str, Any]:
        """Return how far each file was read."""
        files = sorted((each.state() for each in self._set), key=lambda each: str(each["path"]))
        state: dict[str, Any] = {"files": files}
        if self._checkpoints is not None:
            state["checkpoints"] = self._checkpoints.get_state()
        return state

    # --- turns ------------------------------------------------------------------------------------

    def _on_hint(self, _daemon: Any) -> None:
        self._cpu_at = self._cpu()
        self._turn()

    def _on_time(self, _daemon: Any) -> None:
        self._timer = None
        try:
            self._turn()
        except Exception:  # whatever it is: without a timer, no other turn would come
            if self._timer is None:
                self._set_timer(_RETRY)
            raise

    def _on_progress(self) -> None:
        """An event has ended: there may be room."""
        if self._exact is not None:
            self._exact.go_on()
        self._go_on()

    def _on_left(self) -> bool:
        """An event was left undone. Return True if all since the last checkpoint come again."""
        return self._exact is not None and self._exact.go_back()

    def _on_taken(self) -> None:
        """A checkpoint of the outputs was taken: what waits for the rate limit goes on."""
        self._go_on()
        if self._delivery.delay is not None and not (self._ended or self._daemon.is_done()):
            self._set_timer(0.0)

    def _go_on(self) -> None:
        if self._daemon.is_done():
            return
        self._delivery.pump()
        if self._has_room_again():
            if not self._ended:
                self._turn()
        elif self._daemon.exit_when_idle and not self._ended and self._delivery.is_idle:
            self._set_timer(0.0)

    def _has_room_again(self) -> bool:
        """Return True if it was full and is no more; then streams are read again, too."""
        if not self._is_full or self._delivery.is_full:
            return False
        self._is_full = False
        for stream in self._streams.values():
            stream.wait()
        return True

    def _turn(self) -> None:
        if self._ended or self._daemon.is_done():
            return
        self._delivery.pump()
        self._has_room_again()
        hints = self._hints.take()
        hinted = bool(hints)
        if hints.renamed or hints.overflow:
            # Not at each name that comes and goes: looks are to take a share of the time only.
            self._look_at = min(self._look_at, self._clock.monotonic() + 10 * self._look_cost)
        if self._clock.monotonic() >= self._look_at:
            self._take_look()
        for path in sorted(hints.changed):  # as a simulation needs it
            followed = self._hints.file_at(path, self._set)
            if followed is not None and followed.copy_of is None:
                self._set.ready.add(followed)
        self._reading.rereads = not self._hints.are_complete
        found = self._reading.read()
        if found:
            self._note_progress(self.progress[1])
        self._reading.flush_overdue()
        cpu = self._cpu()
        cost, self._cpu_at = cpu - self._cpu_at, cpu
        self._plan(found=found or hinted, cost=cost)

    def _plan(self, *, found: bool, cost: float) -> None:
        """Decide when the next turn is."""
        following = self._wake_ups.ended(found=found, cost=cost)
        delay = following.delay
        if self._set.ready:
            if self._delivery.is_full:
                self._is_full = True
            else:
                self._has_room_again()
                delay = 0.0
        elif self._daemon.exit_when_idle and self._may_finish():
            self._finish()
            return
        now = self._clock.monotonic()
        moments = [max(0.0, self._look_at - now)]
        if delay is not None:
            moments.append(delay)
        if (waits := self._delivery.delay) is not None:
            moments.append(waits)
        if self._reading.holding:
            moments.append(max(0.0, min(self._reading.holding.values()) - now))
        # If it is full, nothing was tried: what waits for the rate limit waits for no retry.
        if self.memory.must_be_saved and not self._delivery.is_full:
            moments = [_RETRY]
        self._hints.wait(watch=following.watch and not self._ended)
        self._set_timer(min(moments))

    def _set_timer(self, delay: float) -> None:
        self._cancel_timer()
        self._timer = self._daemon.io.call_later(delay, self._on_time)

    def _cancel_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    # --- looking ----------------------------------------------------------------------------------

    def _take_look(
        self, found: Discovery | None = None, left: dict[str, Followed] | None = None
    ) -> None:
        """Look for files that appeared, left, or have changed."""
        begun = self._cpu()
        if found is None:
            found = self.discover()
        exit_when_idle = self._daemon.exit_when_idle
        self._problems.report_missing(self._patterns, found, exit_when_idle=exit_when_idle)
        self._problems.report_unreadable(found)
        self._open_streams(found)
        self._files.look(found, self._identities.at(self._outputs), left)
        self._hints.watch_directories(self._patterns, self._set)
        self.memory.forget_old()
        known = sum(max(each.seen[0], each.offset) - each.begun_at for each in self._set)
        self._note_progress(known)
        # The first look opens all files: that says nothing of the next ones.
        self._look_cost = 0.0 if left is not None else self._cpu() - begun
        interval = self._options.poll_interval
        if self._hints.are_complete:
            interval = max(interval, _HINTED_INTERVAL)
        interval = max(interval, min(LOOK_SHARE * self._look_cost, _LONGEST_INTERVAL))
        self._look_at = self._clock.monotonic() + interval

    def _note_progress(self, known: int) -> None:
        # One assignment: another thread reads both numbers, or neither.
        self.progress = (self._reading.bytes_read, max(known, self._reading.bytes_read))

    def _open_streams(self, found: Discovery) -> None:
        paths = [STANDARD_INPUT] if self._reads_input else []
        paths += [
            path
            for path in found.named
            if path in found.stats and stat_bits.S_ISFIFO(found.stats[path].st_mode)
        ]
        for path in paths:
            if path not in self._streams:
                self._open_stream(path)

    def _open_stream(self, path: str) -> None:
        def ended(cause: OSError | None) -> None:
            if cause is not None:
                self._problems.report_error(path, "read", cause)
            self._go_on()

        try:
            self._streams[path] = Stream(
                path,
                self._daemon,
                self._system,
                self._rules_for,
                self._handover.lines,
                self._stream_is_full,
                ended,
            )
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
            return
        if self.memory.lasts and self._problems.is_new(path, "stream"):
            self._tailer.log.info(
                "{path} has no checkpoints: what was read of it cannot be read again",
                path="standard input" if path == STANDARD_INPUT else path,
            )

    def _stream_is_full(self) -> bool:
        self._is_full = self._is_full or self._delivery.is_full
        return self._is_full

    # --- the end ----------------------------------------------------------------------------------

    def _may_finish(self) -> bool:
        """Return True if all was read and is done, of a daemon that exits when idle."""
        streams_ended = all(stream.has_ended for stream in self._streams.values())
        return streams_ended and self._delivery.is_idle and not self.memory.must_be_saved

    def _finish(self) -> None:
        """End because everything was read and the daemon exits when idle."""
        if not self._is_flushed:
            self._take_look()  # files may have appeared
            if self._set.ready:
                self._set_timer(0.0)
                return
            self._is_flushed = True
            self._reading.flush_all()
            if not self._delivery.is_idle:
                if (waits := self._delivery.delay) is not None:
                    self._set_timer(waits)
                return  # otherwise `_go_on` is called
        if self._exact is not None and not self._exact.is_settled:
            if not self._exact.has_failed:  # otherwise it tries again in a while
                self._exact.want()
            return
        self._end(flush=False)
        if self._problems.input_is_missing():
            self._daemon.set_exit_status(EXIT_NO_INPUT)

    def _end(self, *, flush: bool) -> None:
        self._ended = True
        self._cancel_timer()
        self._hints.close()
        for stream in self._streams.values():
            stream.flush()
            stream.close()
        if flush:
            self._reading.flush_all()
        self._delivery.hand_over_all(comes_again=not flush)
