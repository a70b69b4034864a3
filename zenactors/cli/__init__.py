"""Build and run daemons from concurrent I/O components."""

# `--help` must be fast: it imports only docopt. A command imports the engine when it runs.
from __future__ import annotations

import importlib
import sys
import traceback
from types import ModuleType

from zenactors._version import __version__
from zenactors.cli.output import OutputError, lost_output, write, write_error
from zenactors.daemon.command_line import HelpShown, UsageError, parse
from zenactors.errors import (
    EXIT_CONFIG,
    EXIT_IO_ERROR,
    EXIT_OK,
    EXIT_SOFTWARE,
    EXIT_USAGE,
    ConfigurationError,
    did_you_mean,
)
from zenactors.process.signals import stopping_quietly
from zenactors.process.streams import (
    escape_what_cannot_be_encoded,
    fill_standard_streams,
    give_up_stdout,
    give_up_unwritable_streams,
    write_to,
)

# Not a docstring, which `python -OO` drops.
USAGE = """\
Build and run daemons from concurrent I/O components.

Usage:
  zenactors COMMAND [ARGUMENT...]
  zenactors (-h | --help | --version)

Commands:
  run           Run the daemon that a TOML file or a Python object describes.
  tail          Follow files and write the data that is appended to them.
  check         Validate such a description and show its components and chains.
  test          Run the tests that are in a TOML file, in virtual time.
  simulate      Run it in virtual time, many times, each with another random seed.
  dead-letters  List, show, replay or purge the events that a daemon could not handle.
  components    List the components of the library, or describe one of them.
  new           Print a pipeline for a choice of components, to be filled in.

Options:
  -h, --help  Show this help or, after a command, the help of that command.
  --version   Show the version.
"""

COMMANDS = ("run", "tail", "check", "test", "simulate", "dead-letters", "components", "new")


def main(argv: list[str] | None = None) -> int:
    """Run one command and return its exit status.

    Args:
        argv: The command line without the program's name. Default: this process's.

    Thread: main (another thread works, but cannot trap signals).
    """
    fill_standard_streams(writable=False)  # output to a closed stream is an error
    escape_what_cannot_be_encoded()
    status = EXIT_OK
    try:
        with stopping_quietly():
            status = _run(sys.argv[1:] if argv is None else argv)
            write("")
    except KeyboardInterrupt:
        return status  # 0 if the daemon does not trap the signal yet: it was stopped as asked
    except BrokenPipeError:
        give_up_stdout()  # the reader of our output has left: report nothing
        return EXIT_IO_ERROR
    except OutputError as cause:
        write_error(str(cause))
        give_up_stdout()
        return EXIT_IO_ERROR
    finally:
        give_up_unwritable_streams()
    return status


def _run(argv: list[str]) -> int:
    try:
        arguments = parse(USAGE, argv, version=__version__, options_first=True)
        command = _import_command(arguments["COMMAND"])
        words = [arguments["COMMAND"], *arguments["ARGUMENT"]]
        status: int = command.main(parse(command.USAGE, words))
    except HelpShown as shown:
        if shown.lost is not None:
            raise lost_output(shown.lost) from shown.lost
        return EXIT_OK
    except UsageError as cause:
        write_error(f"{cause}\n{cause.usage}")
        return EXIT_USAGE
    except ConfigurationError as cause:
        for line in str(cause).splitlines():
            write_error(line)
        return EXIT_CONFIG
    except (BrokenPipeError, OutputError):
        raise
    except Exception:  # a bug: keep its traceback
        write_to(sys.stderr, traceback.format_exc())
        return EXIT_SOFTWARE
    return status


def _import_command(name: str) -> ModuleType:
    if name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS) or f"; commands: {', '.join(COMMANDS)}"
        raise UsageError(f"unknown command {name!r}{hint}", USAGE)
    return importlib.import_module(f"zenactors.cli.{name.replace('-', '_')}")
