from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests.actors.fakes import DEADLINE, Fake, in_threads
from tests.running import run_python
from tests.testing.conftest import ASKED_FOR, Run, World
from zenactors import Dispatcher, VirtualClock, ZenDaemon
from zenactors.testing import _leaks as leaks
from zenactors.testing import plugin
from zenactors.testing.faults import ClockJump, Crash, Delay, InjectedCrash
from zenactors.testing.harness import Harness


def apart(source: str, *args: str, where: Path) -> subprocess.CompletedProcess[str]:
    """Run inner tests in a process of their own."""
    (where / "test_apart.py").write_text(textwrap.dedent(source))
    return run_python("-m", "pytest", "-q", *args, cwd=where, PYTEST_ADDOPTS="")


# --- zen_clock and zen_harness ----------------------------------------------------------------


def test_the_harness_uses_the_clock_of_the_test(
    zen_clock: VirtualClock, zen_harness: Callable[..., Harness]
) -> None:
    component = Fake({"x": None})
    harness = zen_harness([component], seed=7)
    harness.queue.schedule_after(30.0, "x", 1)
    harness.advance(31.0)
    assert harness.clock is zen_clock
    assert component.seen == [1]
    own = VirtualClock()
    assert zen_harness([Fake()], clock=own).clock is own


def test_the_harness_takes_a_daemon(zen_harness: Callable[..., Harness]) -> None:
    component = Fake({"x": None})
    harness = zen_harness(ZenDaemon(name="d", components=[component], schedule=[("x", 1)]))
    harness.run_until_idle()
    assert component.seen == [1]


def test_every_harness_is_stopped_after_the_test(run: Run) -> None:
    result = run(
        """
        torn = []

        def test_two(zen_harness):
            for name in "ab":
                zen_harness([Fake(name=name, teardown=lambda _, name=name: torn.append(name))])

        def test_after():
            assert torn == ["b", "a"]
        """
    )
    result.assert_outcomes(passed=2)


