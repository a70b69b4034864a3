"""`[component.supervision]` in a SPEC: taken over, and refused with place and next step."""

from __future__ import annotations

from pathlib import Path

import pytest

from zenactors.core.supervision import Retry, Supervision
from zenactors.errors import ConfigurationError
from zenactors.spec import load

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
