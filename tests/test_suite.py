"""Rules for the tests themselves: none of them sleeps, not even in disguise.

As in `test_floors`, a rule is a function from parsed sources to complaints. One test applies all
rules to the suite, which is parsed only once for it; the others show on planted sources that each
rule can fail. Programs that tests run are sources too: files, and strings that parse as Python.
"""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeGuard

import pytest

TESTS = Path(__file__).parent
PLANTED = {"test_floors.py", "test_suite.py"}  # rules read their strings; nothing runs them

SHORT = 1.0  # seconds: a shorter wait may end before its fact, so it is a sleep, not a deadline
WAITS = {"wait", "join", "select"}  # their first argument is the time-out
TIMED = {*WAITS, "wait_for", "get", "acquire", "result"}  # their time-out may be `timeout=`
HARNESS = "testing/"  # a daemon's wait takes virtual time there
PASSIVE = {"wait", "is_set", "clear"}  # methods that never set an event

Sources = dict[str, ast.Module]
Rule = Callable[[Sources], list[str]]


@functools.cache
def nodes(tree: ast.AST) -> list[ast.AST]:
    """Return a tree's nodes, outer ones first."""
    return [*ast.walk(tree)]


def suite() -> Sources:
    sources: Sources = {}
    for path in sorted(TESTS.rglob("*.py")):
        name = str(path.relative_to(TESTS))
        tree = sources[name] = ast.parse(path.read_text(), name)
        for node in strings(tree) if name in PLANTED else ():
            node.value = ""
        sources |= programs(name, tree)
    return sources


@pytest.fixture(scope="module", autouse=True)
def forget_the_suite() -> Iterator[None]:
    """Free the parsed sources: the garbage collector takes a second to look at so many objects."""
    yield
    nodes.cache_clear()


def strings(tree: ast.AST) -> Iterator[ast.Constant]:
    for node in nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node


def programs(name: str, tree: ast.Module) -> Sources:
    """Return the strings in a source that are Python programs: they call or import something."""
    found = {}
    for node in strings(tree):
        text = str(node.value)
        if "(" not in text and "import" not in text:
            continue
        try:
            program = ast.parse(textwrap.dedent(text))
        except (SyntaxError, ValueError):
            continue
        doing = ast.Call | ast.Import | ast.ImportFrom
        if any(isinstance(each, doing) for each in nodes(program)):
            found[f"{name}, string in line {node.lineno}"] = program
    return found


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str]]:
    """Yield each call and the last name in it: `wait` of `self.gate.wait()`."""
    for node in nodes(tree):
        if isinstance(node, ast.Call):
            yield node, last_name(node.func)


def last_name(node: ast.AST) -> str:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def complaint(name: str, node: ast.expr) -> str:
    return f"{name}:{node.lineno}: {ast.unparse(node)}"


def no_sleep_by_name(sources: Sources) -> list[str]:
    """No source mentions `sleep`, of any module, or a timer, which sleeps in a thread."""
    found = []
    for name, tree in sources.items():
        for node in nodes(tree):
            if isinstance(node, ast.ImportFrom):
                found += [
                    f"{name}:{node.lineno}: from {node.module} import {alias.name}"
                    for alias in node.names
                    if alias.name == "sleep" or (node.module, alias.name) == ("threading", "Timer")
                ]
            elif is_read(node) and (last_name(node) == "sleep" or is_timer(node)):
                found.append(complaint(name, node))
    return found


def is_read(node: ast.AST) -> TypeGuard[ast.Attribute | ast.Name]:
    return isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Load)


def is_timer(node: ast.expr) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and node.attr == "Timer"
        and last_name(node.value) == "threading"
    )


def no_sleep_in_a_shell(sources: Sources) -> list[str]:
    found = []
    for name, tree in sources.items():
        found += [
            complaint(name, node)
            for node in strings(tree)
            if re.search(r"\bsleep +[\d.]", str(node.value))
        ]
        found += [
            complaint(name, node)
            for node in nodes(tree)
            if isinstance(node, ast.List)
            and node.elts
            and isinstance(node.elts[0], ast.Constant)
            and node.elts[0].value == "sleep"
        ]
    return found


def no_short_wait(sources: Sources) -> list[str]:
    """No test waits for a moment. A wait of zero seconds only looks."""
    found = []
    for name, tree in sources.items():
        for node, called in calls(tree):
            seconds = [each.value for each in node.keywords if each.arg == "timeout"]
            if called in WAITS:
                seconds += node.args[:1]
            if name.startswith(HARNESS) and ast.unparse(node.func) == "daemon.wait":
                continue
            if called in TIMED and any(is_short(each) for each in seconds):
                found.append(complaint(name, node))
    return found


def is_short(node: ast.expr) -> bool:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, int | float):
        return False
    return 0 < node.value < SHORT


def no_wait_for_an_event_that_is_never_set(sources: Sources) -> list[str]:
    """Waiting for an event that no code sets, and a `select` of nothing, are sleeps."""
    found = []
    for name, tree in sources.items():
        unset = events(tree) - {each for each, use in uses(tree) if use not in PASSIVE}
        for node, called in calls(tree):
            if called == "wait" and isinstance(node.func, ast.Attribute):
                waited_for = node.func.value
                fresh = isinstance(waited_for, ast.Call) and is_event(waited_for)
                if fresh or last_name(waited_for) in unset:
                    found.append(complaint(name, node))
            elif called == "select" and len(node.args) > 3 and all(map(is_empty, node.args[:3])):
                found.append(complaint(name, node))
    return found


