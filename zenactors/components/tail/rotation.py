"""Report the fate of a followed file: the log line and the statistic of each kind of rotation."""

from __future__ import annotations

from zenactors.components.tail.followed import Followed
from zenactors.components.tail.identity import Fate
from zenactors.core.component import ZenDaemonComponent


def report_truncated(tailer: ZenDaemonComponent, followed: Followed) -> None:
    """Log that the file was cut off below the offset up to which it was read."""
    tailer.inc_statistic("truncated")
    tailer.log.warning(
        "{path} was truncated to {size} bytes after {offset} had been read; it is read again"
        " from its beginning. If a log rotation did that, let it rename (no copytruncate):"
        " lines written between copying and truncating are lost",
        path=followed.reader.path,
        size=followed.size,
        offset=followed.reader.offset,
    )


def report_renamed(tailer: ZenDaemonComponent, followed: Followed, path: str) -> None:
    """Log that the file has a name that a pattern matches, and is followed under it."""
    tailer.inc_statistic("rotated")
    tailer.log.info(
        "{path} was renamed to {new_path} and is followed there",
        path=followed.reader.path,
        new_path=path,
    )


def report_moved(tailer: ZenDaemonComponent, followed: Followed) -> None:
    """Log that the file has another name, which no pattern matches, and its path is free."""
    tailer.log.info(
        "{path} was renamed; it is read on until a new file has its name",
        path=followed.reader.path,
    )


def report_finished(tailer: ZenDaemonComponent, followed: Followed, fate: Fate) -> None:
    """Log that a replaced or deleted file was read to its end."""
    if fate is Fate.REPLACED:
        tailer.inc_statistic("rotated")
        tailer.log.info(
            "{path} was replaced: the old file was read to its end at byte {offset},"
            " the new one is read from its beginning",
            path=followed.reader.path,
            offset=followed.reader.offset,
        )
    else:
        tailer.inc_statistic("vanished")
        tailer.log.warning(
            "{path} was deleted; it was read to its end at byte {offset}."
            " A new file of that name will be read from its beginning",
            path=followed.reader.path,
            offset=followed.reader.offset,
        )
