"""Follow files with ponytail, and write their lines to standard output.

Usage: python -m benchmarks.ponytail_peer DIRECTORY FILE...

The offsets are saved in DIRECTORY, after the lines before them were written. ponytail itself polls
every second; this program polls more often.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TextIO

import ponytail  # type: ignore[import-untyped]

POLL = 0.05  # seconds


class Follow(ponytail.Follow):  # type: ignore[misc]
    """Flush the output before an offset is saved, so that a kill loses nothing."""

    output: TextIO

    def save_offset(self) -> None:
        self.output.flush()
        super().save_offset()


def main(directory: Path, paths: list[str]) -> None:
    with open(1, "w", encoding="utf-8", newline="\n", buffering=1 << 16, closefd=False) as output:
        Follow.output = output
        followed = [
            Follow(path, offset_filename=directory / f"offset-{number}").readlines(
                none_on_no_data=True
            )
            for number, path in enumerate(paths)
        ]
        while True:
            for lines in followed:
                for line in lines:
                    if line is None:
                        break
                    output.write(line)
            output.flush()
            time.sleep(POLL)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
