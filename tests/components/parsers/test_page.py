"""The page on parsing is true: each line on it becomes the record below it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest

from tests.components.fakes import FakeDaemon
from tests.running import ROOT
from zenactors.components import Parse

PAGE = (ROOT / "docs" / "parsing.md").read_text()
FENCES = re.findall(r"^```(toml|text|json)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXAMPLES = [
    tuple(text for _, text in FENCES[number : number + 3])
    for number in range(len(FENCES) - 2)
    if [language for language, _ in FENCES[number : number + 3]] == ["toml", "text", "json"]
]
DAEMON: Any = FakeDaemon()


@pytest.mark.parametrize(("options", "line", "record"), EXAMPLES)
def test_the_line_becomes_the_record(options, line, record):
    given = tomllib.loads(options)["component"]["options"]
    text = line.removesuffix("\n")
    came = json.loads(text) if "field" in given else text

    _, records = Parse(**given).cbk_event_lines(DAEMON, [came])

    assert records == [json.loads(record)]


def test_each_format_has_an_example():
    shown = {tomllib.loads(options)["component"]["options"]["format"] for options, _, _ in EXAMPLES}
    assert shown == {*get_args(get_type_hints(Parse.__init__)["format"])}


def test_the_first_spec_runs(stock_forks, tmp_path: Path):
    (tmp_path / "spec.toml").write_text(FENCES[0][1])
    line = EXAMPLES[0][1]
    (tmp_path / "access.log").write_text(f"{line}nonsense\n")
    done = stock_forks.run("-m", "zenactors", "run", "spec.toml", "--exit-when-idle", cwd=tmp_path)

    assert done.returncode == 0, done.stderr
    (record,) = map(json.loads, (tmp_path / "requests.jsonl").read_text().splitlines())
    assert record["more"] == '0.005 - "::1"'
    assert (tmp_path / "rejects.log").read_text() == "nonsense\n"
