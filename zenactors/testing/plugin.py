"""The pytest plugin: fixtures that start and stop daemons, and checks for what they leave behind.

Every pytest in an environment with zenactors loads this module, so it imports next to nothing.
The first fixture that is used imports the engine.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
import sys
import threading
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pytest

from zenactors.testing._leaks import Watch, stack_of

if TYPE_CHECKING:
    from zenactors.actors.dispatcher import Dispatcher
    from zenactors.actors.letter_box import LetterBox
    from zenactors.actors.shutdown import StopReport
    from zenactors.core.clock import VirtualClock
    from zenactors.core.dead_letters import DeadLetter
    from zenactors.daemon.zendaemon import ZenDaemon
    from zenactors.testing.faults import Fault
    from zenactors.testing.harness import Harness

ENTRY_POINT = "zenactors"  # its name in the group pytest11
OPTION = "zen_leaks"
CHOICES = ("fixtures", "all", "off")
FIXTURES = {"zen_clock", "zen_harness", "zen_daemon"}

STOP_TIMEOUT = 1.0  # seconds that the stop after a test may take
SHOWN = 10  # dead letters that a failure shows

_WATCH: pytest.StashKey[Watch | None] = pytest.StashKey()
_ALL: pytest.StashKey[bool] = pytest.StashKey()


def pytest_plugin_registered(plugin: object, manager: pytest.PytestPluginManager) -> None:
    """Allow to load the module by its entry point and by its name in one run.

    Pytest refuses to register one module under two names, but ignores a name that is blocked.
    """
    if plugin is sys.modules[__name__]:
        other = {ENTRY_POINT: __name__, __name__: ENTRY_POINT}.get(manager.get_name(plugin) or "")
        if other is not None:
            manager.set_blocked(other)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option."""
    parser.addini(
        OPTION,
        "Fail tests that leave threads, open descriptors or child processes behind:"
        " those that use a fixture of zenactors (fixtures, the default), all, or none (off).",
        default=CHOICES[0],
    )


def pytest_configure(config: pytest.Config) -> None:
    """Read the option."""
    choice = config.getini(OPTION)
    if choice not in CHOICES:
        raise pytest.UsageError(f"{OPTION} must be one of {', '.join(CHOICES)}, not {choice!r}.")
    config.stash[_WATCH] = None if choice == "off" else Watch()
    config.stash[_ALL] = choice == "all"


# --- leaks ------------------------------------------------------------------------------------


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> Generator[None, object, object]:
    """Record threads, descriptors and children before the first fixture."""
    if item.config.stash.get(_ALL, False) or FIXTURES.intersection(_fixtures_of(item)):
        _watch(item.config)
    return (yield)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Report the threads, descriptors and children that remain after the last fixture."""
    try:
        result = yield
    except (KeyboardInterrupt, pytest.exit.Exception):
        raise
    except BaseException as cause:  # any failure is reported together with the leaks
        leaks = _leaks(item.config)
        if leaks and isinstance(cause, pytest.fail.Exception) and not cause.pytrace:
            pytest.fail(f"{cause.msg}\n{leaks}", pytrace=False)  # pytest shows no notes of these
        if leaks:
            cause.add_note(leaks)
        raise
    leaks = _leaks(item.config)
    if leaks:
        pytest.fail(leaks, pytrace=False)
    return result


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Record what belongs to a fixture of a wider scope than the test's."""
    watch = request.config.stash.get(_WATCH, None)
    if watch is None or not watch.active or fixturedef.scope == "function":
        return (yield)
    with watch.owned_by(fixturedef):
        return (yield)


