"""Report the fate of a followed file: the log line and the statistic of each kind."""

from __future__ import annotations

from zenactors.components.tail.followed import Followed
from zenactors.core.component import ZenDaemonComponent


class Fates:
    """Reports of a tailer.

    Args:
        tailer: Its log gets the lines, its statistics count.
    """

    def __init__(self, tailer: ZenDaemonComponent) -> None:
        self._tailer = tailer

    def followed(self, followed: Followed) -> None:
        """Report that a file is followed from now on."""
        self._tailer.inc_statistic("files")
        self._tailer.log.debug(
            "Following {path} from byte {offset}", path=followed.path, offset=followed.offset
        )

    def truncated(self, followed: Followed, offset: int, copy: str | None) -> None:
        """Report that the file has another content than the one that was read up to an offset."""
        self._tailer.inc_statistic("truncated")
        if copy is not None:
            self._tailer.log.info(
                "{path} was copied to {copy} and truncated: the rest of its content is read from"
                " there, and then the file from its beginning",
                path=followed.path,
                copy=copy,
            )
            return
        if not offset:
            self._tailer.log.info("{path} has another content; it is read", path=followed.path)
            return
        self._tailer.log.warning(
            "{path} was truncated or written anew after {offset} bytes had been read; it is read"
            " again from its beginning. Lines that no copy beside it has, and that were not read"
            " yet, are lost: if a log rotation did that, let it rename",
            path=followed.path,
            offset=offset,
        )

    def lost_end(self, path: str, offset: int) -> None:
        """Report that a file has lost what was read of it behind an offset."""
        self._tailer.inc_statistic("cut_short")
        self._tailer.log.warning(
            "{path} has lost its end, as after a power failure; it is read from byte {offset} on."
            " Lines behind that which it still has may come twice",
            path=path,
            offset=offset,
        )

    def renamed(self, followed: Followed, path: str) -> None:
        """Report that the file has a name that a pattern matches, and is followed under it."""
        self._tailer.inc_statistic("rotated")
        self._tailer.log.info(
            "{path} was renamed to {new_path} and is followed there",
            path=followed.path,
            new_path=path,
        )

    def left(self, followed: Followed) -> None:
        """Report that no path leads to the file any more."""
        self._tailer.log.info(
            "{path} was renamed or deleted; the file is read on until it is quiet",
            path=followed.path,
        )

    def finished(self, followed: Followed, *, replaced: bool) -> None:
        """Report that a file to which no path leads was read to its end."""
        self._tailer.inc_statistic("rotated" if replaced else "vanished")
        self._tailer.log.info(
            "{path}: the file that had this name was read to its end at byte {offset}",
            path=followed.path,
            offset=followed.offset,
        )

    def lost(self, followed: Followed) -> None:
        """Report that a file vanished before it was read, while it was closed."""
        self._tailer.inc_statistic("vanished")
        unread = max(0, followed.seen[0] - followed.offset)
        if not unread:
            self._tailer.log.info("{path} was deleted", path=followed.path)
            return
        self._tailer.inc_statistic("bytes_lost", unread)
        self._tailer.log.error(
            "{path} was deleted before its last {bytes} bytes were read, and no file beside it has"
            " them. Let the rotation wait, or not compress at once",
            path=followed.path,
            bytes=unread,
        )
