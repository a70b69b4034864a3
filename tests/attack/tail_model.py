"""What must come out of a tailer, whatever happens to the files, to it and to its process.

`World` does things to files in memory while a `FileTailer` follows them in virtual time, and keeps
books: of each content of a file, of each line, and of the lines that may be lost because their only
copy was destroyed before it was read. `World.check` compares the books with what came out.
"""

from __future__ import annotations

import dataclasses
import errno
import os
from collections.abc import Iterator
from random import Random
from typing import Any

from zenactors import Supervision, ZenDaemonComponent, handles
from zenactors.components import FileTailer, Lines, RawWriter
from zenactors.core.clock import VirtualClock
from zenactors.errors import ProcessDiedError, RestartComponent
from zenactors.testing import Crash, Fault, Harness, Kill, ProcessCrashed, VirtualFiles

OUTPUT = "out/all.log"
STATE = "state"
ROTATE_WAIT = 10.0
STILL_OPEN = 8.0  # seconds after which a file without a name may be closed, and less
SETTLED = 3.0  # seconds after which all is read, handed over and saved, unless it is disturbed
GZIP = b"\x1f\x8b\x08\0compressed\n"
PATTERNS = {
    "one": ["in/a.log"],
    "glob": ["in/a.log*"],
    "two": ["in/a.log", "in/b.log"],
    "all": ["in/*.log"],
    "link": ["in/cur.log"],
}
ERRORS = (
    ("read", "pread", errno.EIO),
    ("open", "open", errno.EMFILE),
    ("open", "entries", errno.EMFILE),  # a directory is opened to list it
    ("disk", "write", errno.ENOSPC),
)


@dataclasses.dataclass(eq=False)
class Line:
    """A line that was written; `content` is the first one that had it."""

    text: bytes
    content: Content
    excused: str = ""  # why it need not come
    was_torn: bool = False  # it was written in two parts
    may_break: bool = False  # it may come in pieces


@dataclasses.dataclass(eq=False)
class Content:
    """What a file has, or had until it was truncated.

    Attributes:
        lines: In order.
        torn: The part of an unfinished last line that is not written yet.
        before: The content that its name had before, and how many lines that had then.
        seen: The tailer knows the file for sure.
        follows: It came to its name after a file that the tailer knows, so it is searched for.
        active_at: When it left the names that are matched, or was written to last since then.
    """

    lines: list[Line] = dataclasses.field(default_factory=list)
    torn: bytes = b""
    before: tuple[Content, int] | None = None
    seen: bool = False
    follows: bool = False
    after: Content | None = None  # that file
    active_at: float = 0.0
    has_late: bool = False
    is_copy: bool = False
    truncated_from: Content | None = None  # until the tailer knows it
    home: str = ""  # its first name


class Sink(ZenDaemonComponent):
    """Adds what it gets to a list that outlives the process, after some seconds."""

    def __init__(self, heard: list[tuple[int, Lines]], life: int, seconds: float) -> None:
        super().__init__(name="sink")
        self.seconds = seconds
        self.heard = heard
        self.life = life

    @handles("lines")
    def cbk_event_lines(self, daemon: Any, args: Lines) -> None:
        if self.seconds:
            daemon.wait(self.seconds)
        self.heard.append((self.life, args))


class Tailer(FileTailer):
    """Can be told to be made anew."""

    @handles("again")
    def cbk_event_again(self, daemon: Any, args: Any) -> None:
        raise RestartComponent("as told")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Switched(Crash):
    """Calls of files fail while the switch says so."""

    switch: set[str]
    kind: str

    def fits(self, point: Any, component: str, event: Any) -> bool:
        return self.kind in self.switch and super().fits(point, component, event)


