"""Programs for pyzenkit 0.67 run unchanged, but for imports, and behave the same.

Where pyzenkit is installed (the extra `bench`), the same programs also run under it. Its loop is
driven without its `run()`, which would detach. Its time is the test's clock: its waits, which
are rounded up to whole seconds, take no time.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.daemon import pyzenkit_program
from tests.forked import ForkServer
from tests.policies import OTHER, STOPS
from tests.running import LIMIT, ROOT
from zenactors import (
    FLAG_CONTINUE,
    FLAG_STOP,
    ZenDaemon,
    ZenDaemonComponent,
    ZenDaemonComponentException,
    ZenDaemonStopException,
    handles,
)
from zenactors.errors import EXIT_FAILURE, EXIT_NOT_RUNNING, EXIT_OK
from zenactors.testing import Harness

PROGRAM = Path(pyzenkit_program.__file__)


# --- pyzenkit beside it -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """Return the program as it was: `pyzenkit_program` with pyzenkit's imports."""
    pytest.importorskip("pyzenkit.zendaemon", reason="pyzenkit is an extra: pip install .[bench]")
    source, found = re.subn(
        r"^from zenactors ", "from pyzenkit.zendaemon ", PROGRAM.read_text(), flags=re.M
    )
    assert found == 1, "more than one import changes"
    path = tmp_path_factory.mktemp("original") / "program_as_it_was.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location("program_as_it_was", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class PyzenkitClock:
    """Replaces the module `time` in pyzenkit."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def time(self) -> float:
        return self.now


RunPyzenkit = Callable[..., Any]


@pytest.fixture(scope="module")
def run_pyzenkit(original: ModuleType) -> Iterator[RunPyzenkit]:
    """Return a function that runs a pyzenkit daemon's loop to its end and returns the daemon."""
    zendaemon = importlib.import_module("pyzenkit.zendaemon")

    clock = PyzenkitClock()

    class Driven(zendaemon.ZenDaemon):  # type: ignore[misc, name-defined]
        def __init__(self, components, **kwargs):
            # Not super().__init__(), which reads the command line of the test run.
            self.name = "driven"
            self.config = {self.CONFIG_STATS_INTERVAL: 5, self.CONFIG_WORK_DIR: "/", self.CORE: {}}
            self.paths = {"var": "/var"}
            self.logger = logging.getLogger("original")
            self.retc = 0
            self.flag_loop_done = 0
            self.queue = zendaemon.EventQueueManager()
            self.components = []
            self.callbacks = {}
            self._init_callbacks()
            self._init_components(components=components)
            self.queue.schedule(self.EVENT_START)
            self._init_schedule(**kwargs)
            self._sub_stage_setup()

        def _daemonize(self):
            pass

        def wait(self, period):
            clock.now += max(period, 0)

    def run(components: list[Any], **kwargs: Any) -> Any:
        daemon = Driven(components, **kwargs)
        daemon._sub_stage_process()
        return daemon

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(zendaemon, "time", clock)
        yield run


def run_here(components: list[Any], **options: Any) -> tuple[ZenDaemon, int | None]:
    """Run the same here, in virtual time; return the daemon and its exit status."""
    daemon = ZenDaemon(
        name="driven",
        components=components,
        ordering="global",
        policy=OTHER,
        supervision=STOPS,
        stats_interval=0,
        **options,
    )
    with Harness(daemon) as harness:
        status = harness.run()
        harness.dead_letters()  # so they are read; the status reports the error
    return daemon, status


# --- the same program under both ----------------------------------------------------------------


def fetched(program: ModuleType, items: list[str]) -> list[Any]:
    return [
        program.FetcherDaemonComponent(items=items),
        program.FilterDaemonComponent(max_length=2),
        program.StorageDaemonComponent(),
    ]


def done_by(components: list[Any]) -> list[Any]:
    fetcher, _filter, storage = components
    return [
        fetcher.items,
        storage.stored,
        storage.written,
        *(component.statistics_cur for component in components),
    ]


def test_components_of_a_pyzenkit_program_run_unchanged() -> None:
    components = fetched(pyzenkit_program, ["a", "ccc", "bb"])
    _, status = run_here(components)
    assert status == EXIT_OK
    assert done_by(components) == [
        [],
        ["a", "bb"],
        [("at once", ["a"])],  # the stop does not wait for the event for later
        {"cnt_fetched": 3, "cnt_bytes": 6},
        {"cnt_too_long": 1},
        {"fetcher|filter|storage": 2, "cnt_written": 1},
    ]


