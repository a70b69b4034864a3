"""What is remembered of one file: its identity, its contents, and how far it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple, Self

from zenactors.components.tail.identity import (
    NO_MARK,
    Fingerprint,
    Identity,
    Mark,
    fingerprint_of,
)
from zenactors.components.tail.piece import Within
from zenactors.components.tail.trail import Place, is_durable, noted

MOST_COPIES = 8  # of a file that are remembered
MOST_PAST = 4  # contents of a file before its present one
NO_HEAD = fingerprint_of(b"")


class Position(NamedTuple):
    """Where to go on in a file. All before it is done.

    Attributes:
        generation: Of the file's content.
        offset: In bytes.
        mark: Of the bytes before the offset.
        within: The offset is inside a line: see `LineCutter`.
    """

    generation: int
    offset: int
    mark: Mark = NO_MARK
    within: Within = ""

    @classmethod
    def from_json(cls, value: Any) -> Position:
        """Return the position that `as_json` was made of."""
        generation, offset, length, checksum, within = value
        if within not in ("", "piece", "drop"):
            raise ValueError(f"within is {within!r}")
        return cls(int(generation), int(offset), Mark(int(length), int(checksum)), within)

    def as_json(self) -> list[Any]:
        """Return it as JSON can hold it."""
        return [self.generation, self.offset, *self.mark, self.within]


def order_of(position: list[Any]) -> list[int]:
    """Return what the positions of a file are compared by, in JSON: generation and offset."""
    return position[:2]


@dataclasses.dataclass(slots=True)
class FileRecord:
    """A file as it is known under any name.

    Attributes:
        file_id: Identifies it in this run and in all that share the state store.
        path: The path as first found.
        place: The path at which it was seen last.
        changed: When it was changed last, as seen there, in nanoseconds of Unix time; 0: unknown.
        identity: Its device and inode.
        generation: How many times its content was replaced.
        head: The fingerprint of its content.
        past_heads: Those of the last contents before, the last one last.
        copies: The files that a rotation has copied its content to, and their fingerprints.
        gone: The Unix time since which it has not been seen; None: it is there.
        first_bytes: Those of its content, if they were read in this run.
        is_copy: It may be a copy of another file. The next run decides that anew.
        left: Where this run has stopped reading it; None: it is followed, or was never.
        trail: Some of the places up to which its content was done.
        may_be_cut: The system has started anew since it was read: it may have lost its end.
    """

    file_id: str
    path: str
    place: str
    identity: Identity
    generation: int = 0
    head: Fingerprint = NO_HEAD
    past_heads: list[Fingerprint] = dataclasses.field(default_factory=list)
    copies: list[tuple[Identity, Fingerprint]] = dataclasses.field(default_factory=list)
    gone: float | None = None
    first_bytes: bytes = b""
    is_copy: bool = False
    left: Position | None = None
    changed: int = 0
    trail: list[Place] = dataclasses.field(default_factory=list)
    may_be_cut: bool = False

    @classmethod
    def from_json(cls, file_id: str, value: Mapping[str, Any], *, may_be_cut: bool = False) -> Self:
        """Return the record that `as_json` was made of."""
        return cls(
            file_id,
            str(value["path"]),
            str(value["place"]),
            Identity(*map(int, value["identity"])),
            int(value["generation"]),
            Fingerprint(int(value["head"][0]), str(value["head"][1])),
            [Fingerprint(int(past[0]), str(past[1])) for past in value["past"]],
            [
                (Identity(*map(int, identity)), Fingerprint(int(head[0]), str(head[1])))
                for identity, head in value["copies"]
            ],
            None if value["gone"] is None else float(value["gone"]),
            changed=int(value.get("changed", 0)),
            trail=[Place.from_json(each) for each in value.get("trail", [])],
            may_be_cut=may_be_cut or bool(value.get("may_be_cut", False)),
        )

    def begin_content(self, head: bytes) -> None:
        """Note the first bytes of a content of which nothing was known, or something else."""
        self.head, self.first_bytes = NO_HEAD, head

    def note_head(self, head: bytes) -> None:
        """Note the first bytes of the content."""
        self.first_bytes = head

    @property
    def is_blank(self) -> bool:
        """True if it never had a content that was looked at."""
        return not (self.generation or self.first_bytes or self.head.length)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint of the content."""
        if len(self.first_bytes) > self.head.length:  # not each time: hashing takes a while
            self.head = fingerprint_of(self.first_bytes)
        return self.head

    def replace_content(self) -> None:
        """Note that the file has another content now."""
        self.past_heads = [*self.past_heads, self.fingerprint()][-MOST_PAST:]
        self.head, self.first_bytes = NO_HEAD, b""
        self.generation += 1
        self.trail = []

    def continue_content(self, offset: int) -> None:
        """Note that the file has another content now, but only from an offset on."""
        self.past_heads = [*self.past_heads, self.fingerprint()][-MOST_PAST:]
        self.generation += 1
        self.trail = [each for each in self.trail if each.offset <= offset]

    def note_place(self, found: list[Any], now: float) -> None:
        """Note up to where the content is done, if that has changed, as a position in JSON."""
        last = self.trail[-1].offset if self.trail else 0
        if found[1] != last and found[0] == self.generation:  # most files do not change
            position = Position.from_json(found)
            if position.mark.length and not position.within:  # without a mark it fits anything
                self.trail = noted(self.trail, position.offset, position.mark, now)
        elif len(self.trail) > 1 and is_durable(self.trail, now):
            self.trail = self.trail[-1:]

    def as_json(self) -> dict[str, Any]:
        """Return it as JSON can hold it."""
        written: dict[str, Any] = {
            "path": self.path,
            "place": self.place,
            "changed": self.changed,
            "identity": self.identity,
            "generation": self.generation,
            "head": self.fingerprint(),
            "past": self.past_heads,
            "copies": self.copies,
            "gone": self.gone,
        }
        if len(self.trail) > 1:  # otherwise it has only the position itself
            written["trail"] = [each.as_json() for each in self.trail]
        if self.may_be_cut:  # it has not been there since the system has started anew
            written["may_be_cut"] = True
        return written

    def add_copy(self, identity: Identity, head: bytes) -> None:
        """Note that another file has a copy of its content."""
        others = [each for each in self.copies if each[0] != identity]
        self.copies = [*others, (identity, fingerprint_of(head))][-MOST_COPIES:]
