"""Read blocks of the files that are ready, in turns, and hand over the lines in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors.components.tail.reader import RewrittenError
from zenactors.components.tail.rotation import is_compressed

if TYPE_CHECKING:
    from zenactors.components.tail.context import TailContext
    from zenactors.components.tail.delivery import Delivery
    from zenactors.components.tail.file_set import FileSet
    from zenactors.components.tail.followed import Followed
    from zenactors.components.tail.followed_files import FollowedFiles
    from zenactors.core.component import ZenDaemonComponent

TURN_BYTES = 4 << 20  # that a turn reads at most, so that the component can do something else
_MOST_EMPTY = 2  # turns in which a file had nothing, until it is not read in each
_PAST = {"truncate": "truncated", "split": "split", "skip": "skipped"}


class Reading:
    """Read the followed files.

    Args:
        tailer: Its statistics count blocks and bytes.
        context: What the parts of a tailer share.
        file_set: The followed files.
        files: What becomes of them.
        delivery: Says how much may be read.

    Attributes:
        bytes_read: How many bytes were read in all.
        rereads: Read a file that had data again in the next two turns: there may be no hint.
        hold_time: Seconds until what is held of a file is handed over; None: not before its end.
        holding: When what is held of each file is handed over.
    """

    def __init__(
        self,
        tailer: ZenDaemonComponent,
        context: TailContext,
        file_set: FileSet,
        files: FollowedFiles,
        delivery: Delivery,
    ) -> None:
        self._tailer = tailer
        self._memory = context.memory
        self._problems = context.problems
        self._clock = context.clock
        self._hand_over = context.hand_over
        self._set = file_set
        self._files = files
        self._delivery = delivery
        self._active: dict[Followed, int] = {}  # files with data lately: their turns without
        self.bytes_read = 0
        self.rereads = True
        self.hold_time: float | None = None
        self.holding: dict[Followed, float] = {}

    def forget(self, followed: Followed) -> None:
        """Read a file no more that is followed no more."""
        self._active.pop(followed, None)
        self.holding.pop(followed, None)

    def read(self) -> bool:
        """Read some blocks. Return True if there was any data."""
        ready, delivery = self._set.ready, self._delivery
        self._note_active()
        begun: set[Followed] = set()
        budget = TURN_BYTES
        found = False
        while budget > 0 and not delivery.is_full and self._memory.save_records():
            followed = ready.take()
            if followed is None:
                break
            size = self._read_block(followed, check=followed not in begun)
            begun.add(followed)
            budget -= size
            if followed.is_rest and followed.reader is not None and followed.reader.at_end:
                self._files.end_rest(followed)
            if size:
                found = True
                if self.rereads:
                    self._active[followed] = 0
            elif followed in self._active:
                self._active[followed] += 1
                if self._active[followed] >= _MOST_EMPTY or followed.left_at is not None:
                    del self._active[followed]
        return found

    def _note_active(self) -> None:
        """Read the files again that had data lately, if hints may be missing."""
        if not self.rereads:
            self._active.clear()  # every turn would look at all files that ever had data
            return
        self._active = {each: empty for each, empty in self._active.items() if not each.is_gone}
        for active in self._active:
            self._set.ready.add(active)

    def _read_block(self, followed: Followed, *, check: bool) -> int:
        """Read one block, and hand over the lines that it completes. Return its size."""
        begin = followed.offset
        if not followed.is_open and not self._reopen(followed):
            return 0
        assert followed.reader is not None
        try:
            if not self._files.adoption.keeps_applied(followed):
                self._set.ready.add(followed)  # once it is saved that it has another content
                return 0
            block = followed.reader.read(check=check, most=self._delivery.share)
        except RewrittenError:
            return self._rewritten(followed)
        except OSError as cause:
            self._failed(followed, "read", cause)
            return 0
        self._set.used(followed)
        self._problems.end(followed.path, "read")
        if not begin and not block.startswith(followed.head):  # since it was opened
            followed.reader.restart()
            return self._rewritten(followed)
        if not begin and is_compressed("", block):
            self._files.leave_compressed(followed)
            return 0
        if not block or (not begin and self._must_wait(followed, block)):
            return 0
        followed.note_head(block, begin)
        cutter = followed.cutter
        if cutter is None:
            cutter = self._files.adoption.begin_cutting(followed, begin)
        long_before = cutter.lines_truncated + cutter.lines_split + cutter.lines_skipped
        pieces = cutter.feed(block)
        followed.had_data_at = self._clock.monotonic()
        self.bytes_read += len(block)
        self._tailer.inc_statistic("blocks")
        self._tailer.inc_statistic("bytes", len(block))
        long = cutter.lines_truncated + cutter.lines_split + cutter.lines_skipped - long_before
        if long:
            rules = cutter.rules
            self._problems.report_long(
                followed.path, long, rules.max_line_bytes, _PAST[rules.long_lines]
            )
        self._hand_over(followed, pieces)
        self._note_held(followed)
        if not followed.reader.at_end:
            self._set.ready.add(followed)
        return len(block)

    def _must_wait(self, followed: Followed, block: bytes) -> bool:
        """Return True if the first block of a file cannot be handed over yet; it is read again."""
        files = self._files
        return (
            files.waits_for_old(followed)
            or files.adoption.becomes_copy(followed, block)
            or not files.adoption.begin_content(followed, block)
        )

    def _rewritten(self, followed: Followed) -> int:
        """Begin a file again. Return 0: no bytes were read."""
        assert followed.reader is not None
        self.holding.pop(followed, None)
        try:
            self._files.rewritten(followed)
        except OSError as cause:
            followed.reader.at_end = False
            self._failed(followed, "read", cause)
        return 0

    def _reopen(self, followed: Followed) -> bool:
        """Open a file again. False: the next look finds out what happened to it."""
        try:
            if not self._set.open(followed):
                return False
        except FileNotFoundError:
            return False
        except OSError as cause:
            self._failed(followed, "open", cause)
            return False
        self._problems.end(followed.path, "open")
        return True

    def _failed(self, followed: Followed, problem: str, cause: OSError) -> None:
        self._problems.report_error(followed.path, problem, cause)
        followed.has_failed = True
        self._active.pop(followed, None)
        if followed.left_at is None:  # otherwise there is no path to open it by
            self._set.close(followed)
        elif followed.reader is not None:
            followed.reader.at_end = False  # not closed before it was read

    def _note_held(self, followed: Followed) -> None:
        seconds = self.hold_time
        if seconds is None:
            return
        if followed.cutter is not None and followed.cutter.held_bytes:
            self.holding[followed] = self._clock.monotonic() + seconds
        else:
            self.holding.pop(followed, None)

    def flush_overdue(self) -> None:
        """Hand over what was held for long enough."""
        if not self.holding:
            return
        now = self._clock.monotonic()
        for followed, when in list(self.holding.items()):
            if followed.is_gone:
                del self.holding[followed]
            elif when <= now:
                del self.holding[followed]
                cutter = followed.cutter
                if cutter is not None:
                    is_record = cutter.rules.multiline is not None
                    self._hand_over(
                        followed, cutter.flush_record() if is_record else cutter.flush()
                    )

    def flush_all(self) -> None:
        """Hand over what is held of all files: their ends will not come in this run."""
        for followed in list(self._set):
            if followed.cutter is not None and followed.copy_of is None:
                self._hand_over(followed, followed.cutter.flush(), last=True)
