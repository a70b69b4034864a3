from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.running import run_python
from zenactors import Daemon, Replicas, ZenDaemon, ZenDaemonComponent, handles
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.components import SYSTEM_FILES, Files
from zenactors.core.messages import Batch
from zenactors.testing import DaemonMachine

SETTINGS = settings(
    max_examples=3000,
    stateful_step_count=12,
    deadline=None,
    database=None,
    derandomize=True,
    report_multiple_bugs=False,
    phases=(Phase.generate, Phase.shrink),
    suppress_health_check=list(HealthCheck),
)
UNSHRUNK = settings(SETTINGS, phases=(Phase.generate,))
FEW = settings(SETTINGS, max_examples=10)


def failure_of(
    machine: type[RuleBasedStateMachine],
    capsys: pytest.CaptureFixture[str],
    how: settings = SETTINGS,
) -> str:
    """Return the output of hypothesis: the rules, and the additions of this package."""
    with pytest.raises(AssertionError) as failure:
        run_state_machine_as_test(machine, settings=how)
    shown = [str(failure.value), *getattr(failure.value, "__notes__", ())]
    return "\n".join([*shown, capsys.readouterr().out])


def steps(shown: str) -> list[str]:
    """Return the rules of the example that is shown."""
    return re.findall(r"^ *state\.(.*)$", shown, re.MULTILINE)


def passes(machine: type[RuleBasedStateMachine]) -> None:
    run_state_machine_as_test(machine, settings=FEW)


# --- crashes ------------------------------------------------------------------------------------


class Log(ZenDaemonComponent):
    """Append numbers to a file, and tell the world of each that is written."""

    files: Files = SYSTEM_FILES

    def __init__(self, told: list[int], *, sync: bool) -> None:
        super().__init__(name="log")
        self.told, self.sync = told, sync

    def setup(self, daemon: Any) -> None:
        self.fd = self.files.open("log", os.O_WRONLY | os.O_APPEND)

    def teardown(self, daemon: Any) -> None:
        self.files.close(self.fd)

    @handles("number")
    def cbk_event_number(self, daemon: Any, number: int) -> None:
        self.files.write(self.fd, bytes([number]))
        if self.sync:
            self.files.fsync(self.fd)
        self.told.append(number)


class LogMachine(DaemonMachine):
    events: ClassVar = {"number": st.integers(1, 100)}
    files: ClassVar = {"log": ""}
    crashes = True
    sync = False

    def __init__(self) -> None:
        super().__init__()
        self.told: list[int] = []

    def build(self) -> Sequence[Any]:
        return [Log(self.told, sync=self.sync)]

    def check(self) -> None:
        assert set(self.told) <= set(self.harness.files.content("log"))


class SyncedMachine(LogMachine):
    sync = True


class CarelessMachine(LogMachine):
    crashes = False


class UnsyncedMachine(LogMachine):
    """Has a rule that writes at once, so that not only the last rule of many writes something."""

    @rule(number=st.integers(1, 100))
    def write(self, number: int) -> None:
        self.harness.daemon.queue.schedule("number", number)
        self.run_until_idle()


def test_a_write_that_a_power_failure_takes_is_found() -> None:
    with pytest.raises(AssertionError) as failure:
        run_state_machine_as_test(UnsyncedMachine, settings=UNSHRUNK)
    shown = "\n".join(getattr(failure.value, "__notes__", ()))
    assert "crash(power_failure=True)" in shown
    assert "power failure" in shown.partition("teardown()")[2]  # in the picture


@pytest.mark.parametrize("machine", [SyncedMachine, CarelessMachine])
@pytest.mark.parametrize("examples", [25, pytest.param(500, marks=pytest.mark.slow)])
def test_a_machine_survives_crashes_or_has_none(
    machine: type[DaemonMachine], examples: int
) -> None:
    run_state_machine_as_test(machine, settings=settings(SETTINGS, max_examples=examples))


# --- races --------------------------------------------------------------------------------------


class Account:
    def __init__(self) -> None:
        self.balance = 0
        self.expected = 0


class Deposits(ZenDaemonComponent):
    def __init__(self, account: Account) -> None:
        super().__init__(name="deposits")
        self._account = account

    @handles("deposit")
    def cbk_event_deposit(self, daemon: Daemon, args: int) -> None:
        self._account.expected += args
        balance = self._account.balance
        self._account.balance = balance + args


