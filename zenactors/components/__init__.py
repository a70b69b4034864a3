"""Stock components: sources, parsers and sinks for common tasks."""

from zenactors.components.access_log import AccessLogParser
from zenactors.components.statistics import Statistics
from zenactors.components.tail import FileTailer, Lines
from zenactors.components.writers import JsonLinesWriter, RawWriter

__all__ = ["AccessLogParser", "FileTailer", "JsonLinesWriter", "Lines", "RawWriter", "Statistics"]
