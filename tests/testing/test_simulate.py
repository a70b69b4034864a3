from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from zenactors import Daemon, Replicas, ZenDaemon, ZenDaemonComponent, handles
from zenactors.actors.dispatch_loop import DispatchLoop
from zenactors.components import FileTailer, RawWriter
from zenactors.core.messages import Batch
from zenactors.errors import EXIT_OK
from zenactors.testing import (
    Crash,
    Harness,
    Probe,
    Scenario,
    SimulationFailure,
    explore,
    simulate,
)


class Work(ZenDaemonComponent):
    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None:
        if args == "raise":
            raise LookupError("no such thing")
        if args == "hang":
            dispatcher = getattr(daemon, "dispatcher", daemon)
            dispatcher._runtime.event().wait()
        if args == "exit":
            raise SystemExit(5)


def build() -> list[Any]:
    return [Work(name="work"), Probe("x")]


def build_daemon() -> ZenDaemon:
    return ZenDaemon(name="d", components=build(), schedule=[("x", 1), ("x", 2)])


def scheduling(*all_args: Any) -> Any:
    def drive(harness: Harness) -> None:
        for args in all_args:
            harness.queue.schedule("x", args)
        harness.run_until_idle()

    return drive


def one_after_the_other(harness: Harness) -> None:
    for args in range(4):
        harness.queue.schedule("x", args)
        harness.run_until_idle()


# --- success ------------------------------------------------------------------------------------


def test_components_run_to_their_end() -> None:
    harness = simulate(build, seed=1, drive=scheduling(1, 2, 3))
    assert harness.counts()["x"].completed == 3
    assert harness.report is not None
    assert not harness._hub.waiting()


def test_a_daemon_runs_until_it_ends_by_itself() -> None:
    harness = simulate(build_daemon, seed=1, seconds=30.0)
    assert harness.status == EXIT_OK
    assert harness.counts()["x"].completed == 2


def test_dead_letters_that_were_read_are_no_failure() -> None:
    def check(harness: Harness) -> None:
        assert len(harness.dead_letters()) == 1

    simulate(build, seed=1, drive=scheduling("raise"), check=check)


def test_what_was_injected_is_no_failure() -> None:
    faults = [Crash(nth=1), Crash(nth=2, error=KeyError), Crash(nth=3, error=OSError("full"))]
    harness = simulate(build, seed=1, drive=scheduling(1, 2, 3, 4), faults=faults)
    assert harness.counts()["x"].dead == 3


@pytest.mark.parametrize("what", [build, build_daemon])
def test_a_setup_that_was_made_to_crash_is_no_failure(what: Any) -> None:
    fault = Crash(point="setup", component="work", nth=1)
    harness = simulate(what, seed=1, drive=scheduling(1), faults=[fault])
    assert "crash: InjectedCrash()" in harness.trace.text()


def test_a_daemon_may_be_meant_to_end_with_another_status() -> None:
    def check(harness: Harness) -> None:
        assert [letter.args for letter in harness.dead_letters()] == ["exit"]

    simulate(build_daemon, seed=1, drive=scheduling("exit"), check=check, status=5)


# --- failure ------------------------------------------------------------------------------------


def said(**options: Any) -> str:
    with pytest.raises(SimulationFailure) as failure:
        simulate(**{"build": build, "seed": 3, **options})
    assert failure.value.seed == 3
    assert not failure.value.harness._hub.waiting()
    return failure.value.reason


def test_an_event_that_died_is_a_failure() -> None:
    reason = said(drive=scheduling(1, "raise"))
    assert reason == "event 'x' died in work: LookupError: no such thing"


def test_what_drive_or_check_raises_is_a_failure() -> None:
    def fail(harness: Harness) -> None:
        raise AssertionError("not as expected\nand more")

    assert said(drive=fail) == said(check=fail) == "AssertionError: not as expected"