def is_event(node: ast.expr | None) -> bool:
    return isinstance(node, ast.Call) and last_name(node.func) in ("Event", "Condition")


def is_empty(node: ast.expr) -> bool:
    return isinstance(node, ast.List | ast.Tuple) and not node.elts


def events(tree: ast.AST) -> set[str]:
    """Return the names that events are assigned to."""
    return {
        last_name(target)
        for node in nodes(tree)
        if isinstance(node, ast.Assign | ast.AnnAssign) and is_event(node.value)
        for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
    } - {""}


def uses(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Yield each use of a name, with the attribute that is looked up in it, or ""."""
    looked_up = set()
    for node in nodes(tree):
        if isinstance(node, ast.Attribute):
            looked_up.add(node.value)
            yield last_name(node.value), node.attr
        if is_read(node) and node not in looked_up:
            yield last_name(node), ""


def no_polling(sources: Sources) -> list[str]:
    """No loop yields the processor until a fact is true: a test waits for a notification."""
    return [
        complaint(name, node)
        for name, tree in sources.items()
        for loop in nodes(tree)
        if isinstance(loop, ast.While)
        for node, called in calls(loop)
        if called == "sched_yield"
    ]


RULES: list[Rule] = [
    no_sleep_by_name,
    no_sleep_in_a_shell,
    no_short_wait,
    no_wait_for_an_event_that_is_never_set,
    no_polling,
]


def test_the_suite_keeps_the_rules() -> None:
    sources = suite()
    assert len(sources) > 100
    complaints = [each for rule in RULES for each in rule(sources)]
    assert not complaints, "\n".join(complaints)


def assert_rule(rule: Rule, *, catches: str, allows: str) -> None:
    assert rule in RULES
    assert rule({"planted": ast.parse(catches)}), "the rule cannot fail"
    assert rule({"planted": ast.parse(allows)}) == []


@pytest.mark.parametrize(
    "source",
    [
        "import time\ntime.sleep(0)",
        "from time import sleep as rest",
        "async def test():\n    await asyncio.sleep(1)",
        "wait_until(fact, pause=time.sleep)",
        "self.clock.sleep(1)",
        "threading.Timer(0.1, gate.open).start()",
        "from threading import Timer",
    ],
)
def test_nothing_sleeps(source: str) -> None:
    assert_rule(
        no_sleep_by_name,
        catches=source,
        allows="import time\ntime.monotonic()\ncomponent.sleeper(1)\nsleep = 'sleep'",
    )


@pytest.mark.parametrize("source", ["run(['sleep', '5'])", "run('x & sleep 0.5; kill $!')"])
def test_no_shell_sleeps(source: str) -> None:
    assert_rule(
        no_sleep_in_a_shell, catches=source, allows="run(['kill', 'sleep'])\nname = 'sleep'"
    )


@pytest.mark.parametrize(
    "source",
    [
        "pause.wait(0.002)",
        "pause.wait(timeout=0.002)",
        "thread.join(0.05)",
        "selector.select(0.1)",
        "queue.get(timeout=0.1)",
        "lock.acquire(timeout=0.1)",
    ],
)
def test_no_test_waits_for_a_moment(source: str) -> None:
    assert_rule(
        no_short_wait,
        catches=source,
        allows="seen.wait(DEADLINE)\nthread.join(5.0)\nseen.wait(0.0)\n''.join(a)\nd.get(0.5)",
    )


def test_under_the_harness_a_daemon_may_wait_for_a_moment() -> None:
    tree = ast.parse("daemon.wait(0.1)")
    assert no_short_wait({"testing/test_harness.py": tree}) == []
    assert no_short_wait({"daemon/program.py": tree})
    assert no_short_wait({"testing/test_harness.py": ast.parse("thread.join(0.1)")})


@pytest.mark.parametrize(
    "source",
    [
        "threading.Event().wait(60)",
        "Event().wait()",
        "pause: Event = threading.Event()\nassert not pause.wait(LONG)",
        "self.pause = Event()\nself.pause.clear()\nwhile not self.pause.wait(LONG): look()",
        "select.select([], [], [], 60)",
        "select.select((), (), (), LONG)",
    ],
)
def test_every_event_that_is_waited_for_can_be_set(source: str) -> None:
    assert_rule(
        no_wait_for_an_event_that_is_never_set,
        catches=source,
        allows="""
seen = threading.Event()
call_later(seen.set)
seen.wait(5)
self.opened = threading.Event()
gate.opened.set()
self.opened.wait(5)
given = threading.Event()
start(done=given)
given.wait(5)
select.select([fd], [], [], 5)
daemon.wait(60)
""",
    )


def test_nothing_polls() -> None:
    assert_rule(
        no_polling,
        catches="while not fact():\n    os.sched_yield()",
        allows="for _ in range(100):\n    os.sched_yield()\nwhile not fact():\n    wait(seconds)",
    )


def test_strings_that_are_programs_are_checked_too() -> None:
    test = ast.parse(
        '''
STUCK = """
    import time
    time.sleep(600)
"""
run("-c", "from time import sleep; sleep(1)")
say("time to sleep")
'''
    )
    assert len(no_sleep_by_name(programs("test.py", test))) == 3
