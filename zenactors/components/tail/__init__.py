"""Following files: discovery, identity and reading apart, `FileTailer` on top."""

from zenactors.components.tail.lines import Lines
from zenactors.components.tail.tailer import FileTailer

__all__ = ["FileTailer", "Lines"]
