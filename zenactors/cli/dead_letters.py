"""List, show, replay or purge the events that a daemon has recorded in its dead_letter_file."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.logs import check_level, set_up_logs
from zenactors.cli.output import write, write_error, write_tables
from zenactors.daemon.command_line import UsageError
from zenactors.errors import (
    EXIT_ALREADY_RUNNING,
    EXIT_DATA_ERROR,
    EXIT_FAILURE,
    EXIT_IO_ERROR,
    EXIT_NO_INPUT,
    EXIT_OK,
)

if TYPE_CHECKING:
    from zenactors.core.dead_letters import DeadLetter
    from zenactors.core.letter_records import Records

# Not a docstring, which `python -OO` drops.
USAGE = """\
List, show, replay or purge the events that a daemon has recorded in its dead_letter_file.

Usage:
  zenactors dead-letters [options] [--where KEY=VALUE]... FILE
  zenactors dead-letters [options] [--where KEY=VALUE]... FILE list [ID...]
  zenactors dead-letters [options] [--where KEY=VALUE]... FILE show [ID...]
  zenactors dead-letters [options] [--where KEY=VALUE]... FILE replay --spec SPEC [ID...]
  zenactors dead-letters [options] [--where KEY=VALUE]... FILE purge [ID...]
  zenactors dead-letters (-h | --help)

FILE is a daemon's dead_letter_file. Without a word behind it, its letters are listed. The IDs and
the options choose letters; all conditions have to be met.

  list    One line for each: id, time, event, component, cause, and how often it was delivered.
  show    Everything that is recorded, with args and traceback.
  replay  Run the components of SPEC (see `zenactors run --help`) that handle events, schedule the
          letters' events, and end when they are done. Those that are handled are gone from FILE.
  purge   Take them out of FILE, and everything that has become of earlier ones.

