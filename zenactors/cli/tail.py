"""Follow files and write the data that is appended to them, unchanged or as JSON lines."""

from __future__ import annotations

import glob
import math
import os
import re
import stat
from typing import TYPE_CHECKING, Any

from zenactors.advice import advice_for, reason
from zenactors.cli.logs import check_level, set_up_logs
from zenactors.cli.serving import serve
from zenactors.daemon.command_line import UsageError, choice
from zenactors.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from zenactors.core.component import ZenDaemonComponent

# Not a docstring, which `python -OO` drops.
USAGE = """\
Follow files and write the data that is appended to them, unchanged or as JSON lines.

Usage:
  zenactors tail [options] [--exclude GLOB]... PATTERN...
  zenactors tail (-h | --help)

PATTERN is a path, a glob ("/var/log/*.log"), or - for standard input. Quote a glob, so that
later files are followed, too.

Input:
  --from PLACE          Where to begin in existing files: beginning or end; with --state-dir,
                        in those of the first start [default: end].
  --exclude GLOB        Do not read these files, a path or a glob; may be repeated.
  --state-dir DIR       Remember in this directory what is written, and go on there after a
                        restart, a crash or a kill. With --output, no line is lost or written
                        twice. Standard input and named pipes cannot be read again, so what
                        was not written of them is lost.
  --encoding NAME       Encoding of the files, such as latin-1 or utf-16; default: utf-8.
  --multiline PATTERN   A line that matches this regular expression begins a record of several
                        lines; default: each line is a record.
  --max-line-bytes N    Longer lines are truncated; if the format is raw, they are only read in
                        parts; default: 102400.
  --rate-limit N        Read at most N lines per second.
  --poll SECONDS        Seconds between polls for new content [default: 0.25].
  --exit-when-idle      Exit with status 0 when all files are read to their ends; with 65 if
                        one of them has not one line that is a record.

Output:
  --output FILE         Append to this file; default: write to standard output.
  --format FORMAT       raw (byte for byte) or json (one object per line); default: raw, but
                        json for parsed records.
  --parse FORMAT        Write records instead of lines, for lines that are: access (Common or
                        Combined Log Format), json (an object), logfmt, syslog (RFC 5424, RFC
                        3164), or regex:PATTERN (with named groups).
  --progress            Show on a terminal how much of a backlog is read, how fast, and the time
                        that is left.
  --log-level LEVEL     Minimum log level: TRACE, DEBUG, INFO, WARNING, ERROR or CRITICAL
                        [default: WARNING].
  -h, --help            Show this help.

Ctrl-C (SIGINT) stops after everything that was read is written. Three times: at once.
Logs go to standard error.
"""

_PARSERS = ("access", "json", "logfmt", "syslog")
_REGEX = "regex:"


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    doc = USAGE
    level = check_level(doc, arguments["--log-level"])
    _refuse_empty(doc, arguments)
    options = _tailer_options(doc, arguments)
    make_parser = _parser_of(doc, arguments["--parse"])
    output_format = arguments["--format"] or ("json" if make_parser else "raw")
    choice(doc, "--format", output_format, ("raw", "json"))
    if make_parser and output_format == "raw":
        raise UsageError("--parse makes records, which --format raw cannot write; use json", doc)
    options["long_lines"] = "split" if output_format == "raw" else "truncate"

    # Slow to import; --help must be fast.
    from zenactors.cli.tail_progress import TailProgress, status_line  # noqa: PLC0415
    from zenactors.components import FileTailer, JsonLinesWriter, RawWriter  # noqa: PLC0415
    from zenactors.daemon.zendaemon import ZenDaemon  # noqa: PLC0415

    try:
        tailer = FileTailer(**options)
        parsers = [make_parser()] if make_parser else []
    except ValueError as cause:
        raise UsageError(_as_options(str(cause)), doc) from cause
    writer = RawWriter if output_format == "raw" else JsonLinesWriter
    output, state_dir = arguments["--output"], arguments["--state-dir"]
    letters = None if state_dir is None else _dead_letter_file(state_dir)
    wants_line = bool(arguments["--progress"])
    with status_line(wanted=wants_line, data_on_stdout=output in {None, "-"}) as line:
        set_up_logs(level)
        daemon = ZenDaemon(
            name="zenactors-tail",
            components=[
                tailer,
                *([TailProgress(tailer.progress, line)] if line else []),
                *parsers,
                writer(path=output),
            ],
            # When standard input has ended, nothing more can come.
            exit_when_idle=arguments["--exit-when-idle"] or set(arguments["PATTERN"]) == {"-"},
            default_state_dir=state_dir,
            default_dead_letter_file=letters,
        )
        return serve(daemon, daemon.serve, summary=False)


