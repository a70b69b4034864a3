"""`zenactors new` prints a pipeline that `zenactors check` and `zenactors run` take."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.running import ROOT
from zenactors.cli import main

Capture = pytest.CaptureFixture[str]


def new(line: str, capsys: Capture) -> str:
    assert main(["new", *line.split()]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    return shown.out


def test_without_names_all_that_can_be_chosen_are_listed(capsys: Capture) -> None:
    listed = new("", capsys)
    assert main(["components"]) == 0
    assert listed == capsys.readouterr().out


def test_a_new_pipeline_passes_check_and_runs(capsys: Capture) -> None:
    text = new("--name counts FileTailer AccessLogParser Statistics JsonLinesWriter", capsys)
    assert tomllib.loads(text)["name"] == "counts"
    # As the comments say: fill in what is to be changed.
    assert '\n#start = "end"' in text
    assert "\n#path =  # string" in text
    text = text.replace('\n#start = "end"', '\nstart = "beginning"')
    write("new.toml", text.replace("\n#path =  #", '\npath = "out.jsonl"  #'))
    write("access.log", '::1 - - [10/Oct/2025:13:55:36 +0200] "GET /a HTTP/1.1" 200 5\n' * 3)

    assert main(["check", "new.toml"]) == 0
    assert main(["run", "new.toml", "--exit-when-idle", "--no-summary"]) == 0
    assert Path("out.jsonl").read_text().count('"path":"/a"') == 3


def test_a_new_pipeline_runs_as_it_is(capsys: Capture) -> None:
    write("new.toml", new("FileTailer RawWriter", capsys))
    write("access.log", "one\n")
    assert main(["run", "new.toml", "--exit-when-idle", "--no-summary"]) == 0
    assert tomllib.loads(Path("new.toml").read_text())["name"] == "pipeline"


def test_a_component_of_a_user_can_be_chosen(capsys: Capture) -> None:
    write(
        "app/louder.py",
        "from zenactors.components import RecordStep\n"
        "class Upper(RecordStep):\n"
        '    """Write in capitals."""\n'
        "    def apply(self, daemon, records):\n"
        "        return records\n",
    )
    text = new("--app-dir app FileTailer louder:Upper JsonLinesWriter", capsys)
    assert '# Upper: Write in capitals.\n[[component]]\nuse = "louder:Upper"\n' in text
    write("new.toml", text)
    assert main(["check", "--app-dir", "app", "new.toml"]) == 0


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("FileTailer RawWritr", "there is no component 'RawWritr'; did you mean 'RawWriter'?"),
        ("RawWriter FileTailer", "RawWriter is a sink: a pipeline begins with a source"),
        (
            "FileTailer Statistics",
            "a pipeline ends with a sink, such as JsonLinesWriter: add one to Statistics",
        ),
        (
            "--name a/b FileTailer RawWriter",
            "--name: must be usable in file names: without '/', got 'a/b'",
        ),
    ],
)
def test_what_is_no_pipeline_is_one_line(line: str, expected: str, capsys: Capture) -> None:
    assert main(["new", *line.split()]) == 64
    assert capsys.readouterr() == ("", f"zenactors: {expected}\n")


SPECS = [path for path in (ROOT / "examples").glob("*.toml") if "[[component]]" in path.read_text()]


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.name)
def test_an_example_that_is_shipped_is_right(path: Path, capsys: Capture) -> None:
    assert main(["check", "--app-dir", str(path.parent), str(path)]) == 0
    assert "Chains" in capsys.readouterr().out


def test_there_are_examples() -> None:
    assert ROOT / "examples/access_log.toml" in SPECS
