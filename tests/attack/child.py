"""Runs an attack in a process of its own: a hang ends it, with the stack of every thread.

    python -m tests.attack.child LIMIT MODULE FUNCTION '{"argument": 1}'

The function's result is printed as JSON, on the last line.
"""

from __future__ import annotations

import faulthandler
import importlib
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest
from loguru import logger

from tests.forking import ForkServer

SLACK = 20.0  # seconds that the process may take to start, and to write the stacks

Attack = Callable[..., Any]


def run_attack(
    server: ForkServer, function: Attack, *, limit: float = 90.0, **arguments: Any
) -> Any:
    """Run an attack in a process of its own, and return its result.

    A process that fails or hangs fails the test. The message has its output, every thread's stack
    if it hung, and the command that runs it again.

    Args:
        server: Forks the process.
        function: A function of a module; its result can be written as JSON.
        limit: Seconds that it may take. Generous: only a hang takes that long.
        arguments: The function's; they can be written as JSON.
    """
    again = f"Run it again: {shlex.join(command_of(function, limit, arguments))}"
    call = {"module": function.__module__, "name": function.__name__, "arguments": arguments}
    try:
        done = server.run(run, limit=limit + SLACK, seconds=limit, **call)
    except subprocess.TimeoutExpired as hung:
        pytest.fail(f"It hung, and wrote no stacks: {hung.stderr!r}\n{again}")
    if done.returncode != 0:
        pytest.fail(
            f"It ended with status {done.returncode}.\n{done.stdout[-2000:]}\n{done.stderr[-8000:]}"
            f"\n{again}",
            pytrace=False,
        )
    return json.loads(done.stdout.splitlines()[-1])


def assert_nothing_broke(result: dict[str, Any]) -> None:
    """Assert that an attack has struck, and list what it broke."""
    if result["broken"]:
        pytest.fail("\n".join(result["broken"]), pytrace=False)
    assert result["struck"] > 0, "nothing was struck"


def command_of(function: Attack, limit: float, arguments: dict[str, Any]) -> list[str]:
    """Return the command that runs an attack."""
    return [
        sys.executable,
        "-m",
        "tests.attack.child",
        str(limit),
        function.__module__,
        function.__name__,
        json.dumps(arguments),
    ]


def run(seconds: float, module: str, name: str, arguments: dict[str, Any]) -> None:
    """Run an attack. Threads that hang do not keep the process from ending."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    logger.remove()
    result = getattr(importlib.import_module(module), name)(**arguments)
    sys.stdout.write(f"\n{json.dumps(result)}\n")
    sys.stdout.flush()
    os._exit(0)


def main() -> None:
    """Run the attack of the command line."""
    limit, module, name, arguments = sys.argv[1:]
    run(float(limit), module, name, json.loads(arguments))


if __name__ == "__main__":
    main()