Options:
  --event EVENT        Only letters of this event.
  --component NAME     Only letters that this component failed on.
  --where KEY=VALUE    Only letters whose args have this value under KEY; without such a key, those
                       whose field KEY has it: id, callback, cause (the exception's class),
                       attempts, deliveries and so on. May be repeated.
  --all                With purge: all letters, if nothing else chooses any.
  --json               Write JSON lines.
  --spec SPEC          The daemon to replay into, a TOML file or package.module:attribute.
  --into EVENT         Replay the letters' args as this event, from the beginning of its chain.
  --with-sources       Run all components of SPEC, also those that no event reaches.
  --app-dir DIR        Search this directory first for modules; default: the current directory.
  --log-level LEVEL    Minimum log level while replaying [default: WARNING].
  -h, --help           Show this help.

replay and purge refuse a FILE that a running daemon has open: stop that first, or replay in the
daemon itself (daemon.dead_letters.replay()).

Exit status 0: done. 1: no letter has such an ID, or a replay has failed again. 65: a letter cannot
be replayed, and none was. 66: FILE cannot be read. 73: a daemon has FILE open. 78: SPEC is wrong.
"""


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    where = [_pair(text) for text in arguments["--where"]]
    level = check_level(USAGE, arguments["--log-level"])
    path = os.path.abspath(arguments["FILE"])  # noqa: PTH100 - as it is spelled
    for option in ("--into", "--with-sources"):
        if arguments[option] and not arguments["replay"]:
            raise UsageError(f"{option} is only for replay", USAGE)
    chooses = arguments["ID"] or where or arguments["--event"] or arguments["--component"]
    if arguments["purge"] and not chooses and not arguments["--all"]:
        raise UsageError("purge needs an ID, a condition or --all", USAGE)
    try:
        records = _read(path)
    except OSError as cause:
        write_error(f"{arguments['FILE']!r} cannot be read: {cause.strerror}")
        return EXIT_NO_INPUT

    def choose(letters: Iterable[DeadLetter]) -> list[DeadLetter]:
        return _chosen(letters, arguments, where)

    unknown = [each for each in arguments["ID"] if each not in records.letters]
    for each in unknown:
        write_error(f"{arguments['FILE']!r} has no letter {each!r}")
    if unknown:
        return EXIT_FAILURE
    if records.broken:
        numbers = ", ".join(map(str, records.broken[:3])) + ", …" * (len(records.broken) > 3)  # noqa: PLR2004
        write_error(
            f"{arguments['FILE']!r} has lines that are no records, perhaps torn by a crash"
            f"{', or by a newer version' * bool(records.foreign)}; they are left out: {numbers}"
        )
    if arguments["purge"]:
        return _purge(arguments["FILE"], path, choose, with_foreign=not chooses)
    if arguments["replay"]:
        return _replay(arguments, path, choose(records.letters.values()), choose, level)
    (_show if arguments["show"] else _list)(
        choose(records.letters.values()), as_json=arguments["--json"]
    )
    return EXIT_OK


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"--where must be KEY=VALUE, not {text!r}", USAGE)
    return key, value


def _read(path: str) -> Records:
    from zenactors.core.letter_records import read_records  # noqa: PLC0415 - as below

    with open(path, "rb") as file:  # noqa: PTH123 - as it is spelled
        return read_records(file)


def _chosen(
    letters: Iterable[DeadLetter], arguments: dict[str, Any], where: list[tuple[str, str]]
) -> list[DeadLetter]:
    from zenactors.core.letter_records import has_field  # noqa: PLC0415 - as below

    event, component = arguments["--event"], arguments["--component"]
    return [
        letter
        for letter in letters
        if (not arguments["ID"] or letter.id in arguments["ID"])
        and (event is None or str(letter.event) == event)
        and (component is None or letter.component == component)
        and all(has_field(letter, key, value) for key, value in where)
    ]


# --- list and show ------------------------------------------------------------------------------


def _list(letters: list[DeadLetter], *, as_json: bool) -> None:
    if as_json:
        _show(letters, as_json=True)
        return
    from rich.table import Table  # noqa: PLC0415 - slow to import; --help must be fast

    from zenactors.core.text import printable  # noqa: PLC0415
    from zenactors.daemon.runlog import time_text  # noqa: PLC0415

    table = Table("id", "last failed", "event", "component", "cause", "deliveries")
    table.columns[5].justify = "right"
    for column in table.columns:
        column.overflow = "fold"  # on narrow terminals, too, nothing is cut off
    for letter in letters:
        table.add_row(
            printable(letter.id),
            time_text(letter.last),
            printable(str(letter.event)),
            printable(letter.component),
            printable(letter.cause_text),
            str(letter.deliveries),
        )
    write_tables(table)


def _show(letters: list[DeadLetter], *, as_json: bool) -> None:
    from zenactors.core.letter_records import fields_of  # noqa: PLC0415 - as above
    from zenactors.core.text import harmless  # noqa: PLC0415
    from zenactors.daemon.runlog import time_text  # noqa: PLC0415

    for number, letter in enumerate(letters):
        fields = fields_of(letter)
        if as_json:
            write(json.dumps(fields) + "\n")
            continue
        fields |= {name: time_text(fields[name]) for name in ("first", "last")}
        fields["cause"] = letter.cause_text
        traceback = fields.pop("traceback").rstrip("\n")
        lines = [
            f"{name}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for name, value in fields.items()
        ]
        lines += [f"  {line}" for line in traceback.splitlines()]
        write(harmless("\n" * bool(number) + "\n".join(lines)) + "\n")


# --- purge and replay ---------------------------------------------------------------------------


def _purge(
    name: str,
    path: str,
    choose: Callable[[Iterable[DeadLetter]], list[DeadLetter]],
    *,
    with_foreign: bool,
) -> int:
    from zenactors.components._record_file import RecordFile  # noqa: PLC0415 - as above

    try:
        file = RecordFile(path)
    except BlockingIOError:
        write_error(f"{name!r} is open in a running daemon: stop that first, or purge there")
        return EXIT_ALREADY_RUNNING
    except OSError as cause:
        write_error(f"{name!r} cannot be opened: {cause.strerror}")
        return EXIT_IO_ERROR
    try:
        records = _read(path)  # again: now nobody changes it
        gone = {letter.id for letter in choose(records.letters.values())}
        left = [line for letter_id, line in records.newest.items() if letter_id not in gone]
        left += [] if with_foreign else records.foreign
        file.rewrite(line if line.endswith(b"\n") else line + b"\n" for line in left)
    except OSError as cause:
        write_error(f"{name!r} cannot be written, and is unchanged: {cause.strerror}")
        return EXIT_IO_ERROR
    finally:
        file.close()
    write(f"purged: {len(gone):,}; left: {len(records.letters) - len(gone):,}\n")
    return EXIT_OK


def _replay(
    arguments: dict[str, Any],
    path: str,
    letters: list[DeadLetter],
    choose: Callable[[Iterable[DeadLetter]], list[DeadLetter]],
    level: str,
) -> int:
    if not letters:
        write("replayed: 0; left: 0\n")
        return EXIT_OK
    from zenactors import spec  # noqa: PLC0415 - as above
    from zenactors.components._record_file import RecordFile  # noqa: PLC0415
    from zenactors.errors import UnknownEventError  # noqa: PLC0415

    try:
        RecordFile(path).close()
    except BlockingIOError:
        write_error(
            f"{arguments['FILE']!r} is open in a running daemon: stop that first, or replay there"
        )
        return EXIT_ALREADY_RUNNING
    except OSError as cause:
        write_error(f"{arguments['FILE']!r} cannot be opened: {cause.strerror}")
        return EXIT_IO_ERROR
    logs = set_up_logs(level)
    daemon = spec.load(arguments["--spec"], Path(arguments["--app-dir"] or "."))
    daemon.only_handle(path, sources=arguments["--with-sources"])
    daemon.exit_when_idle = True
    replayed: list[DeadLetter] = []
    problems: list[str] = []

    def replay() -> None:
        # The daemon has locked the file by now: nobody else changes it.
        box = daemon.dead_letters
        chosen = choose(_read(path).letters.values())
        box.take(chosen, daemon.set_done)
        try:
            replayed.extend(box.replay(chosen, into=arguments["--into"]))
        except (UnknownEventError, ValueError) as cause:
            problems.append(str(cause))
        if not replayed:
            daemon.set_done()

    daemon.on_ready = replay
    status = daemon.serve()
    logs.close()
    for problem in problems:
        write_error(problem)
    if problems:
        return EXIT_DATA_ERROR
    left = _read(path).letters.keys() & {letter.id for letter in replayed}
    if replayed or status == EXIT_OK:
        write(f"replayed: {len(replayed) - len(left):,}; left: {len(left):,}\n")
    return status or (EXIT_FAILURE if left else EXIT_OK)
