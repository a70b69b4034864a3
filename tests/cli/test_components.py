"""`zenactors components`: the list, an entry, JSON, and components of users."""

from __future__ import annotations

import io
import json
import sys
import tomllib

import pytest

from tests.config.sample import write
from tests.running import run_python
from zenactors.cli import main
from zenactors.spec.catalogue import stock

Capture = pytest.CaptureFixture[str]

OWN = '''
from zenactors import ZenDaemonComponent, handles

class Greeter(ZenDaemonComponent):
    """Greet a reader."""

    def __init__(self, *, word: str = "hello", **kwargs):
        super().__init__(**kwargs)

    @handles("greet")
    def cbk_event_greet(self, daemon, args):
        print("unused")
'''


def test_without_a_name_each_component_is_a_line_below_its_kind(capsys: Capture) -> None:
    assert main(["components"]) == 0

    shown = capsys.readouterr()
    assert shown.err == ""
    blocks = [block.splitlines() for block in shown.out.split("\n\n")]
    assert [block[0] for block in blocks] == ["Sources:", "Parsers:", "Steps:", "Sinks:"]
    lines = [line.split(maxsplit=1) for block in blocks for line in block[1:]]
    assert [name for name, _ in lines] == list(stock())
    assert dict(lines)["RawWriter"] == "Write the data of `Lines` exactly as it was read."


def test_a_name_shows_all_of_its_entry(capsys: Capture) -> None:
    assert main(["components", "FileTailer"]) == 0

    shown = capsys.readouterr()
    assert shown.err == ""
    head, tail = shown.out.split("\nExample, a whole SPEC:\n\n")
    lines = head.splitlines()
    assert lines[0] == "FileTailer (source)"
    assert 'use = "zenactors.components:FileTailer"' in lines
    assert "  patterns: array of strings; required" in lines
    assert '  start: "beginning" or "end"; default: "end"' in lines
    assert "  line_timeout: number; default: not set" in lines
    assert lines[lines.index("  max_line_bytes: integer; default: 102_400") + 1] == (
        "      The limit of a line."
    )
    assert "  duplicates: None in one run. With a `state_dir`, at most 2,000" in head
    assert lines[lines.index("Statistics:") + 1].startswith("  `files` opened, `blocks`")
    assert lines[lines.index("Events:") + 1 :][:2] == ["  handles: stop", "  emits: lines"]
    assert "Extra: pip install 'zenactors[inotify]'" in lines
    assert tomllib.loads(tail)["name"] == "follow"
    assert tail.splitlines()[0] == 'name = "follow"'


def test_a_list_in_a_text_keeps_its_lines(capsys: Capture) -> None:
    assert main(["components", "SyslogParser"]) == 0
    assert "\n- `host`, `app`, `pid`: texts; a `pid` need not" in capsys.readouterr().out


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("columns", "most"), [("60", 60), ("500", 100), ("10", 40)])
def test_texts_are_as_wide_as_the_terminal(
    monkeypatch: pytest.MonkeyPatch, columns: str, most: int
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["components", "FileTailer"]) == 0
    text = terminal.getvalue().partition("\nuse = ")[0]
    assert most - 15 < max(map(len, text.splitlines())) <= most


def test_json_has_all_of_an_entry(capsys: Capture) -> None:
    assert main(["components", "--json", "Statistics"]) == 0

    found = json.loads(capsys.readouterr().out)
    assert found["name"] == "Statistics"
    assert found["use"] == "zenactors.components:Statistics"
    assert found["kind"] == "step"
    assert found["options"][0] == {
        "name": "by",
        "type": "array of strings",
        "required": True,
        "default": None,
        "help": 'The keys, such as `["status", "path"]`.',
    }
    assert list(found["promises"]) == ["loss", "duplicates", "order", "memory", "threads"]
    assert found["handles"] == ["lines", "log_statistics"]
    assert found["emits"] == found["extras"] == []
    assert tomllib.loads(found["example"])["name"] == "count"


def test_json_without_a_name_has_all_components(capsys: Capture) -> None:
    assert main(["components", "--json"]) == 0
    assert [each["name"] for each in json.loads(capsys.readouterr().out)] == list(stock())


def test_a_component_of_a_user_shows_what_it_says(capsys: Capture) -> None:
    write("own.py", OWN)
    assert main(["components", "own:Greeter"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "Greeter",
        "Greet a reader.",
        "",
        'use = "own:Greeter"',
        "",
        "Options:",
        '  word: string; default: "hello"',
        "",
        "Events:",
        "  handles: greet",
        "  emits: none",
    ]


def test_app_dir_is_where_a_component_is_looked_for(capsys: Capture) -> None:
    write("app/there.py", OWN)
    assert main(["components", "there:Greeter"]) == 64
    assert main(["components", "--app-dir", "app", "there:Greeter"]) == 0
    assert capsys.readouterr().out.startswith("Greeter\n")


@pytest.mark.parametrize(
    ("line", "status", "expected"),
    [
        ("FileTailor", 64, "there is no component 'FileTailor'; did you mean 'FileTailer'?"),
        ("nothing", 64, "there is no component 'nothing'; `zenactors components` lists all"),
        ("json:dump", 64, "'json:dump' is <function dump at "),
        ("x:", 64, "'x:' is not of the form 'package.module:attribute'"),
        ("broken:X", 64, "module 'broken' cannot be imported: ZeroDivisionError: "),
        ("--app-dir none FileTailer", 78, "--app-dir '"),
    ],
)
def test_a_component_that_is_not_there_is_one_line(
    line: str, status: int, expected: str, capsys: Capture
) -> None:
    write("broken.py", "1 / 0\n")
    assert main(["components", *line.split()]) == status

    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith(f"zenactors: {expected}")
    assert shown.err.count("\n") == 1


@pytest.mark.parametrize("command", ["components", "new"])
def test_help_imports_neither_the_engine_nor_the_library(command: str) -> None:
    show = "import sys; from zenactors.cli import main; main(sys.argv[1:]); print(*sys.modules)"
    done = run_python("-c", show, command, "--help")
    assert done.returncode == 0, done.stderr
    assert "zenactors components" in done.stdout
    modules = set(done.stdout.splitlines()[-1].split())
    assert "zenactors.cli" in modules
    heavy = {"zenactors.spec", "zenactors.components", "zenactors.core.component", "pydantic"}
    assert modules & heavy == set()
