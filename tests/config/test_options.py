"""Each key of a daemon takes its values; wrong ones are refused with the reason."""

from __future__ import annotations

import enum
import signal
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.config.sample import Database, Options
from zenactors.config.checking import check_table
from zenactors.config.options import (
    GROUPS,
    NOT_IN_FILES,
    DaemonOptions,
    Table,
    canonical,
)
from zenactors.config.value_types import signal_name


def value_of(key: str, value: Any) -> Any:
    return DaemonOptions.model_validate({"name": "x", key: value}).model_dump()[key]


def problem_of(key: str, value: Any) -> str:
    _, [(path, problem)] = check_table(DaemonOptions, {"name": "x", key: value})
    assert path[0] == key
    return problem


@pytest.mark.parametrize(
    ("key", "given", "kept"),
    [
        ("umask", "027", 0o027),
        ("umask", 0o027, 0o027),
        ("umask", "0o27", 0o027),
        ("log_level", "debug", "DEBUG"),
        ("log_level", "Warning", "WARNING"),
        ("pid_file", "/run/x.pid", "/run/x.pid"),
        ("pid_file", "", None),
        ("log_file", Path("/x.log"), "/x.log"),
        ("user", "nobody", "nobody"),
        ("user", 1000, 1000),
        ("user", "", None),
        ("stats_interval", 0, 0.0),
        ("stats_interval", 5, 5.0),
        ("signals", {"winch": "resized"}, {"SIGWINCH": "resized"}),
        ("signals", {"SIGCLD": "child"}, {"SIGCHLD": "child"}),
    ],
)
def test_a_right_value_is_kept_in_its_one_form(key: str, given: Any, kept: Any) -> None:
    assert value_of(key, given) == kept
    assert type(value_of(key, given)) is type(kept)


@pytest.mark.parametrize(
    ("key", "given", "reason"),
    [
        ("umask", "8", "must be an octal text"),
        ("umask", 0o1000, "must be an octal text"),
        ("umask", -1, "must be an octal text"),
        ("umask", 1.5, "must be an octal text"),
        ("umask", None, "must be an octal text"),
        ("umask", True, "must be an octal text"),
        ("log_level", "loud", "expected one of 'TRACE', 'DEBUG'"),
        ("pid_file", "/run/x", "must end in .pid"),
        *(
            (key, "/x\0.pid", "must not have a null character")
            for key in (
                "pid_file",
                "log_file",
                "state_file",
                "state_dir",
                "runlog_dir",
                "work_dir",
                "chroot_dir",
                "config_file",
                "config_dir",
                "user",
                "group",
            )
        ),
        ("log_file", "/x\ud800", r"has a character that no name can have: '\ud800'"),
        ("user", -1, "input should be greater than or equal to 0"),
        ("user", 1.5, "expected str or int"),
        ("stats_interval", -1, "greater than or equal to 0"),
        ("stats_interval", float("nan"), "finite number"),
        ("runlog_interval", "5", "expected float"),
        ("start_timeout", 0, "greater than 0"),
        ("stop_timeout", float("inf"), "finite number"),
        ("no_daemon", 1, "expected bool"),
        ("verbosity", True, "expected int"),
        ("sigterm", "stpo", "did you mean 'stop'?"),
        ("name", "", "at least 1 character"),
        ("name", "../x", "usable in file names"),
        ("signals", {"WINCHH": "x"}, "no signal SIGWINCHH; did you mean 'SIGWINCH'?"),
        ("signals", {"QQQ": "x"}, "no signal SIGQQQ; use the name of a signal, such as SIGWINCH"),
        ("signals", {"WINCH": ""}, "at least 1 character"),
        ("signals", {"HUP": "x"}, "the daemon uses it; handle event 'signal_hup'"),
        ("signals", {"SIGSEGV": "x"}, "it reports a fault in the process"),
        ("signals", {"SIGIOT": "x"}, "SIGABRT cannot be mapped to an event"),
        ("signals", {"SIGSTOP": "x"}, "no process can catch it"),
        ("signals", {"winch": "x", "WINCH": "y"}, "SIGWINCH is given twice"),
    ],
)
def test_a_wrong_value_is_refused_with_the_reason(key: str, given: Any, reason: str) -> None:
    assert reason in problem_of(key, given)