class World:
    """The files, the program, and the books.

    Args:
        patterns: A key of `PATTERNS`.
        memory: "none", "state" or "exact": without a state store, with one, with outputs that are
            written exactly once.
        notifications: The files give hints.
        sink_seconds: The time that the sink takes for an event.
        seed: Of the harness; None: a quiet machine.
        deaths: Faults that kill the process.
    """

    def __init__(
        self,
        *,
        patterns: str = "one",
        memory: str = "state",
        notifications: bool = True,
        sink_seconds: float = 0.0,
        seed: int | None = None,
        deaths: tuple[Kill, ...] = (),
    ) -> None:
        self.patterns = PATTERNS[patterns]
        self.memory = memory
        self.notifications = notifications
        self.sink_seconds = sink_seconds
        self.seed = seed
        self.clock = VirtualClock()
        self.names: dict[str, Content] = {}
        self.lines: dict[bytes, Line] = {}
        self.heard: list[tuple[int, Lines]] = []
        self.again: set[bytes] = set()  # lines that may come again
        self.settled: set[bytes] = set()
        self.unsure: set[bytes] = set()  # lines that copies have, for all the tailer can know
        self.left: dict[str, Content] = {}  # by matched name: what the tailer saw there last
        self.last: dict[str, Content] = {}  # what each name had last
        self.switch: set[str] = set()
        self.is_restarting = False
        self.was_disturbed = False  # by errors of files
        self.counter = 0
        self.lives = 0
        self.link = ""
        self.log: list[str] = []
        files = VirtualFiles(clock=self.clock)
        for directory in ("in", "out", STATE):
            files.put(f"{directory}/.keep")
        errors = [
            Switched(
                point="file",
                component="FileTailer",
                event=call,
                chance=1.0,
                error=OSError(number, os.strerror(number)),
                switch=self.switch,
                kind=kind,
            )
            for kind, call, number in ERRORS
        ]
        self.errors: list[Fault] = list(errors)
        self.harness = self._make_harness(files, [*errors, *deaths])
        self._begin()

    # --- the program --------------------------------------------------------------------------

    def _make_harness(self, files: VirtualFiles, faults: list[Fault]) -> Harness:
        return Harness(
            self._build(),
            seed=self.seed,
            files=files,
            clock=self.clock,
            faults=faults,
            state_dir=None if self.memory == "none" else STATE,
            interrupt=0.0,
        )

    def _build(self) -> list[Any]:
        self.lives += 1
        exactly_once = self.memory == "exact"
        tailer = Tailer(
            patterns=self.patterns,
            start="beginning",
            rotate_wait=ROTATE_WAIT,
            notifications=self.notifications,
            exactly_once=exactly_once,
            name="FileTailer",
        )
        tailer.supervision = Supervision(max_restarts=1_000)
        writers = [RawWriter(path=OUTPUT, name="writer")] if exactly_once else []
        return [tailer, *writers, Sink(self.heard, self.lives, self.sink_seconds)]

    def _begin(self) -> None:
        """Start the program, until it does not die of that."""
        self._may_look()
        for content in self.names.values():
            if content.after is not None and content.after not in self.names.values():
                content.follows = False  # the inode of the one before is no trace any more
        for name, content in self.names.items():
            if not self._is_matched(name) and not (content.follows or self._is_known(content)):
                self._lose(content, "never seen")
            if self.link and name != self.link and content.truncated_from is not None:
                self._lose(content, "for all that is left, another file with the same inode")
        while True:
            self.harness.component("FileTailer").random = Random(self.lives)
            try:
                self.harness.start()
            except ProcessCrashed:
                self._next_life()
            else:
                return

    def _may_look(self) -> None:
        """Note that the tailer may see which names lead to nothing now."""
        there = {name for name, _ in self._matched()}
        self.left = {name: content for name, content in self.left.items() if name in there}

    def _next_life(self) -> None:
        self._may_repeat()
        self.switch.clear()
        self.harness = self.harness.next_life(self._build())

    def _may_repeat(self) -> None:
        """Note that what is not settled may come again."""
        self.again |= self.came() - self.settled

    def wait(self, seconds: float) -> None:
        """Let time pass."""
        self._may_look()
        before = self.came()
        there = {name: self.names[real] for name, real in self._matched()}
        end = self.clock.monotonic() + seconds
        quiet = not self.switch
        while self.clock.monotonic() < end:
            try:
                self.harness.advance(end - self.clock.monotonic())
            except ProcessCrashed:
                quiet = False
                self._next_life()
                self._begin()
        self._check_life()
        if self.is_restarting:  # that takes a while if the store cannot be opened
            self._may_repeat()
            self.is_restarting = not (quiet and seconds >= SETTLED)
        if quiet and seconds >= SETTLED:
            self.settled |= before
            for content in self.names.values():
                content.seen = content.seen or content.follows  # it was searched for, and found
                content.follows = False
            for content in there.values():
                content.seen = True
                content.truncated_from = None
            self.left = there

    def step(self, count: int) -> None:
        """Let some tasks move."""
        self._may_look()
        try:
            for _ in range(count):
                if not self.harness.step():
                    break
        except ProcessCrashed:
            self._next_life()
            self._begin()

    def kill(self, *, power: bool, seconds: float) -> None:
        """Let the process die, and start the next one."""
        if self.memory != "none":
            self.harness.kill(power_failure=power, seconds=seconds)
            self._next_life()
            self._begin()

    def restart(self) -> None:
        """Let the tailer be made anew."""
        if self.memory != "none":
            self.is_restarting = True
            try:
                self.harness.queue.schedule("again")
            except ProcessCrashed:
                self._next_life()
                self._begin()
            self.wait(1.0)
            self._may_repeat()

    def stop_and_start(self, seconds: float = 1.0) -> None:
        """Stop in order, and start again."""
        if self.memory == "none":
            return
        self.turn_off("")
        while True:
            try:
                self.harness.stop()
                break
            except ProcessCrashed:
                self._next_life()
                self._begin()
        self._check_life()
        assert not self.harness.accounting().imbalance()
        self.harness.close()
        self.clock.advance(seconds)
        self.harness = self._make_harness(self.harness.files, self.errors)
        self._begin()

    def _check_life(self) -> None:
        for letter in self.harness.dead_letters():
            if isinstance(letter.cause, ProcessDiedError):  # it died of that, for all it knows
                for text in letter.args.lines():
                    if text in self.lines:
                        self.lines[text].excused = "dead letter"
            else:
                assert letter.event == "again", letter.traceback
        failures = self.harness.hook_failures()
        assert not failures, failures

    # --- disturbances -------------------------------------------------------------------------

    def turn_on(self, kind: str) -> None:
        """Let calls of files fail."""
        self.switch.add(kind)
        self.was_disturbed = True

    def turn_off(self, _: str) -> None:
        """Let no calls of files fail."""
        self.switch.clear()

    def hints(self, what: str) -> None:
        """Drop the hints of the file system, give them again, or let them overflow."""
        if what == "overflow":
            self.harness.files.overflow_hints()
        else:
            self.harness.files.drop_hints(what == "drop")

    # --- files --------------------------------------------------------------------------------

    def _tick(self) -> None:
        """No two things happen at the same time; names are on the disk at once."""
        self.clock.advance(0.001)
        files = self.harness.files
        directory = files.open("in", os.O_RDONLY | os.O_DIRECTORY)
        files.fsync(directory)
        files.close(directory)

    def _matched(self) -> Iterator[tuple[str, str]]:
        """Yield each matched name, and that of the file to which it leads."""
        for pattern in self.patterns:
            if pattern == "in/cur.log":
                if self.link in self.names:
                    yield pattern, self.link
            elif pattern == "in/*.log":
                yield from ((n, n) for n in self.names if n.endswith(".log"))
            elif pattern.endswith("*"):
                yield from ((n, n) for n in self.names if n.startswith(pattern[:-1]))
            elif pattern in self.names:
                yield pattern, pattern

    def _is_matched(self, name: str) -> bool:
        return any(name == real for _, real in self._matched())

    def base(self, number: int) -> str:
        """Return the name of a log to which programs write."""
        if self.patterns == ["in/cur.log"]:
            if not self.link:
                self.swap()
            return self.link
        bases = [pattern for pattern in self.patterns if "*" not in pattern]
        if not bases:
            bases = ["in/a.log", "in/b.log"] if self.patterns == ["in/*.log"] else ["in/a.log"]
        return bases[number % len(bases)]

    def came(self) -> set[bytes]:
        """Return the lines that came out."""
        return {line for _, _, line, whole in pieces(self.heard) if whole}

    def _is_read(self, line: Line) -> bool:
        """Return True if the line will not be read again, whatever happens."""
        if self.memory == "exact":
            return line.text in self.settled
        return line.text in self.came()

    def _lose(self, content: Content, why: str, lines: list[Line] | None = None) -> None:
        """The only copy of lines is gone."""
        read = self.settled if self.memory == "exact" else self.came()
        for line in content.lines if lines is None else lines:
            if line.text not in read:
                line.excused = line.excused or why
                line.may_break = line.may_break or line.was_torn

    def _new_line(self, content: Content, size: int) -> Line:
        self.counter += 1
        # Its end is unique, too: truncation is noticed by the last 256 bytes that were read.
        text = b"line %05d %s end %05d" % (self.counter, b"x" * size, self.counter)
        line = self.lines[text] = Line(text, content)
        return line

    def _create(self, name: str) -> Content:
        content = self.names[name] = Content()
        content.home = name
        before = self.left.get(name)
        if before is not None:
            content.after = before
            content.follows = before.follows or self._is_known(before)
        self._note_before(content, name)
        self.harness.files.put(name)
        return content

    def _note_before(self, content: Content, name: str) -> None:
        last = self.last.get(name)
        if last is not None and last is not content:
            content.before = (last, len(last.lines))
        self.last[name] = content

    def _is_known(self, content: Content) -> bool:
        return content.seen or self._has_read_of(content)

    def _has_read_of(self, content: Content) -> bool:
        return any(self._is_read(line) for line in content.lines)

    def write(self, name: str, count: int, size: int) -> None:
        """Append whole lines, after the rest of a torn one."""
        content = self.names.get(name) or self._create(name)
        data = content.torn
        late = not self._is_matched(name)
        lines = [content.lines[-1]] if content.torn else []
        content.torn = b""
        for _ in range(count):
            line = self._new_line(content, size)
            content.lines.append(line)
            lines.append(line)
            data += line.text + b"\n"
        content.has_late = content.has_late or self.last.get(content.home) is not content
        if late:
            quiet = self.clock.monotonic() - content.active_at
            if quiet > STILL_OPEN or not (content.follows or self._is_known(content)):
                for line in lines:
                    line.excused = line.excused or "late"
                    line.may_break = True
            else:
                content.active_at = self.clock.monotonic()
        self.harness.files.append(name, data)
        self._tick()

    def write_late(self, name: str, count: int, size: int) -> None:
        """Append to a file that was renamed, by a program that has it open still."""
        if name in self.names and not self.names[name].is_copy:
            self.write(name, count, size)

    def tear(self, name: str, size: int) -> None:
        """Append the first part of a line."""
        content = self.names.get(name) or self._create(name)
        if not content.torn and self._is_matched(name):
            line = self._new_line(content, size)
            line.was_torn = True
            content.lines.append(line)
            content.torn = line.text[11:] + b"\n"
            self.harness.files.append(name, line.text[:11])
            self._tick()

    def _rename(self, old: str, new: str) -> None:
        if new in self.names:
            self._note_orphans(self.names[new])
            self._lose(self.names[new], "replaced")
        content = self.names[old]
        matched = self._is_matched(old)
        self.harness.files.rename(old, new)
        self.names[new] = self.names.pop(old)
        if content.torn:
            content.lines[-1].may_break = True
        is_known = self._is_known(content)
        if self._is_matched(new):
            if not is_known:
                content.before = None  # the tailer never sees it under that name
        else:
            if matched:
                content.active_at = self.clock.monotonic()
            if not (is_known or content.follows):
                self._lose(content, "never seen")
        self._tick()

    def _shift(self, name: str) -> None:
        for number in (2, 1):
            if f"{name}.{number}" in self.names:
                self._rename(f"{name}.{number}", f"{name}.{number + 1}")

    def rotate(self, name: str, count: int, size: int) -> None:
        """Rename a log and those rotated before; perhaps begin a new one."""
        if name in self.names:
            self._shift(name)
            self._rename(name, f"{name}.1")
        if count:
            self.write(name, count, size)

    def date(self, name: str) -> None:
        """Rename a log to a name with a date."""
        if name in self.names:
            stem, _, extension = name.rpartition(".")
            self.counter += 1
            number = 20_260_000 + self.counter
            dated = f"{name}-{number}" if self.counter % 2 else f"{stem}-{number}.{extension}"
            self._rename(name, dated)

    def copytruncate(self, name: str, between: int, seconds: float, size: int) -> None:
        """Copy a log, and truncate it, perhaps a while later.

        If `seconds` are below 0, the copy is empty for so long, before its content comes.
        """
        content = self.names.get(name)
        if content is None:
            return
        self._shift(name)
        self.harness.files.put(f"{name}.1", b"")
        if seconds < 0:
            self.wait(-seconds)
        copy = self.names[f"{name}.1"] = Content(
            list(content.lines), content.torn, seen=True, is_copy=True
        )
        self.harness.files.append(f"{name}.1", self.harness.files.content(name))
        self._tick()
        if seconds > 0:
            self.wait(seconds)
        if between:
            self.write(name, between, size)
        if copy.torn:
            content.lines[len(copy.lines) - 1].may_break = True
            content.lines[len(copy.lines) - 1].excused = "torn in the copy"
        self._lose(content, "not in the copy", content.lines[len(copy.lines) :])
        is_known = self._has_read_of(content)
        if not self._is_matched(f"{name}.1") and not is_known:
            self._lose(content, "a copy of a file of which nothing was read")
        self._truncate(name)
        if not is_known:  # the copy is a new file, for all the tailer can know
            content.before = self.names[name].before = None

    def _truncate(self, name: str) -> None:
        old = self.names[name]
        content = self.names[name] = Content(seen=old.seen, follows=old.follows, home=old.home)
        content.truncated_from = old
        self._note_before(content, name)
        self.harness.files.truncate(name)
        self._tick()

    def truncate(self, name: str, count: int, size: int) -> None:
        """Truncate a log; perhaps let it grow at once."""
        if name in self.names:
            self._lose(self.names[name], "truncated")
            self._truncate(name)
            if count:
                self.write(name, count, size)

    def delete(self, name: str) -> None:
        """Delete a file."""
        if name in self.names:
            self._note_orphans(self.names[name])
            self._lose(self.names.pop(name), "deleted")
            self.harness.files.remove(name)
            self._tick()

    def _note_orphans(self, content: Content) -> None:
        """A copy of a file that is deleted, before the tailer has compared them, is a new file."""
        copies = [each for each in self.names.values() if each.is_copy and each is not content]
        past: Content | None = content
        while past is not None:
            for copy in copies:
                for line in copy.lines:
                    if line in past.lines:
                        self.unsure.add(line.text)
                        if line.text not in self.settled:  # it may count as read, and be cut off
                            line.excused = "an orphan"
            past = past.truncated_from

    def compress(self, name: str) -> None:
        """Replace a rotated file by a compressed one."""
        if f"{name}.1" in self.names:
            self.harness.files.put(f"{name}.1.gz", GZIP)
            self._tick()
            self.delete(f"{name}.1")

    def swap(self) -> None:
        """Let the link lead to a new file."""
        if self.patterns != ["in/cur.log"]:
            return
        files = self.harness.files
        self.counter += 1
        target = f"in/s{self.counter}.log"
        old = self.link
        self._create(target)
        if old in self.names:
            content = self.names[old]
            content.active_at = self.clock.monotonic()
            if content.torn:
                content.lines[-1].may_break = True
            if not self._is_known(content):
                self._lose(content, "never seen")
        files.symlink(target.removeprefix("in/"), "in/cur.new")
        files.rename("in/cur.new", "in/cur.log")
        self.link = target
        self._tick()

    # --- the oracle ---------------------------------------------------------------------------

    def finish(self) -> None:
        """Let all come, stop, and check; the next start has nothing more."""
        self.turn_off("")
        self.hints("give")
        self.wait(45.0)
        if self.memory != "none":
            self.stop_and_start()
            came = self.came()
            heard = len(self.heard)
            self.wait(5.0)
            late = [text for text in self.came() - came if not self.lines[text].excused]
            assert not late, f"came in the run after the last one: {late}"
            again = [
                line for _, _, line, whole in pieces(self.heard[heard:]) if whole and line in came
            ]
            assert not set(again) - self.unsure, f"again after a clean stop: {again}"
        else:  # an unfinished line comes when it stops
            for content in self.names.values():
                if content.torn:
                    content.lines[-1].may_break = True
        self.harness.stop()
        self._check_life()
        imbalance = self.harness.accounting().imbalance()
        assert not imbalance, imbalance
        self.harness.close()
        self.check()

    def check(self) -> None:
        """Compare what came out with the books."""
        self._check_missing(self.came(), "lines that came")
        self._check_repeated()
        self._check_broken()
        self._check_triples()
        self._check_order()
        if self.memory == "exact":
            self._check_output()

    def _check_missing(self, came: set[bytes], where: str) -> None:
        missing = [
            line
            for line in self.lines.values()
            if line.text not in came and not line.excused and not self._is_unfinished(line)
        ]
        assert not missing, f"not in {where}: {[each.text for each in missing]}"

    def _is_unfinished(self, line: Line) -> bool:
        return any(
            content.torn and content.lines[-1] is line
            for content in (line.content, *self.names.values())
        )

    def _check_repeated(self) -> None:
        seen: set[bytes] = set()
        for _, _, text, whole in pieces(self.heard):
            if whole:
                assert text not in seen or text in self.again | self.unsure, f"came again: {text!r}"
                seen.add(text)

    def _check_broken(self) -> None:
        breakable = [line.text for line in self.lines.values() if line.may_break]
        for _, _, text, whole in pieces(self.heard):
            if whole:
                assert text in self.lines, f"never written: {text!r}"
            else:
                assert any(text in each for each in breakable), f"in pieces: {text!r}"

    def _check_triples(self) -> None:
        texts: dict[tuple[str, int, int], bytes] = {}
        triples: dict[bytes, tuple[str, int, int]] = {}
        paths: dict[str, str] = {}
        for lines, offset, text, whole in pieces(self.heard):
            assert paths.setdefault(lines.file_id, lines.path) == lines.path
            if whole:
                triple = (lines.file_id, lines.generation, offset)
                other = texts.setdefault(triple, text)
                assert other == text, f"{triple} is {other!r} and {text!r}"
                known = triples.setdefault(text, triple)
                assert known == triple or text in self.unsure, f"{text!r} is {known} and {triple}"

    def _check_order(self) -> None:
        first: dict[bytes, int] = {}
        for number, (_, _, text, whole) in enumerate(pieces(self.heard)):
            if whole:
                first.setdefault(text, number)
        contents = {id(line.content): line.content for line in self.lines.values()}
        for content in contents.values():
            came = [first[line.text] for line in content.lines if line.text in first]
            assert came == sorted(came), "the order within a file"
            if content.before is None or self.was_disturbed or not came:
                continue
            before, count = content.before
            older = [
                line for line in before.lines[:count] if line.text in first and not line.excused
            ]
            if not before.has_late:
                late = [line.text for line in older if first[line.text] > min(came)]
                assert not late, f"of an older file, but behind a newer one: {late}"

    def _check_output(self) -> None:
        files = self.harness.files
        found = files.content(OUTPUT).split(b"\n") if files.lexists(OUTPUT) else []
        torn = [line.text[:11] for line in self.lines.values() if line.may_break]
        written = []
        for text in found:
            line = text
            for each in torn * len(torn):  # unfinished lines may be before it
                line = line if line in self.lines else line.removeprefix(each)
            if line in self.lines:
                written.append(line)
            else:
                assert not line, f"in the output, but never written: {text!r}"
        twice = {text for text in written if written.count(text) > 1} - self.unsure
        assert not twice, f"twice in the output: {sorted(twice)}"
        self._check_missing(set(written), "the output")


