"""The rooms of the house: who may import whom, and what only one room does.

Every rule is a function from the parsed package to a list of complaints, so that each test
can also show, on a planted source, that its rule is able to fail.
"""

from __future__ import annotations

import ast
import functools
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import zenactors
from tests.running import run_python

PACKAGE = Path(zenactors.__file__).parent

FLOORS = {
    "core": 1,
    "process": 1,
    "components": 1,
    "config": 2,
    "actors": 3,
    "logs": 4,
    "daemon": 5,
    "pyzenkit": 6,
    "spec": 6,
    "testing": 7,
    "cli": 8,
}
GROUND = (
    "zenactors.errors",
    "zenactors._version",
    "zenactors._lazy",
    "zenactors.advice",  # a refused file is reported in components and in all rooms of the daemon
    "zenactors.trust",  # root imports no module and reads no file that others can write
    "zenactors.secret_text",  # secrets are hidden in records and in what the daemon writes
)  # floor 0: every module may import them
ROOF = ("zenactors", "zenactors.__main__", "zenactors.demo")  # above all floors
COMPONENTS_MAY = (
    "zenactors.core.callbacks",
    "zenactors.core.checkpoint_flow",  # users import what is made of it, `Checkpoints`
    "zenactors.core.clock",
    "zenactors.core.component",
    "zenactors.core.daemon_api",
    "zenactors.core.tokens",
    *GROUND,
)
CLOCK_CALLS = {
    "time": {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "sleep"},
    "datetime": {"now", "utcnow", "today"},
}

Sources = dict[str, ast.Module]
Rule = Callable[[Sources], list[str]]


@functools.cache
def package() -> Sources:
    sources = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources[name] = ast.parse(path.read_text(), str(path))
    return sources


@pytest.fixture(scope="module", autouse=True)
def forget_the_package() -> Iterator[None]:
    """Free the parsed sources: the garbage collector takes a second to look at so many objects."""
    yield
    package.cache_clear()


def planted(**modules: str) -> Sources:
    """Return a small package; `core__chain="..."` is the module `zenactors.core.batch_runner`."""
    return {
        f"zenactors.{name.replace('__', '.')}": ast.parse(textwrap.dedent(source))
        for name, source in modules.items()
    }


@functools.cache
def imports(tree: ast.AST) -> list[str]:
    """Return every module that is imported, wherever the statement is."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "zenactors imports by absolute names"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def own_imports(name: str, sources: Sources) -> Iterator[str]:
    """Yield the modules of zenactors that a module imports, or imports names from."""
    for target in imports(sources[name]):
        if target.split(".")[0] == "zenactors":
            module = target
            while module and module not in sources:
                module = module.rpartition(".")[0]
            if module != name:
                yield module or target


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in FLOORS else None


def imports_only_below(sources: Sources) -> list[str]:
    complaints = []
    for name in sources:
        if name in ROOF:
            continue
        for target in own_imports(name, sources):
            if target in GROUND or target.startswith(tuple(f"{each}." for each in GROUND)):
                continue
            here, there = room(name), room(target)
            if here is None or there is None:
                complaints.append(f"{name} imports {target}, which is on no floor below it")
            elif here == "components" == there:
                continue
            elif here == "components":
                if not target.startswith(COMPONENTS_MAY):
                    complaints.append(f"{name} imports {target}; of core only what users import")
            elif here != there and FLOORS[there] >= FLOORS[here]:
                complaints.append(f"{name} imports {target}, which is not below it")
    return complaints


def no_cycles(sources: Sources) -> list[str]:
    graph = {name: sorted(set(own_imports(name, sources)) & set(sources)) for name in sources}
    done: set[str] = set()
    complaints = []

    def visit(name: str, path: tuple[str, ...]) -> None:
        if name in path:
            complaints.append(" -> ".join((*path[path.index(name) :], name)))
            return
        if name not in done:
            for target in graph[name]:
                # A package's __init__ is run before its modules; they do not import from it.
                if not name.startswith(f"{target}."):
                    visit(target, (*path, name))
            done.add(name)

    for name in graph:
        visit(name, ())
    return complaints


def only_in(package_name: str, *rooms: str) -> Rule:
    """Return the rule that a package is imported in some rooms only."""

    def rule(sources: Sources) -> list[str]:
        return [
            f"{name} imports {package_name}"
            for name, tree in sources.items()
            if not name.startswith(tuple(f"zenactors.{each}" for each in rooms))
            and any(target.split(".")[0] == package_name for target in imports(tree))
        ]

    return rule


def no_clock_but_one(sources: Sources) -> list[str]:
    complaints = []
    for name, tree in sources.items():
        if name == "zenactors.core.clock":
            continue
        for target in imports(tree):
            module, _, what = target.rpartition(".")
            if what in CLOCK_CALLS.get(module, ()):
                complaints.append(f"{name} imports {target}")
        complaints.extend(
            f"{name}:{node.lineno} uses {ast.unparse(node)}"
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and any(
                node.attr in calls and ast.unparse(node.value).strip("_").split(".")[0] == module
                for module, calls in CLOCK_CALLS.items()
            )
        )
    return complaints


def no_print(sources: Sources) -> list[str]:
    return [
        f"{name}:{node.lineno} prints"
        for name, tree in sources.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "print"
    ]


def core_does_not_log(sources: Sources) -> list[str]:
    """Importing loguru for types is fine, and so is importing it in a component's own method."""
    complaints = []
    for name, tree in sources.items():
        if room(name) != "core":
            continue
        for statement in tree.body:
            typing_only = (
                isinstance(statement, ast.If) and ast.unparse(statement.test) == "TYPE_CHECKING"
            )
            if not typing_only and not isinstance(statement, ast.FunctionDef | ast.ClassDef):
                complaints += [
                    f"{name} imports {target}"
                    for target in imports(statement)
                    if target.split(".")[0] in ("loguru", "logging")
                ]
    return complaints


