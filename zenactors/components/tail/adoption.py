"""Follow a file that was found: one that is known, a copy of another one, or a new one."""

from __future__ import annotations

import functools
import os
import stat as stat_bits
from typing import TYPE_CHECKING

from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.file_record import FileRecord, Position
from zenactors.components.tail.followed import Followed
from zenactors.components.tail.identity import (
    HEAD_BYTES,
    NO_MARK,
    Fingerprint,
    Identity,
    Mark,
)
from zenactors.components.tail.piece import Within
from zenactors.components.tail.reader import FileReader, has_false_size, open_file
from zenactors.components.tail.rotation import (
    Past,
    is_compressed,
    is_rotated_name,
)
from zenactors.components.tail.trail import last_kept

if TYPE_CHECKING:
    from zenactors.components.tail.context import TailContext
    from zenactors.components.tail.copies import Copies
    from zenactors.components.tail.file_set import FileSet


class Adoption:
    """Follow files.

    Args:
        context: What the parts of a tailer share.
        file_set: The followed files.
        copies: The copies of followed files.

    Attributes:
        begin_at: Where to begin in files that are not followed yet, if not at 0.
        failed: Files that could not be opened or read.
    """

    def __init__(self, context: TailContext, file_set: FileSet, copies: Copies) -> None:
        self._files = context.files
        self._identities = context.identities
        self._memory = context.memory
        self._problems = context.problems
        self._fates = context.fates
        self._rules_for = context.rules_for
        self._set = file_set
        self._copies = copies
        self.begin_at: dict[Identity, int] = {}
        self.failed: set[Identity] = set()

    def take_in(
        self,
        path: str,
        identity: Identity,
        *,
        first_path: str | None = None,
        only: FileRecord | None = None,
    ) -> Followed | None:
        """Open a file and follow it. None: it is none to follow, or could not be opened.

        Args:
            path: Leads to it.
            identity: Its identity.
            first_path: The path that it had first, if that is another one.
            only: Follow it only if it is this one.
        """
        self.failed.discard(identity)
        try:
            fd, stat = open_file(path, self._files)
        except FileNotFoundError:  # renamed or deleted since the look began; the next look knows
            self.failed.add(identity)
            return None
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
            self.failed.add(identity)
            return None
        try:
            if not self._may_follow(path, identity, fd, stat):
                self._files.close(fd)
                return None
            head = self._files.pread(fd, HEAD_BYTES, 0)
            if only is None:
                followed = self._adopt(path, identity, fd, stat, head, first_path)
            else:
                followed = self._resume(only, path, identity, fd, stat, head)
        except OSError as cause:
            self._problems.report_error(path, "read", cause)
            self._files.close(fd)
            self.failed.add(identity)
            return None
        if followed is None:
            self._files.close(fd)
            return None
        self._problems.opened(path)
        return followed

    def _may_follow(self, path: str, identity: Identity, fd: int, stat: os.stat_result) -> bool:
        if self._identities.of(stat, path) != identity:
            self.failed.add(identity)  # another file has taken the path since the look began
            return False
        if not stat_bits.S_ISREG(stat.st_mode):
            return False
        if has_false_size(fd, stat, self._files):
            self._problems.report_false_size(path)
            return False
        return True

    def _adopt(
        self,
        path: str,
        identity: Identity,
        fd: int,
        stat: os.stat_result,
        head: bytes,
        first_path: str | None,
    ) -> Followed | None:
        """Make the object of an open file: one that is known, a copy, or a new one."""
        record = self._memory.find(identity)
        if record is not None and record.is_blank and self._may_be_copy(path, identity, head):
            self._memory.forget(record)  # it was empty: nothing refers to it
        elif record is not None:
            followed = self._resume(record, path, identity, fd, stat, head)
            if followed is not None:
                return followed
        if is_compressed(path, head):
            self._set.ignored[identity] = path
            self._problems.report_compressed(path)
            return None
        if self._memory.has_copy(identity, head):
            self._set.ignored[identity] = path
            return None
        original = self._copies.original_of(path, head)
        begin = self.begin_at.pop(identity, 0)
        begin = begin if begin <= stat.st_size else 0
        record = self._memory.add(first_path or path, identity, has_lines=bool(head))
        record.changed = stat.st_mtime_ns
        followed = Followed(record, path, identity)
        self._begin(followed, fd, head, begin, self._set.within_at(fd, head, begin))
        self._memory.begin(record, followed.position())
        followed.copy_of = original
        if original is not None:
            record.is_copy = True
            self._copies.judge(followed)
        elif stat.st_size > begin:
            self._set.ready.add(followed)
        followed.seen = (stat.st_size, stat.st_mtime_ns)
        return followed

    def _may_be_copy(self, path: str, identity: Identity, head: bytes) -> bool:
        return (
            self._memory.has_copy(identity, head)
            or self._copies.original_of(path, head) is not None
        )

    def becomes_copy(self, followed: Followed, block: bytes) -> bool:
        """Return True if a file that was empty until now may be a copy: the block is not read.

        Rotations make a copy first, and fill it afterwards.
        """
        if not followed.record.is_blank or followed.head or followed.is_rest:
            return False
        head = block[:HEAD_BYTES]
        if self._memory.has_copy(followed.identity, head):
            self._set.ignored[followed.identity] = followed.path
            self._set.forget(followed)
            self._memory.forget(followed.record)
            return True
        original = self._copies.original_of(followed.path, head, copy=followed)
        if original is None:
            return False
        assert followed.reader is not None
        if followed.left_at is not None:
            return self._is_unnamed_copy(followed, original)
        followed.reader.restart()
        followed.head = head
        followed.cutter = LineCutter(self._rules_for(head))
        followed.record.begin_content(head)
        followed.record.is_copy = True
        followed.copy_of = original
        self._copies.judge(followed)
        return True

    def _is_unnamed_copy(self, followed: Followed, original: Followed) -> bool:
        """Follow a copy no more to which no path leads; it was taken for a rotated file.

        False: it is none.
        """
        verdict = self._copies.compare(followed, original)
        if verdict is None:
            assert followed.reader is not None
            followed.reader.restart()  # the next look reads it again
        elif verdict:
            self._set.forget(followed)
            self._memory.forget(followed.record)
        return verdict is not False

    def _begin(self, followed: Followed, fd: int, head: bytes, offset: int, within: Within) -> None:
        """Attach a descriptor to a file that is read from an offset on."""
        followed.reader = FileReader(self._files, fd, offset)
        followed.head = head
        followed.begun_at = offset
        if head:
            followed.cutter = LineCutter(self._rules_for(head), offset=offset, within=within)
            followed.record.note_head(head)
        self._set.add(followed)

    def _resume(
        self,
        record: FileRecord,
        path: str,
        identity: Identity,
        fd: int,
        stat: os.stat_result,
        head: bytes,
    ) -> Followed | None:
        """Go on with a file that is remembered. None: it is another one with the same inode."""
        followed = Followed(record, path, identity)
        position = record.left or self._memory.position(record.file_id)
        if position is None:  # nothing is done, perhaps of an earlier content, either
            position = Position(0, 0)
        is_current = position.generation == record.generation
        is_kept = self._holds(fd, stat, position.offset, position.mark)
        if record.may_be_cut and is_current and not is_kept:
            position = self._cut_back(followed, position, fd, stat, head)
            is_kept = self._holds(fd, stat, position.offset, position.mark)
            followed.generation = record.generation
        record.may_be_cut = False
        is_same = record.fingerprint().fits(head)
        if is_same and is_current and is_kept:
            self._begin(followed, fd, head, position.offset, position.within)
            if stat.st_size > position.offset:
                self._set.ready.add(followed)
            followed.seen = (stat.st_size, stat.st_mtime_ns)
            return followed
        is_renamed = path != record.place and not is_rotated_name(path, record.place)
        if not is_same and (is_renamed or record.gone is not None):
            self._memory.forget(record)  # another file has got its inode
            return None
        self._copies.check_copies(followed)
        if is_current or not is_same:
            self._memory.replace_content(record)
        followed.generation = record.generation
        self._begin(followed, fd, head, 0, "")
        first = record.generation - len(record.past_heads)
        for generation, past_head in enumerate(record.past_heads, first):
            if generation >= position.generation:
                self._resume_rest(followed, position, generation, past_head)
        rest = followed.behind
        self._fates.truncated(followed, position.offset, None if rest is None else rest.path)
        self._set.ready.add(followed)
        followed.seen = (stat.st_size, stat.st_mtime_ns)
        return followed

    def _resume_rest(
        self, followed: Followed, position: Position, generation: int, head: Fingerprint
    ) -> None:
        """Find what was not read of an earlier content, and let it be read first."""
        begins = position.generation != generation  # nothing of it is done
        past = Past(0, head, NO_MARK) if begins else Past(position.offset, head, position.mark)
        rest = self._copies.find_rest(followed, past, generation)
        if rest is None:
            return
        if not begins and position.within:
            assert rest.cutter is not None
            rest.cutter = LineCutter(
                rest.cutter.rules, offset=position.offset, within=position.within
            )
        rest.behind, followed.behind = followed.behind, rest

    def _holds(self, fd: int, stat: os.stat_result, offset: int, mark: Mark) -> bool:
        """Return True if an open file has what was read of it up to an offset."""
        if offset > stat.st_size:
            return False
        return mark.fits(self._files.pread(fd, mark.length, offset - mark.length))

    def _cut_back(
        self, followed: Followed, position: Position, fd: int, stat: os.stat_result, head: bytes
    ) -> Position:
        """Return where to go on in a content that has lost its end, in the file or in its copy.

        If it was only written anew, that is the position itself.
        """
        record = followed.record
        fingerprint = record.fingerprint()

        def has_copy(offset: int, mark: Mark) -> bool:
            return self._copies.have_past(followed, Past(offset, fingerprint, mark))

        if has_copy(position.offset, position.mark):  # nothing is lost
            return position
        place = None
        if is_same := fingerprint.fits(head):  # otherwise what is alike may be only a header
            holds = functools.partial(self._holds, fd, stat)
            place = last_kept(record.trail, position.offset, holds)
        if place is None:
            place = last_kept(record.trail, position.offset, has_copy)
            is_same = False
        if place is None:
            return position
        self._fates.lost_end(record.place, place.offset)
        position = self._memory.continue_content(record, Position(0, place.offset, place.mark))
        if is_same:
            record.begin_content(head)
        return position

    def keeps_applied(self, followed: Followed) -> bool:
        """Return True unless a file has lost lines that sinks have: what it has there is new.

        Sinks bring to the disk what they have applied, and few programs do that with their log. So
        after a power failure, the log may lack it, and grow again. To be called before the file is
        read for the first time in a run. Blocks.

        Raises:
            OSError: It cannot be read.
        """
        applied = self._memory.applied.get(followed.record.file_id)
        if applied is None or followed.is_rest:
            return True
        fd = followed.reader.fd if followed.reader is not None else None
        assert fd is not None
        stat = self._files.fstat(fd)
        kept = all(
            self._holds(fd, stat, each.offset, each.mark)
            for each in applied
            if each.generation == followed.generation and each.offset > followed.offset
        )
        del self._memory.applied[followed.record.file_id]
        if not kept:
            self._fates.lost_end(followed.path, followed.offset)
            position = self._memory.continue_content(followed.record, followed.position())
            followed.generation = position.generation
        return kept

    def may_be_new(self, identity: Identity) -> bool:
        """Return True unless a file is known; the inode of one that is gone may be used again."""
        record = self._memory.find(identity)
        return record is None or record.gone is not None

    def begin_content(self, followed: Followed, block: bytes) -> bool:
        """Note the first bytes of a content before its lines are handed over.

        Blocks. False: they could not be saved; the block is read again.
        """
        if followed.head:
            return True
        followed.head = block[:HEAD_BYTES]
        followed.record.begin_content(followed.head)
        self._memory.must_be_saved = True
        if self._memory.save_records():
            return True
        assert followed.reader is not None
        followed.reader.restart()
        self._set.ready.add(followed)
        return False

    def begin_cutting(self, followed: Followed, offset: int) -> LineCutter:
        """Make the cutter of a file whose first bytes have come."""
        cutter = followed.cutter = LineCutter(self._rules_for(followed.head), offset=offset)
        return cutter
