"""Each stock component has a complete entry in the catalogue, and its example runs.

An example runs in an empty directory with `FILES`, in this process, to its end. If it does not end
by itself, or needs a partner, its component has a driver in `DRIVERS`.
"""

from __future__ import annotations

import ast
import contextlib
import dataclasses
import importlib.util
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.components.http_server import Reply, serving
from tests.in_process import clean_process
from tests.running import LIMIT, ROOT
from zenactors.cli import main
from zenactors.core.component import ZenDaemonComponent
from zenactors.spec.catalogue import PACKAGE, Entry, describe, entry_of, stock

PROMISES = ["loss", "duplicates", "order", "memory", "threads"]
MOST_LINES = 25
LIBRARIES = {
    "urllib3": "http",
    "h11": "web",
    "cronsim": "cron",
    "jsonschema": "schema",
}
"""The libraries that are not always installed, and the extras that have them.

Not inotify-simple: it makes sources quicker, and none needs it.
"""

FILES = {
    "access.log": (
        '192.0.2.1 - - [10/Oct/2025:13:55:36 +0000] "GET / HTTP/1.1" 200 512 "-" "curl/8"\n'
        '192.0.2.7 - - [10/Oct/2025:13:55:37 +0000] "GET /no HTTP/1.1" 404 0 "-" "curl/8"\n'
    ),
    "app.log": 'level=info msg="it starts" port=8080\nlevel=error msg="it fails"\n',
    "auth.log": (
        "Oct 10 13:55:36 host sshd[7]: Failed password for root from 192.0.2.7 port 22 ssh2\n"
        "Oct 10 13:55:38 host sshd[7]: Accepted password for eve from 192.0.2.1 port 22 ssh2\n"
    ),
    "events.jsonl": '{"user": "eve", "status": 200}\nnot JSON\n{"user": "bob", "status": 404}\n',
}
"""What the examples find in their directory."""


@dataclasses.dataclass(frozen=True)
class Example:
    """An example that is about to run.

    Attributes:
        directory: Where it runs.
    """

    directory: Path

    def run(self, *options: str) -> None:
        """Run it to its end, in this process. A daemon with a dead letter ends with status 65."""
        argv = ["run", "example.toml", "--exit-when-idle", "--no-summary", *options]
        assert main(argv) == 0

    @contextlib.contextmanager
    def served(self, *options: str) -> Iterator[subprocess.Popen[str]]:
        """Run it in a process that has started when this is entered; at the end, stop that."""
        argv = [sys.executable, "-m", "zenactors", "run", "example.toml", *options]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        with subprocess.Popen(
            argv,
            cwd=self.directory,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                assert process.stderr is not None
                shown = ""
                while " starts" not in shown and process.poll() is None:
                    shown += process.stderr.readline()
                yield process
                process.send_signal(signal.SIGINT)
                _, rest = process.communicate(timeout=LIMIT)
                assert process.returncode == 0, shown + rest
            finally:
                process.kill()


def run_http_poller(example: Example) -> None:
    body = b'{"items": [{"a": 1}]}'
    with serving(Reply(200, body, {"Content-Type": "application/json"})) as server:
        example.run("--set", f"components.HttpPoller.url={server.url}/items")
    assert (example.directory / "items.jsonl").read_text() == '{"a":1}\n'


def run_http_sink(example: Example) -> None:
    with serving(Reply(201)) as server:
        example.run("--set", f"components.HttpSink.url={server.url}/items")
    assert sum(each.body.count(b"\n") for each in server.requests) == 2_500


def run_line_listener(example: Example) -> None:
    with example.served() as process, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(example.directory / "lines.sock"))
        client.sendall(b'{"number": 1}\n')
        assert process.stdout is not None
        assert json.loads(process.stdout.readline()) == {"number": 1}


def run_http_listener(example: Example) -> None:
    request = b'POST /hooks/x HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{"a":1}'
    with example.served() as process, socket.socket(socket.AF_UNIX) as client:
        client.settimeout(LIMIT)
        client.connect(str(example.directory / "hooks.sock"))
        client.sendall(request)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
        assert process.stdout is not None
        assert "hooks" in process.stdout.readline()


def run_socket_sink(example: Example) -> None:
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(LIMIT)

        def receive() -> None:
            client, _ = server.accept()
            with client, client.makefile("rb") as file:
                received.extend(file)

        reader = threading.Thread(target=receive)
        reader.start()
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        example.run("--set", f"components.SocketSink.address={address}")
        reader.join(LIMIT)
    assert b"".join(received) == (example.directory / "access.log").read_bytes()


DRIVERS: dict[str, Callable[[Example], None]] = {
    "HttpListener": run_http_listener,
    "HttpPoller": run_http_poller,
    "HttpSink": run_http_sink,
    "LineListener": run_line_listener,
    "SocketSink": run_socket_sink,
}
"""By the name of a component: what runs its example, if `Example.run` alone does not do.

A driver of a server talks to it within `Example.served`; one that has a partner starts that, and
gives its address as an option: `--set components.NAME.url=...`.
"""

every_component = pytest.mark.parametrize("name", stock())


def entry(name: str) -> Entry:
    return entry_of(name, ROOT)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    with clean_process(tmp_path, monkeypatch):
        yield tmp_path


