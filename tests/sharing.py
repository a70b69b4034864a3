"""A share of the costly tests: `pytest --share=1/8` runs every eighth of them, and all others.

For CI, which tests several versions of Python in one run. The costly modules took four fifths of
the suite's processor time when it was measured: they start many processes, repeat a test with
random cases, or look at the sources, which are the same on each version. With an eighth of them, a
run takes 28 % of the time and has 70 % of the tests.

Two shares have no test in common, and all of them together have all. Which tests are in a share
depends on their names alone: no commit changes what another one is tested by.
"""

from __future__ import annotations

import zlib

import pytest

COSTLY: tuple[str, ...] = (
    "tests/actors/test_asks.py",
    "tests/actors/test_tokens.py",
    "tests/attack",
    "tests/cli",
    "tests/components/parsers",
    "tests/components/sinks/test_sqlite_sink.py",
    "tests/components/sinks/test_subprocess_sink.py",
    "tests/components/sinks/test_writer_rotation.py",
    "tests/components/sources/test_directory_queue.py",
    "tests/components/sources/test_directory_queue_in_processes.py",
    "tests/components/sources/test_http_poller.py",
    "tests/components/sources/test_listeners_for_real.py",
    "tests/components/sources/test_listeners_under_attack.py",
    "tests/components/sources/test_stdin.py",
    "tests/components/sources/test_subprocess_source.py",
    "tests/components/sources/test_ticker.py",
    "tests/components/steps",
    "tests/components/test_catalogue.py",
    "tests/components/test_checkpoints.py",
    "tests/components/test_checkpoints_in_processes.py",
    "tests/components/test_tail_fairness.py",
    "tests/components/test_tail_many_files.py",
    "tests/components/test_tail_text.py",
    "tests/core/test_checkpoint_flow.py",
    "tests/daemon/test_actions.py",
    "tests/daemon/test_configured.py",
    "tests/daemon/test_configured_effects.py",
    "tests/daemon/test_encodings.py",
    "tests/daemon/test_forks.py",
    "tests/daemon/test_inherited.py",
    "tests/daemon/test_launch.py",
    "tests/daemon/test_program_name.py",
    "tests/daemon/test_signals_under_load.py",
    "tests/daemon/test_statuses.py",
    "tests/daemon/test_zendaemon.py",
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
    "tests/testing/test_best_effort.py",
    "tests/testing/test_crashes.py",
    "tests/testing/test_determinism.py",
    "tests/testing/test_files_after_crash.py",
    "tests/testing/test_ordering.py",
    "tests/testing/test_plugin.py",
    "tests/testing/test_stateful.py",
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