class Withdrawals(ZenDaemonComponent):
    def __init__(self, account: Account) -> None:
        super().__init__(name="withdrawals")
        self._account = account

    @handles("withdraw")
    def cbk_event_withdraw(self, daemon: Daemon, args: int) -> None:
        self._account.expected -= args
        balance = self._account.balance
        self._account.balance = balance - args


class BankMachine(DaemonMachine):
    """Two components read and write one number: wrong, if one is interrupted in between."""

    events: ClassVar[dict[str, Any]] = {
        "deposit": st.integers(1, 100),
        "withdraw": st.integers(1, 100),
    }

    def build(self) -> Sequence[Any]:
        self.account = Account()
        return [Deposits(self.account), Withdrawals(self.account)]

    def check(self) -> None:
        assert self.account.balance == self.account.expected


def test_a_lost_update_is_found_and_made_small(capsys: pytest.CaptureFixture[str]) -> None:
    shown = failure_of(BankMachine, capsys)
    found = steps(shown)
    # Begin, two events, one interruption in between, and the end. Hypothesis first tries numbers
    # that it finds in the project's source, so one or two rules more may remain.
    assert found[0] == "begin(noise=0)"
    assert len(found) <= 8
    assert len([step for step in found if step.endswith("(args=1)")]) == 2
    assert any(step.startswith("interrupt_callbacks(") for step in found)
    assert re.search(r"interrupted at test_stateful\.py:\d+", shown)
    assert "  deposit#1   1: completed" in shown.splitlines()


class Later(ZenDaemonComponent):
    """Reads a number in one callback, and writes it in a later one."""

    def __init__(self, name: str, account: Account) -> None:
        super().__init__(name=name)
        self._account = account

    def get_events(self) -> Any:
        return [
            self.gen_event_handler(f"add_{self.name}", self._read),
            self.gen_event_handler(f"write_{self.name}", self._write),
        ]

    def _read(self, daemon: Daemon, args: int) -> None:
        self._account.expected += args
        daemon.queue.schedule(f"write_{self.name}", self._account.balance + args)

    def _write(self, daemon: Daemon, args: int) -> None:
        self._account.balance = args


class LaterMachine(BankMachine):
    events: ClassVar[dict[str, Any]] = {"add_a": st.integers(1, 100), "add_b": st.integers(1, 100)}

    def build(self) -> Sequence[Any]:
        self.account = Account()
        return [Later("a", self.account), Later("b", self.account)]


def test_a_race_between_two_callbacks_is_found_and_made_small(
    capsys: pytest.CaptureFixture[str],
) -> None:
    found = steps(failure_of(LaterMachine, capsys))
    assert found[0] == "begin(noise=0)"
    assert len(found) <= 5
    scheduled = [step for step in found if step.startswith("schedule_")]
    assert len(scheduled) == 2
    assert all(step.endswith("(args=1)") for step in scheduled)


class Noting(ZenDaemonComponent):
    def __init__(self, name: str, seen: list[str]) -> None:
        super().__init__(name=name)
        self._seen = seen

    def get_events(self) -> Any:
        return [self.gen_event_handler(self.name, lambda _, args: self._seen.append(self.name))]


