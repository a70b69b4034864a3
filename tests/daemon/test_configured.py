"""Every configuration key holds, whichever way it is set."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.daemon.configured import settings
from tests.forked import ForkServer
from tests.running import ROOT
from zenactors import ZenDaemon, ZenDaemonComponent
from zenactors.config.assignments import Assignment
from zenactors.config.flags import flags_of
from zenactors.config.options import NOT_IN_FILES, DaemonOptions
from zenactors.daemon.command_line import parse_daemon, usage

TABLES = ("signals", "components")  # without an option on the command line

UNUSUAL: dict[str, Any] = {
    "name": "odd",
    "config_file": "odd.toml",
    "config_dir": "odd.d",
    "config_file_silent": True,
    "config_dir_silent": True,
    "log_file": "/odd/log",
    "log_level": "CRITICAL",
    "log_json": True,
    "debug": True,
    "quiet": True,
    "verbosity": 1,
    "no_daemon": True,
    "paralel": True,
    "pid_file": "/odd/odd.pid",
    "user": "odd",
    "group": "odd",
    "chroot_dir": "/odd/root",
    "work_dir": "/odd/work",
    "umask": 0o037,
    "action": "config-view",
    "state_file": "/odd/state",
    "dead_letter_file": "/odd/letters",
    "state_dir": "/odd/kept",
    "runlog_dir": "/odd/runs",
    "stats_interval": 71.0,
    "runlog_interval": 72.0,
    "start_timeout": 73.0,
    "stop_timeout": 74.0,
    "sigterm": "stop",
    "signals": {"SIGWINCH": "odd"},
    "components": {"odd": {"size": 3}},
}


class Sized(ZenDaemonComponent):
    """A component with a section in the configuration."""

    class Options(DaemonOptions.__base__):  # type: ignore[name-defined,misc]
        """Its options."""

        size: int = 1


def toml(data: dict[str, Any]) -> str:
    """Return a table as TOML; keys whose values are tables become inline tables."""

    def text(value: Any) -> str:
        if isinstance(value, dict):
            return "{" + ", ".join(f"{key} = {text(each)}" for key, each in value.items()) + "}"
        return json.dumps(value)

    return "".join(f"{key} = {text(value)}\n" for key, value in data.items())


def words(given: dict[str, Any]) -> list[str]:
    """Return a command line that sets these keys."""
    found = []
    for flag in flags_of(DaemonOptions):
        if flag.key not in given or "Same as" in flag.help:
            continue
        value = given[flag.key]
        text = f"{value:03o}" if flag.key == "umask" and isinstance(value, int) else str(value)
        found += [flag.option] if flag.value is None else [flag.option, text]
    return found


def set_words(given: dict[str, Any]) -> list[str]:
    """Return `--set` options that set these keys."""
    found = []
    for key, value in given.items():
        text = value if isinstance(value, str) else json.dumps(value)
        if key == "umask" and isinstance(value, int):
            text = f"{value:03o}"
        found += ["--set", f"{key}={text}"]
    return found


def ways(key: str) -> list[str]:
    return [
        "program",
        *([] if key in NOT_IN_FILES else ["file"]),
        *([] if key in TABLES else ["command line"]),
        *([] if key in NOT_IN_FILES else ["--set"]),
    ]


def test_every_key_has_an_unusual_value_here() -> None:
    assert UNUSUAL.keys() == DaemonOptions.model_fields.keys()


@pytest.mark.parametrize(
    ("key", "way"), [(key, way) for key in DaemonOptions.model_fields for way in ways(key)]
)
def test_a_key_is_what_it_is_set_to(
    key: str, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write("odd.toml", "")
    Path("odd.d").mkdir()
    value = UNUSUAL[key]
    program: dict[str, Any] = {f"default_{key}": value} if way == "program" else {}
    if program and key == "name":
        program = {"name": value}
    line: dict[str, Any] = {}
    assignments: list[Assignment] = []
    if way == "file":
        line["config_file"] = str(write(tmp_path / "given.toml", toml({key: value})))
    if way == "command line":
        doc = usage("odd", "", DaemonOptions, {"config-view": ""})
        line, _ = parse_daemon(words({key: value}), doc, DaemonOptions)
        assert line.keys() == {key}
    if way == "--set":
        doc = usage("odd", "", DaemonOptions, {"config-view": ""})
        line, assignments = parse_daemon(set_words({key: value}), doc, DaemonOptions)
        assert line == {}
    daemon = ZenDaemon(**{"name": "usual"} | program, components=[Sized(name="odd")])

    daemon.configure(line, assignments)

    path = key in {"config_file", "config_dir"}
    assert daemon.c(key) == (str(tmp_path / value) if path else value)
    assert daemon.c(key) != DaemonOptions.model_fields[key].default


def report_of(how: str, directory: Path, forks: ForkServer) -> dict[str, Any]:
    """Run a daemon that is configured in one way; return its report."""
    unusual = settings(directory)
    program = ["-m", "tests.daemon.configured", how, str(directory)]
    if how == "file":
        program += ["--config-file", str(write(directory / "given.toml", toml(unusual)))]
    if how == "command-line":
        program += words(unusual)
    if how == "--set":
        program += set_words(unusual)
    if how in {"SPEC", "options of SPEC", "--set of SPEC"}:
        chosen = unusual if how == "SPEC" else {"name": "usual", "signals": unusual["signals"]}
        component = '[[component]]\nuse = "tests.daemon.configured:Reporter"\n'
        spec = toml(chosen) + component + f'options.directory = "{directory}"\n'
        program = ["-m", "zenactors", "run", str(write(directory / "spec.toml", spec))]
        program += ["--app-dir", str(ROOT)]
        if how == "--set of SPEC":
            program += set_words({key: unusual[key] for key in unusual.keys() - {"name"}})
        elif how != "SPEC":
            # A SPEC runs in the foreground by itself, and has its name in the file.
            given = {key: unusual[key] for key in unusual.keys() - {"no_daemon"}}
            program += ["--parallel" if word == "--paralel" else word for word in words(given)]
            at = program.index("--name")
            del program[at : at + 2]
    done = forks.run(*program)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads((directory / "report.json").read_text())
    return found


@pytest.mark.parametrize(
    "how",
    [
        "program",
        "arguments",
        "file",
        "command-line",
        "--set",
        "SPEC",
        "options of SPEC",
        "--set of SPEC",
    ],
)
def test_a_daemon_does_what_is_configured(how: str, forks: ForkServer, tmp_path: Path) -> None:
    report = report_of(how, tmp_path, forks)

    serial = f"{report['pid']:05x}"
    [runlog] = (tmp_path / "odd.runs").iterdir()
    states = tmp_path / f"odd.{serial}.states"
    lines = [json.loads(line) for line in (tmp_path / "odd.logs").read_text().splitlines()]
    assert report["name"] == ("usual" if how.endswith(" of SPEC") else "odd")
    assert report["umask"] == 0o027
    assert report["work_dir"] == str(tmp_path / "work")
    assert (report["start_timeout"], report["stop_timeout"]) == (73.0, 74.0)
    assert report["intervals"] == [71.0, 72.0]
    assert report["graceful"]
    assert json.loads(runlog.read_text())["pid"] == report["pid"]
    state = json.loads(states.read_text())
    assert Path(state["config"]["pid_file"]).parent == tmp_path
    assert report["dispatcher's"]["stop_timeout"] == 74.0
    assert any(line.get("message") == "looked" for line in lines)