def test_an_event_that_died_is_told_rather_than_what_the_check_makes_of_it() -> None:
    def check(harness: Harness) -> None:
        assert harness.completed("x") == 2, "only the sequel"

    with pytest.raises(SimulationFailure, match="event 'x' died in work: LookupError"):
        simulate(build, seed=1, drive=scheduling(1, "raise"), check=check)


def test_a_component_that_hangs_is_a_failure() -> None:
    assert said(drive=scheduling("hang")) == "did not stop: work"


def test_another_exit_status_is_a_failure() -> None:
    def check(harness: Harness) -> None:
        harness.dead_letters()

    reason = said(build=build_daemon, drive=scheduling("exit"), check=check)
    assert reason == "the daemon ended with status 5, not 0"


def test_a_setup_that_fails_by_itself_is_a_failure() -> None:
    class Broken(ZenDaemonComponent):
        def setup(self, daemon: Daemon) -> None:
            raise OSError("no device")

    assert "no device" in said(build=lambda: [Broken()])
    daemon = said(build=lambda: ZenDaemon(name="d", components=[Broken()]))
    assert daemon == (
        "the daemon ended with status 69, not 0: Component 'Broken' failed in setup: OSError:"
        " no device"
    )


def test_an_event_that_is_lost_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    end = Batch.end

    def forgetful(batch: Batch) -> None:
        if batch.items == [2]:
            batch.items = []
        end(batch)

    monkeypatch.setattr(Batch, "end", forgetful)
    assert said(drive=scheduling(1, 2)).startswith("events 'x' do not add up")


# --- the text of a failure ----------------------------------------------------------------------


def test_what_pytest_fails_with_is_a_failure() -> None:
    def fail(_harness: Harness) -> None:
        pytest.fail("it is not so")

    for scenario in (Scenario(build=build, drive=fail), Scenario(build=build, check=fail)):
        with pytest.raises(SimulationFailure, match="seed 1: Failed: it is not so"):
            simulate(scenario, seed=1)


