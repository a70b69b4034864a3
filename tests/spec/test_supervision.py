"""`[component.supervision]` in a SPEC: taken over, and refused with place and next step."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest

from zenactors import ZenDaemonComponent, handles
from zenactors.config.assignments import parse
from zenactors.config.view import config_tree
from zenactors.core.supervision import Retry, Supervision
from zenactors.errors import ConfigurationError
from zenactors.spec import load
from zenactors.testing import Harness

HEAD = """
name = "supervised"

[[component]]
use = "zenactors.components:RawWriter"
name = "writer"
options = { path = "-" }
events = { lines = "lines" }

"""


def loaded(tmp_path: Path, table: str) -> Supervision:
    path = tmp_path / "spec.toml"
    path.write_text(f"{HEAD}[component.supervision]\n{table}\n")
    (component,) = load(str(path), tmp_path).components
    policy: Supervision = component.supervision
    return policy


def test_a_table_is_the_component_s_policy(tmp_path: Path) -> None:
    policy = loaded(
        tmp_path,
        'on_error = "restart"\nmax_restarts = 2\nwhen_exhausted = "suspend"\nbudget = 3\n'
        "best_effort = true\nbest_effort_limit = 7\n"
        "retry = { attempts = 5, delay = 0.5 }",
    )
    assert policy == Supervision(
        on_error="restart",
        max_restarts=2,
        when_exhausted="suspend",
        budget=3,
        best_effort=True,
        best_effort_limit=7,
        retry=Retry(attempts=5, delay=0.5),
    )


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ('on_eror = "stop"', "unknown key 'on_eror'; did you mean 'on_error'?"),
        ('on_error = "ignore"', "key 'on_error': expected one of 'dead-letter', 'restart', 'stop'"),
        ("max_restarts = -1", "max_restarts is -1, but a whole number of at least 0 is expected."),
        ("retry = { attempts = 1 }", "retry.attempts is 1, but a whole number of at least 2"),
        ("retry = { on = [] }", "unknown key 'retry.on'"),
    ],
)
def test_a_wrong_table_is_one_line_with_its_place(tmp_path: Path, table: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        loaded(tmp_path, table)
    (line,) = str(refused.value).splitlines()
    assert line.startswith(f"{tmp_path}/spec.toml:")
    assert "component 1 (writer)" in line
    assert problem in line


COUNTS = """
name = "d"

[[component]]
use = "tests.spec.test_supervision:Declares"
{}
"""


class Declares(ZenDaemonComponent):
    supervision = Supervision(on_error="restart", max_restarts=9, delay=0)

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        raise ValueError(args)


def write(path: Path, table: str = "") -> str:
    path.write_text(COUNTS.format(table and f"[component.supervision]\n{table}"))
    return str(path)


def test_a_table_overrides_single_values_of_the_class(tmp_path: Path) -> None:
    (component,) = load(write(tmp_path / "d.toml", "max_restarts = 1")).components
    assert component.supervision == Supervision(on_error="restart", max_restarts=1, delay=0)


def test_set_overrides_the_table(tmp_path: Path) -> None:
    sets = parse(["components.Declares.supervision.on_error=stop"])
    daemon = load(
        write(tmp_path / "d.toml", "on_error = 'dead-letter'\nstatus = 4"), assignments=sets
    )
    with Harness(daemon) as harness:
        harness.queue.schedule("x")
        harness.run_until_idle()
        assert len(harness.dead_letters()) == 1
        assert harness.status == 4


def test_a_reload_changes_the_table(tmp_path: Path) -> None:
    with Harness(load(write(tmp_path / "d.toml"))) as harness:
        for table, incarnation in (("", 2), ("on_error = 'dead-letter'", 2), ("", 3)):
            write(tmp_path / "d.toml", table)
            harness.signal(signal.SIGHUP)
            harness.advance(1)
            harness.queue.schedule("x")
            harness.advance(1)
            assert harness.component("Declares").incarnation == incarnation
        harness.dead_letters()
        assert sum("Configuration reloaded" in each.message for each in harness.logs) == 3


def test_the_table_is_shown_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "d.toml", "max_restarts = 1")
    shown = config_tree(load(path).configuration)
    rows = [line.split() for line in shown.splitlines()]
    assert ["max_restarts", "1", f"{path}:7"] in rows
