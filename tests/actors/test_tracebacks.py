"""No value of a variable reaches loguru's default sink through a line of the library."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import zenactors
from tests.running import run_python

PACKAGE = Path(zenactors.__file__).parent
PROGRAM = """
import sys
from loguru import logger
from zenactors import Dispatcher, ZenDaemonComponent, handles
from zenactors.actors.tracebacks import has_default_sink
from zenactors.testing import Harness

SINK = sys.argv[1]
if SINK != "default":
    logger.remove()
    logger.add(sys.stderr, diagnose=SINK == "diagnose")
assert has_default_sink() == (SINK == "default")

def connect(host):
    password = "hun" + "ter2"
    try:
        raise KeyError(host, len(password))
    except KeyError as cause:
        raise ValueError(host, len(password)) from cause

class Client(ZenDaemonComponent):
    def setup(self, daemon):
        daemon.io.call_later(0.01, lambda daemon: connect("timer"))
    @handles("work")
    def cbk_event_work(self, daemon, args):
        connect("event")
    @handles("tell")
    def cbk_event_tell(self, daemon, args):
        try:
            connect("logger")
        except ValueError:
            daemon.logger.exception("told by %s", "me")
    def teardown(self, daemon):
        connect("teardown")

for runner in (Dispatcher, Harness):
    with runner([Client()]) as running:
        for event in ("work", "tell"):
            running.queue.schedule(event)
        if runner is Harness:
            running.advance(1.0)
        else:
            running.drain(5.0)
            running.wait_for_end(0.5)
"""
HOSTS = ("event", "timer", "logger", "teardown")


def logged(sink: str, directory: Path) -> str:
    program = directory / "program.py"  # a file: loguru shows values beside the lines of a source
    program.write_text(PROGRAM)
    done = run_python(program, sink)
    assert done.returncode == 0, done.stderr
    return done.stderr


def test_loguru_s_default_sink_gets_tracebacks_of_the_users_code_without_values(
    tmp_path: Path,
) -> None:
    text = logged("default", tmp_path)

    assert "hunter2" not in text
    for host in HOSTS:
        assert text.count(f"\nValueError: ({host!r}, 7)") == 4  # above a traceback, and below it
        assert text.count(f"\nKeyError: ({host!r}, 7)") == 2
    assert "_actor_loop" not in text
    assert "batch_runner.py" not in text


@pytest.mark.parametrize(("sink", "shown"), [("plain", False), ("diagnose", True)])
def test_a_sink_of_the_programs_own_gets_the_exception_itself(
    tmp_path: Path, sink: str, *, shown: bool
) -> None:
    text = logged(sink, tmp_path)

    assert ("hunter2" in text) is shown
    for host in HOSTS:
        assert f"ValueError: ({host!r}, 7)" in text


def hand_overs(source: str) -> int:
    """Return how often a source gives an exception to loguru."""
    found = 0
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            of_logger = isinstance(node.func.value, ast.Name) and node.func.value.id == "logger"
            found += node.func.attr == "exception" and of_logger
            found += node.func.attr == "opt" and any(
                keyword.arg == "exception" for keyword in node.keywords
            )
    return found


def test_only_one_place_gives_exceptions_to_loguru() -> None:
    # Standard logging is routed into loguru only where there is no default sink.
    assert hand_overs("logger.opt(exception=x).error('')\nlogger.exception('')") == 2
    places = {
        path.name: count
        for path in PACKAGE.rglob("*.py")
        if "exception" in (source := path.read_text()) and (count := hand_overs(source))
    }
    assert places == {"tracebacks.py": 1, "standard_logging.py": 1}
