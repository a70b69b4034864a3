"""The end of a daemon whose events became dead letters: its status, report and last lines."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zenactors import ZenDaemon, ZenDaemonComponent, ZenDaemonStopException, handles
from zenactors.daemon.ending import SHOWN
from zenactors.errors import EXIT_DATA_ERROR, EXIT_OK
from zenactors.testing import Harness


class Part(ZenDaemonComponent):
    """Does what its args say."""

    @handles("do")
    def cbk_event_do(self, daemon: Any, args: Any) -> None:
        name, act = args
        if name == self.name:
            act(daemon)


def fail(_daemon: Any) -> None:
    raise ValueError("no")


def stop(_daemon: Any) -> None:
    raise ZenDaemonStopException


def leave(_daemon: Any) -> None:
    raise SystemExit(0)


def choose(status: int) -> Callable[[Any], None]:
    return lambda daemon: daemon.dispatcher.set_exit_status(status)


def end(daemon: ZenDaemon, *acts: tuple[str, Any], signals: tuple[int, ...] = ()) -> Harness:
    with Harness(daemon) as harness:
        for act in acts:
            harness.queue.schedule("do", act)
        harness.advance(1)
        for number in signals:
            harness.signal(number)
        harness.advance(1)
        harness.dead_letters()
    return harness


def daemon_of(*names: str, **options: Any) -> ZenDaemon:
    return ZenDaemon(name="d", components=[Part(name=name) for name in names], **options)


@pytest.mark.parametrize(
    ("acts", "status"),
    [
        ([], EXIT_OK),
        ([fail], EXIT_DATA_ERROR),
        ([fail, stop], EXIT_DATA_ERROR),
        ([stop], EXIT_OK),
        ([leave], EXIT_OK),  # the event that has called sys.exit() counts, but chooses
        ([fail, leave], EXIT_OK),
        ([fail, choose(0)], EXIT_OK),
        ([fail, choose(9)], 9),
    ],
)
def test_a_status_of_0_stands_for_no_dead_letters_unless_it_was_chosen(
    acts: list[Any], status: int
) -> None:
    assert end(daemon_of("a"), *(("a", act) for act in acts)).status == status


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_by_a_signal_has_the_status_too(number: int) -> None:
    later = [(1000.0, "do", ("", None))]  # keeps it running
    daemon = daemon_of("a", schedule_after=later)
    assert end(daemon, ("a", fail), signals=(number,)).status == EXIT_DATA_ERROR
    assert end(daemon_of("a", schedule_after=later), signals=(number,)).status == EXIT_OK


def test_report_and_last_lines_name_the_components_and_where_to_look() -> None:
    harness = end(daemon_of("a", "b"), ("a", fail), ("b", fail), ("b", fail))
    assert harness.report is not None
    assert harness.report.dead_letters == 3
    assert harness.report.dead_letters_of == (("b", 2), ("a", 1))
    letters, events, last = [(each.level, each.message) for each in harness.logs][-3:]
    assert events[1].startswith("Events: ")
    assert letters == (
        "WARNING",
        "Dead letters: 3 ('b': 2, 'a': 1); for the first of each component, look for 'dead letter"
        " no.' in this log",
    )
    assert last == ("INFO", "d ended with status 65, because events became dead letters")


def test_the_line_names_only_the_components_with_the_most() -> None:
    names = [f"part{number}" for number in range(SHOWN + 2)]
    harness = end(daemon_of(*names), *((name, fail) for name in names), (names[-1], fail))
    (line,) = [each.message for each in harness.logs if "Dead letters" in each.message]
    assert f"('part{SHOWN + 1}': 2, 'part0': 1, " in line
    assert "'part3': 1, and 2 more components); " in line


def test_the_runlog_says_so_too(tmp_path: Path) -> None:
    daemon = daemon_of("a", path_run=str(tmp_path), default_runlog_dir=str(tmp_path))
    end(daemon, ("a", fail))
    runlog = daemon.get_runlog(EXIT_DATA_ERROR)
    assert runlog["left"]["dead_letters_of"] == {"a": 1}
    assert runlog["result"] == "stopped in order, but not all data could be handled"