# Components are counted on from any thread: of threads this is all that the core knows.
CORE_MAY = {
    ("zenactors.core.statistics", "threading.RLock"),
    ("zenactors.core.phase", "threading.Lock"),  # two threads may end a phase at once
}


def core_has_no_thread(sources: Sources) -> list[str]:
    forbidden = ("threading", "queue", "socket", "select", "selectors", "os", "signal", "pykka")
    return [
        f"{name} imports {target}"
        for name, tree in sources.items()
        if room(name) == "core"
        for target in imports(tree)
        if target.split(".")[0] in forbidden and (name, target) not in CORE_MAY
    ]


@functools.cache
def complaints_about_the_package(rule: Rule) -> list[str]:
    return rule(package())


def assert_rule(rule: Rule, *, catches: Sources, allows: Sources) -> None:
    assert rule(catches), "the rule cannot fail"
    assert rule(allows) == []
    complaints = complaints_about_the_package(rule)
    assert not complaints, "\n".join(complaints)


def test_modules_import_only_from_floors_below() -> None:
    assert_rule(
        imports_only_below,
        catches=planted(
            core__chain="from zenactors.actors.engine import Engine", actors__engine=""
        ),
        allows=planted(
            actors__engine="from zenactors.core import chain\nimport zenactors.errors",
            core__chain="",
        ),
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core__chain", "from zenactors.process.signals import catch"),
        ("process__signals", "from zenactors.core.clock import Clock"),
        ("process__signals", "import zenactors.components.sinks.writers"),
        ("components__writers", "from zenactors.core.dispatch_state import Dispatch"),
        ("components__writers", "from zenactors.process import signals"),
        ("components__writers", "from zenactors.actors.dispatcher import Dispatcher"),
        ("logs__sinks", "from zenactors.daemon.zendaemon import ZenDaemon"),
        ("config__merge", "from zenactors.logs.sinks import Logs"),
        ("daemon__launch", "from zenactors.spec.assemble import load"),
        ("daemon__launch", "from zenactors.testing.harness import Harness"),
        ("testing__harness", "from zenactors.cli.simulate import main"),
        ("daemon__launch", "from zenactors.cli.main import main"),
        ("errors", "from zenactors.core.clock import Clock"),
        ("core__chain", "from zenactors import Dispatcher"),
        ("core__chain", "if TYPE_CHECKING:\n    from zenactors.actors.engine import Engine"),
        ("core__chain", "def late():\n    from zenactors.actors import engine"),
    ],
)
def test_the_floor_rule_catches(module: str, source: str) -> None:
    assert imports_only_below(planted(**{module: source}))