def test_an_event_that_never_comes_to_its_end_is_a_failure(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    report = DispatchLoop.report

    def lose(loop: DispatchLoop, batch: Batch) -> None:
        if batch.items != [2]:
            report(loop, batch)

    monkeypatch.setattr(DispatchLoop, "report", lose)
    with pytest.raises(SimulationFailure, match="did not come to an end: 1 events"):
        simulate(lambda: [Work()], seed=1, drive=one_after_the_other)


def test_a_failure_shows_the_seed_the_command_the_events_and_what_happened() -> None:
    with pytest.raises(SimulationFailure) as failure:
        simulate(build, seed=3, drive=scheduling(1, "raise"))
    text = str(failure.value)
    lines = text.splitlines()
    assert lines[0] == "seed 3: event 'x' died in work: LookupError: no such thing"
    assert lines[1] == (
        "Run it again: ZENACTORS_SEED=3 python -m pytest tests/testing/test_simulate.py::"
        "test_a_failure_shows_the_seed_the_command_the_events_and_what_happened"
    )
    assert {"  x#1  1: completed", "  x#1  1: on its way to probe"} & set(lines)  # as it was then
    assert "  x#2  'raise': dead in work: LookupError: no such thing" in lines
    assert "What happened before:" in text
    assert "LookupError" in "\n".join(lines[-20:])


def test_a_command_of_ones_own_takes_its_place() -> None:
    with pytest.raises(SimulationFailure, match="Run it again: again --seed 3"):
        simulate(build, seed=3, drive=scheduling("raise"), replay="again --seed 3")


def test_the_same_seed_fails_in_the_same_way() -> None:
    traces = []
    for _ in range(2):
        lines: list[str] = []
        with pytest.raises(SimulationFailure):
            simulate(build, seed=5, drive=scheduling(1, "raise", 2), sink=lines.append)
        traces.append(lines)
    assert traces[0] == traces[1]


# --- many seeds ---------------------------------------------------------------------------------


def test_seeds_are_run_up_to_the_first_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ZENACTORS_SEED", raising=False)
    done: list[Any] = []

    def check(harness: Harness) -> None:
        done.append(harness._seed)
        assert harness._seed != 4

    with pytest.raises(SimulationFailure, match="seed 4"):
        explore(build, seeds=range(10), check=check, seconds=1.0)
    assert done == [0, 1, 2, 3, 4]
    assert explore(build, seeds=range(4), check=check, seconds=1.0) == 4


def test_a_seed_from_the_environment_is_the_only_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZENACTORS_SEED", "77")
    seeds: list[Any] = []
    explore(build, seeds=range(10), seconds=1.0, check=lambda harness: seeds.append(harness._seed))
    assert seeds == [77]


def test_a_scenario_can_be_kept_and_run_again() -> None:
    scenario = Scenario(
        build=lambda: [Replicas(lambda: Work(name="work"), 2), Probe("x")],
        drive=scheduling(1, 2),
        check=lambda harness: harness.component("probe").receive_n(2),
    )
    assert explore(scenario, seeds=range(3)) == 3


# --- files --------------------------------------------------------------------------------------


def test_nothing_is_written_to_the_disk(tmp_path: Path) -> None:
    source, target = tmp_path / "in.log", tmp_path / "out.log"
    source.write_text("from the disk\n")

    def copy() -> list[Any]:
        return [FileTailer(patterns=[str(source)], start="beginning"), RawWriter(path=str(target))]

    def drive(harness: Harness) -> None:
        assert harness.files is not None
        harness.files.append(str(source), "from the test\n")
        harness.advance(5.0)
        assert harness.files.content(str(target)) == b"from the disk\nfrom the test\n"

    explore(copy, seeds=range(3), drive=drive)
    assert source.read_text() == "from the disk\n"
    assert not target.exists()
    simulate(copy, seed=1, files={str(source): "in memory\n"}, seconds=5.0)


def test_a_scenario_may_be_without_the_files_of_the_disk(tmp_path: Path) -> None:
    (tmp_path / "a.log").write_text("from the disk\n")
    target = tmp_path / "out" / "copy.log"

    def copy() -> list[Any]:
        patterns = [str(tmp_path / "*.log")]
        return [FileTailer(patterns=patterns, start="beginning"), RawWriter(path=str(target))]

    def drive(harness: Harness) -> None:
        harness.advance(5.0)
        assert harness.files.content(str(target)) == b"in memory\n"
        written = harness.files.stat(str(target)).st_mtime
        assert harness.clock.time() - 6.0 < written <= harness.clock.time()

    files = {str(tmp_path / "b.log"): "in memory\n", f"{target.parent}/": ""}
    explore(copy, seeds=range(3), drive=drive, files=files, from_disk=False)


def test_options_change_a_scenario_and_unknown_ones_are_refused() -> None:
    scenario = Scenario(build=lambda: [Clock()], seconds=5.0)
    assert simulate(scenario, seed=1, seconds=50.0).now >= 50.0
    with pytest.raises(TypeError, match="no option 'secnds'; did you mean 'seconds'"):
        simulate(scenario, seed=1, secnds=50.0)


class Clock(ZenDaemonComponent):
    def setup(self, daemon: Daemon) -> None:
        daemon.io.call_every(1, lambda daemon: None)


def test_no_seeds_are_no_success(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match="no seeds"):
        explore(lambda: [Clock()], seeds=[])
    with pytest.raises(TypeError, match="range"):
        explore(lambda: [Clock()], seeds=3)  # type: ignore[arg-type]
    monkeypatch.setenv("ZENACTORS_SEED", "x")
    with pytest.raises(ValueError, match="whole number, not 'x'"):
        explore(lambda: [Clock()], seeds=range(3))


def test_the_command_fits_the_current_directory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parent)  # the test's path is relative to pytest's root
    with pytest.raises(SimulationFailure) as failure:
        simulate(lambda: [Clock()], seed=7, check=lambda harness: 1 / 0)
    assert failure.value.replay.startswith("ZENACTORS_SEED=7 python -m pytest test_simulate.py::")
