"""Stock components: sources, parsers and sinks for common tasks."""

from zenactors.components._files import SYSTEM_FILES, Files
from zenactors.components.access_log import AccessLogParser
from zenactors.components.statistics import Statistics
from zenactors.components.tail import FileTailer, Lines
from zenactors.components.writers import JsonLinesWriter, RawWriter

__all__ = [
    "SYSTEM_FILES",
    "AccessLogParser",
    "FileTailer",
    "Files",
    "JsonLinesWriter",
    "Lines",
    "RawWriter",
    "Statistics",
]