@pytest.mark.parametrize("number", sorted(signal.valid_signals()))
def test_a_signal_can_be_mapped_if_a_handler_of_its_own_makes_sense(number: int) -> None:
    taken = {
        signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2,
        signal.SIGALRM, signal.SIGQUIT, signal.SIGKILL, signal.SIGSTOP, signal.SIGSEGV,
        signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT,
    }  # fmt: skip
    names = [name for name, each in signal.Signals.__members__.items() if each == number]
    for name in names:  # real-time signals between the first and the last have none
        _, findings = check_table(DaemonOptions, {"name": "x", "signals": {name: "event"}})
        assert bool(findings) is (number in taken)


def test_every_spelling_of_a_key_leads_to_one() -> None:
    assert signal_name("winch") == signal_name("SIGWINCH") == signal_name("Sigwinch") == "SIGWINCH"
    assert canonical(("parallel",)) == ("paralel",)
    assert canonical(("signals", "winch")) == ("signals", "SIGWINCH")
    assert canonical(("components", "parallel")) == ("components", "parallel")
    for spelling in ("paralel", "parallel"):
        assert DaemonOptions.model_validate({"name": "x", spelling: True}).paralel


def test_keys_of_a_daemon_are_described_and_in_one_group() -> None:
    grouped = [key for keys in GROUPS.values() for key in keys]
    tables = {"signals", "components"}
    assert sorted(grouped) == sorted(DaemonOptions.model_fields.keys() - tables)
    assert NOT_IN_FILES.keys() < set(grouped)
    for key, field in DaemonOptions.model_fields.items():
        assert field.description, key
        assert field.description.endswith("."), key


def test_the_keys_of_pyzenkit_are_there() -> None:
    keys = (
        "name user group config_file config_dir config_file_silent config_dir_silent log_file"
        " log_level pid_file state_file chroot_dir work_dir umask stats_interval runlog_interval"
        " runlog_dir paralel no_daemon action debug quiet verbosity"
    )
    assert set(keys.split()) <= DaemonOptions.model_fields.keys()


class Colour(enum.Enum):
    RED = "red"


class Rich(Table):
    """Types whose values files spell in another way."""

    path: Path = Path()
    pair: tuple[int, int] = (0, 0)
    colour: Colour = Colour.RED
    names: set[str] = pydantic.Field(default=set())
    inner: Options | None = None
    maybe: Database | None = None


def test_a_value_that_is_right_as_json_is_right() -> None:
    found = Rich.model_validate(
        {"path": "/p", "pair": [1, 2], "colour": "red", "names": ["a"], "maybe": {"host": "h"}}
    )
    assert (found.path, found.pair, found.colour, found.names) == (
        Path("/p"), (1, 2), Colour.RED, {"a"},
    )  # fmt: skip
    assert Rich.model_validate({"inner": {"name": "x", "directory": "/f"}}).inner


@pytest.mark.parametrize(
    ("key", "value"), [("pair", ["1", 2]), ("pair", "12"), ("path", 5), ("names", "a")]
)
def test_a_value_that_is_wrong_as_json_is_wrong(key: str, value: Any) -> None:
    _, findings = check_table(Rich, {key: value})
    assert [path for path, _ in findings] == [(key,)]


def test_a_validator_of_a_subclass_also_checks_values_read_as_json() -> None:
    class Own(DaemonOptions):
        directory: Path = Path("/")

        @pydantic.field_validator("directory")
        @classmethod
        def _absolute(cls, value: Path) -> Path:
            if not value.is_absolute():
                raise ValueError("must be absolute")
            return value

    assert Own(name="x", directory="/a").directory == Path("/a")  # type: ignore[arg-type]
    _, findings = check_table(Own, {"name": "x", "directory": "a"})
    assert findings == [(("directory",), "key 'directory': must be absolute, got 'a'")]
