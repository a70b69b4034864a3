"""Follow files and write the data that is appended to them, unchanged or as JSON lines."""

from __future__ import annotations

import math
from typing import Any

from zenactors.cli.logs import check_level, set_up_logs
from zenactors.cli.serving import serve
from zenactors.daemon.command_line import UsageError, choice

# Not a docstring, which `python -OO` drops.
USAGE = """\
Follow files and write the data that is appended to them, unchanged or as JSON lines.

Usage:
  zenactors tail [options] PATTERN...
  zenactors tail (-h | --help)

PATTERN is a path or a glob ("/var/log/*.log"). Quote a glob, so that later files are
followed, too.

Options:
  --output FILE      Append to this file; default: write to standard output.
  --from PLACE       Where to begin in existing files: beginning or end [default: end].
  --format FORMAT    raw (byte for byte) or json (one object per line); default: raw.
  --parse FORMAT     access: Common or Combined Log Format; writes JSON.
  --exit-when-idle   Exit with status 0 when all files are read to their ends; with 65 if
                     one of them has not one line that is a record.
  --poll SECONDS     Seconds between polls for new content [default: 0.25].
  --log-level LEVEL  Minimum log level: TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL
                     [default: WARNING].
  -h, --help         Show this help.

Ctrl-C (SIGINT) stops after everything that was read is written. Three times: at once.
Logs go to standard error.
"""


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    doc = USAGE
    level = check_level(doc, arguments["--log-level"])
    start: Any = choice(doc, "--from", arguments["--from"], ("beginning", "end"))
    parse = arguments["--parse"]
    if parse is not None:
        choice(doc, "--parse", parse, ("access",))
    output_format = arguments["--format"] or ("json" if parse else "raw")
    choice(doc, "--format", output_format, ("raw", "json"))
    if parse and output_format == "raw":
        raise UsageError("--parse makes records, which --format raw cannot write; use json", doc)
    poll = _seconds(doc, "--poll", arguments["--poll"])
    for option, values in (
        ("PATTERN", arguments["PATTERN"]),
        ("--output", [arguments["--output"]]),
    ):
        if "" in values:
            raise UsageError(f"{option} is empty; give the path of a file", doc)
    set_up_logs(level)

    # Slow to import; --help must be fast.
    from zenactors.components import (  # noqa: PLC0415
        AccessLogParser,
        FileTailer,
        JsonLinesWriter,
        RawWriter,
    )
    from zenactors.daemon.zendaemon import ZenDaemon  # noqa: PLC0415

    tailer = FileTailer(
        patterns=arguments["PATTERN"],
        start=start,
        poll_interval=poll,
        exclude=[arguments["--output"] or "-"],
    )
    writer = RawWriter if output_format == "raw" else JsonLinesWriter
    daemon = ZenDaemon(
        name="zenactors-tail",
        components=[
            tailer,
            *([AccessLogParser()] if parse else []),
            writer(path=arguments["--output"]),
        ],
        exit_when_idle=arguments["--exit-when-idle"],
    )
    return serve(daemon, daemon.serve, summary=False)


def _seconds(doc: str, option: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < math.inf:
        raise UsageError(f"{option} must be a number of seconds above 0, not {text!r}", doc)
    return seconds
