"""Policies from the configuration of a daemon, and their change by a reload."""

from __future__ import annotations

import json
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.actors.fakes import DEADLINE
from zenactors import Dispatcher, Recipe, ZenDaemon, ZenDaemonComponent, handles
from zenactors.core.replicas import Replicas
from zenactors.core.supervision import Retry, Supervision
from zenactors.errors import ConfigurationError
from zenactors.testing import Harness


class Worker(ZenDaemonComponent):
    """Fails on `bad`, and on `first` at the first attempt."""

    def __init__(self, size: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.size = size
        self.tried = False

    def setup(self, daemon: Any) -> None:
        LIFE.append(f"{self.name} {self.incarnation}")
        daemon.io.keep_alive()

    @handles("work")
    def cbk_event_work(self, daemon: Any, args: Any) -> None:
        if args == "bad" or (args == "first" and not self.tried):
            self.tried = True
            raise ValueError(args)
        self.inc_statistic("done")


class Refusing(ZenDaemonComponent):
    def __init__(self, level: int = 1) -> None:
        super().__init__(name="refusing")

    def reconfigure(self, daemon: Any, config: Any) -> None:
        daemon.wait(1)  # the others change meanwhile
        raise OSError("I will not")

    @handles("never")
    def cbk_event_never(self, daemon: Any, args: Any) -> None: ...


LIFE: list[str] = []


@pytest.fixture(autouse=True)
def _new_life() -> None:
    LIFE.clear()


class Site:
    """A daemon with a configuration file."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.file = directory / "d.conf"
        self.write({})

    def write(self, policy: Any, **others: Any) -> None:
        worker = {"supervision": policy} if policy else {}
        self.file.write_text(json.dumps({"components": {"worker": worker, **others}}))

    def start(self, *components: Any, **options: Any) -> Harness:
        daemon = ZenDaemon(
            name="d", components=components or [Worker(name="worker"), Refusing()],
            path_cfg=str(self.directory), path_run=str(self.directory),
            path_log=str(self.directory), **options,
        )  # fmt: skip
        daemon.configure({"no_daemon": True})
        return Harness(daemon)

    def reload(self, harness: Harness, policy: Any, **others: Any) -> list[str]:
        self.write(policy, **others)
        before = len(harness.logs)
        harness.signal(signal.SIGHUP)
        harness.advance(2)
        lines = [each.message for each in harness.logs[before:]]
        return [line for line in lines if line.startswith("Configuration ")]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def work(harness: Harness, *args: Any) -> None:
    for each in args:
        harness.queue.schedule("work", each)
    harness.advance(0.5)


RESTART = {"on_error": "restart", "delay": 0}


def test_the_file_sets_the_policy_of_a_component(site: Site) -> None:
    site.write(RESTART)
    with site.start() as harness:
        work(harness, "bad", "good")
        harness.dead_letters()
    assert LIFE == ["worker 1", "worker 2"]


def test_the_configuration_overrides_recipe_and_class_value_by_value(site: Site) -> None:
    class Declares(Worker):
        supervision = Supervision(on_error="stop", max_restarts=9)

    site.write({"delay": 0, "max_restarts": 1, "when_exhausted": "suspend"})
    recipe = Recipe(Declares, name="worker", supervision=Supervision(on_error="restart", delay=9))
    with site.start(recipe) as harness:
        work(harness, "bad", "bad")
        assert harness.daemon.dispatcher.readiness() == [
            "component 'worker' is suspended after ValueError('bad')"
        ]
        harness.dead_letters()
    assert LIFE == ["worker 1", "worker 2"]


def test_a_dispatcher_takes_policies_from_its_config() -> None:
    config = {"components": {"worker": {"supervision": RESTART}}}
    with Dispatcher([Recipe(Worker, name="worker")], config=config) as dispatcher:
        dispatcher.queue.schedule("work", "bad")
        dispatcher.queue.schedule("work", "good")  # it waits for the restart
        assert dispatcher.drain(DEADLINE)
    assert LIFE == ["worker 1", "worker 2"]
    with pytest.raises(ConfigurationError, match=r"unknown key 'supervision\.on_eror'"):
        Dispatcher([Worker()], config={"components": {"Worker": {"supervision": {"on_eror": 1}}}})


def test_replicas_share_the_policy_of_their_configuration(site: Site) -> None:
    site.write(RESTART)
    replicas = Replicas(lambda: Worker(name="worker"), 2)
    with site.start(replicas) as harness:
        work(harness, "bad")
        assert len(LIFE) == 3
        (logged,) = site.reload(harness, {"on_error": "stop"})
        assert "Configuration reloaded" in logged
        work(harness, "bad")
        harness.dead_letters()
        assert harness.status == 76
    assert len(LIFE) == 3


def test_a_reload_changes_the_policy_and_nothing_else(site: Site) -> None:
    with site.start() as harness:
        work(harness, "bad", "good")
        (logged,) = site.reload(harness, RESTART)
        assert logged == "Configuration reloaded; changed: components; components: worker"
        assert LIFE == ["worker 1"]
        work(harness, "bad", "good")
        assert LIFE == ["worker 1", "worker 2"]
        site.reload(harness, {})
        work(harness, "bad", "good")
        assert (LIFE, harness.statistics["worker"]["done"]["cnt"]) == (["worker 1", "worker 2"], 3)
        assert len(harness.dead_letters()) == 3


def test_a_reload_without_a_change_of_policies_changes_no_component(site: Site) -> None:
    site.write({**RESTART, "retry": {"attempts": 2}})
    with site.start() as harness:
        (logged,) = site.reload(harness, {**RESTART, "retry": {"attempts": 2}})
    assert logged == "Configuration reloaded; changed: nothing; components: none"


def test_a_reload_can_bring_retries(site: Site) -> None:
    with site.start() as harness:
        site.reload(harness, {"retry": {"attempts": 2, "delay": 0}})
        work(harness, "first")
        assert harness.statistics["worker"]["done"]["cnt"] == 1
        assert not harness.dead_letters()


def test_the_restarts_that_were_used_up_count_under_the_new_policy(site: Site) -> None:
    site.write({**RESTART, "max_restarts": 3})
    with site.start() as harness:
        work(harness, "bad", "bad")
        site.reload(harness, {**RESTART, "max_restarts": 2, "when_exhausted": "suspend"})
        work(harness, "bad")
        assert "is suspended" in "".join(harness.daemon.dispatcher.readiness())
        harness.dead_letters()
    assert len(LIFE) == 3


def test_a_new_policy_makes_a_suspended_component_anew(site: Site) -> None:
    suspends = {**RESTART, "max_restarts": 0, "when_exhausted": "suspend"}
    site.write(suspends)
    with site.start() as harness:
        work(harness, "bad", "good")
        assert "is suspended" in "".join(harness.daemon.dispatcher.readiness())
        site.reload(harness, {**suspends, "max_restarts": 1})
        assert harness.daemon.dispatcher.readiness() == []
        assert harness.statistics["worker"]["done"]["cnt"] == 1
        harness.dead_letters()
    assert LIFE == ["worker 1", "worker 2"]


def test_a_rollback_restores_the_policy(site: Site) -> None:
    with site.start() as harness:
        (logged,) = site.reload(harness, RESTART, refusing={"level": 2})
        assert "Configuration not reloaded" in logged
        assert "I will not" in logged
        work(harness, "bad", "good")
        assert LIFE == ["worker 1"]
        (logged,) = site.reload(harness, RESTART)
        assert "Configuration reloaded" in logged
        harness.dead_letters()


@pytest.mark.parametrize("options", [{}, {"size": 2}])
def test_options_and_policy_change_together(site: Site, options: dict[str, Any]) -> None:
    worker: dict[str, Any] = {"worker": {"supervision": RESTART, **options}}
    with site.start() as harness:
        site.reload(harness, {}, **worker)
        work(harness, "bad")
        harness.dead_letters()
    assert len(LIFE) == (3 if options else 2)


def test_a_mistake_in_a_policy_refuses_the_reload(site: Site) -> None:
    with site.start() as harness:
        (logged,) = site.reload(harness, {"delay": -1})
    assert f"{site.file}:1: component 'worker': supervision.delay is -1" in logged


class Hanging(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__(name="worker")

    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()

    @handles("hang")
    def cbk_event_hang(self, daemon: Any, args: Any) -> None:
        daemon.wait(args)


def hangs(harness: Harness) -> Sequence[str]:
    return [each.message for each in harness.logs if "has not returned" in each.message]


@pytest.mark.parametrize(("budget", "reported"), [(10.0, 0), (1.0, 1)])
def test_the_budget_for_hangs_follows_a_reload(site: Site, budget: float, reported: int) -> None:
    site.write({"budget": 10.0})
    with site.start(Hanging(), stop_timeout=100) as harness:
        site.reload(harness, {"budget": budget})
        harness.queue.schedule("hang", 8.0)
        harness.advance(9)
        assert len(hangs(harness)) == reported


class MakesAnew(ZenDaemon):
    """Makes its components by a list outside: what the program says at a reload is new."""

    def make_components(self) -> list[Any]:
        return [Worker(name="worker", supervision=POLICIES[-1])]


POLICIES: list[Supervision] = []


def test_a_program_may_make_a_component_with_another_policy_at_a_reload(site: Site) -> None:
    POLICIES[:] = [Supervision(retry=Retry())]
    daemon = MakesAnew(name="d", path_cfg=str(site.directory), path_run=str(site.directory))
    daemon.configure({"no_daemon": True})
    with Harness(daemon) as harness:
        POLICIES.append(Supervision(on_error="restart", delay=0))
        site.reload(harness, {})
        work(harness, "bad", "good")
        harness.dead_letters()
    assert LIFE == ["worker 1", "worker 2", "worker 3"]  # another argument: another object


def test_a_default_policy_is_that_of_components_that_declare_none(site: Site) -> None:
    own = Worker(name="own", supervision=Supervision())
    default = Supervision(on_error="stop", status=7)
    with site.start(Worker(name="worker"), own, supervision=default) as harness:
        harness.queue.schedule("work", "bad")
        harness.advance(0.5)
        assert (harness.status, len(harness.dead_letters())) == (7, 1)
        assert harness.dead_letters()[0].component == "worker"


class Slow(ZenDaemonComponent):
    """Takes five seconds for new options."""

    def __init__(self, level: int = 1) -> None:
        super().__init__(name="slow")

    def reconfigure(self, daemon: Any, config: Any) -> None:
        daemon.wait(5)

    @handles("never")
    def cbk_event_never(self, daemon: Any, args: Any) -> None: ...


def test_the_hard_limit_of_a_program_does_not_end_its_reload(site: Site) -> None:
    policy = Supervision(hard_limit=1.0, best_effort=True)
    with site.start(Worker(name="worker"), Slow(), supervision=policy) as harness:
        assert site.reload(harness, {}, slow={"level": 2}) == []
        harness.advance(10)
        lines = [each.message for each in harness.logs]
        (line,) = [line for line in lines if line.startswith("Configuration ")]
        assert line.startswith("Configuration reloaded")
        assert "hard_limit" not in "".join(lines)
        assert harness.status is None
