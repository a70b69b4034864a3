"""Move files through a directory queue, in as many processes as you like.

python directory_queue.py fill 40      # put 40 files into the queue
python directory_queue.py work one     # work in one terminal, until Ctrl-C
python directory_queue.py work two     # and in another one
"""

import json
import sys
from typing import Any

from zenactors import Daemon, ZenDaemon
from zenactors.components import DirectoryQueue, JsonLinesWriter, RecordStep, enqueue

RECORDS = 5  # in each file


class Work(RecordStep):
    """Takes its time for each record, and notes who did it."""

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        for _ in records:
            daemon.wait(0.05)
        print(f"{self}: {records[0]['file']}", flush=True)
        return [{**record, "worker": str(self)} for record in records]


def fill(count: int) -> None:
    for number in range(1, count + 1):
        name = f"file-{number:03}"
        records = [{"file": name, "record": each} for each in range(1, RECORDS + 1)]
        text = "".join(f"{json.dumps(record)}\n" for record in records)
        enqueue("queue", f"{name}.jsonl", text.encode())


def make_worker(name: str, *, exit_when_idle: bool = False) -> ZenDaemon:
    return ZenDaemon(
        name=f"worker-{name}",
        components=[
            DirectoryQueue(path="queue", content="records"),
            Work(name=name),
            JsonLinesWriter(path=f"{name}.jsonl", fsync="always"),
        ],
        exit_when_idle=exit_when_idle,
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["fill", count]:
            fill(int(count))
        case ["work", name]:
            sys.exit(make_worker(name).serve())
        case _:  # a short demonstration
            fill(3)
            sys.exit(make_worker("one", exit_when_idle=True).serve())