def pieces(heard: list[tuple[int, Lines]]) -> Iterator[tuple[Lines, int, bytes, bool]]:
    """Yield each line that came, its offset, and whether it is a whole one."""
    for _, lines in heard:
        for offset, text in zip(lines.offsets(), lines.lines(), strict=True):
            yield lines, offset, text, lines.complete


def do(world: World, what: str, *args: Any) -> None:
    match what, *args:
        case "wait", seconds:
            world.wait(seconds)
        case "write", number, count, size:
            world.write(world.base(number), count, size)
        case "tear", number, size:
            world.tear(world.base(number), size)
        case "rotate", number, count, size:
            world.rotate(world.base(number), count, size)
        case "late", number, count, size:
            world.write_late(f"{world.base(number)}.1", count, size)
        case "linger", number, count, size, seconds:
            world.rotate(world.base(number), count, size)
            world.wait(seconds)
            world.write_late(f"{world.base(number)}.1", count, size)
        case "date", number:
            world.date(world.base(number))
        case "copytruncate", number, between, seconds, size:
            world.copytruncate(world.base(number), between, seconds, size)
        case "truncate", number, count, size:
            world.truncate(world.base(number), count, size)
        case "delete", number, suffix:
            world.delete(world.base(number) + suffix)
        case "compress", number:
            world.compress(world.base(number))
        case _:
            disturb(world, what, *args)


def disturb(world: World, what: str, *args: Any) -> None:
    match what, *args:
        case ("swap",):
            world.swap()
        case "steps", count:
            world.step(count)
        case ("restart",):
            world.restart()
        case "kill" | "power", seconds:
            world.kill(power=what == "power", seconds=seconds)
        case "stop", seconds:
            world.stop_and_start(seconds)
        case "error", kind:
            world.turn_on(kind)
        case ("no_error",):
            world.turn_off("")
        case "hints", kind:
            world.hints(kind)


def run(options: dict[str, Any], steps: list[tuple[Any, ...]]) -> World:
    if options["memory"] == "none":
        options = {**options, "deaths": ()}
    world = World(**options)
    try:
        for each in steps:
            do(world, *each)
        world.finish()
    finally:
        world.harness.close()
    return world
