"""All followed files: which appear, leave, are rotated, copied or written anew.

What must hold:

- A byte of a file is handed over once in a run, in the order of the file: a file has one object,
  whatever its names, and whatever happens to them.
- The files of one name are read one behind the other: the older one to its end first.
- A file that leaves its name is read on until it was quiet for a while, because its writer may have
  it open still.
- What a copy has of a file that was truncated is read from the copy, and nothing of it twice.
"""

from __future__ import annotations

import contextlib
import itertools
import stat as stat_bits
from collections.abc import Mapping
from typing import TYPE_CHECKING

from zenactors.components.tail.adoption import Adoption
from zenactors.components.tail.copies import Copies, original_paths, past_of
from zenactors.components.tail.cutter import LineCutter
from zenactors.components.tail.file_record import FileRecord
from zenactors.components.tail.followed import Followed
from zenactors.components.tail.identity import (
    Identity,
)
from zenactors.components.tail.rotation import (
    directory_of,
    find_inode,
    inodes_in,
    rotated_files,
)

if TYPE_CHECKING:
    from zenactors.components.tail.context import TailContext
    from zenactors.components.tail.discovery import Discovery
    from zenactors.components.tail.file_set import FileSet

_MUCH_LONGER = 60  # quiet times that a file is read on that was renamed, and has no successor