def pytest_fixture_post_finalizer(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> None:
    """Record the end of a fixture."""
    watch = request.config.stash.get(_WATCH, None)
    if watch is not None:
        watch.release(fixturedef)


def _fixtures_of(item: pytest.Item) -> Sequence[str]:
    return getattr(item, "fixturenames", ())


def _watch(config: pytest.Config) -> None:
    watch = config.stash.get(_WATCH, None)
    if watch is not None:
        watch.begin()


def _leaks(config: pytest.Config) -> str:
    watch = config.stash.get(_WATCH, None)
    things = watch.end() if watch is not None else []
    return "\n".join(["The test left something behind:", *map(str, things)]) if things else ""


# --- fixtures ---------------------------------------------------------------------------------


@pytest.fixture
def zen_clock(request: pytest.FixtureRequest) -> VirtualClock:
    """The virtual clock of the test, which its first `zen_harness` uses."""
    from zenactors.core.clock import VirtualClock  # noqa: PLC0415 - see the module's docstring

    _watch(request.config)
    return VirtualClock()


@pytest.fixture
def _zen_log() -> Iterator[None]:
    """Log in zenactors' format, if loguru's own sink would show every frame of the framework."""
    from zenactors.logs.sinks import replaced_default_sink  # noqa: PLC0415

    with replaced_default_sink("DEBUG"):
        yield


@pytest.fixture
def zen_harness(
    request: pytest.FixtureRequest, zen_clock: VirtualClock, _zen_log: None
) -> Iterator[Callable[..., Harness]]:
    """Make and start a `Harness`: `zen_harness(components_or_daemon, **options)`.

    After the test it is stopped. The test fails if a component does not stop, or if an event died
    and the test has not read `dead_letters()`.
    """
    harness_class = _import_harness()
    _watch(request.config)
    made: list[Harness] = []
    started: list[Harness] = []
    failed: list[Harness] = []

    def make(what: Sequence[Any] | ZenDaemon, **options: Any) -> Harness:
        _check_options("zen_harness", harness_class, options)
        if not made:  # each further one has a clock of its own, because it lets time pass itself
            options = {"clock": zen_clock, **options}
        harness = harness_class(what, **options)
        made.append(harness)
        try:
            harness.start()
        except BaseException:  # it is closed after the test
            failed.append(harness)
            raise
        started.append(harness)
        return harness

    yield make
    problems: list[str] = []
    for harness in reversed(started):
        _attempt(problems, functools.partial(_stop_harness, harness, problems))
    for harness in (*reversed(started), *failed):
        _attempt(problems, harness.close)
    _fail_with(problems)


@pytest.fixture
def zen_daemon(
    request: pytest.FixtureRequest, _zen_log: None
) -> Iterator[Callable[..., Dispatcher]]:
    """Make and start a `Dispatcher`: `zen_daemon(components, faults=(), **options)`.

    It runs on real threads. `faults` happen as under a harness; but the point `"time"` is a
    ValueError, because time is not virtual.

    After the test it is stopped, with a `stop_timeout` of a second by default. The test fails if a
    component does not stop, or if an event died and the test has not read `dead_letters()`.
    """
    _watch(request.config)
    made: list[_Started] = []

    def make(
        components: Sequence[Any], *, faults: Sequence[Fault] = (), **options: Any
    ) -> Dispatcher:
        _check_options("zen_daemon", _reading_dispatcher(), options, "faults")
        if faults:
            options |= _faulty(faults, options)
        dispatcher = _reading_dispatcher()(components, **options)
        if faults:
            options["runtime"].faults.check(dispatcher.names, dispatcher.chains())
        timeout = options.get("stop_timeout", STOP_TIMEOUT)
        entry = _Started(dispatcher, timeout, request.config)
        made.append(entry)
        dispatcher.start()
        entry.started = True
        return dispatcher  # type: ignore[no-any-return]

    yield make
    problems: list[str] = []
    for entry in reversed(made):
        _attempt(problems, functools.partial(_stop_dispatcher, entry, problems))
    _fail_with(problems)


def _check_options(fixture: str, cls: type[Any], options: dict[str, Any], *more: str) -> None:
    from zenactors.errors import did_you_mean  # noqa: PLC0415

    known = [*list(inspect.signature(cls).parameters)[1:], *more]
    for option in options:
        if option not in known:
            hint = did_you_mean(option, known) or f"; it has {', '.join(known)}"
            raise TypeError(f"{fixture} has no option {option!r}{hint}")


def _import_harness() -> type[Harness]:
    try:
        from zenactors.testing.harness import Harness  # noqa: PLC0415
    except ModuleNotFoundError as cause:
        pytest.fail(f"zen_harness needs {cause.name}: pip install 'zenactors[test]'", pytrace=False)
    return Harness


def _faulty(faults: Sequence[Fault], options: dict[str, Any]) -> dict[str, Any]:
    """Return the options of a dispatcher on real threads with these faults."""
    from random import Random  # noqa: PLC0415

    from loguru import logger  # noqa: PLC0415

    from zenactors.core.clock import SystemClock  # noqa: PLC0415
    from zenactors.testing.faults import (  # noqa: PLC0415
        Faults,
        FaultyRuntime,
        Kill,
        SteppedClock,
    )

    for fault in faults:
        if fault.point in ("time", "step", "file") or isinstance(fault, Kill):
            raise ValueError(
                f"{fault} cannot happen on real threads, where time, files and the process are not"
                " virtual: use zen_harness, or another fault."
            )
    if "runtime" in options:
        raise ValueError("Faults need a runtime of their own: give either faults or a runtime.")

    def note(component: str, text: str) -> None:
        logger.bind(component=component).info("Fault on purpose: {text}", text=text)

    clock = SteppedClock(options.get("clock") or SystemClock())
    rng = Random(0)  # noqa: S311 - no secret
    return {"clock": clock, "runtime": FaultyRuntime(Faults(faults, rng, clock, note))}


@functools.cache
def _reading_dispatcher() -> type[Any]:
    from zenactors.actors.dead_letters import letters_after  # noqa: PLC0415
    from zenactors.actors.dispatcher import Dispatcher  # noqa: PLC0415

    class ReadingDispatcher(Dispatcher):
        """Remembers which dead letters the test has read."""

        _last_read = 0

        @property
        def dead_letters(self) -> LetterBox:
            return super().dead_letters.read_by(self._note_read)

        def _note_read(self, letters: Sequence[DeadLetter]) -> None:
            self._last_read = max((letter.number for letter in letters), default=self._last_read)

        def unread_dead_letters(self) -> list[DeadLetter]:
            return letters_after(self._last_read, super().dead_letters())

        def threads_of(self, names: Sequence[str]) -> dict[str, threading.Thread]:
            threads = self._engine.threads
            return {
                self.names[index]: thread
                for index, thread in list(threads.items())
                if index >= 0 and self.names[index] in names
            }

    return ReadingDispatcher


# --- what is checked after a test -------------------------------------------------------------


@dataclasses.dataclass
class _Started:
    """A dispatcher on real threads, to be stopped after the test."""

    dispatcher: Any
    timeout: float
    config: pytest.Config
    started: bool = False  # False: `start` raised in the test


def _stop_harness(harness: Harness, problems: list[str]) -> None:
    try:
        # A test that closes its harness does not want the graceful stop.
        if harness.report is not None or not harness._hub.closing:  # noqa: SLF001
            report = harness.stop()
            problems += [_stuck(name, report) for name in report.stuck]
            if report.timed_out and not report.stuck:
                problems.append(f"The stop did not come to an end; events left: {report.left}.")
    finally:
        problems += _unread(harness.unread_dead_letters())
        problems += [
            f"{each.hook} of {each.component} raised {type(each.cause).__name__}: {each.cause}\n"
            + "".join(f"  {line}" for line in _lines(each.cause)).rstrip()
            for each in harness.unread_hook_failures()[:SHOWN]
        ]


def _stop_dispatcher(entry: _Started, problems: list[str]) -> None:
    report = entry.dispatcher.stop(timeout=entry.timeout)
    threads = entry.dispatcher.threads_of(report.stuck)
    for name in report.stuck:
        problem, stack = _stuck(name, report), ""
        if name in threads:
            stack = stack_of(threads[name])
            watch = entry.config.stash.get(_WATCH, None)
            if watch is not None:
                watch.ignore(threads[name])
        problems.append(f"{problem} It is at:\n{stack}".rstrip() if stack else problem)
    if entry.started:
        problems += _unread(entry.dispatcher.unread_dead_letters())


def _stuck(name: str, report: StopReport) -> str:
    return f"Component {name!r} did not stop; events not handled: {report.left}."


def _unread(letters: list[DeadLetter]) -> list[str]:
    from zenactors.testing._trace.describe import describe  # noqa: PLC0415

    problems = [
        f"Event {letter.event!r} with {describe(letter.args)} died in"
        f" {letter.component}.{letter.callback}:"
        f" {type(letter.cause).__name__}: {letter.cause}\n"
        + "".join(f"  {line}" for line in letter.traceback.splitlines(keepends=True)).rstrip()
        for letter in letters[:SHOWN]
    ]
    if len(letters) > SHOWN:
        problems.append(f"And {len(letters) - SHOWN} more events died.")
    if problems:
        problems.append("If a test expects this, it must read dead_letters().")
    return problems


def _lines(cause: BaseException) -> list[str]:
    """Return a traceback that begins where the engine called other code."""
    frames = cause.__traceback__
    while frames is not None and _is_own(frames.tb_frame.f_globals.get("__name__")):
        frames = frames.tb_next
    shown = traceback.format_exception(type(cause), cause, frames or cause.__traceback__)
    return "".join(shown).splitlines(keepends=True)


def _is_own(module: object) -> bool:
    return str(module).partition(".")[0] == "zenactors"


def _attempt(problems: list[str], action: Callable[[], object]) -> None:
    """Do it. An exception becomes a problem, so that the others are stopped as well."""
    try:
        action()
    except Exception as cause:
        problems.append("".join(_lines(cause)).rstrip())


def _fail_with(problems: list[str]) -> None:
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)