@pytest.mark.parametrize("fixture", ["zen_harness", "zen_daemon"])
def test_an_event_that_died_unread_fails_the_test(run: Run, fixture: str) -> None:
    result = run(
        f"""
        def test_dies({fixture}):
            component = Fake({{"x": raising(LookupError("no such thing"))}}, name="parser")
            {fixture}([component]).queue.schedule("x")
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.no_fnmatch_line("*core*batch_runner.py*")  # the engine's frames are left out
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_dies*",
            "Event 'x' with None died in parser.cbk: LookupError: no such thing",
            "  Traceback (most recent call last):",
            '    File *fakes.py", line *, in cbk',
            "  LookupError: no such thing",
            "If a test expects this, it must read dead_letters().",
        ]
    )


@pytest.mark.parametrize("fixture", ["zen_harness", "zen_daemon"])
def test_an_event_that_died_and_was_read_fails_nothing(run: Run, fixture: str) -> None:
    result = run(
        f"""
        def test_dies({fixture}):
            daemon = {fixture}([Fake({{"x": raising(LookupError())}})])
            daemon.queue.schedule("x")
            daemon.stop()
            assert [letter.event for letter in daemon.dead_letters()] == ["x"]
        """
    )
    result.assert_outcomes(passed=1)


@pytest.mark.parametrize("fixture", ["zen_harness", "zen_daemon"])
def test_an_event_that_died_after_the_reading_fails_the_test(run: Run, fixture: str) -> None:
    result = run(
        f"""
        def test_dies({fixture}):
            daemon = {fixture}([Fake({{"x": raising(LookupError()), "y": raising(OSError())}})])
            assert daemon.dead_letters() == []
            for event in ["x", "y"]:
                daemon.queue.schedule(event)
                {"daemon.run_until_idle()" if fixture == "zen_harness" else "daemon.drain()"}
                if event == "x":
                    assert len(daemon.dead_letters()) == 1
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Event 'y' with * died in*"])
    result.stdout.no_fnmatch_line("Event 'x' with None died in*")


def test_of_many_events_that_died_some_are_shown(run: Run) -> None:
    result = run(
        """
        def test_dies(zen_harness):
            harness = zen_harness([Fake({"x": raising(LookupError())})])
            for _ in range(13):
                harness.queue.schedule("x")
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["And 3 more events died."])


@pytest.mark.parametrize("fixture", ["zen_harness", "zen_daemon"])
def test_a_start_that_fails_is_told_once(run: Run, fixture: str) -> None:
    result = run(
        f"""
        from zenactors import ComponentStartError

        def test_fails({fixture}):
            broken = raising(OSError())
            for component in [Fake(setup=broken), Fake({{"start": broken}})]:
                with pytest.raises(ComponentStartError):
                    {fixture}([component])
        """
    )
    result.assert_outcomes(passed=1)


def test_a_harness_that_was_closed_is_left_where_it_stands(run: Run) -> None:
    result = run(
        """
        def test_closes(zen_harness):
            zen_harness([Fake(teardown=raising(AssertionError("is not torn down")))]).close()
        """
    )
    result.assert_outcomes(passed=1)


def test_a_stop_that_fails_does_not_keep_the_others_from_being_stopped(run: Run) -> None:
    result = run(
        """
        torn = []

        def test_stops(zen_harness):
            zen_harness([Fake(teardown=lambda _: torn.append(1))])
            zen_harness([Fake()]).stop = raising(OSError("cannot stop"))

        def test_after():
            assert torn == [1]
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["OSError: cannot stop"])


def test_a_component_that_hangs_under_the_harness_is_named(run: Run) -> None:
    result = run(
        """
        def test_hangs(zen_harness):
            def wait_for_ever(daemon, _):
                for _ in range(100):
                    daemon.wait(10.0) and daemon._runtime.event().wait(10.0)
            harness = zen_harness([Fake({"x": wait_for_ever}, name="hangs")])
            harness.queue.schedule("x")
            harness.run_until_idle()
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["Component 'hangs' did not stop; events not handled: 1."])


def test_without_the_extra_the_harness_says_what_to_install(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if the import failed, without importing anything a second time.
    monkeypatch.setitem(sys.modules, "zenactors.testing.harness", None)
    result = run("def test_it(zen_harness): pass\ndef test_other(zen_daemon): pass")
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["zen_harness needs *: pip install 'zenactors[[]test[]]'"])


# --- zen_daemon -------------------------------------------------------------------------------


def test_the_daemon_runs_on_threads(zen_daemon: Callable[..., Dispatcher]) -> None:
    threads: list[threading.Thread] = []
    component = Fake({"x": lambda *_: threads.append(threading.current_thread())})
    dispatcher = zen_daemon([component], ordering="global", config={"key": 1})
    dispatcher.queue.schedule("x")
    assert dispatcher.drain(DEADLINE)
    assert threads != [threading.current_thread()]
    assert dispatcher.config == {"key": 1}


def test_the_daemon_is_embedded_in_any_thread_many_times_and_touches_no_signals(
    zen_daemon: Callable[..., Dispatcher],
) -> None:
    handlers = {number: signal.getsignal(number) for number in signal.valid_signals()}
    components = [Fake({"x": None}) for _ in range(8)]

    def embed(number: int) -> Dispatcher:
        dispatcher = zen_daemon([components[number]])
        dispatcher.queue.schedule("x", number)
        return dispatcher

    dispatchers = in_threads(8, embed)
    assert {number: signal.getsignal(number) for number in signal.valid_signals()} == handlers
    for dispatcher in dispatchers:
        assert dispatcher.drain(DEADLINE)
    assert [component.seen for component in components] == [[number] for number in range(8)]
    begin = time.monotonic()
    assert in_threads(8, lambda number: dispatchers[number].stop(timeout=1.0).stuck) == [()] * 8
    assert time.monotonic() - begin < 1.0


def test_faults_happen_on_threads_too(zen_daemon: Callable[..., Dispatcher]) -> None:
    begun = time.time()
    times: list[float] = []
    component = Fake({"x": lambda daemon, _: times.append(daemon.clock.time())})
    faults = [
        Crash(event="x", nth=1),
        ClockJump(event="x", nth=2, seconds=1e6),
        Delay(event="x", nth=3, seconds=0.0),
    ]
    dispatcher = zen_daemon([component], faults=faults)
    for _ in range(3):
        dispatcher.queue.schedule("x")
    assert dispatcher.drain(DEADLINE)
    assert [type(letter.cause) for letter in dispatcher.dead_letters()] == [InjectedCrash]
    assert [at - begun > 1e5 for at in times] == [True, True]


def test_faults_that_cannot_be_on_threads_are_refused(
    zen_daemon: Callable[..., Dispatcher],
) -> None:
    with pytest.raises(ValueError, match="process are not virtual: use zen_harness"):
        zen_daemon([Fake()], faults=[ClockJump(point="time", nth=1, seconds=1.0)])
    with pytest.raises(ValueError, match="give either faults or a runtime"):
        zen_daemon([Fake()], faults=[Crash(nth=1)], runtime=object())


def test_a_component_that_hangs_on_a_thread_is_named_with_its_stack(run: Run, world: World) -> None:
    begin = time.monotonic()
    result = run(
        """
        def test_hangs(zen_daemon, world):
            daemon = zen_daemon([Fake({"x": world.gate}, name="hangs")], stop_timeout=0.1)
            daemon.queue.schedule("x")
            world.gate.await_entered()

        def test_after(zen_daemon):
            pass
        """
    )
    assert time.monotonic() - begin < DEADLINE
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "Component 'hangs' did not stop; events not handled: 1. It is at:",
            "*assert self.opened.wait(DEADLINE)",
        ]
    )
    result.stdout.no_fnmatch_line("*thread*hangs*runs*")  # it is reported once
    threads = [each for each in threading.enumerate() if each.name.startswith("zenactors:")]
    world.gate.open()
    for thread in threads:
        thread.join(DEADLINE)


# --- how pytest comes by the plugin -----------------------------------------------------------

USES_ALL = """
    from zenactors import ZenDaemonComponent

    class Component(ZenDaemonComponent):
        def __init__(self):
            super().__init__()
            self.seen = []

        def get_events(self):
            return [self.gen_event_handler("x", self.cbk_event_x)]

        def cbk_event_x(self, daemon, args):
            self.seen.append(args)

    def test_harness(zen_clock, zen_harness):
        component = Component()
        harness = zen_harness([component])
        harness.queue.schedule("x", 1)
        harness.run_until_idle()
        assert component.seen == [1]

    def test_daemon(zen_daemon):
        component = Component()
        daemon = zen_daemon([component])
        daemon.queue.schedule("x", 1)
        assert daemon.drain(10.0)
        assert component.seen == [1]
"""


def test_it_works_where_nothing_but_warnings_and_strictness_is_configured(tmp_path: Path) -> None:
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\naddopts = --strict-config --strict-markers\nfilterwarnings = error\n"
        "zen_leaks = all\n"
    )
    result = apart(USES_ALL, *ASKED_FOR, where=tmp_path)
    assert "2 passed" in result.stdout, result.stdout + result.stderr


LEAK = """
    def test_leaks():
        import os
        os.open("/dev/null", os.O_RDONLY)
"""


def test_it_works_in_the_processes_of_xdist(tmp_path: Path) -> None:
    pytest.importorskip("xdist")
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\nzen_leaks = all\n")
    result = apart(USES_ALL + LEAK, *ASKED_FOR, "-n", "1", where=tmp_path)
    assert "3 passed, 1 error" in result.stdout, result.stdout + result.stderr
    assert "ERROR at teardown of test_leaks" in result.stdout


def load(*how: str) -> pytest.PytestPluginManager:
    """Return a manager with the plugin registered once, although it was requested twice."""
    manager = pytest.PytestPluginManager()
    for name in how:
        if name == plugin.ENTRY_POINT:  # as load_setuptools_entrypoints() does it
            if not manager.get_plugin(name) and not manager.is_blocked(name):
                manager.register(plugin, name=name)
        else:
            manager.import_plugin(name)
    return manager


@pytest.mark.parametrize("order", [1, -1])
def test_the_entry_point_and_the_module_may_both_be_asked_for(order: int) -> None:
    names = [plugin.ENTRY_POINT, "zenactors.testing.plugin"][::order]
    manager = load(*names, *names)
    assert list(manager.get_plugins()).count(plugin) == 1
    assert manager.get_plugin(names[0]) is plugin


def test_pytest_itself_refuses_one_module_under_two_names() -> None:
    manager = pytest.PytestPluginManager()
    manager.register(leaks, name="one")
    with pytest.raises(ValueError, match="different name"):
        manager.register(leaks, name="other")


INSTALLED = [each for each in entry_points(group="pytest11") if each.name == plugin.ENTRY_POINT]


FAILS = """
    from zenactors import handles

    class Login(ZenDaemonComponent):
        @handles("login")
        def cbk_event_login(self, daemon, password):
            raise ValueError("refused")

    def test_login_harness(zen_harness):
        harness = zen_harness([Login()])
        harness.queue.schedule("login", "hunter" + "2")
        harness.run_until_idle()

    def test_login_daemon(zen_daemon):
        daemon = zen_daemon([Login()])
        daemon.queue.schedule("login", "hunter" + "2")
        assert daemon.drain(10.0)  # what is logged behind the call is not shown
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Return what pytest prints that comes by the plugin only because zenactors is installed."""
    result = apart(USES_ALL + FAILS, where=tmp_path_factory.mktemp("installed"))
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    return result.stdout


@pytest.mark.skipif(not INSTALLED, reason="zenactors is not installed")
def test_where_zenactors_is_installed_its_fixtures_are_there(installed: str) -> None:
    assert INSTALLED[0].value == "zenactors.testing.plugin"
    assert "4 passed, 2 errors" in installed
    assert installed.count("ERROR at teardown of test_login_") == 2


@pytest.mark.skipif(not INSTALLED, reason="zenactors is not installed")
def test_where_zenactors_is_installed_it_may_be_asked_for_by_its_name(tmp_path: Path) -> None:
    result = apart(USES_ALL, "-p", "zenactors", where=tmp_path)
    assert "2 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.skipif(not INSTALLED, reason="zenactors is not installed")
def test_where_zenactors_is_installed_the_plugin_can_be_switched_off(tmp_path: Path) -> None:
    result = apart("def test_it(zen_clock): pass", "-p", "no:zenactors", where=tmp_path)
    assert "fixture 'zen_clock' not found" in result.stdout


HEAVY = """
    import sys
    {first}
    import zenactors.testing.plugin
    heavy = ("greenlet", "hypothesis", "loguru", "pydantic", "pykka", "tenacity",
        "zenactors.actors", "zenactors.daemon", "zenactors.testing.harness")
    print([name for name in heavy if name in sys.modules])
"""


def loads(first: str = "") -> str:
    result = run_python("-c", textwrap.dedent(HEAVY.format(first=first)))
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_plugin_itself_loads_next_to_nothing() -> None:
    package = "import types; sys.modules['zenactors.testing'] = package = types.ModuleType('x')"
    assert loads(f"{package}; package.__path__ = ['zenactors/testing']") == "[]"
    assert "pykka" in loads("import zenactors.actors.dispatcher")


def test_loading_the_plugin_loads_next_to_nothing() -> None:
    assert loads() == "[]"


def test_what_a_timer_raises_fails_the_test_unless_it_asks(run: Run) -> None:
    result = run(
        """
        from zenactors import ZenDaemonComponent

        class Clumsy(ZenDaemonComponent):
            def setup(self, daemon):
                daemon.io.call_later(1, self.tick)

            def tick(self, daemon):
                raise LookupError("oops")

        def test_it(zen_harness):
            zen_harness([Clumsy()]).advance(2)

        def test_other(zen_harness):
            harness = zen_harness([Clumsy()])
            harness.advance(2)
            assert len(harness.hook_failures()) == 1
        """
    )
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["tick of Clumsy raised LookupError: oops"])


def test_the_clock_is_the_first_harnesss(
    zen_clock: VirtualClock, zen_harness: Callable[..., Harness]
) -> None:
    one, other = zen_harness([Fake({"x": None})]), zen_harness([Fake({"x": None})])
    assert one.clock is zen_clock
    assert other.clock is not zen_clock
    before = other.clock.monotonic()
    one.advance(60)
    assert other.clock.monotonic() == before


@pytest.mark.skipif(not INSTALLED, reason="zenactors is not installed")
@pytest.mark.parametrize("fixture", ["harness", "daemon"])
def test_the_log_shows_the_users_frames_and_no_values(installed: str, fixture: str) -> None:
    _, _, shown = installed.partition(f"ERROR at teardown of test_login_{fixture}")
    log = shown.partition("Captured stderr")[2].partition("ERROR at teardown")[0]
    log = log.partition("short test summary")[0]
    assert "ValueError: refused" in log
    assert "in cbk_event_login" in log
    assert "batch_runner" not in log
    assert "hunter2" not in log
