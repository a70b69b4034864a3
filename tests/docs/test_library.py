"""The page about the library: its commands do what it says."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.in_process import clean_process
from tests.running import ROOT
from zenactors.cli import main
from zenactors.spec.catalogue import stock

Capture = pytest.CaptureFixture[str]

PAGE = (ROOT / "docs/library.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
GREETER = "from zenactors import ZenDaemonComponent\nclass Greeter(ZenDaemonComponent): pass\n"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with clean_process(tmp_path, monkeypatch):
        write("access.log", '::1 - - [10/Oct/2025:13:55:36 +0200] "GET /a HTTP/1.1" 200 5\n')
        write("mypackage/parts.py", GREETER)
        write("shop.py", next(text for language, text in BLOCKS if language == "python"))
        yield


def test_its_commands_work(capsys: Capture) -> None:
    lines = [
        shlex.split(line, comments=True)
        for language, text in BLOCKS
        if language == "sh"
        for line in text.splitlines()
    ]
    assert len(lines) >= 10
    for program, command, *words in lines:
        assert program == "zenactors"
        arguments, _, output = " ".join(words).partition(" > ")
        idle = ["--exit-when-idle"] * (command == "run" and "--exit-when-idle" not in arguments)
        assert main([command, *arguments.split(), *idle]) == 0, (command, words)
        shown = capsys.readouterr()
        if output:
            write(output, shown.out)
            assert main(["check", output]) == 0
        if words[:1] == ["FileTailer"] and command == "components":
            write("follow.toml", shown.out.partition("a whole SPEC:\n")[2])
    assert Path("copy.log").read_bytes() == Path("access.log").read_bytes()


@pytest.mark.parametrize("name", stock())
def test_every_component_is_a_choice(name: str) -> None:
    choices = PAGE.partition("\n## Choose\n")[2].partition("\n## ")[0]
    assert f"`{name}`" in choices


def test_the_part_of_a_new_pipeline_is_one(capsys: Capture) -> None:
    assert main(["new", "FileTailer", "Statistics", "JsonLinesWriter"]) == 0
    (part,) = [text for language, text in BLOCKS if language == "toml"]
    assert part in capsys.readouterr().out


def test_the_component_of_a_reader_is_in_the_catalogue(capsys: Capture) -> None:
    assert main(["components", "shop:AddTotal"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("AddTotal (step)\nAdd up the price of each order.\n")
    assert "  tax: number; default: 0.19\n      The tax, as a part of the price.\n" in shown
