"""Follow files: `FileTailer` and its parts."""

from zenactors.components.tail.lines import Lines
from zenactors.components.tail.tailer import FileTailer

__all__ = ["FileTailer", "Lines"]
