"""The page on steps is true."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import zenactors.components
from tests.forked import ForkServer
from tests.running import ROOT
from zenactors.components import RecordStep
from zenactors.components.steps.batcher import Batcher

from .stepping import example_of

TEXT = (ROOT / "docs/steps.md").read_text()
BLOCKS = re.findall(r"^```(\w*)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
SNIPPETS = [text for language, text in BLOCKS if language == "toml"]
MINE = """
import pydantic

class Request(pydantic.BaseModel):
    status: int

clean = parts = target = dict
"""
STEPS = [
    value
    for name in zenactors.components.__all__
    if isinstance(value := getattr(zenactors.components, name), type)
    and issubclass(value, RecordStep | Batcher)
    and value is not RecordStep
]


def test_the_first_spec_prints_what_the_page_shows(stock_forks: ForkServer, tmp_path: Path) -> None:
    (_, spec), (_, output), *_ = BLOCKS
    (tmp_path / "failed-logins.toml").write_text(spec)
    (command,) = re.findall(r"`zenactors (run .*)`", TEXT)
    result = stock_forks.run("-m", "zenactors", *command.split(), cwd=tmp_path)

    assert (result.returncode, result.stdout) == (0, output), result.stderr


def test_all_snippets_are_components_of_one_right_spec(
    stock_forks: ForkServer, tmp_path: Path
) -> None:
    emitted = ("unique", "excess", "invalid", "batch", "broken", "alarms", "reports")
    writers = [
        f"[[component]]\nuse = 'zenactors.components:JsonLinesWriter'\nname = 'to {event}'\n"
        f"options = {{ path = '-' }}\nevents = {{ lines = '{event}' }}\n"
        for event in emitted
    ]
    text = "\n".join(["name = 'all'", *SNIPPETS[1:], *writers])
    # Two components without a name of their own would be called the same.
    parts = text.split("[[component]]\n")
    named = [
        part if re.search(r"^name = ", part, re.MULTILINE) else f"name = 'no. {number}'\n{part}"
        for number, part in enumerate(parts)
    ]
    (tmp_path / "all.toml").write_text("[[component]]\n".join(named))
    (tmp_path / "mine.py").write_text(MINE)
    result = stock_forks.run("-m", "zenactors", "check", "all.toml", cwd=tmp_path)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("cls", STEPS)
def test_every_step_has_its_paragraph_promises_and_a_short_example(cls: Any) -> None:
    assert f"zenactors.components:{cls.__name__}" in TEXT
    assert f"[`{cls.__name__}`](#" in TEXT
    promises = (
        inspect.cleandoc(cls.__doc__ or "").partition("Promises:\n")[2].partition("Args:\n")[0]
    )
    subjects = re.findall(r"^ {4}(\w+): ", promises, re.MULTILINE)
    assert subjects == ["loss", "duplicates", "order", "memory", "threads"]
    assert len(example_of(cls).splitlines()) <= 20


def test_the_list_of_steps_is_not_empty() -> None:
    assert len(STEPS) >= 11
