"""`DirectoryQueueWriter`: puts records into a queue of files, for another component or process."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Unpack

from zenactors.advice import advice_for, reason
from zenactors.components._files import SYSTEM_FILES, Files, located
from zenactors.components._json_text import encode_json
from zenactors.components._options import check_path
from zenactors.components._queue_directory import enqueue
from zenactors.components._replace_file import make_directory
from zenactors.components.sinks.base import BatchingOptions, BatchingSink
from zenactors.core.daemon_api import Daemon
from zenactors.errors import ZenDaemonComponentException


class DirectoryQueueWriter(BatchingSink):
    """Put each batch of records as one file of JSON lines into the queue of a `DirectoryQueue`.

    So a daemon answers at once and works later: the event is done when the file is on the disk, and
    the work is done by a `DirectoryQueue` with `content = "records"`, in this process or in others.
    The names of the files begin with the time, so they are taken in the order of the batches.

    Statistics: `records` and `batches` written, `retries`, and `failed` records.

    Promises:
        loss: None, not even in a power failure, if the source acknowledges: events are done once
            their file and its name are on the disk. A batch that still cannot be written after
            `attempts` becomes dead letters.
        duplicates: A batch is written again if only the sync of the directory has failed.
        order: As events come. Several writers are ordered by their clocks.
        memory: One batch.
        threads: None of its own. It blocks its own thread for the disk.

    Args:
        path: The directory of the queue. A relative path is relative to the directory in which the
            daemon was started, or to its `work_dir`.
        batch_count: The most records of a file, except if one event has more.
        **batching: The other options of `BatchingSink`.

    Attributes:
        files: The file system; a simulation sets its own before `setup`.

    Example:
        name = "to-queue"

        [[component]]
        use = "zenactors.components:Generate"
        options = { count = 100, kind = "records" }

        [[component]]
        use = "zenactors.components:DirectoryQueueWriter"
        options = { path = "queue", batch_count = 10 }
    """

    files: Files = SYSTEM_FILES
    temporary = (OSError,)

    def __init__(
        self,
        *,
        path: str,
        **batching: Unpack[BatchingOptions],
    ) -> None:
        super().__init__(**batching)
        self.path = check_path("path", path, of="a directory")

    def setup(self, daemon: Daemon) -> None:
        """Make the directory, so that an error is found at once."""
        super().setup(daemon)
        self._place = located(self.path, daemon)
        self._identity = f"{self.random.getrandbits(32):08x}"
        self._number = 0
        try:
            make_directory(f"{self._place}/incoming", self.files)
        except OSError as cause:
            raise ZenDaemonComponentException(
                f"Cannot use {self._place} as a queue: {reason(cause)}."
                f" {advice_for(cause, self._place, 'write')}.",
                path=self._place,
            ) from cause

    def write_batch(self, daemon: Daemon, records: list[Any]) -> None:
        """Put the records into a file of their own."""
        now = datetime.fromtimestamp(self.clock.time(), UTC)
        self._number += 1
        name = f"{now:%Y%m%dT%H%M%S.%fZ}-{self._number:09}-{self._identity}.jsonl"
        text = "".join(f"{encode_json(record)}\n" for record in records)
        data = text.encode("utf-8", errors="backslashreplace")
        enqueue(self._place, name, data, files=self.files)
