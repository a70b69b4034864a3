"""The page on performance shows the recorded run, and no other."""

from __future__ import annotations

import pytest

from benchmarks.picture import picture
from benchmarks.recording import Recording
from benchmarks.tables import with_tables
from tests.running import ROOT

DOCS = ROOT / "docs"
STALE = "it is not of docs/performance.json: `make bench-picture`"


@pytest.fixture(name="recording")
def _recording() -> Recording:
    return Recording.load(DOCS / "performance.json")


def test_the_picture_is_that_of_the_recorded_run(recording: Recording) -> None:
    assert (DOCS / "performance.svg").read_text("utf-8") == picture(recording), STALE


def test_the_tables_are_those_of_the_recorded_run(recording: Recording) -> None:
    page = (DOCS / "performance.md").read_text("utf-8")
    assert with_tables(page, recording) == page, STALE


def test_the_recorded_run_is_a_whole_one_without_failures(recording: Recording) -> None:
    assert recording.environment["quick"] is False
    assert [row["case"] for row in recording.rows if row["verdict"] == "failed"] == []