@pytest.mark.parametrize(
    "items", [["a", "bb", "ccc"], ["ccc"], ["a"] * 20, ["long", "a", "longer"]]
)
def test_components_do_the_same_as_under_pyzenkit(
    original: ModuleType, run_pyzenkit: RunPyzenkit, items: list[str]
) -> None:
    before = fetched(original, items)
    daemon = run_pyzenkit(before)
    after = fetched(pyzenkit_program, items)
    _, status = run_here(after)
    assert done_by(after) == done_by(before)
    assert status == daemon.retc


def test_the_names_mean_the_same(original: ModuleType) -> None:
    assert pyzenkit_program.describe_queue() == original.describe_queue()
    assert pyzenkit_program.describe_errors() == original.describe_errors()
    assert pyzenkit_program.describe_statistics() == original.describe_statistics()
    assert pyzenkit_program.describe_limits() == original.describe_limits()
    there = vars(original.ZenDaemon) | vars(original.ZenDaemon.__mro__[1])
    expected_names = {
        name: value
        for name, value in there.items()
        if name.startswith(("FLAG_", "EVENT_", "CORE", "PATH_", "CONFIG_"))
        # For its scripts and plugins, not its daemons; and a switch that is not needed here.
        and name not in {"CONFIG_PLUGINS", "CONFIG_INPUT", "CONFIG_LIMIT", "FLAG_DEBUG"}
    }
    assert {name: getattr(ZenDaemon, name) for name in expected_names} == expected_names


EVENTS = ("x", "y", "z")
ORDER = st.tuples(st.sampled_from(["schedule", "schedule_next"]), st.sampled_from(EVENTS))
ANSWER = st.tuples(
    st.booleans(),
    st.lists(ORDER, max_size=2),
    st.sampled_from([FLAG_CONTINUE, FLAG_CONTINUE, FLAG_STOP]),
)
# The first component handles them all: an event without a callback would be an error.
TABLES = st.tuples(
    st.fixed_dictionaries(dict.fromkeys(EVENTS, ANSWER)),
    st.dictionaries(st.sampled_from(EVENTS), ANSWER),
    st.dictionaries(st.sampled_from(EVENTS), ANSWER),
)


def ordered(program: ModuleType, tables: tuple[dict[str, Any], ...], seen: list[Any]) -> list[Any]:
    return [
        program.OrdersComponent(label, table, seen=seen, name=f"orders-{label}")
        for label, table in enumerate(tables)
    ]


@settings(max_examples=60)
@given(TABLES, st.lists(st.sampled_from(EVENTS), min_size=1, max_size=3))
def test_random_chains_run_in_pyzenkits_order(
    original: ModuleType,
    run_pyzenkit: RunPyzenkit,
    tables: tuple[dict[str, Any], ...],
    first: list[str],
) -> None:
    schedule = [(event, 3) for event in first]
    before: list[Any] = []
    run_pyzenkit(ordered(original, tables, before), schedule=schedule)
    after: list[Any] = []
    run_here(ordered(pyzenkit_program, tables, after), schedule=schedule)
    assert after == before


