"""A share of the costly tests: `pytest --share=1/8` runs every eighth of them, and all others.

For CI, which tests several versions of Python in one run, and must end well within half an hour.
The costly directories and modules take nine tenths of the suite's time: they start many processes
and threads, repeat a test with random cases, or look at the sources, which are the same on each
version.

Two shares have no test in common, and all of them together have all. Which tests are in a share
depends on their names alone: no commit changes what another one is tested by.
"""

from __future__ import annotations

import zlib

import pytest

COSTLY: tuple[str, ...] = (
    "tests/actors",
    "tests/attack",
    "tests/cli",
    "tests/components",
    "tests/core/test_checkpoint_flow.py",
    "tests/daemon",
    "tests/docs",
    "tests/pipelines",
    "tests/process",
    "tests/pyzenkit",
    "tests/spec",
    "tests/test_cookbook.py",
    "tests/test_cookbook_listeners.py",
    "tests/test_deploy.py",
    "tests/test_docs.py",
    "tests/test_examples.py",
    "tests/test_floors.py",
    "tests/test_guard.py",
    "tests/test_lazy.py",
    "tests/test_races.py",
    "tests/test_suite.py",
    "tests/testing",
)


def is_costly(nodeid: str) -> bool:
    """Return True if a test is one of those that are shared out."""
    return nodeid.startswith(COSTLY)


def share_of(nodeid: str, shares: int) -> int:
    """Return the number of the share that a test is in, from 0."""
    return zlib.crc32(nodeid.encode()) % shares


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--share",
        type=_share,
        metavar="N/OF",
        help="of the costly tests (tests/sharing.py), run only the share with this number, from 0",
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    chosen: tuple[int, int] | None = config.getoption("share")
    if chosen is None:
        return
    number, shares = chosen
    left = [
        item for item in items if is_costly(item.nodeid) and share_of(item.nodeid, shares) != number
    ]
    config.hook.pytest_deselected(items=left)
    gone = set(left)
    items[:] = [item for item in items if item not in gone]


def _share(text: str) -> tuple[int, int]:
    number, slash, shares = text.partition("/")
    if not slash or not 0 <= int(number) < int(shares):
        raise ValueError(text)
    return int(number), int(shares)
