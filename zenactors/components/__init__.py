"""Stock components: sources, parsers and sinks for common tasks.

The module of a name is imported when the name is first used: every daemon imports this package, for
the file system.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from zenactors._lazy import lazy_names

if TYPE_CHECKING:
    from zenactors.components._files import SYSTEM_FILES as SYSTEM_FILES
    from zenactors.components._files import Files as Files
    from zenactors.components._queue_directory import enqueue as enqueue
    from zenactors.components.output_checkpoint import OutputCheckpoint as OutputCheckpoint
    from zenactors.components.parsers.access_log import AccessLogParser as AccessLogParser
    from zenactors.components.parsers.csv_parser import CsvParser as CsvParser
    from zenactors.components.parsers.json_parser import JsonParser as JsonParser
    from zenactors.components.parsers.logfmt import LogfmtParser as LogfmtParser
    from zenactors.components.parsers.parse import Parse as Parse
    from zenactors.components.parsers.regex_parser import RegexParser as RegexParser
    from zenactors.components.parsers.syslog import SyslogParser as SyslogParser
    from zenactors.components.sinks.base import BatchingSink as BatchingSink
    from zenactors.components.sinks.black_hole import BlackHole as BlackHole
    from zenactors.components.sinks.directory_queue_writer import (
        DirectoryQueueWriter as DirectoryQueueWriter,
    )
    from zenactors.components.sinks.fallback import Fallback as Fallback
    from zenactors.components.sinks.http_sink import HttpSink as HttpSink
    from zenactors.components.sinks.socket_sink import SocketSink as SocketSink
    from zenactors.components.sinks.sqlite import SqliteSink as SqliteSink
    from zenactors.components.sinks.subprocess_sink import SubprocessSink as SubprocessSink
    from zenactors.components.sinks.writers import JsonLinesWriter as JsonLinesWriter
    from zenactors.components.sinks.writers import LineWriter as LineWriter
    from zenactors.components.sinks.writers import RawWriter as RawWriter
    from zenactors.components.sources.base import AcknowledgingSource as AcknowledgingSource
    from zenactors.components.sources.directory_queue import DirectoryQueue as DirectoryQueue
    from zenactors.components.sources.directory_watcher import DirectoryWatcher as DirectoryWatcher
    from zenactors.components.sources.generate import Generate as Generate
    from zenactors.components.sources.http_listener import HttpListener as HttpListener
    from zenactors.components.sources.http_poller import HttpPoller as HttpPoller
    from zenactors.components.sources.line_listener import LineListener as LineListener
    from zenactors.components.sources.stdin import Stdin as Stdin
    from zenactors.components.sources.subprocess_source import SubprocessSource as SubprocessSource
    from zenactors.components.sources.ticker import Ticker as Ticker
    from zenactors.components.steps.base import RecordStep as RecordStep
    from zenactors.components.steps.batcher import Batcher as Batcher
    from zenactors.components.steps.deduplicator import Deduplicator as Deduplicator
    from zenactors.components.steps.enrich import Enrich as Enrich
    from zenactors.components.steps.functions import Filter as Filter
    from zenactors.components.steps.functions import FlatMap as FlatMap
    from zenactors.components.steps.functions import Map as Map
    from zenactors.components.steps.rate_limiter import RateLimiter as RateLimiter
    from zenactors.components.steps.redact import Redact as Redact
    from zenactors.components.steps.router import Router as Router
    from zenactors.components.steps.sample import Sample as Sample
    from zenactors.components.steps.statistics import Statistics as Statistics
    from zenactors.components.steps.subprocess_filter import SubprocessFilter as SubprocessFilter
    from zenactors.components.steps.validate import Validate as Validate
    from zenactors.components.steps.windowed_counter import WindowedCounter as WindowedCounter
    from zenactors.components.tail.lines import Lines as Lines
    from zenactors.components.tail.tailer import FileTailer as FileTailer

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "_files": "Files SYSTEM_FILES",
            "_queue_directory": "enqueue",
            "output_checkpoint": "OutputCheckpoint",
            "parsers.access_log": "AccessLogParser",
            "parsers.csv_parser": "CsvParser",
            "parsers.json_parser": "JsonParser",
            "parsers.logfmt": "LogfmtParser",
            "parsers.parse": "Parse",
            "parsers.regex_parser": "RegexParser",
            "parsers.syslog": "SyslogParser",
            "sinks.base": "BatchingSink",
            "sinks.black_hole": "BlackHole",
            "sinks.directory_queue_writer": "DirectoryQueueWriter",
            "sinks.fallback": "Fallback",
            "sinks.http_sink": "HttpSink",
            "sinks.socket_sink": "SocketSink",
            "sinks.sqlite": "SqliteSink",
            "sinks.subprocess_sink": "SubprocessSink",
            "sinks.writers": "JsonLinesWriter LineWriter RawWriter",
            "sources.base": "AcknowledgingSource",
            "sources.directory_queue": "DirectoryQueue",
            "sources.directory_watcher": "DirectoryWatcher",
            "sources.generate": "Generate",
            "sources.http_listener": "HttpListener",
            "sources.http_poller": "HttpPoller",
            "sources.line_listener": "LineListener",
            "sources.stdin": "Stdin",
            "sources.subprocess_source": "SubprocessSource",
            "sources.ticker": "Ticker",
            "steps.base": "RecordStep",
            "steps.batcher": "Batcher",
            "steps.deduplicator": "Deduplicator",
            "steps.enrich": "Enrich",
            "steps.functions": "Filter FlatMap Map",
            "steps.rate_limiter": "RateLimiter",
            "steps.redact": "Redact",
            "steps.router": "Router",
            "steps.sample": "Sample",
            "steps.statistics": "Statistics",
            "steps.subprocess_filter": "SubprocessFilter",
            "steps.validate": "Validate",
            "steps.windowed_counter": "WindowedCounter",
            "tail.lines": "Lines",
            "tail.tailer": "FileTailer",
        },
    )
