"""The guide to tests in a SPEC: its commands print what it shows."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.in_process import clean_process
from tests.running import LIMIT, ROOT
from tests.test_docs import Block, blocks_of
from zenactors.cli import main
from zenactors.config.options import Table
from zenactors.spec.cases import CaseTable, Content, Event, Expectations, FaultTable, Step

PAGE = ROOT / "docs/testing-a-spec.md"


def run(commands: str, capsys: pytest.CaptureFixture[str]) -> str:
    """Run the lines of a block; return what the last one prints."""
    for line in commands.splitlines():
        if line.startswith("zenactors "):
            main(shlex.split(line)[1:])
        else:
            subprocess.run(line, shell=True, check=True, timeout=LIMIT)
    return capsys.readouterr().out


def without_seeds(text: str) -> list[str]:
    """Return lines without what depends on the version of Python: the seed, and its result."""
    lines = re.sub(r"seed \d+", "seed N", text).splitlines()
    shown = [re.sub(r"got \d+$", "got N", line) for line in lines if line[4:6] not in ("+ ", "  ")]
    return [line for line in shown if line != "    …"]


def with_few_seeds(commands: Block, shown: Block) -> tuple[Block, Block]:
    """Return the same for four seeds, which say as much about the page as its twenty."""
    few = commands.text.replace(" test requests.toml", " test requests.toml --seeds 4")
    return commands._replace(text=few), shown._replace(
        text=shown.text.replace("(20 seeds)", "(4 seeds)")
    )


def test_the_commands_print_what_the_page_shows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with clean_process(tmp_path, monkeypatch):
        blocks = blocks_of(PAGE)
        text = ""
        compared = 0
        for block, shown in zip(blocks, [*blocks[1:], Block("", "", "")], strict=True):
            if block.language == "toml":
                text += f"\n{block.text}" if text else block.text
                Path("requests.toml").write_text(text)
            elif block.language == "sh":
                commands, expected = with_few_seeds(block, shown) if compared else (block, shown)
                printed = run(commands.text, capsys)
                if "careless" in block.text:
                    assert without_seeds(printed) == without_seeds(expected.text)
                else:
                    assert printed == expected.text, block.place
                compared += 1
        assert compared == 6
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            "careless.toml", "requests.toml", "wrong.toml",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("All keys", CaseTable),
        ("Events", Event),
        ("Steps", Step),
        ("Faults", FaultTable),
        ("Expectations", Expectations),
        ("Contents", Content),
    ],
)
def test_the_tables_have_all_keys(heading: str, model: type[Table]) -> None:
    section = PAGE.read_text().split(f"# {heading}\n")[1].partition("\n#")[0]
    first = [row.split("|")[1] for row in section.splitlines() if row.startswith("| `")]
    known = re.findall(r"`(\w+)`", " ".join(first))
    assert known == [key for key in model.model_fields if key != "after"]
    if model is Step:
        assert "A step has `after`" in section
