"""Three daemons in pyzenkit's style run by the same source under pyzenkit and under this package.

Whatever they write, print and log themselves, their exit statuses and the files that they leave are
the same. What `DIFFERENT` lists, and the texts of the frameworks, are not compared.
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.forking import ForkServer
from tests.pyzenkit.running import (
    LINE,
    PACKAGES,
    VARIABLES,
    Directory,
    Outcome,
    be_program,
    become_program,
    run,
)
from tests.running import ROOT, run_python

ON = ("--no-daemon",)
SPOOL = {
    "etc/spool.py.conf": '# a comment\n{\n  // another\n  "spool_dir": "DIRECTORY/spool",\n'
    '  "owner": "file", "unknown key": [1]}\n',
    "spool/b.json": {"numbers": [1, 2]},
    "spool/a.json": {"numbers": [40, 2]},
    "spool/c.json": "no json",
}
SPOOL_OPTIONS = ("--config-dir-silent", "--config-file=DIRECTORY/etc/spool.py.conf")
POLL = {"etc/poller.py.conf": {"runlog": "DIRECTORY/log/poller.json"}}
PIPE = {
    "etc/pipeline.py-x.conf": {"two": 2, "three": "file"},
    "etc/pipeline.py-x/b.json.conf": {"one": "b", "three": "dir"},
    "etc/pipeline.py-x/a.json.conf": {"one": "a", "two": "a", "umask": 22},
    "etc/pipeline.py-x/c.json": "not read",
}


MODULES = ("baseapp", "jsonconf", "zendaemon")


@pytest.fixture(scope="module")
def servers() -> Iterator[tuple[ForkServer, ...]]:
    """For each package a process that has imported it, and forks the programs."""
    with contextlib.ExitStack() as stack:
        yield tuple(
            stack.enter_context(ForkServer(*(f"{package}.{name}" for name in MODULES), **VARIABLES))
            for package in PACKAGES
        )


# What is different on purpose; docs/migration.md says how, and why.
DIFFERENT = (
    "threads",
    "the fork",
    "the launching process",
    "`_init_event_callback`, changes of `callbacks`",
    "`set_done()` three times, `flag_loop_done = 3`",
    "`flag_loop_done = 0` after a request to stop",
    "SIGTERM",
    "a callback that runs when a stop takes longer than `MAX_STOP_TIMEOUT`, or at the third SIGINT",
    "SIGUSR1 without a callback",
    "SIGALRM, SIGQUIT",
    "SIGUSR2",
    "a signal that comes just before a wait",
    "`wait(period)`",
    "an overridden `wait` or `_hnd_signal_wakeup`",
    "delays",
    "events due at the same time",
    'a falsy event (`0`, `""`)',
    "`--umask 022`",
    "`--action signal-*` without `--paralel`",
    "a PID file",
    "`user`",
    "`json_save` of data that is not JSON",
    "no `log_file`, a configuration file with `null`",
    "`.env` files",
    "`queue.events`, `queue.events_at`, another `queue`",
)

needs_pyzenkit = pytest.mark.skipif(
    importlib.util.find_spec("pyzenkit") is None,
    reason="pyzenkit 0.67 is not installed: pip install .[check]",
)


Both = Callable[..., tuple[Outcome, Outcome]]


@pytest.fixture
def both(servers: tuple[ForkServer, ...], tmp_path: Path) -> Both:
    """Return the outcome of a program under pyzenkit, and here."""

    def run_both(
        files: Mapping[str, Any], program: str, *options: str, **more: Any
    ) -> tuple[Outcome, Outcome]:
        outcomes = []
        for name, package, server in zip(("there", "here"), PACKAGES, servers, strict=True):
            directory = Directory(tmp_path / name, package)
            directory.write(files)
            outcomes.append(run(server, directory, program, *options, **more))
            os.close(directory.reader)
        return outcomes[0], outcomes[1]

    return run_both


def assert_same(there: Outcome, here: Outcome) -> None:
    for field in dataclasses.fields(Outcome):
        if field.compare:
            theirs, ours = getattr(there, field.name), getattr(here, field.name)
            assert ours == theirs, f"{field.name}\n{there.err}\n{here.err}"


STOPS = [([signal.SIGINT], become_program), ([signal.SIGTERM], be_program)]
WHERE = pytest.mark.parametrize("where", ["foreground", "background"])


@needs_pyzenkit
@WHERE
@pytest.mark.parametrize(("signals", "by"), STOPS)
def test_the_spool_is_watched_until_a_signal(
    both: Both, where: str, signals: list[int], by: Callable[..., None]
) -> None:
    background = where == "background"
    there, here = both(
        SPOOL,
        "spool.py",
        *SPOOL_OPTIONS,
        *(() if background else ON),
        signals=signals,
        background=background,
        by=by,
    )
    assert_same(there, here)
    assert (here.daemon_status if background else here.status) == 4
    assert "file a.json 42" in here.said
    assert json.loads(here.files["sums.json"]) == {"a.json": 42, "b.json": 3}
    assert ("stop the-watcher True" in here.said) == (signals == [signal.SIGINT])


@needs_pyzenkit
def test_the_spool_ends_by_itself(both: Both) -> None:
    there, here = both(SPOOL, "spool.py", *SPOOL_OPTIONS, *ON, "--once")
    assert_same(there, here)
    assert "teardown 4" in here.said


@needs_pyzenkit
@WHERE
@pytest.mark.parametrize("stage", ["setup", "bug", "check"])
def test_a_setup_that_fails(both: Both, where: str, stage: str) -> None:
    there, here = both(
        SPOOL,
        "spool.py",
        *SPOOL_OPTIONS,
        *(() if where == "background" else ON),
        f"--fail-setup={stage}",
    )
    assert_same(there, here)
    assert here.status == 1
    text = {"setup": "'no spool'", "bug": "LookupError: a bug in setup", "check": "is wrong'"}
    for each in (there, here):
        assert text[stage] in each.err
        assert ("CRITICAL ERROR" in each.err) == (stage != "bug")


@needs_pyzenkit
@pytest.mark.parametrize(
    "options",
    [
        ["--action=count"],
        ["--action", "list"],
        ["--action=fail"],
        ["--action=command"],
        ["--action=json"],
        ["--action=count", "--quiet"],
        ["--action=count", "--verbose", "--interval=7"],
        ["--no-such-option", "--action=count"],
        ["--action=nothing"],
        ["--interval=often"],
        ["--config-file=DIRECTORY/none.conf"],
        ["--config-file=DIRECTORY/none.conf", "--config-file-silent", "--action=fail"],
        ["--name=a/b"],
    ],
    ids=" ".join,
)
def test_the_spools_actions_and_options(both: Both, options: list[str]) -> None:
    silent = [] if "--config-file=DIRECTORY/none.conf" in options else [SPOOL_OPTIONS[1]]
    more = ["--spool-dir=DIRECTORY/spool", SPOOL_OPTIONS[0], *silent, *options]
    assert_same(*both(SPOOL, "spool.py", *more))


@needs_pyzenkit
@WHERE
@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2], ids=str)
def test_the_poller_answers_signals(both: Both, where: str, number: int) -> None:
    background = where == "background"
    there, here = both(
        POLL,
        "poller.py",
        *(() if background else ON),
        signals=[number, signal.SIGINT],
        background=background,
    )
    assert_same(there, here)
    assert here.status == 0
    assert "daemon stop True True" in here.said


@needs_pyzenkit
@pytest.mark.parametrize("actions", [["signal-hup", "signal-int"], ["signal-term"]], ids=str)
def test_the_poller_gets_signals_by_actions(both: Both, actions: list[str]) -> None:
    assert_same(*both(POLL, "poller.py", signals=actions, background=True))


FAILURES = (
    "raise process component stop exit interrupt unknown command retc none list flag teardown"
)


@needs_pyzenkit
@pytest.mark.parametrize("failure", FAILURES.split())
def test_the_poller_fails(both: Both, failure: str) -> None:
    # These fail nothing, so the daemon goes on.
    signals = [signal.SIGINT] if failure in {"retc", "list", "flag", "teardown"} else []
    options = [*ON, f"--fail={failure}"]
    there, here = both(POLL, "poller.py", *options, signals=signals)
    assert_same(there, here)


@needs_pyzenkit
@WHERE
def test_the_poller_sets_a_handler_itself(both: Both, where: str) -> None:
    background = where == "background"
    there, here = both(
        POLL,
        "poller.py",
        *(() if background else ON),
        "--fail=handler",
        signals=[signal.SIGTERM],
        background=background,
    )
    assert_same(there, here)
    assert "own handler of 15" in here.said


@needs_pyzenkit
@pytest.mark.parametrize(
    "options",
    [["greet", "--greeting=hi"], ["paths"], ["greet", "--debug"]],
    ids=" ".join,
)
def test_the_pollers_actions(both: Both, options: list[str]) -> None:
    assert_same(*both(POLL, "poller.py", "--action", *options))


@needs_pyzenkit
@WHERE
def test_the_pipeline(both: Both, where: str) -> None:
    background = where == "background"
    there, here = both(
        PIPE,
        "pipeline.py",
        *(["--background"] if background else []),
        "--input=in",
        signals=[signal.SIGINT],
        background=background,
    )
    assert_same(there, here)
    assert "loop: stop" in here.said
    assert "daemonized 1 True" in here.said
    assert "word overdue ['at', 'check', 'daemon', 'source']" in here.said
    assert "dropped incomprehensible" in here.said
    assert "word last ['stop', 'check', 'daemon', 'source']" in here.said


@needs_pyzenkit
@pytest.mark.parametrize(
    "options",
    [["tools", "--limit=5"], ["excout"], ["break"], ["tools", "--paralel", "--debug"]],
    ids=" ".join,
)
def test_the_pipelines_actions(both: Both, options: list[str]) -> None:
    there, here = both(PIPE, "pipeline.py", "--action", *options)
    assert_same(there, here)


@needs_pyzenkit
@WHERE
@pytest.mark.parametrize("last", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_a_daemon_with_an_event_loop_of_its_own(
    both: Both, where: str, last: int
) -> None:
    background = where == "background"
    there, here = both(
        {},
        "looper.py",
        *(() if background else ON),
        signals=[signal.SIGHUP, last],
        background=background,
    )
    assert_same(there, here)
    assert here.said[:4] == ["event looper False", "ready", "event looper False", "ready"]
    assert ("event looper True" in here.said) == (last == signal.SIGINT)


def test_the_log_file_has_pyzenkits_form(servers: tuple[ForkServer, ...], tmp_path: Path) -> None:
    directory = Directory(tmp_path / "here", PACKAGES[1])
    directory.write(SPOOL)
    outcome = run(
        servers[1], directory, "spool.py", *SPOOL_OPTIONS, *ON, "--once", "--log-level=debug"
    )
    os.close(directory.reader)
    assert outcome.status == 4
    found = LINE.findall((tmp_path / "here/log/spool.py.log").read_text())
    assert {name for name, *_ in found} == {"spool.py"}


def test_the_documentation_lists_what_is_different() -> None:
    page = (ROOT / "docs/migration.md").read_text()
    section = page.split("## What is different on purpose")[1].split("\n## ")[0]
    rows = [line.split(" | ")[0].strip("| ") for line in section.splitlines() if line[:2] == "| "]
    assert tuple(rows[2:]) == DIFFERENT


def test_importing_zenactors_does_not_import_this_package() -> None:
    done = run_python("-c", "import sys, zenactors; zenactors.ZenDaemon; print(*sys.modules)")
    assert done.returncode == 0
    assert "zenactors.daemon.zendaemon" in done.stdout.split()
    assert "zenactors.pyzenkit" not in done.stdout