def test_no_import_goes_in_a_circle() -> None:
    assert_rule(
        no_cycles,
        catches=planted(
            core__a="from zenactors.core.b import x",
            core__b="from zenactors.core import c",
            core__c="if TYPE_CHECKING:\n    from zenactors.core.a import y",
        ),
        allows=planted(core__a="from zenactors.core.b import x", core__b="import queue"),
    )


def test_pykka_lives_in_actors_only() -> None:
    assert_rule(
        only_in("pykka", "actors", "testing"),
        catches=planted(daemon__zendaemon="import pykka"),
        allows=planted(actors__mailbox="import pykka"),
    )


def test_docopt_lives_on_the_command_line_only() -> None:
    assert_rule(
        only_in("docopt", "cli", "daemon.command_line"),
        catches=planted(core__chain="from docopt import docopt"),
        allows=planted(cli__main="from docopt import docopt"),
    )


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(1)",
        "from time import monotonic",
        "import time as _time\nclock = _time.perf_counter",
        "import datetime\nnow = datetime.datetime.now()",
        "from datetime import datetime\nnow = datetime.now(tz)",
    ],
)
def test_one_module_reads_the_clock(source: str) -> None:
    assert_rule(
        no_clock_but_one,
        catches=planted(core__chain=source),
        allows=planted(core__clock=source, core__chain="clock.time()\nself._clock.monotonic()"),
    )


def test_nothing_prints() -> None:
    assert_rule(
        no_print,
        catches=planted(core__chain="def f():\n    print('here')"),
        allows=planted(core__chain="console.print('here')"),
    )


def test_core_logs_nothing() -> None:
    assert_rule(
        core_does_not_log,
        catches=planted(core__chain="from loguru import logger"),
        allows=planted(
            core__component="""
                if TYPE_CHECKING:
                    from loguru import Logger
                class Component:
                    def log(self):
                        from loguru import logger
            """
        ),
    )


def test_core_has_no_thread_and_no_io() -> None:
    assert_rule(
        core_has_no_thread,
        catches=planted(core__chain="import threading"),
        allows=planted(
            core__chain="import heapq",
            core__statistics="from threading import RLock",
            actors__engine="import threading",
        ),
    )


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("core__component", "import threading"),
        ("core__component", "from threading import Thread"),
        ("core__component", "from threading import RLock, Thread"),
        ("core__chain", "from threading import RLock"),
        ("core__chain", "def late():\n    import queue"),
    ],
)
def test_of_threads_the_core_knows_one_lock(module: str, source: str) -> None:
    assert core_has_no_thread(planted(**{module: source}))


def output_of(source: str) -> str:
    result = run_python("-c", textwrap.dedent(source))
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    return result.stdout.strip()


LOOK_ROUND = """
    import logging, signal, sys, threading, warnings
    from loguru import logger

    def look():
        return (
            threading.active_count(),
            [signal.getsignal(number) for number in signal.valid_signals()],
            signal.set_wakeup_fd(-1),
            sorted(logger._core.handlers),
            list(logging.getLogger().handlers),
            sys.excepthook is sys.__excepthook__,
            threading.excepthook is threading.__excepthook__,
        )

    before = look()
    {action}
    print(look() == before)
"""


def test_importing_zenactors_has_no_side_effects() -> None:
    assert output_of(LOOK_ROUND.format(action="import zenactors")) == "True"


@pytest.mark.parametrize(
    "action",
    [
        "signal.signal(signal.SIGHUP, lambda *_: None)",
        "logger.add(sys.stderr)",
        "threading.Timer(0.5, int).start()",
    ],
)
def test_the_side_effects_are_seen(action: str) -> None:
    assert output_of(LOOK_ROUND.format(action=action)) == "False"
