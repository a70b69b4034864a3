"""Read a small file as a whole, such as a schema or a table."""

from __future__ import annotations

import os

from zenactors.components._files import Files

_BLOCK = 1 << 20
# Without O_NONBLOCK, opening a named pipe would wait for a writer.
_FLAGS = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK


def read_file(path: str, files: Files, *, limit: int) -> bytes:
    """Return the content of a file. Blocks.

    Args:
        path: The file.
        files: The file system.
        limit: The most bytes that it may have.

    Raises:
        OSError: It cannot be read.
        ValueError: It is larger than `limit`.
    """
    descriptor = files.open(path, _FLAGS)
    blocks: list[bytes] = []
    size = 0
    try:
        while block := files.read(descriptor, _BLOCK):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise ValueError(f"it has more than {limit:,} bytes")
    finally:
        files.close(descriptor)
    return b"".join(blocks)