def lacks(found: Entry) -> list[str]:
    """Return what an entry has not, of all that it must have."""
    problems = [f"the promise about {each}" for each in PROMISES if not found.promises.get(each)]
    problems += [f"help for {each.name}" for each in found.options if not each.help]
    fields = ("kind", "summary", "text", "statistics", "example")
    problems += [each for each in fields if not getattr(found, each)]
    if f'use = "{found.use}"' not in found.example:
        problems.append("itself in its example")
    if found.example.count("\n") >= MOST_LINES:
        problems.append("a short example")
    return problems


def imports_of(source: str) -> set[str]:
    """Return the modules that a source imports, wherever in it, and what it takes from them."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {each.name for each in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {f"{node.module}.{each.name}" for each in node.names}
    return found


def extras_of(source: str) -> set[str]:
    """Return the extras that a source needs, and those that private modules need that it uses."""
    found = set()
    sources, seen = [source], set[str]()
    while sources:
        for name in imports_of(sources.pop()):
            found.add(LIBRARIES.get(name.partition(".")[0], ""))
            module = name.rpartition(".")[0]
            is_private = module.startswith(f"{PACKAGE}.") and module.split(".")[-1].startswith("_")
            if is_private and module not in seen:
                seen.add(module)
                sources.append(source_of(module))
    return found - {""}


def source_of(module: str) -> str:
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).read_text()


@every_component
def test_an_entry_is_complete(name: str) -> None:
    assert lacks(entry(name)) == []
    assert list(entry(name).promises) == PROMISES


@every_component
def test_an_entry_names_the_extra_that_the_module_imports(name: str) -> None:
    assert extras_of(source_of(stock()[name].__module__)) <= set(entry(name).extras)


@every_component
def test_the_example_runs(name: str, directory: Path) -> None:
    (directory / "example.toml").write_text(entry(name).example)
    assert main(["check", "example.toml"]) == 0
    DRIVERS.get(name, Example.run)(Example(directory))


def test_drivers_are_those_of_components() -> None:
    assert DRIVERS.keys() <= stock().keys()


# --- the tests can fail ---------------------------------------------------------------------------


class Bare(ZenDaemonComponent):
    def __init__(self, *, size: int = 1, name: str | None = None) -> None:
        super().__init__(name=name)


class Undescribed(ZenDaemonComponent):
    """Have a text.

    It is this one.

    Statistics: none.

    Promises:
        loss: All.
        order: None.

    Args:
        size: How large it is.

    Example:
        name = "other"
    """

    def __init__(self, *, size: int = 1, weight: int = 2, name: str | None = None) -> None:
        super().__init__(name=name)


def test_an_incomplete_entry_is_found() -> None:
    assert lacks(describe(Bare, "x:Bare")) == [
        *(f"the promise about {each}" for each in PROMISES),
        "help for size",
        *("kind", "summary", "text", "statistics", "example"),
        "itself in its example",
    ]
    assert lacks(describe(Undescribed, "x:Undescribed")) == [
        "the promise about duplicates",
        "the promise about memory",
        "the promise about threads",
        "help for weight",
        "kind",
        "itself in its example",
    ]


def test_a_late_import_of_an_extra_is_found() -> None:
    late = "def setup():\n    from urllib3.util import Retry\n    import h11, json"
    assert extras_of(late) == {"http", "web"}
    assert extras_of("from zenactors.http import h11_of\nfrom json import loads") == set()


def test_an_extra_of_a_private_module_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    sources = {
        f"{PACKAGE}._helper": f"from {PACKAGE}._other import x\nimport {PACKAGE}.records",
        f"{PACKAGE}._other": f"from {PACKAGE}._helper import help\nimport cronsim",
    }
    monkeypatch.setitem(globals(), "source_of", sources.__getitem__)
    assert extras_of(f"from {PACKAGE}._helper import help") == {"cron"}


SERVER = """
import socket
from zenactors import ZenDaemonComponent

class Server(ZenDaemonComponent):
    def __init__(self, *, answer: str, name: str | None = None):
        super().__init__(name=name)
        self.text = answer.encode()

    def setup(self, daemon):
        daemon.io.keep_alive()
        self.server = socket.create_server(("127.0.0.1", 0))
        print(self.server.getsockname()[1])
        daemon.io.add_reader(self.server, self.answer)

    def answer(self, daemon):
        client, _ = self.server.accept()
        with client:
            client.sendall(self.text)

    def teardown(self, daemon):
        self.server.close()
"""


def test_a_server_is_driven_and_stopped(directory: Path) -> None:
    (directory / "server.py").write_text(SERVER)
    spec = 'name = "s"\n[[component]]\nuse = "server:Server"\noptions.answer = "no"\n'
    (directory / "example.toml").write_text(spec)

    with Example(directory).served("--set", "components.Server.answer=hello") as process:
        assert process.stdout is not None
        address = ("127.0.0.1", int(process.stdout.readline()))
        with socket.create_connection(address, timeout=LIMIT) as client:
            assert client.recv(100) == b"hello"

    assert process.returncode == 0


def test_a_dead_letter_fails_an_example(directory: Path) -> None:
    example = entry("RawWriter").example
    parser = '[[component]]\nuse = "zenactors.components:AccessLogParser"\n'
    first, rest = example.split('[[component]]\nuse = "zenactors.components:RawWriter"')
    wrong = f'{first}{parser}[[component]]\nuse = "{PACKAGE}:RawWriter"{rest}'
    (directory / "example.toml").write_text(wrong)
    with pytest.raises(AssertionError):
        Example(directory).run()
