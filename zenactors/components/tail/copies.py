"""Copies of followed files: which file is one, and what it has that was not read yet.

A copy is not read as long as all of it is the beginning of the file that it is a copy of. If that
is truncated, what the copy has more is read from the copy.
"""

# ruff: noqa: PTH118, PTH119, PTH120, PTH122 - paths are strings here, and keep their spelling

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.followed import Followed
from zenactors.components.tail.identity import (
    HEAD_BYTES,
    Identity,
    mark_of,
)
from zenactors.components.tail.reader import FileReader, open_file
from zenactors.components.tail.rotation import (
    SHORTAGES,
    Candidate,
    Past,
    holds_past,
    is_rotated_name,
    rotated_files,
    same_bytes,
)

if TYPE_CHECKING:
    from zenactors.components.tail.context import TailContext
    from zenactors.components.tail.file_set import FileSet

_CERTAIN = HEAD_BYTES  # bytes that a copy must have before it is taken for one for certain
_DOUBT = 10.0  # seconds until a smaller one is taken for a file of its own


class Copies:
    """The copies of followed files.

    Args:
        context: What the parts of a tailer share.
        file_set: The followed files.
    """

    def __init__(self, context: TailContext, file_set: FileSet) -> None:
        self._files = context.files
        self._identities = context.identities
        self._memory = context.memory
        self._problems = context.problems
        self._clock = context.clock
        self._rules_for = context.rules_for
        self._set = file_set

    def original_of(
        self, path: str, head: bytes, *, copy: Followed | None = None
    ) -> Followed | None:
        """Return the file that another one may be a copy of, by its name and first bytes.

        Args:
            path: Of the other one.
            head: Its first bytes.
            copy: The other one, if it is followed; it may have had the name of an original.
        """
        directory = os.path.dirname(path)
        known = _original_names(os.path.basename(path))
        names = {os.path.join(directory, name) for name in known}
        originals = [self._set.by_path[name] for name in names if name in self._set.by_path]
        originals += [
            each for each in (*self._set.renamed, *self._set.left) if each.record.path in names
        ]
        for original in originals:
            if original is copy:
                continue
            paths = (original.path, original.record.path)
            heads = (original.head, self._head_of(original))
            if any(is_rotated_name(path, of=each) for each in paths) and any(
                _begin_alike(head, each) for each in heads
            ):
                return original
        return None

    def _head_of(self, followed: Followed) -> bytes:
        """Return the first bytes of a file, which may not have been read yet."""
        with contextlib.suppress(OSError):
            if not followed.head and not followed.is_open:
                self._set.open(followed)
            if followed.is_open and (not followed.head or followed.was_rewritten()):
                assert followed.reader is not None
                return followed.reader.head()
        return followed.head

    def judge(self, copy: Followed) -> None:
        """Decide whether a file is a copy of another one. It is not read until that is known.

        It is one as long as all of it is the beginning of the other one. If that is truncated,
        `rewritten` reads what the copy has more.
        """
        original = copy.copy_of
        assert original is not None
        if self.compare(copy, original) is False:
            self._set.read_as_new(copy)

    def compare(self, copy: Followed, original: Followed) -> bool | None:
        """Return True if all of a file is the beginning of another one; None: not known yet.

        A file with a few bytes may have no more than a header in common with the other one. So it
        is not known for a while, and then taken for a file of its own.
        """
        try:
            if not (self._set.ensure_open(copy) and self._set.ensure_open(original)):
                return None
            if original.was_rewritten():
                self._set.ready.add(original)  # it was truncated: `rewritten` decides
                return None
            one, two = _descriptor(copy), _descriptor(original)
            size = self._files.fstat(one).st_size
            if size > self._files.fstat(two).st_size or not same_bytes(
                one, two, copy.compared, size, self._files
            ):
                if not original.was_rewritten():
                    return False
                self._set.ready.add(original)  # meanwhile
                return None
        except OSError:
            return None  # the next look tries again
        copy.compared = size
        if size >= _CERTAIN:
            return True
        copy.had_data_at = copy.had_data_at or self._clock.monotonic()
        return None if self._clock.monotonic() - copy.had_data_at < _DOUBT else False

    def has_ended_as_copy(self, copy: Followed) -> bool:
        """Read a file no more if it is a copy for certain; otherwise what it gets from now on."""
        if copy.compared >= _CERTAIN:
            self._drop_copy(copy)
            return True
        with contextlib.suppress(OSError):
            if copy.is_open and 0 < self._files.fstat(_descriptor(copy)).st_size == copy.compared:
                self._skip_compared(copy)
        self._set.read_as_new(copy)
        return False

    def _skip_compared(self, copy: Followed) -> None:
        """Begin behind what the other file had, too: if it is none, it has no more than a header.

        Raises:
            OSError: It cannot be read. Nothing has changed.
        """
        fd, begin = _descriptor(copy), copy.compared
        within = self._set.within_at(fd, copy.head, begin)
        copy.reader = FileReader(self._files, fd, begin)
        copy.begun_at = begin
        copy.cutter = LineCutter(self._rules_for(copy.head), offset=begin, within=within)
        self._memory.begin(copy.record, copy.position())

    def _drop_copy(self, copy: Followed) -> None:
        """Follow a copy no more: all that it has is read from the other file."""
        original, copy.copy_of = copy.copy_of, None
        assert original is not None
        self._memory.add_copy(original.record, copy.identity, copy.head)
        self._set.ignored[copy.identity] = copy.path
        self._set.forget(copy)
        self._memory.forget(copy.record)

    def _rotated_files(self, followed: Followed) -> Iterator[Candidate]:
        """Yield the files that rotations may have made of one, under any of its names.

        Raises:
            OSError: Their directory cannot be opened at present.
        """
        paths = [followed.path, followed.real_path, followed.record.path]
        with contextlib.suppress(OSError):  # a network file system does not answer
            paths.insert(1, self._files.realpath(followed.path))
        for path in dict.fromkeys(paths):
            yield from rotated_files(path, self._files, self._identities)

    def check_copies(self, followed: Followed) -> None:
        """Raise an `OSError` if the copies of a file cannot be opened now, but perhaps later."""
        for each in self._rotated_files(followed):
            try:
                self._files.close(open_file(each.path, self._files)[0])
            except OSError as cause:
                if cause.errno in SHORTAGES:
                    raise

    def have_past(self, followed: Followed, past: Past) -> bool:
        """Return True if a file beside one has all that was read of it.

        Raises:
            OSError: That is not known at present.
        """
        return any(self._has_past(each.path, past) for each in self._rotated_files(followed))

    def _has_past(self, path: str, past: Past) -> bool:
        try:
            fd, _ = open_file(path, self._files)
        except OSError as cause:
            if cause.errno in SHORTAGES:
                raise
            return False
        try:
            return holds_past(fd, past, self._files)
        finally:
            self._files.close(fd)

    def has_copy(self, followed: Followed, path: str) -> bool:
        """Return True if a path leads to a copy of what was read of a file, or of a part of it."""
        assert followed.reader is not None
        try:
            fd, stat = open_file(path, self._files)
        except OSError:
            return False
        try:
            if stat.st_size > followed.offset:
                return holds_past(fd, past_of(followed), self._files)
            head = self._files.pread(fd, HEAD_BYTES, 0)
            return bool(head) and followed.head.startswith(head)
        except OSError:
            return False
        finally:
            self._files.close(fd)

    def is_beginning(self, path: str, of: str) -> bool:
        """Return True if all that a file has is the beginning of another one."""
        with contextlib.ExitStack() as stack:
            try:
                one, stat = open_file(path, self._files)
                stack.callback(self._files.close, one)
                other, longer = open_file(of, self._files)
                stack.callback(self._files.close, other)
                size = stat.st_size
                return 0 < size <= longer.st_size and same_bytes(one, other, 0, size, self._files)
            except OSError:
                return False

    def note_copies(self, followed: Followed) -> None:
        """Note the copies of a content that is gone and that have no more than was read of it."""
        for other in list(self._set.all.values()):
            if other.copy_of is followed and _begin_alike(other.head, followed.head):
                if self._was_read(followed, other):
                    self._drop_copy(other)
                else:
                    self.has_ended_as_copy(other)
        with contextlib.suppress(OSError):  # not after `check_copies`, if nothing else opens files
            for each in self._rotated_files(followed):
                record = self._memory.find(each.identity)
                if record is None or record.is_blank:
                    self._note_copy(followed, each)
            for blank in self._blank_copies(followed):
                self._note_if_read(followed, blank.identity, _descriptor(blank))

    def _was_read(self, followed: Followed, copy: Followed) -> bool:
        """Return True if a copy has no more than was read of the content that is gone.

        It may have been found only after that was gone, so that nothing of it was compared.
        """
        try:
            size = self._files.fstat(_descriptor(copy)).st_size if copy.is_open else copy.seen[0]
        except OSError:
            return False
        return 0 < size <= followed.offset and followed.head.startswith(copy.head)

    def _note_copy(self, followed: Followed, candidate: Candidate) -> None:
        try:
            fd, _ = open_file(candidate.path, self._files)
        except OSError:
            return
        try:
            self._note_if_read(followed, candidate.identity, fd)
        except OSError as cause:
            self._problems.report_error(candidate.path, "read", cause)
        finally:
            self._files.close(fd)

    def _note_if_read(self, followed: Followed, identity: Identity, fd: int) -> None:
        """Note an open file as a copy if it has no more than was read of the other one.

        Raises:
            OSError: It cannot be read.
        """
        head = self._files.pread(fd, HEAD_BYTES, 0)
        size = self._files.fstat(fd).st_size
        if head and size <= followed.offset and followed.head.startswith(head):
            self._memory.add_copy(followed.record, identity, head)

    def find_rest(self, followed: Followed, past: Past, generation: int) -> Followed | None:
        """Find the copy of a content that is gone, and follow what was not read of it."""
        if not past.head.length:
            return None  # nothing tells its copy from other files
        found = []
        with contextlib.suppress(OSError):  # see `note_copies`
            found = [
                (each.stat.st_mtime_ns, each.path, each.identity)
                for each in self._rotated_files(followed)
                if each.stat.st_size >= past.offset
            ]
        for _, path, identity in sorted(found, reverse=True):
            known = self._set.all.get(identity)
            if known is not None and not (
                known.copy_of is followed or known.is_rest or known.record.is_blank
            ):
                continue
            rest = self._open_rest(followed, path, identity, past, generation)
            if rest is not None:
                return rest
        for blank in self._blank_copies(followed):
            rest = self._rest_in_blank(followed, blank, past, generation)
            if rest is not None:
                return rest
        return None

    def _rest_in_blank(
        self, followed: Followed, blank: Followed, past: Past, generation: int
    ) -> Followed | None:
        reader, fd = blank.reader, _descriptor(blank)
        path, identity = blank.path, blank.identity
        try:
            if holds_past(fd, past, self._files):
                blank.reader = None  # its descriptor is that of the rest from now on
                return self._follow_rest(followed, path, identity, fd, past, generation)
        except OSError as cause:
            blank.reader = reader
            self._problems.report_error(path, "read", cause)
        return None

    def _blank_copies(self, followed: Followed) -> list[Followed]:
        """Return the files that were empty and may be copies of one; they may be deleted by now."""
        paths = {followed.path, followed.real_path, followed.record.path}
        return [
            each
            for each in self._set.all.values()
            if each is not followed
            and each.record.is_blank
            and each.is_open
            and any(is_rotated_name(each.path, of=path) for path in paths)
        ]

    def _open_rest(
        self, followed: Followed, path: str, identity: Identity, past: Past, generation: int
    ) -> Followed | None:
        try:
            fd, stat = open_file(path, self._files)
        except OSError:
            return None
        try:
            if self._identities.of(stat, path) == identity and holds_past(fd, past, self._files):
                return self._follow_rest(followed, path, identity, fd, past, generation)
        except OSError as cause:
            self._problems.report_error(path, "read", cause)
        self._files.close(fd)
        return None

    def _follow_rest(
        self,
        followed: Followed,
        path: str,
        identity: Identity,
        fd: int,
        past: Past,
        generation: int,
    ) -> Followed:
        head = self._files.pread(fd, HEAD_BYTES, 0)
        known = self._set.all.pop(identity, None)
        if known is not None:
            known.is_gone = True
            self._set.ready.remove(known)
            self._set.left.discard(known)
            self._set.close(known)
            if not known.is_rest:
                self._memory.forget(known.record)
        self._memory.add_copy(followed.record, identity, head)
        rest = Followed(followed.record, path, identity)
        rest.is_rest = True
        rest.left_at = self._clock.monotonic()  # until a look finds that a path leads to it
        self._set.left.add(rest)
        rest.generation = generation
        rest.reader = FileReader(self._files, fd, past.offset)
        rest.head = head
        rest.begun_at = past.offset
        rest.cutter = LineCutter(self._rules_for(head), offset=past.offset)
        self._set.all[identity] = rest
        self._set.used(rest)
        if known is None or known.left_at is None:  # otherwise another file may have the path
            self._set.by_path[path] = rest
        self._set.ready.add(rest)
        return rest


def _descriptor(followed: Followed) -> int:
    assert followed.reader is not None
    assert followed.reader.fd is not None
    return followed.reader.fd


def _begin_alike(one: bytes, other: bytes) -> bool:
    size = min(len(one), len(other))
    return size > 0 and one[:size] == other[:size]


def past_of(followed: Followed) -> Past:
    """Return what is known of a file's content that is gone."""
    assert followed.reader is not None
    return Past(followed.offset, followed.record.fingerprint(), mark_of(followed.reader.before))


def original_paths(path: str) -> set[str]:
    """Return the paths of files of which a rotation may have made the one at a path."""
    directory = os.path.dirname(path)
    originals = {os.path.join(directory, name) for name in _original_names(os.path.basename(path))}
    return {original for original in originals if is_rotated_name(path, of=original)}


def _original_names(name: str) -> Iterator[str]:
    """Yield the names of files of which a rotation may have made this name."""
    extension = os.path.splitext(name)[1]
    for at, character in enumerate(name):
        if at and character in ".-_":
            yield name[:at]
            yield name[:at] + extension
