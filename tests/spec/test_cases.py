"""`[[tests]]` of a SPEC: every mistake is one line, also for a command that does not run them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.spec.sample import SINK, SOURCE
from zenactors import spec

HEAD = f"name = 'x'\n{SOURCE}options = {{pattern = 'a'}}\n{SINK}[[tests]]\nname = 't'\n"
LINE = HEAD.count("\n") + 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("stub = ['Sink']", "unknown key 'stub'; did you mean 'stubs'?"),
        ("seeds = 0", "key 'seeds': input should be greater than or equal to 1, got 0"),
        ("seconds = -1", "key 'seconds': input should be greater than or equal to 0, got -1"),
        ("kills = '1'", "key 'kills': expected int, got '1'"),
        ("files = {a = 1}", "key 'files.a': expected str, got 1"),
        ("files = ['a']", "key 'files': expected a table, got ['a']"),
        ("stubs = ['Snk']",
         "key 'stubs': no component is called 'Snk'; did you mean 'Sink'?"),
        ("events = [{}]", "key 'events.0.event' is missing; it must be given"),
        ("events = ['line']", "key 'events.0': expected a table, got 'line'"),
        ("events = [{event = 'lnie'}]",
         "key 'events.0': no component handles event 'lnie'; did you mean 'line'?"),
        ("events = [{event = 'line', args = 1, lines = 'a'}]",
         "key 'events.0': 'args' and 'lines' are two ways to give its args; leave out one, got"
         " {'event': 'line', 'args': 1, 'lines': 'a'}"),
        ("steps = 3", "key 'steps': expected a list of tables, got 3"),
        ("steps = [{afer = 1}]", "unknown key 'steps.0.afer'; did you mean 'after'?"),
        ("steps = [{after = -1}]",
         "key 'steps.0.after': input should be greater than or equal to 0, got -1"),
        ("steps = [{append = {a = 'b'}, remove = ['x']}]",
         "key 'steps.0': a step has one action, not 'append' and 'remove'; make a step of each, got"
         " {'append': {'a': 'b'}, 'remove': ['x']}"),
        ("steps = [{signal = 'SIGHUB'}]",
         "key 'steps.0.signal': must be the name of a signal; did you mean 'SIGHUP'?, got"
         " 'SIGHUB'"),
        ("steps = [{restart = 'kil'}]",
         "key 'steps.0.restart': expected one of 'stop', 'kill', 'power failure', got 'kil'; did"
         " you mean 'kill'?"),
        ("steps = [{events = [{event = 'lnie'}]}]",
         "key 'steps.0.events.0': no component handles event 'lnie'; did you mean 'line'?"),
        ("faults = [{fault = 'crsh'}]",
         "key 'faults.0.fault': expected one of 'crash', 'delay', 'clock jump', 'kill',"
         " 'power failure', 'short write', 'lost sync', got 'crsh'; did you mean 'crash'?"),
        ("faults = [{fault = 'crash', nht = 1}]",
         "unknown key 'faults.0.nht'; did you mean 'nth'?"),
        ("expect = {fils = {}}", "unknown key 'expect.fils'; did you mean 'files'?"),
        ("expect = {exit_status = 'ok'}", "key 'expect.exit_status': expected int, got 'ok'"),
        ("expect = {files = {a = [1]}}",
         "key 'expect.files.a': must be a text, a list of lines or of records, or a table, got"
         " [1]"),
        ("expect = {files = {a = {lins = []}}}",
         "unknown key 'expect.files.a.lins'; did you mean 'lines'?"),
        ("expect = {files = {a = {lines = [], text = 'x'}}}",
         "key 'expect.files.a': 'text' and 'lines' are two ways to say it; leave out one, got"
         " {'lines': [], 'text': 'x'}"),
        ("expect = {files = {a = {exists = false, count = 1}}}",
         "key 'expect.files.a': a file that must not exist has no content; leave out the other"
         " keys, got {'exists': False, 'count': 1}"),
        ("expect = {received = {Snk = []}}",
         "key 'expect.received': no component is called 'Snk'; did you mean 'Sink'?"),
        ("expect = {received = {Sink = []}}",
         "key 'expect.received': 'Sink' is no stub, and only stubs record what they receive; add"
         " it: stubs = ['Sink']"),
        ("expect = {statistics = {Snk = {a = 1}}}",
         "key 'expect.statistics': no component is called 'Snk'; did you mean 'Sink'?"),
    ],
)  # fmt: skip
def test_a_mistake_in_a_test_is_named_with_its_line(
    problems_of: Callable[[str], list[str]], text: str, expected: str
) -> None:
    assert problems_of(HEAD + text) == [f"x.toml:{LINE}: test 1 (t): {expected}"]


def test_all_mistakes_are_named_and_each_at_its_own_line(
    problems_of: Callable[[str], list[str]],
) -> None:
    text = f"{HEAD}steps = [\n  {{after = 1}},\n  {{after = 'x'}},\n]\n[tests.expect]\nlgo = []\n"
    assert problems_of(text) == [
        f"x.toml:{LINE + 2}: test 1 (t): key 'steps.1.after': expected float, got 'x'",
        f"x.toml:{LINE + 5}: test 1 (t): unknown key 'expect.lgo'; did you mean 'log'?",
    ]


def test_names_are_there_and_differ(problems_of: Callable[[str], list[str]]) -> None:
    assert problems_of(f"{HEAD}[[tests]]\nname = 't'\n") == [
        f"x.toml:{LINE + 1}: test 2 (t): key 'name': test 1 has this name, too; give it another"
    ]
    assert problems_of(f"{HEAD}[[tests]]\nseeds = 3\n") == [
        f"x.toml:{LINE}: test 2: key 'name' is missing; it must be given"
    ]


def test_tests_that_are_no_tables_are_refused(problems_of: Callable[[str], list[str]]) -> None:
    assert problems_of(f"name = 'x'\ntests = 'none'\n{SINK}") == [
        "x.toml:2: key 'tests': expected list[dict[str, typing.Any]], got 'none'"
    ]


def test_tests_change_nothing_of_the_daemon(load_text: Callable[[str], Any]) -> None:
    daemon = load_text(f"{HEAD}[tests.expect.files]\na = 'text'\n")
    assert [str(component) for component in daemon.components] == ["source", "Sink"]
    assert "tests" not in daemon.config


def test_the_tests_know_their_places(app: Path) -> None:
    write(app / "x.toml", f"{HEAD}faults = [\n  {{fault = 'crash'}},\n]\n")
    _, cases = spec.load_with_tests("x.toml", app)
    (case,) = cases
    assert case.table.name == "t"
    assert case.place(()) == f"x.toml:{LINE - 2}"
    assert case.place(("faults", 0)) == f"x.toml:{LINE + 1}"


def test_an_object_has_no_tests(app: Path) -> None:
    daemon, cases = spec.load_with_tests("parts:make", app)
    assert daemon.name == "made"
    assert cases == []


def test_lines_become_bytes_and_args_are_new_each_time(app: Path) -> None:
    events = (
        "events = [{event = 'line', lines = \"a\\n\\nb\\n\"}, {event = 'line', lines = ['ä']},"
        " {event = 'line', args = [{a = [1]}]}, {event = 'line'}]"
    )
    write(app / "x.toml", f"{HEAD}{events}\n")
    (case,) = spec.load_with_tests("x.toml", app)[1]
    first, second, third, fourth = case.table.events
    assert first.arguments() == [b"a", b"", b"b"]
    assert second.arguments() == ["ä".encode()]
    assert fourth.arguments() is None
    args = third.arguments()
    assert args == [{"a": [1]}]
    args[0]["a"].append(2)
    assert third.arguments() == [{"a": [1]}]
