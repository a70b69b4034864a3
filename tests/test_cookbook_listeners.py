"""The recipes for webhooks and syslog do what their pages show, with their own commands."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.running import LIMIT, ROOT
from tests.test_cookbook import without_its_tests
from tests.test_docs import Block, blocks_of


class Recipe:
    """A page, and a directory in which its commands run.

    Its port is another one, so that nothing on this machine is in the way.
    """

    def __init__(self, name: str, port: int, directory: Path) -> None:
        self.blocks = blocks_of(ROOT / f"docs/cookbook-{name}.md")
        self.spec = directory / f"{name}.toml"
        self.name = name
        self._ports = (str(port), str(free_port()))
        self._directory = directory
        self.write(self.spec.name, self.blocks[0].text)
        programs = directory / "bin"
        programs.mkdir()
        for name_, arguments in (("python3", ""), ("zenactors", "-m zenactors ")):
            (programs / name_).write_text(f'#!/bin/sh\nexec {sys.executable} {arguments}"$@"\n')
            (programs / name_).chmod(0o755)
        directory.chmod(0o755)  # as root, a SPEC that others can change is refused
        path = f"{programs}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path, "TZ": "UTC"}

    def write(self, name: str, text: str) -> None:
        (self._directory / name).write_text(text.replace(*self._ports))
        (self._directory / name).chmod(0o644)

    @contextlib.contextmanager
    def running(self, *options: str) -> Iterator[None]:
        argv = [sys.executable, "-m", "zenactors", "run", self.spec.name, *options]
        with subprocess.Popen(
            argv, env=self.environment, cwd=self._directory, stderr=subprocess.PIPE, text=True
        ) as process:
            try:
                assert process.stderr is not None
                shown = ""
                while f"{self.name} starts" not in shown:
                    line = process.stderr.readline()
                    assert line, shown
                    shown += line
                yield
                process.send_signal(signal.SIGINT)
                _, errors = process.communicate(timeout=LIMIT)
                assert process.returncode == 0, errors
                assert "Traceback" not in errors
            finally:
                process.kill()

    def run(self, commands: str) -> str:
        done = subprocess.run(
            ["sh", "-c", commands.replace(*self._ports)],
            env=self.environment,
            cwd=self._directory,
            capture_output=True,
            text=True,
            timeout=2 * LIMIT,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def find(self, language: str, text: str) -> Block:
        return next(b for b in self.blocks if b.language == language and text in b.text)

    def shows(self, text: str) -> tuple[str, str]:
        """Run the commands that contain a text; return their output, and what the page shows."""
        number = self.blocks.index(self.find("sh", text))
        shown = self.blocks[number + 1]
        assert shown.language == ""
        output = self.run(self.blocks[number].text).replace(f"{self._directory}/", "/home/you/")
        return without_figures(output), without_figures(shown.text)

    def kill(self) -> None:
        """Kill the daemon that commands have started, if it still runs."""
        with contextlib.suppress(OSError, ValueError):
            os.kill(int((self._directory / f"{self.name}.pid").read_text().split()[0]), 9)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


def without_figures(text: str) -> str:
    text = text.replace(f'"{socket.gethostname().partition(".")[0]}"', '"myhost"')
    text = text.replace(f'"{socket.gethostname()}"', '"myhost"')
    text = re.sub(r"[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d", "DATE", text)
    return re.sub(r" *\d{2,}", " N", text)


@pytest.fixture
def recipe(request, tmp_path: Path) -> Recipe:
    name, port, program = request.param
    if shutil.which(program) is None:
        pytest.skip(f"the page's commands need {program}, which is not installed")
    return Recipe(name, port, tmp_path)


webhooks = pytest.mark.parametrize("recipe", [("webhooks", 8080, "curl")], indirect=True)
syslog = pytest.mark.parametrize("recipe", [("syslog", 5140, "logger")], indirect=True)


@pytest.mark.parametrize("name", ["webhooks", "syslog"])
def test_a_page_has_its_example_as_it_is(name: str) -> None:
    page = blocks_of(ROOT / f"docs/cookbook-{name}.md")
    assert page[0].text == without_its_tests((ROOT / f"examples/{name}.toml").read_text())


@webhooks
def test_webhooks_are_answered_and_worked_on(recipe: Recipe) -> None:
    with recipe.running():
        for commands in ("X-Event", "signal-usr2"):
            output, shown = recipe.shows(commands)
            assert output == shown


@webhooks
def test_no_webhook_is_lost_when_the_daemon_is_killed(recipe: Recipe) -> None:
    torture = recipe.find("sh", "seq 200").text
    assert "% 40" in torture
    recipe.write("torture.sh", torture.replace("200", "40").replace("% 40", "% 20"))
    try:
        output, shown = recipe.shows("sh torture.sh")
    finally:
        recipe.kill()
    assert output == shown


@syslog
def test_syslog_messages_become_json_lines(recipe: Recipe) -> None:
    recipe.write("attack.py", recipe.find("python", "sendall").text)
    with recipe.running():
        for commands in ("logger -n", "signal-usr2"):
            output, shown = recipe.shows(commands)
            assert output == shown
    start = recipe.find("sh", "--set").text.split()
    with recipe.running(*start[3:]):
        for commands in ("zcat", "attack.py"):
            output, shown = recipe.shows(commands)
            assert output == shown


def test_the_example_for_syslog_writes_what_comes_over_both(tmp_path: Path) -> None:
    recipe = Recipe("syslog", 5140, tmp_path)
    port = recipe.spec.read_text().partition("udp://:")[2].partition('"')[0]
    address = ("127.0.0.1", int(port))
    with recipe.running():
        with socket.create_connection(address, timeout=LIMIT) as tcp:
            tcp.sendall(b"<13>Oct 11 22:14:15 host app: over TCP\n")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
            udp.sendto(b"<13>Oct 11 22:14:15 host app: over UDP", address)
            path = tmp_path / "syslog.jsonl"
            recipe.run(f"until [ $(wc -l < {path}) = 2 ]; do :; done")
    records = [json.loads(line) for line in path.read_text().splitlines()]
    assert sorted(record["message"] for record in records) == ["over TCP", "over UDP"]
