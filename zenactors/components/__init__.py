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
    from zenactors.components.access_log import AccessLogParser as AccessLogParser
    from zenactors.components.json_parser import JsonParser as JsonParser
    from zenactors.components.logfmt import LogfmtParser as LogfmtParser
    from zenactors.components.output_checkpoint import OutputCheckpoint as OutputCheckpoint
    from zenactors.components.regex_parser import RegexParser as RegexParser
    from zenactors.components.statistics import Statistics as Statistics
    from zenactors.components.syslog import SyslogParser as SyslogParser
    from zenactors.components.tail import FileTailer as FileTailer
    from zenactors.components.tail import Lines as Lines
    from zenactors.components.writers import JsonLinesWriter as JsonLinesWriter
    from zenactors.components.writers import RawWriter as RawWriter

    __all__: list[str]
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "_files": "SYSTEM_FILES Files",
            "access_log": "AccessLogParser",
            "json_parser": "JsonParser",
            "logfmt": "LogfmtParser",
            "regex_parser": "RegexParser",
            "output_checkpoint": "OutputCheckpoint",
            "statistics": "Statistics",
            "syslog": "SyslogParser",
            "tail": "FileTailer Lines",
            "writers": "JsonLinesWriter RawWriter",
        },
    )