class FollowedFiles:
    """The files of a tailer, and what becomes of them.

    Args:
        context: What the parts of a tailer share.
        file_set: The followed files.
        quiet_time: Seconds that a file without a name must be quiet before it is closed.

    Attributes:
        adoption: Follows files that were found.
        quiet_time: As given.
    """

    def __init__(self, context: TailContext, file_set: FileSet, quiet_time: float) -> None:
        self._files = context.files
        self._identities = context.identities
        self._memory = context.memory
        self._problems = context.problems
        self._fates = context.fates
        self._clock = context.clock
        self._rules_for = context.rules_for
        self._hand_over = context.hand_over
        self._set = file_set
        self._copies = Copies(context, file_set)
        self.adoption = Adoption(context, file_set, self._copies)
        self.quiet_time = quiet_time
        self._unrestored: list[FileRecord] = []  # they could not be opened or read
        self._unfinished: dict[str, Followed] = {}  # by path: those after it could not be opened
        self._vacant: dict[str, Followed] = {}  # by path: no file has come after it yet

    def restore(self, found: Discovery) -> dict[str, Followed]:
        """Find the files again that an earlier run has followed; before the first look.

        Returns:
            Those that had a path and have it no more, by that path.
        """
        records = list(self._memory.records.values())
        left = self._restore_left([each for each in records if each.identity not in found.paths])
        named = [
            (record.is_blank, found.stats[path].st_mtime_ns, path, record.identity, record)
            for record in records
            if (path := found.paths.get(record.identity)) is not None
        ]
        for is_blank, _, path, identity, record in sorted(named, key=lambda each: each[:4]):
            place = record.place
            # One that was empty may have become a copy of one of the others.
            followed = self.adoption.take_in(path, identity, only=None if is_blank else record)
            if followed is None and identity in self.adoption.failed:
                self._unrestored.append(record)
            elif followed is not None and followed.record is record and path != place:
                left[place] = followed
        for path, followed in left.items():
            current = self._set.by_path.get(path)
            if current is not None:
                current.after = followed
                if followed.ready:
                    current.behind = followed
        return left

    def _restore_left(self, records: list[FileRecord]) -> dict[str, Followed]:
        """Find the files to which no path leads any more; return them by the path that did."""
        left: dict[str, list[tuple[int, str, Followed]]] = {}
        closed: dict[str, Followed] = {}  # by path: the last one of which all was read
        there: dict[str, set[int]] = {}  # inodes by directory, which may have had thousands of them
        for record in records:
            place, identity = record.place, record.identity
            directory = directory_of(place)
            path = None
            try:
                if directory not in there:
                    there[directory] = inodes_in(directory, self._files)
                if identity.inode in there[directory]:
                    path = find_inode(place, identity, self._files, self._identities)
            except OSError as cause:
                self._problems.report_error(place, "open", cause)
                self._unrestored.append(record)
                continue
            followed = None if path is None else self.adoption.take_in(path, identity, only=record)
            if followed is not None and record.gone is not None and not followed.ready:
                self._keep_last(closed, place, followed)
            elif followed is not None:
                left.setdefault(place, []).append((_changed(followed), followed.path, followed))
            elif path is not None and identity in self.adoption.failed:
                self._unrestored.append(record)
            else:
                self._memory.missed(record)
        for place, followed in closed.items():
            left.setdefault(place, []).append((_changed(followed), followed.path, followed))
        for each in left.values():
            for *_, followed in each:
                self._leave(followed, self._clock.monotonic())
        return {place: _in_order(each) for place, each in left.items()}

    def _keep_last(self, closed: dict[str, Followed], place: str, followed: Followed) -> None:
        """Keep the file that had a path last, and close the others: there may be a thousand."""
        other = closed.get(place)
        if other is None or _changed(other) < _changed(followed):
            closed[place] = followed
        else:
            other = followed
        if other is not None:
            self._set.forget(other)

    def look(
        self, found: Discovery, outputs: set[Identity], left: Mapping[str, Followed] | None = None
    ) -> None:
        """Compare the followed files with those that were found.

        Args:
            found: What the patterns match.
            outputs: Files that are never read.
            left: In the first look, the files that had a path, by that path.
        """
        now = self._clock.monotonic()
        # By the path that leads to another file, or to none.
        returned = self._take_returned(found)
        replaced = {**returned, **self._unfinished, **(left or {})}
        self._unfinished = {}
        if left is None and self._unrestored:
            waiting = [each for each in self._unrestored if each.identity not in self._set.all]
            self._unrestored = [each for each in waiting if each.identity in found.paths]
            gone = [each for each in waiting if each.identity not in found.paths]
            replaced.update(self._restore_left(gone))
        for followed in list(self._set.all.values()):
            self._check(followed, found, now, replaced)
        # New files, by each path that they have or may have had.
        appeared = {
            path: self._take_in_missed(path, before, found) for path, before in replaced.items()
        }
        # Known ones first: others may be copies of them.
        unknown = [
            (self._memory.may_become_copy(identity), found.stats[path].st_mtime_ns, path, identity)
            for identity, path in found.paths.items()
            if identity not in self._set.all
        ]
        failed: set[str] = set()
        for *_, path, identity in sorted(unknown):
            new = self._consider(path, identity, found, outputs)
            if new is not None:
                for each in {path, *original_paths(path)}:
                    appeared.setdefault(each, []).append(new)
            elif identity in self.adoption.failed:
                failed.add(path)
        last: dict[str, Followed | None] = {}
        # The shortest path counts most: it is the one that a rotated file had first.
        for path in sorted(appeared, key=lambda each: (-len(each), each)):
            last[path] = self._order(path, appeared[path], replaced.get(path))
        self._note_last(last, replaced.keys() - returned.keys(), failed)
        self._set.ignored = {i: path for i, path in self._set.ignored.items() if i in found.paths}
        if self.adoption.begin_at:  # the system gives the inodes of deleted files to new ones
            self.adoption.begin_at = {
                i: at for i, at in self.adoption.begin_at.items() if i in found.paths
            }
        self._set.close_idle()

    def _take_returned(self, found: Discovery) -> dict[str, Followed]:
        """Return the last files of paths that had none for a while, if the time has come to look.

        That is when there is a file again: others may have had the path in between. If none comes,
        it is when the last one is closed.
        """
        returned = {
            path: before
            for path, before in self._vacant.items()
            if path in found.stats or before.is_gone
        }
        for path in returned:
            del self._vacant[path]
        return returned

    def _order(
        self, path: str, appeared: list[Followed], before: Followed | None
    ) -> Followed | None:
        """Let new files that have or had a path be read in order; return the last one.

        Args:
            path: The path.
            appeared: The new files.
            before: The file that had it before; None: none did. Then only the file that has it now
                waits, because names alone do not say that the others have come from one file.
        """
        has_replaced = before is not None
        if has_replaced:
            appeared.sort(key=lambda each: (each.path == path, each.seen[1], each.path))
        unread = before if before is not None and before.ready else None
        for each in appeared:
            if each.is_gone:
                continue
            if before is not None and (has_replaced or each.path == path):
                each.after = before
                each.behind = unread or each.behind
            if each.copy_of is None:  # a copy never had the path
                before = each
                unread = each if each.ready else unread
        return before

    def _note_last(
        self, last: Mapping[str, Followed | None], replaced: set[str], failed: set[str]
    ) -> None:
        """Remember the last files of paths that have none now, or one that could not be opened."""
        for path, before in last.items():
            if before is None:
                continue
            if path in replaced and path not in self._set.by_path:
                self._vacant[path] = before
            if path in failed:
                self._unfinished.setdefault(path, before)

    def _check(
        self, followed: Followed, found: Discovery, now: float, replaced: dict[str, Followed]
    ) -> None:
        """Compare one file with what was found."""
        path = found.paths.get(followed.identity)
        if path is not None:
            self._check_named(followed, path, found, replaced)
        elif found.may_hide(followed.path):
            if followed.is_open:
                self._set.ready.add(followed)  # it goes on being read
        elif followed.is_rest and not followed.is_open:
            self._set.forget(followed)  # a copy that was read, and is gone
        elif followed.left_at is None:
            replaced[followed.path] = followed
            self._leave(followed, now)
        else:
            self._check_left(followed, now)

    def _check_named(
        self, followed: Followed, path: str, found: Discovery, replaced: dict[str, Followed]
    ) -> None:
        """Note size, time and name of a file to which a path leads."""
        stat = found.stats[path]
        own = found.stats.get(followed.path)
        has_own = own is not None and (
            own is stat or self._identities.of(own, followed.path) == followed.identity
        )
        if not has_own:
            if not self._is_same(followed, path):
                self._set.forget(followed)  # its inode has another file now
                return
            replaced[followed.path] = followed
            if followed.left_at is None:
                self._fates.renamed(followed, path)
            self._problems.renamed(path)
            self._set.move(followed, path)
        followed.left_at = None
        self._set.left.discard(followed)
        if followed.is_open:
            self._problems.opened(path)
        if not followed.is_rest:
            self._memory.seen(followed.record, followed.path)
            followed.record.changed = stat.st_mtime_ns
        seen = (stat.st_size, stat.st_mtime_ns)
        if followed.copy_of is not None:
            followed.seen = seen
            self._copies.judge(followed)
        elif seen != followed.seen or followed.has_failed:
            followed.seen = seen
            followed.has_failed = False
            self._set.ready.add(followed)

    def _is_same(self, followed: Followed, path: str) -> bool:
        """Return True unless another file has got the inode of one that is not open."""
        if followed.is_open:
            return True
        before = followed.path
        followed.path = path
        try:
            if not self._set.open(followed):
                return False
            assert followed.reader is not None
            return followed.reader.is_unchanged() and followed.reader.head().startswith(
                followed.head
            )
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
            return True
        finally:
            followed.path = before

    def _leave(self, followed: Followed, now: float) -> None:
        """Read a file on to which no path leads any more."""
        if self._set.by_path.get(followed.path) is followed:
            del self._set.by_path[followed.path]
        if followed.copy_of is not None and self._copies.has_ended_as_copy(followed):
            return
        if not followed.is_open and not self._find_again(followed):
            self._lost(followed)
            return
        followed.left_at = now
        followed.copy_of = None
        self._set.left.add(followed)
        if followed.reader is not None:
            followed.reader.at_end = False  # it must be read once more
        self._fates.left(followed)
        self._set.ready.add(followed)

    def _find_again(self, followed: Followed) -> bool:
        """Open a closed file under the name that it has now. False: it has none any more.

        If it cannot be opened at present, the next look tries again.
        """
        path = before = followed.path
        try:
            for place in dict.fromkeys((before, followed.real_path)):
                found = find_inode(place, followed.identity, self._files, self._identities)
                if found is not None:
                    break
            else:
                return False
            followed.path = path = found
            if self._set.open(followed):
                self._problems.end(path, "open")
        except FileNotFoundError:
            pass  # it has got another name since
        except OSError as cause:
            self._problems.report_error(path, "open", cause)
        finally:
            followed.path = before
        return True

    def _lost(self, followed: Followed) -> None:
        """Close a file that was deleted while it was closed."""
        if followed.offset:
            self._fates.lost(followed)
        self._finish(followed)

    def _check_left(self, followed: Followed, now: float) -> None:
        """Close a file that was read to its end, if it has been quiet for long enough."""
        if not followed.is_open and not self._find_again(followed):
            self._lost(followed)
            return
        reader = followed.reader
        if reader is None or reader.fd is None:
            return  # it could not be opened
        if reader.at_end and not followed.ready:
            is_replaced = followed.path in self._set.by_path
            patience = self.quiet_time
            if not is_replaced and self._has_name(reader.fd):
                # Only renamed: its writer goes on with it until it is told to open a new one.
                patience *= _MUCH_LONGER
            quiet_since = max(followed.had_data_at, followed.left_at or 0.0)
            if now - quiet_since >= patience or followed.is_rest:
                self._fates.finished(followed, replaced=is_replaced)
                self._finish(followed)
                return
        self._set.ready.add(followed)

    def _has_name(self, fd: int) -> bool:
        try:
            return self._files.fstat(fd).st_nlink > 0
        except OSError:
            return False

    def _finish(self, followed: Followed) -> None:
        """Hand over what is held of a file, and close it for good."""
        if followed.cutter is not None:
            self._hand_over(followed, followed.cutter.flush(), last=True)
        if not followed.is_rest:
            self._memory.missed(followed.record)
        self._set.forget(followed)

    def _take_in_missed(self, path: str, left: Followed, found: Discovery) -> list[Followed]:
        """Follow the files that had a path after another one, and no pattern matches.

        They are the work of rotations that came between two looks.
        """
        since = left.seen[1]
        if since < 0 and left.reader is not None and left.reader.fd is not None:
            with contextlib.suppress(OSError):  # a network file system does not answer
                since = self._files.fstat(left.reader.fd).st_mtime_ns
        if left.record.changed:  # the writer may have gone on with it after others had the path
            since = min(since, left.record.changed)
        copies = {identity for identity, _ in left.record.copies}
        try:
            was_rewritten = left.was_rewritten()
            beside = list(rotated_files(path, self._files, self._identities))
        except OSError:
            self._unfinished[path] = left
            return []
        taken = []
        candidates = [
            (each.stat.st_mtime_ns, each.path, each.identity)
            for each in beside
            if each.stat.st_mtime_ns >= since
            and each.identity not in self._set.all
            # One that was found at this very path has been renamed since the look began.
            and found.paths.get(each.identity, path) == path
            and each.identity not in copies
            and each.identity != left.identity
            and (each.identity in self.adoption.failed or self.adoption.may_be_new(each.identity))
        ]
        for _, place, identity in sorted(candidates):
            if was_rewritten and self._copies.has_copy(left, place):
                continue  # `rewritten` reads what it has more
            if path in found.stats and self._copies.is_beginning(place, path):
                continue  # a copy of the file that has the path now
            followed = self.adoption.take_in(place, identity, first_path=left.record.path)
            if followed is not None:
                self._leave(followed, self._clock.monotonic())
                taken.append(followed)
            elif identity in self.adoption.failed:
                self._unfinished[path] = left
        return taken

    def _consider(
        self, path: str, identity: Identity, found: Discovery, outputs: set[Identity]
    ) -> Followed | None:
        """Follow a file that was found, if it is one to follow."""
        stat = found.stats[path]
        if identity in self._set.all:
            return None  # by now
        if identity in outputs:
            # The daemon would read its own output, and write it again, for ever.
            self._problems.report(path, "excluded", "it is an output", "Write to a file elsewhere")
        elif not stat_bits.S_ISREG(stat.st_mode):
            if path in found.named and not stat_bits.S_ISFIFO(stat.st_mode):  # it is a stream
                self._problems.report_irregular(path, stat)
        elif self._set.ignored.get(identity) != path:
            return self.adoption.take_in(path, identity)
        return None

    def waits_for_old(self, followed: Followed) -> bool:
        """Return True if the file that had the path before is to be read once more, and first.

        Now that this one has data, nothing more is written to the other one. It may have been
        written to since it was read.
        """
        before, followed.after = followed.after, None
        if before is None or before.is_gone or not before.is_open:
            return False
        assert followed.reader is not None
        followed.reader.restart()
        newer = followed
        while before is not None and before.is_open:  # one, and those before it if it had no data
            newer.behind = before
            self._set.ready.add(before)
            newer, before = before, before.after
            newer.after = None
        self._set.ready.add(followed)
        return True

    def rewritten(self, followed: Followed) -> None:
        """Begin a file again that was truncated, or written anew; read its copy first.

        Raises:
            OSError: Its copies cannot be opened at present. Nothing has changed: try again.
        """
        assert followed.reader is not None
        self._copies.check_copies(followed)
        past = past_of(followed)
        generation = followed.generation
        rest = None if followed.is_rest else self._copies.find_rest(followed, past, generation)
        if rest is not None:
            rest.cutter, followed.cutter = followed.cutter or rest.cutter, None
        elif followed.cutter is not None:
            self._hand_over(followed, followed.cutter.flush(), last=True)
        self._fates.truncated(followed, past.offset, None if rest is None else rest.path)
        self._copies.note_copies(followed)
        self._memory.replace_content(followed.record)
        followed.generation = followed.record.generation
        followed.reader.restart()
        followed.cutter = None
        followed.head = b""
        followed.begun_at = 0
        followed.behind = rest
        self._set.ready.add(followed)

    def leave_compressed(self, followed: Followed) -> None:
        """Follow a file no more that was empty, and turns out to be compressed."""
        self._problems.report_compressed(followed.path)
        self._set.ignored[followed.identity] = followed.path
        self._set.forget(followed)
        self._memory.forget(followed.record)

    def end_rest(self, rest: Followed) -> None:
        """Hand over what is held of the rest of a content, before the next content is read."""
        if rest.cutter is not None:
            self._hand_over(rest, rest.cutter.flush(), last=True)

    def renew_rules(self, quiet_time: float) -> None:
        """Take new rules for lines, from the next line of each file on."""
        self.quiet_time = quiet_time
        for followed in self._set.all.values():
            if followed.cutter is not None:
                self._renew_rules(followed, followed.cutter)

    def _renew_rules(self, followed: Followed, cutter: LineCutter) -> None:
        rules = self._rules_for(followed.head)
        try:
            cutter.change_limits(rules)
        except ValueError:  # lines are made in another way
            self._hand_over(followed, cutter.flush(), last=True)
            followed.cutter = LineCutter(rules, offset=cutter.offset, within=cutter.within)

    def drop(self, followed: Followed) -> None:
        """Follow a file no more that no pattern matches; one that does later goes on there."""
        self._set.forget(followed)


def _changed(followed: Followed) -> int:
    """Return when a file of an earlier run was changed last, as far as known, under its name."""
    return followed.record.changed or followed.seen[1]


def _in_order(left: list[tuple[int, str, Followed]]) -> Followed:
    """Let files that had one path be read in the order of their last changes; return the last."""
    files = [followed for *_, followed in sorted(left, key=lambda each: each[:2])]
    for before, followed in itertools.pairwise(files):
        followed.behind = followed.behind or before
    return files[-1]