def _dead_letter_file(state_dir: str) -> str:
    """Make the state directory, and return the file for the lines that nothing could handle.

    A line that kills the process each time ends up there, and nowhere else.
    """
    try:
        os.makedirs(state_dir, 0o700, exist_ok=True)  # noqa: PTH103 - a path of any form
    except OSError as cause:
        raise ConfigurationError(
            f"--state-dir: {state_dir!r} cannot be used: {reason(cause)}."
            f" {advice_for(cause, state_dir, 'write')}."
        ) from cause
    return os.path.join(state_dir, "dead-letters.jsonl")  # noqa: PTH118


def _refuse_empty(doc: str, arguments: dict[str, Any]) -> None:
    for option, wanted in (
        ("PATTERN", "the path of a file"),
        ("--output", "the path of a file"),
        ("--exclude", "a path or a glob"),
        ("--state-dir", "the path of a directory"),
        ("--encoding", "the name of an encoding"),
        ("--multiline", "a regular expression"),
        ("--parse", "a format"),
        ("--format", "a format"),
    ):
        value = arguments[option]
        if "" in (value if isinstance(value, list) else [value]):
            raise UsageError(f"{option} is empty; give {wanted}", doc)


def _tailer_options(doc: str, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the tailer that the command line gives."""
    output = arguments["--output"] or "-"
    options: dict[str, Any] = {
        "patterns": arguments["PATTERN"],
        "start": choice(doc, "--from", arguments["--from"], ("beginning", "end")),
        "poll_interval": _above_0(doc, arguments, "--poll", "of seconds"),
        "exclude": [glob.escape(output), *arguments["--exclude"]],
        "exactly_once": bool(arguments["--state-dir"]) and _can_be_cut_back(output),
    }
    if arguments["--encoding"] is not None:
        options["encoding"] = _encoding(doc, arguments["--encoding"])
    if arguments["--multiline"] is not None:
        options["multiline"] = _regular_expression(doc, arguments["--multiline"])
    if arguments["--max-line-bytes"] is not None:
        options["max_line_bytes"] = _count(doc, arguments, "--max-line-bytes")
    if arguments["--rate-limit"] is not None:
        options["rate_limit"] = _above_0(doc, arguments, "--rate-limit", "of lines per second")
    return options


def _can_be_cut_back(output: str) -> bool:
    """Return True if the output is a regular file, or will be one."""
    if output == "-":
        return False
    try:
        return stat.S_ISREG(os.stat(output).st_mode)  # noqa: PTH116 - a path of any form
    except (OSError, ValueError):
        return True  # the writer creates it, or reports why it cannot


def _parser_of(doc: str, text: str | None) -> Callable[[], ZenDaemonComponent] | None:
    """Return what makes the parser."""
    if text is None:
        return None
    if text == _REGEX:
        raise UsageError(f"--parse {text} has no pattern; use '{text}(?P<name>...)'", doc)
    if not text.startswith(_REGEX):
        _check_format(doc, text)
    from zenactors import components  # noqa: PLC0415 - slow to import

    if text.startswith(_REGEX):
        return lambda: components.RegexParser(pattern=text.removeprefix(_REGEX))
    return {
        "access": components.AccessLogParser,
        "json": components.JsonParser,
        "logfmt": components.LogfmtParser,
        "syslog": components.SyslogParser,
    }[text]


def _check_format(doc: str, text: str) -> None:
    allowed: Sequence[str] = (*_PARSERS, f"{_REGEX}PATTERN")
    choice(doc, "--parse", text, allowed)


def _as_options(message: str) -> str:
    """Return a component's message on a wrong option in the words of the command line."""
    option, _, rest = message.partition(" ")
    if option == "pattern":
        return f"--parse {_REGEX}PATTERN: {message}"
    return f"--{option.replace('_', '-')} {rest}"


def _encoding(doc: str, name: str) -> str:
    try:
        "".encode(name)
    except (LookupError, ValueError) as cause:
        raise UsageError(f"--encoding must be an encoding of text, not {name!r}", doc) from cause
    return name


def _regular_expression(doc: str, text: str) -> str:
    try:
        re.compile(text)
    except (re.error, OverflowError, RecursionError) as cause:
        raise UsageError(
            f"--multiline must be a regular expression, not {text!r}: {cause}", doc
        ) from cause
    return text


def _count(doc: str, arguments: dict[str, Any], option: str) -> int:
    text = arguments[option]
    # `int` would take "1_000" and other digits too.
    if not re.fullmatch(r"[0-9]{1,18}", text) or not int(text):
        raise UsageError(f"{option} must be a whole number above 0, not {text!r}", doc)
    return int(text)


def _above_0(doc: str, arguments: dict[str, Any], option: str, unit: str) -> float:
    text = arguments[option]
    try:
        # `float` would take "1_000", blanks and other digits too.
        number = float(text) if re.fullmatch(r"[0-9.eE+-]+", text) else 0.0
    except ValueError:
        number = 0.0
    if not 0 < number < math.inf:
        raise UsageError(f"{option} must be a number {unit} above 0, not {text!r}", doc)
    return number