class OrderMachine(DaemonMachine):
    """Expects an order of two components that is not promised."""

    def build(self) -> Sequence[Any]:
        self.seen: list[str] = []
        return [Noting("a", self.seen), Noting("b", self.seen)]

    @rule()
    def both(self) -> None:
        for event in "ab":
            self.harness.daemon.queue.schedule(event)
        self.run_until_idle()

    def check(self) -> None:
        assert self.seen == ["a", "b"] * (len(self.seen) // 2)


def test_who_moves_first_is_tried_out(capsys: pytest.CaptureFixture[str]) -> None:
    found = steps(failure_of(OrderMachine, capsys))
    assert len(found) <= 4
    assert "both()" in found


# --- success ------------------------------------------------------------------------------------


class CarefulMachine(BankMachine):
    """The same, but only one component writes: its callbacks never overlap."""

    def build(self) -> Sequence[Any]:
        self.account = Account()
        return [Deposits(self.account)]

    events: ClassVar[dict[str, Any]] = {"deposit": st.integers(1, 100)}


class RichMachine(DaemonMachine):
    events: ClassVar[dict[str, Any]] = {"x": st.none(), "FileTailer.read": st.text()}
    ordering = "event"

    def build(self) -> ZenDaemon:
        self.seen: list[str] = []

        def make() -> ZenDaemonComponent:
            return Noting("x", self.seen)

        components = [Replicas(make, 2), Noting("FileTailer.read", self.seen)]
        return ZenDaemon(name="d", components=components, schedule_after=[(1e9, "x")])

    @rule()
    def hang_up(self) -> None:
        self.harness.daemon.queue.schedule_next("x")


@pytest.mark.parametrize("machine", [CarefulMachine, RichMachine])
def test_what_is_well_passes(machine: type[DaemonMachine]) -> None:
    passes(machine)


def test_a_daemon_that_has_ended_is_left_alone() -> None:
    class Ending(RichMachine):
        def build(self) -> ZenDaemon:
            return ZenDaemon(name="d", components=[Noting(name, []) for name in self.events])

        def hang_up(self) -> None:
            pass

    passes(Ending)


# --- what always holds --------------------------------------------------------------------------


class Fragile(ZenDaemonComponent):
    def __init__(self, do: Callable[[Any], Any]) -> None:
        super().__init__(name="fragile")
        self._do = do

    @handles("x")
    def cbk_event_x(self, daemon: Daemon, args: Any) -> None:
        if args > 5:
            self._do(daemon)


class FragileMachine(DaemonMachine):
    events: ClassVar[dict[str, Any]] = {"x": st.integers(0, 20)}

    def build(self) -> Sequence[Any]:
        return [Fragile(self.do)]

    def do(self, daemon: Daemon) -> None:
        raise LookupError("no such thing")


class SoundMachine(FragileMachine):
    """The same without the bug, so that hypothesis finds only the one that a test plants."""

    def do(self, daemon: Daemon) -> None:
        pass


def test_an_event_that_dies_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    shown = failure_of(FragileMachine, capsys)
    assert "event 'x' died in fragile: LookupError: no such thing" in shown
    assert "schedule_x(args=6)" in steps(shown)
    assert len(steps(shown)) <= 6
    assert "dead in fragile: LookupError" in shown


def test_events_may_die_if_that_is_allowed_or_was_read() -> None:
    class Allowing(FragileMachine):
        allow_dead_letters = True

    class Reading(FragileMachine):
        def _look(self) -> None:
            assert all(letter.args > 5 for letter in self.harness.dead_letters())
            super()._look()

    passes(Allowing)
    passes(Reading)


def test_a_component_that_hangs_is_a_failure(capsys: pytest.CaptureFixture[str]) -> None:
    class Hanging(FragileMachine):
        def do(self, daemon: Any) -> None:
            daemon._runtime.event().wait()

    assert "did not stop: fragile" in failure_of(Hanging, capsys, UNSHRUNK)


def test_an_event_that_is_lost_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    end = Batch.end

    def forgetful(batch: Batch) -> None:
        if 5 in batch.items:
            batch.items.remove(5)
        end(batch)

    monkeypatch.setattr(Batch, "end", forgetful)
    shown = failure_of(SoundMachine, capsys, UNSHRUNK)
    assert "events 'x' do not add up" in shown
    assert "schedule_x(args=5)" in steps(shown)


def test_an_event_that_never_comes_to_its_end_is_a_failure(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    report = DispatchLoop.report

    def lose(loop: DispatchLoop, batch: Batch) -> None:
        if 5 not in batch.items:
            report(loop, batch)

    monkeypatch.setattr(DispatchLoop, "report", lose)
    shown = failure_of(SoundMachine, capsys, UNSHRUNK)
    assert re.search(r"did not come to an end: [1-9]\d* events were left", shown)
    assert "schedule_x(args=5)" in steps(shown)


def test_a_machine_has_to_say_what_it_builds() -> None:
    with pytest.raises(TypeError, match=r"abstract method .?build"):
        passes(type("Empty", (DaemonMachine,), {}))


# --- hypothesis is not needed for the rest ------------------------------------------------------


def test_only_the_machine_needs_hypothesis() -> None:
    program = """
import sys
sys.modules["hypothesis"] = None  # as if it were not installed
import zenactors.testing
from zenactors.testing import Harness, simulate
assert "zenactors.testing.stateful" not in sys.modules
try:
    zenactors.testing.DaemonMachine
except ImportError:
    print("needed")
"""
    result = run_python("-c", program)
    assert result.stdout == "needed\n"
