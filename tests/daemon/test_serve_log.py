"""The log of a daemon whose program has no log of its own: `serve()` in a bare program."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.logs.conftest import TIME
from tests.running import run_python

TRACEBACK = """if True:
    import sys
    from zenactors import ZenDaemon, ZenDaemonComponent, handles

    class Login(ZenDaemonComponent):
        @handles("login")
        def cbk_event_login(self, daemon, password):
            raise ValueError(password[:0])

    sys.exit(ZenDaemon(name="safe", components=[Login()], schedule=[("login", "hunter2")]).serve())
"""


def test_serve_logs_in_the_daemons_format_without_the_values_of_variables(tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # a file: loguru could show the values in its lines
    program.write_text(TRACEBACK.replace('"hunter2"', '"hunter" + "2"'))
    result = run_python(program)

    assert "ValueError" in result.stderr
    assert "hunter2" not in result.stderr
    lines = [line for line in result.stderr.splitlines() if line.startswith("20")]
    assert re.fullmatch(TIME + " INFO     safe starts", lines[0])
    assert re.fullmatch(TIME + r" INFO     safe ended with status 65, because .*", lines[-1])
    assert not any("DEBUG" in line for line in lines)


def test_serve_leaves_the_sinks_of_a_program_alone() -> None:
    program = """if True:
        import sys
        from loguru import logger
        from zenactors import ZenDaemon
        logger.remove()
        logger.add(sys.stdout, format="mine {message}", level="INFO")
        ZenDaemon(name="own").serve()
    """
    result = run_python("-c", program)
    assert result.stderr == ""
    assert result.stdout.splitlines()[0] == "mine own starts"


@pytest.mark.parametrize(("level", "levels"), [("ERROR", set()), ("DEBUG", {"DEBUG", "INFO"})])
def test_the_environment_sets_serves_level(level: str, levels: set[str]) -> None:
    program = "from zenactors import ZenDaemon; ZenDaemon(name='own').serve()"
    result = run_python("-c", program, LOGURU_LEVEL=level)
    assert {line.split()[2] for line in result.stderr.splitlines()} == levels