# --- the whole program, as a process ------------------------------------------------------------


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return the root directory of the program, with the directories that it expects."""
    (tmp_path / "tmp").mkdir()
    for directory in (tmp_path, tmp_path / "tmp"):
        directory.chmod(0o755)
    return tmp_path


Program = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def program(forks: ForkServer, root: Path) -> Program:
    """Return a function that runs a program, by default that of this module, to its end."""

    def run(*options: str, path: Path = PROGRAM) -> subprocess.CompletedProcess[str]:
        return forks.run(path, *options, cwd=root, APP_ROOT_PATH=str(root))

    return run


def test_a_pyzenkit_program_runs_from_beginning_to_end(root: Path, program: Program) -> None:
    done = program("--log-file", "tmp/collector.log")
    assert done.returncode == EXIT_OK, done.stderr
    assert done.stdout == ""
    log = (root / "tmp/collector.log").read_text()
    for said in (
        "[STATUS] Component 'fetcher': 3 items",
        "Component 'fetcher': Starting the daemon",
        "Component 'fetcher': nothing left",
        "Component 'fetcher': stopping, 0 items left",
    ):
        assert said in log
    assert not (root / "tmp/collector.py.pid").exists()
    (runlog,) = (root / "tmp/collector.py").glob("*.runlog")
    statistics = json.loads(runlog.read_text())["statistics"]
    assert statistics["FetcherDaemonComponent"]["cnt_fetched"]["cnt"] == 3
    assert statistics["StorageDaemonComponent"]["fetcher|filter|collector.py|storage"]["cnt"] == 2


def test_its_own_action_does_the_same(original: ModuleType, root: Path, program: Program) -> None:
    here = program("--action", "hello")
    there = program("--action", "hello", path=Path(str(original.__file__)))
    assert here.returncode == there.returncode == EXIT_OK, here.stderr + there.stderr
    assert here.stdout == there.stdout == f"Hello from collector.py in {root}/tmp/x\n"


def test_its_actions_and_options_are_in_the_help(program: Program) -> None:
    done = program("--help")
    assert done.returncode == EXIT_OK
    assert "collector.py - fetches, filters and stores" in done.stdout
    assert re.search(r"^  hello +Say hello\.$", done.stdout, re.M)


def test_pyzenkits_options_are_accepted(root: Path, program: Program) -> None:
    (root / "conf.d").mkdir(mode=0o755)
    (root / "my.conf").write_text('# as it was\n{\n    // both kinds\n    "stats_interval": 7\n}\n')
    for path in (root / "my.conf", root / "conf.d"):
        path.chmod(path.stat().st_mode & ~0o022)
    options = (
        "--config-file=my.conf --config-dir=conf.d --config-file-silent --config-dir-silent"
        " --name=other --user=0 --group=0 --log-file=x.log --log-level=info --pid-file=x.pid"
        " --state-file=x.state --chroot-dir=/ --work-dir=/ --umask=0o022 --paralel --no-daemon"
        " --action=config-view --debug --verbose"
    )
    done = program(*options.split())
    assert done.returncode == EXIT_OK, done.stderr
    assert re.search(r"^stats_interval +7(\.0)? +\S*my\.conf:4$", done.stdout, re.M), done.stdout


# --- how it ends --------------------------------------------------------------------------------


class EndingComponent(ZenDaemonComponent):
    """Does one thing in its callback."""

    accepts_any_option = True

    def __init__(self, act: Callable[[Any], Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act

    def get_events(self) -> list[Any]:
        return [{"event": "act", "callback": self.cbk_event_act, "prepend": False}]

    def cbk_event_act(self, daemon: Any, args: Any = None) -> Any:
        return self.act(daemon)


def fail(cause: BaseException) -> Any:
    raise cause


ENDINGS: dict[str, tuple[Callable[[Any], Any], int]] = {
    "raises": (lambda _: fail(ValueError("bad")), EXIT_FAILURE),
    "raises-pyzenkits-own": (lambda _: fail(ZenDaemonComponentException("bad")), EXIT_FAILURE),
    "returns-none": (lambda _: None, EXIT_FAILURE),
    "returns-flag": (lambda d: d.FLAG_CONTINUE, EXIT_FAILURE),
    "returns-three": (lambda d: (d.FLAG_CONTINUE, 1, 2), EXIT_FAILURE),
    "unknown-event": (
        lambda d: (d.queue.schedule("unhandled"), (d.FLAG_CONTINUE, None))[1],
        EXIT_FAILURE,
    ),
    "stop-exception": (lambda _: fail(ZenDaemonStopException("enough")), EXIT_OK),
    "set-done": (lambda d: (d.set_done(), (d.FLAG_CONTINUE, None))[1], EXIT_OK),
    "terminate": (
        lambda d: (d.queue.schedule("terminate"), (d.FLAG_CONTINUE, None))[1],
        EXIT_OK,
    ),
    "flag-true": (lambda _: (True, None), EXIT_OK),
    "flag-none": (lambda _: (None, None), EXIT_OK),
    "flag-other": (lambda _: (2, None), EXIT_OK),
    "list": (lambda d: [d.FLAG_CONTINUE, None], EXIT_OK),
    "nothing-left": (lambda d: (d.FLAG_CONTINUE, None), EXIT_OK),
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_status_is_pyzenkits(ending: str) -> None:
    act, expected = ENDINGS[ending]
    _, status = run_here([EndingComponent(act)], schedule=[("act",)])
    assert status == expected


@pytest.mark.parametrize("ending", ENDINGS)
def test_pyzenkit_ends_with_that_status(run_pyzenkit: RunPyzenkit, ending: str) -> None:
    own_stop = importlib.import_module("pyzenkit.zendaemon").ZenDaemonStopException
    as_it_was = {"stop-exception": (lambda _: fail(own_stop("enough")), EXIT_OK)}
    act, expected = {**ENDINGS, **as_it_was}[ending]
    daemon = run_pyzenkit([EndingComponent(act)], schedule=[("act",)])
    assert daemon.retc == expected


class PatientComponent(ZenDaemonComponent):
    """Has one thing to do, in an hour."""

    def get_events(self) -> list[Any]:
        return [self.gen_event_handler("work", self.cbk_event_work)]

    def cbk_event_work(self, daemon: Any, args: Any = None) -> Any:
        daemon.queue.schedule_after(3600, "work")
        return (daemon.FLAG_CONTINUE, args)


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM]], ids=str)
def test_a_stop_that_signals_ask_for_has_status_0(numbers: list[int]) -> None:
    daemon = ZenDaemon(
        name="driven",
        components=[PatientComponent()],
        ordering="global",
        policy=OTHER,
        schedule=[("work",)],
    )
    with Harness(daemon) as harness:
        harness.advance(7200)
        for harmless in (signal.SIGALRM, signal.SIGHUP):
            harness.signal(harmless)
        harness.run_until_idle()
        assert harness.status is None
        for number in numbers:
            harness.signal(number)
        assert harness.run() == EXIT_OK


# --- the daemon for components and programs ----------------------------------------------------


class NotingComponent(ZenDaemonComponent):
    """Records its arguments, and the time."""

    accepts_any_option = True

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.noted: list[Any] = []

    def get_events(self) -> list[Any]:
        return [{"event": "note", "callback": self.cbk_event_note}]  # without `prepend`

    def cbk_event_note(self, daemon: Any, args: Any = None) -> Any:
        self.noted.append((args, self.clock.monotonic()))
        return (daemon.FLAG_CONTINUE, args)


def test_initial_events_come_in_pyzenkits_order() -> None:
    component = NotingComponent()
    daemon = ZenDaemon(
        name="driven",
        components=[component],
        ordering="global",
        policy=OTHER,
        schedule=[("start",), ("note", "schedule"), ("note",)],
        schedule_next=[("note", "next"), ("note", "very next")],
        schedule_at=[(1, "note", "at")],
        schedule_after=[(30, "note", "after")],
        stats_interval=0,  # otherwise its statistics keep it running, as in pyzenkit
    )
    with Harness(daemon) as harness:
        assert harness.run() == EXIT_OK
    begin = component.noted[0][1]
    assert [(args, moment - begin) for args, moment in component.noted] == [
        ("at", 0),
        ("very next", 0),
        ("next", 0),
        ("schedule", 0),
        (None, 0),
        ("after", 30),
    ]


def test_a_daemon_like_pyzenkits_goes_on_while_statistics_are_due() -> None:
    with Harness(
        ZenDaemon(name="driven", components=[NotingComponent()], ordering="global", policy=OTHER)
    ) as it:
        assert it.run(10_000.0) is None
        it.signal(signal.SIGINT)
        assert it.run() == EXIT_OK


def test_a_scheduled_stop_event_is_followed_by_terminate() -> None:
    class Restless(ZenDaemonComponent):
        @handles("again")
        def cbk_event_again(self, daemon: Any, args: Any) -> Any:
            daemon.queue.schedule_after(1.0, "again")

    daemon = ZenDaemon(name="driven", components=[Restless()], schedule=[("again",), ("stop",)])
    with Harness(daemon) as harness:
        assert harness.run(29.0) is None
        assert harness.run(5.0) == EXIT_OK


def test_waiting_ends_when_the_daemon_is_done() -> None:
    lasted: list[Any] = []

    def act(daemon: Any) -> Any:
        begin = harness.now
        daemon.wait(2.5)
        lasted.append((harness.now - begin, daemon.is_done()))
        daemon.set_done()
        daemon.wait(60)
        lasted.append((harness.now - begin, daemon.is_done()))
        return (daemon.FLAG_CONTINUE, None)

    daemon = ZenDaemon(name="driven", components=[EndingComponent(act)], schedule=[("act",)])
    with Harness(daemon) as harness:
        assert harness.run() == EXIT_OK
    assert lasted == [(2.5, False), (2.5, True)]


def test_two_components_of_one_class_count_apart() -> None:
    components = [EndingComponent(lambda d: (d.FLAG_CONTINUE, None)) for _ in range(2)]
    for number, component in enumerate(components, 1):
        component.inc_statistic("made", number)
    daemon, _ = run_here(components, schedule=[("act",)])
    counted = [each["made"]["cnt"] for each in daemon.get_statistics().values()]
    assert sorted(counted) == [1, 2]


class StatefulComponent(NotingComponent):
    """Shows more of its state than the base class."""

    def get_state(self) -> dict[str, Any]:
        return {"noted": len(self.noted), **super().get_state()}


def test_the_state_has_the_result_of_a_components_get_state() -> None:
    due = [(60, "note"), (60, "note"), (120, "note")]
    daemon = ZenDaemon(name="driven", components=[StatefulComponent()], schedule_after=due)
    with Harness(daemon) as harness:
        harness.advance(60)
        harness.component("StatefulComponent").inc_statistic("x")
        components = daemon.get_state()["components"]
        assert components["StatefulComponent"] == {"noted": 2, "statistics": {"x": 1}}


def test_statistics_are_read_without_arguments() -> None:
    component = NotingComponent()
    with Harness([component]) as harness:
        component.inc_statistic("lines", 10)
        harness.advance(5)
        read = component.get_statistics()
        assert read == {"lines": {"cnt": 10, "inc": 10, "spd": 2.0, "pct": 100.0}}
        assert component.get_statistics()["lines"]["inc"] == 0
        line = component.pattern_stats.format("", "lines", 10, 10, 2.0)
        assert line == "\n\tlines                             10 (       +10,     2.00 #/s)"


def test_paths_and_defaults_are_keyword_arguments(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("APP_ROOT_PATH", str(tmp_path))
    daemon = ZenDaemon(
        name="driven.py",
        path_run="run",
        path_log="/elsewhere",
        default_stats_interval=7,
        default_user="root",
        default_log_level="debug",
    )
    daemon.configure({})
    assert daemon.paths[daemon.PATH_RUN] == f"{tmp_path}/run"
    assert daemon.paths[daemon.PATH_LOG] == "/elsewhere"
    assert daemon.paths[daemon.PATH_CFG] == f"{tmp_path}/etc"
    assert daemon.c(daemon.CONFIG_PID_FILE) == f"{tmp_path}/run/driven.py.pid"
    assert daemon.c(daemon.CONFIG_STATE_FILE) == f"{tmp_path}/run/driven.py.state"
    assert daemon.c(daemon.CONFIG_STATS_INTERVAL) == 7
    assert daemon.config[daemon.CONFIG_USER] == "root"
    assert daemon.c(daemon.CONFIG_GROUP) is None
    assert daemon.c("no-such-key", "default") == "default"
    assert daemon.cc(daemon.CORE_LOGGING)[daemon.CORE_LOGGING_LEVEL] == "DEBUG"
    assert daemon.config[daemon.CORE][daemon.CORE_STATE][daemon.CORE_STATE_SAVE] is True
    assert daemon.get_resource_path("a", "b") == f"{tmp_path}/a/b"
    assert daemon.get_resource_path("/a", "b") == "/a/b"


def test_the_logger_takes_arguments_like_the_standard_librarys() -> None:
    def act(daemon: Any) -> Any:
        daemon.logger.info("%d of %s {braces}", 3, "5")
        daemon.logger.warning("100 %")
        daemon.dbgout("for debugging")
        return (daemon.FLAG_CONTINUE, None)

    daemon = ZenDaemon(name="driven", components=[EndingComponent(act)], schedule=[("act",)])
    with Harness(daemon) as harness:
        harness.run()
        logged = {(record.level, record.message) for record in harness.logs}
    assert logged >= {
        ("INFO", "3 of 5 {braces}"),
        ("WARNING", "100 %"),
        ("DEBUG", "for debugging"),
    }


HOLDER = """
import signal, sys
from zenactors.process.pidfile import PidFile

signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
pid_file = PidFile(sys.argv[1])
pid_file.acquire()
print("held", flush=True)
print(signal.sigwait({signal.SIGALRM}).name)
pid_file.release()
"""


def test_send_signal_reaches_the_process_that_holds_the_pid_file(tmp_path: Path) -> None:
    pid_file = tmp_path / "driven.pid"
    daemon = ZenDaemon(name="driven", default_pid_file=str(pid_file))
    daemon.configure({})
    assert daemon.send_signal(0).status == EXIT_NOT_RUNNING
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(pid_file)],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            assert daemon.send_signal(0).status == EXIT_OK
            assert daemon.send_signal(signal.SIGALRM).status == EXIT_OK
            out, _ = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert out == "SIGALRM\n"
    assert daemon.send_signal(0).status == EXIT_NOT_RUNNING
