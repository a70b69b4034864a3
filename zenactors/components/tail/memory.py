"""What a tailer remembers of all files, in this run and, with a state store, in the next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.components.tail.file_record import FileRecord, Position
from zenactors.components.tail.identity import Identity

if TYPE_CHECKING:
    from zenactors.components.checkpoints import Checkpoints

FORGOTTEN_AFTER = 7 * 86_400.0  # seconds since a file was seen last
MOST_GONE = 5_000  # files that are gone, and remembered
VERSION = 1


class Memory:
    """The records of all files, and how far each is done.

    Args:
        checkpoints: Remembers them across runs; None: nothing does.
        data: What an earlier run has saved with them; None: nothing.
        random: Chooses the identifiers of files.
        now: Returns the Unix time.
        boot_id: Identifies the run of the operating system; "": unknown.
        exactly_once: The outputs are saved together with the positions, and these count.

    Attributes:
        is_new: No earlier run has left anything.
        must_be_saved: Records have changed, and lines must wait until these are saved.
        applied: By file, positions up to which sinks have applied it. They are compared with its
            content before it is read for the first time.
        has_forgotten: Files are forgotten that sinks may remember; also because of an earlier run.

    Raises:
        ValueError: The store holds something else.
    """

    def __init__(
        self,
        checkpoints: Checkpoints | None,
        data: Any,
        random: Random,
        now: Callable[[], float],
        *,
        boot_id: str = "",
        exactly_once: bool = False,
    ) -> None:
        self._exactly_once = exactly_once
        self._boot_id = boot_id
        self._checkpoints = checkpoints
        self._random = random
        self._now = now
        self.records: dict[str, FileRecord] = {}
        self._by_identity: dict[Identity, FileRecord] = {}
        self._copied: dict[str, FileRecord] = {}  # those with copies
        self._exact: dict[str, Any] | None = None
        self._fences: dict[str, list[list[int]]] = {}
        self.must_be_saved = False
        self.applied: dict[str, list[Position]] = {}
        self.has_forgotten = True
        self.is_new = data is None
        if data is not None:
            self._restore(data)

    def _restore(self, data: Any) -> None:
        try:
            if data["tail"] != VERSION:
                raise ValueError(f"version {data['tail']!r}")
            may_be_cut = "" != data.get("boot", "") != self._boot_id != ""
            for file_id, value in data["files"].items():
                record = FileRecord.from_json(file_id, value, may_be_cut=may_be_cut)
                self.records[file_id] = record
                self._by_identity[record.identity] = record
                if record.copies:
                    self._copied[file_id] = record
            exact = data["exact"] if self._exactly_once else None
            self._exact = None if exact is None else {**exact, "outputs": dict(exact["outputs"])}
            self._fences = dict(data.get("fences", {}))
        except (AttributeError, KeyError, TypeError, IndexError) as cause:
            raise ValueError(f"{cause!r}") from cause

    @property
    def saved_outputs(self) -> dict[str, Any] | None:
        """What sinks have saved, if the outputs are written exactly once."""
        return None if self._exact is None else dict(self._exact["outputs"])

    def go_back(self) -> None:
        """Forget what was done after the outputs were saved: they are cut back."""
        if self._exact is None:
            return
        assert self._checkpoints is not None
        for key in self._checkpoints.keys():  # noqa: SIM118 - no mapping
            self._checkpoints.forget(key)
        for key, position in self._exact["positions"].items():
            self._checkpoints.begin(position, key=key)

    def replays_from(self, key: str) -> list[Any] | None:
        """Return the position at which the next run begins in a file, if the process dies now."""
        assert self._checkpoints is not None
        if self._exact is None:
            position: list[Any] | None = self._checkpoints.saved(key)
        else:
            position = self._exact["positions"].get(key)
        return position

    def leave_fences(self, fences: Mapping[str, Iterable[tuple[int, int]]]) -> None:
        """Let the next incarnation in this process cut its events here, too; see `Delivery`."""
        assert self._checkpoints is not None
        self._fences = {key: [[*place] for place in places] for key, places in fences.items()}
        self._checkpoints.changed()

    def take_fences(self) -> dict[str, set[tuple[int, int]]]:
        """Return the fences that the incarnation before has left, and forget them."""
        fences, self._fences = self._fences, {}
        return {
            key: {(int(generation), int(offset)) for generation, offset in places}
            for key, places in fences.items()
        }

    def forget_outputs(self) -> None:
        """Forget what an earlier run, with outputs written exactly once, has saved of them."""
        self._exact = None

    @property
    def lasts(self) -> bool:
        """True if the next run finds what is remembered."""
        return self._checkpoints is not None

    def position(self, file_id: str) -> Position | None:
        """Return where an earlier run has left a file."""
        found = None if self._checkpoints is None else self._checkpoints.resume(file_id)
        return None if found is None else Position.from_json(found)

    def add(self, path: str, identity: Identity, *, has_lines: bool = True) -> FileRecord:
        """Make the record of a file that was not known; it is to be saved before its lines come."""
        file_id = ""
        while not file_id or file_id in self.records:
            file_id = f"{self._random.getrandbits(64):016x}"
        record = self.records[file_id] = FileRecord(file_id, path, path, identity)
        self._by_identity[identity] = record
        self.must_be_saved = self.must_be_saved or has_lines
        self._changed()
        return record

    def find(self, identity: Identity) -> FileRecord | None:
        """Return the record of the file that has, or had, an identity."""
        return self._by_identity.get(identity)

    def may_become_copy(self, identity: Identity) -> bool:
        """Return True unless a file is known by its content."""
        record = self.find(identity)
        return record is None or record.is_blank

    def has_copy(self, identity: Identity, head: bytes) -> bool:
        """Return True if a file has the content of another one, which was read there."""
        return any(
            copy == identity and fingerprint.fits(head)
            for record in self._copied.values()
            for copy, fingerprint in record.copies
        )

    def add_copy(self, record: FileRecord, identity: Identity, head: bytes) -> None:
        """Note that another file has a copy of a file's content."""
        record.add_copy(identity, head)
        self._copied[record.file_id] = record

    def begin(self, record: FileRecord, position: Position) -> None:
        """Note where the reading of a file begins, if nothing of it was done yet."""
        if self._checkpoints is not None and position.offset:
            self._checkpoints.begin(position.as_json(), key=record.file_id)
            if self._exact is not None:  # the saved outputs have nothing of the file, either
                self._exact["positions"].setdefault(record.file_id, position.as_json())

    def replace_content(self, record: FileRecord) -> None:
        """Note that a file has another content, which is to be saved before its lines come."""
        record.replace_content()
        self.must_be_saved = True

    def continue_content(self, record: FileRecord, position: Position) -> Position:
        """Note that a file has another content behind a position up to which it is done.

        Returns:
            The position in the new content, whose lines are to come when it is saved.
        """
        record.continue_content(position.offset)
        position = position._replace(generation=record.generation)
        if self._checkpoints is not None:
            self._checkpoints.forget(record.file_id)
            self._checkpoints.begin(position.as_json(), key=record.file_id)
            if self._exact is not None:
                self._exact["positions"][record.file_id] = position.as_json()
        self.must_be_saved = True
        return position

    def save_records(self) -> bool:
        """Save what must be saved before lines are handed over. Blocks. False: try again."""
        if self.must_be_saved and self._checkpoints is not None:
            self._checkpoints.changed()
            if not self._checkpoints.save():
                return False
        self.must_be_saved = False
        return True

    def save_outputs(self, outputs: Mapping[str, Any]) -> bool:
        """Save the positions, and the outputs that belong to them. Blocks. False: it failed."""
        assert self._checkpoints is not None
        keys = self._checkpoints.keys()
        positions = {key: self._checkpoints.resume(key) for key in keys}
        self._exact = {"positions": positions, "outputs": dict(outputs)}
        self._checkpoints.changed()
        return self._checkpoints.save()

    def forget_old(self) -> None:
        """Forget the files that were gone for a week, and all but the last thousands."""
        oldest = self._now() - FORGOTTEN_AFTER
        gone = [
            (each.gone, each.file_id) for each in self.records.values() if each.gone is not None
        ]
        excess = len(gone) - MOST_GONE
        if excess > 0:
            oldest = max(oldest, sorted(gone)[excess][0])
        for since, file_id in gone:
            if since < oldest:
                self.forget(self.records[file_id])

    def forget(self, record: FileRecord) -> None:
        """Forget a file."""
        self.has_forgotten = True
        self.records.pop(record.file_id, None)
        self._copied.pop(record.file_id, None)
        if self._by_identity.get(record.identity) is record:
            del self._by_identity[record.identity]
        if self._checkpoints is not None:
            self._checkpoints.forget(record.file_id)

    def seen(self, record: FileRecord, place: str) -> None:
        """Note that a file is there, and where."""
        if record.place != place or record.gone is not None:
            record.place, record.gone = place, None
            self._changed()

    def missed(self, record: FileRecord) -> None:
        """Note that a file is not there."""
        if record.gone is None:
            record.gone = self._now()
            self._changed()

    def _changed(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.changed()

    def collect(self) -> dict[str, Any]:
        """Return all records, and the saved outputs, for the state store."""
        self._note_places()
        files = {
            file_id: record.as_json()
            for file_id, record in self.records.items()
            if not record.is_copy
        }
        collected = {"tail": VERSION, "files": files, "exact": self._exact, "boot": self._boot_id}
        return {**collected, "fences": self._fences} if self._fences else collected

    def _note_places(self) -> None:
        """Note up to where each file is done, as it is saved at the same time."""
        assert self._checkpoints is not None
        now = self._now()
        for file_id, record in self.records.items():
            found = self._checkpoints.resume(file_id)
            if found is not None:
                record.note_place(found, now)
