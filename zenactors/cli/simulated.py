"""What the commands that simulate share: their numbers, the extra, the command for a replay.

Thread: main.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from zenactors.daemon.command_line import UsageError
from zenactors.errors import ConfigurationError


def need_the_extra(command: str) -> None:
    """Check that the simulation can be imported.

    Raises:
        ConfigurationError: Its extra is not installed.
    """
    try:
        import zenactors.testing._simulator.hub  # noqa: F401, PLC0415 - slow to import
    except ModuleNotFoundError as cause:
        if cause.name != "greenlet":
            raise
        raise ConfigurationError(
            f"zenactors {command} needs the extra: pip install 'zenactors[test]'"
        ) from cause


def whole_number(usage: str, option: str, text: str, least: int) -> int:
    """Return the number that an option gives.

    Raises:
        UsageError: It is none, or less than `least`.
    """
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise UsageError(f"{option} must be a whole number from {least} up, not {text!r}", usage)
    return number


def replay_words(
    command: str, arguments: dict[str, Any], options: Iterable[str], flags: Iterable[str] = ()
) -> list[str]:
    """Return the words of the command that repeats a run, without seed and SPEC.

    Args:
        command: Its name.
        arguments: The arguments of this command line.
        options: The options that are repeated if they are given; `--set` always is.
        flags: The same, of options without a value.
    """
    started_as_module = Path(sys.argv[0]).parts[-2:] == ("zenactors", "__main__.py")
    words = [sys.executable, "-m", "zenactors"] if started_as_module else ["zenactors"]
    words.append(command)
    for option in options:
        value = arguments[option]
        if value is not None:
            words += [f"{option}={value}"] if value.startswith("-") else [option, value]
    for assignment in arguments["--set"]:
        words += ["--set", assignment]
    return [*words, *(flag for flag in flags if arguments[flag])]


def replay_command(words: Sequence[str], seed: int, spec: str) -> str:
    """Return the command that repeats the run of a seed, for a shell."""
    last = ["--", spec] if spec.startswith("-") else [spec]
    return shlex.join([*words, "--seed", str(seed), *last])
