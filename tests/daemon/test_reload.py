"""SIGHUP is a transaction: all of the new configuration holds, or all of the old one."""

from __future__ import annotations

import json
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from zenactors import ConfigurationError, ZenDaemon, ZenDaemonComponent, handles
from zenactors.testing import Harness


class Greeter(ZenDaemonComponent):
    class Options(pydantic.BaseModel):
        model_config = pydantic.ConfigDict(extra="forbid", strict=True)
        word: str = "hello"
        refuse: bool = False

    def __init__(self, name: str = "greeter") -> None:
        super().__init__(name=name)
        self.word = ""
        self.reconfigured = 0
        self.greeted: list[str] = []

    def setup(self, daemon: Any) -> None:
        self.word = self.options["word"]
        daemon.io.keep_alive()

    def reconfigure(self, daemon: Any, config: Mapping[str, Any]) -> None:
        self.reconfigured += 1
        if config["refuse"]:
            raise OSError("I will not")
        self.word = config["word"]

    @handles("greet")
    def cbk_event_greet(self, daemon: Any, args: Any) -> None:
        self.greeted.append(f"{self.word} {args}")


class Rigid(ZenDaemonComponent):
    """Has no `reconfigure`: a new object replaces it."""

    class Options(pydantic.BaseModel):
        size: int = 1

    made = 0

    def __init__(self) -> None:
        super().__init__(name="rigid")
        type(self).made += 1

    def setup(self, daemon: Any) -> None:
        self.size = self.options["size"]

    @handles("count")
    def cbk_event_count(self, daemon: Any, args: Any) -> None:
        self.inc_statistic("counted", self.size)


class Daemon(ZenDaemon):
    class Options(ZenDaemon.Options):
        note: str = "first"
        odd: int = 1

    def make_components(self) -> list[Any]:
        return [Rigid()]

    def derive(self, config: dict[str, Any]) -> None:
        if config["odd"] % 2 == 0:
            raise ConfigurationError(f"odd: {config['odd']} is even")
        config[self.CORE]["twice"] = config["note"] * 2


class DaemonInDirectory:
    """A daemon with a configuration file, and its logs."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "d.conf"
        self.write({})
        self.greeter, self.other = Greeter(), Greeter("other")
        self.daemon = Daemon(
            name="d", components=[self.greeter, self.other], path_cfg=str(directory),
            path_run=str(directory), path_log=str(directory),
        )  # fmt: skip
        self.reopened: list[str] = []
        self.daemon.reopen_logs = lambda config: self.reopened.append(config["log_level"])

    def write(self, content: Any) -> None:
        self.file.write_text(content if isinstance(content, str) else json.dumps(content))

    def start(self, **command_line: Any) -> Harness:
        self.daemon.configure({"no_daemon": True, **command_line})
        return Harness(self.daemon)

    def reload(self, harness: Harness, content: Any) -> list[str]:
        """Write the file, send SIGHUP, and return the messages of INFO or above that follow."""
        self.write(content)
        before = len(harness.logs)
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        return [record.message for record in harness.logs[before:] if record.level != "DEBUG"]


@pytest.fixture
def site(tmp_path: Path) -> DaemonInDirectory:
    Rigid.made = 0
    return DaemonInDirectory(tmp_path)


def test_a_good_configuration_is_applied(site: DaemonInDirectory) -> None:
    with site.start() as harness:
        harness.queue.schedule("greet", "you")
        harness.queue.schedule("count")
        harness.advance(0.1)
        logs = site.reload(
            harness,
            {"note": "second", "components": {"greeter": {"word": "bye"}, "rigid": {"size": 5}}},
        )
        harness.queue.schedule("greet", "you")
        harness.queue.schedule("count")
        harness.advance(0.1)
        statistics = harness.statistics
        state = site.daemon.get_state()

    assert "Configuration reloaded; changed: components, note; components:" in logs[1]
    assert site.greeter.greeted == ["hello you", "bye you"]
    assert site.greeter.options == {"word": "bye", "refuse": False}
    assert statistics["rigid"]["counted"]["cnt"] == 6
    assert (site.daemon.c("note"), site.daemon.cc("twice")) == ("second", "secondsecond")
    assert state["reload"]["done"] is True
    assert state["reload"]["components"] == ["greeter", "rigid"]


def test_only_components_whose_section_changed_are_reconfigured(site: DaemonInDirectory) -> None:
    with site.start() as harness:
        site.reload(harness, {"note": "x", "components": {"greeter": {"word": "bye"}}})

    assert (site.greeter.reconfigured, site.other.reconfigured) == (1, 0)
    assert site.daemon.c("note") == "x"


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("{", "d.conf:1:"),
        ({"note": 5}, "key 'note': expected str, got 5"),
        ({"nte": "x"}, "unknown key 'nte'; did you mean 'note'?"),
        ({"components": {"greter": {}}}, "greter"),
        ({"components": {"greeter": {"wrd": "x"}}}, "wrd"),
        ({"odd": 2}, "odd: 2 is even"),
        ({"pid_file": "other.pid"}, "Only a restart can change: pid_file"),
        ({"components": {"other": {"refuse": True}, "greeter": {"word": "x"}}}, "I will not"),
    ],
)
def test_a_bad_configuration_changes_nothing(
    site: DaemonInDirectory, content: Any, reason: str
) -> None:
    with site.start() as harness:
        config = site.daemon.config
        logs = site.reload(harness, content)
        harness.queue.schedule("greet", "you")
        harness.advance(0.1)
        state = site.daemon.get_state()

    assert any("Configuration not reloaded" in line and reason in line for line in logs), logs
    assert site.daemon.config is config
    assert site.daemon.configuration.values["note"] == "first"
    assert site.greeter.greeted == ["hello you"]
    assert site.greeter.options["word"] == "hello"
    assert state["reload"]["done"] is False
    assert reason in " ".join(state["reload"]["problems"])


def test_a_bug_of_the_program_rolls_back(site: DaemonInDirectory) -> None:
    def derive(config: dict[str, Any]) -> None:
        config["note"] = config["note"] / 2

    with site.start() as harness:
        before = site.daemon.configuration, site.daemon.config
        site.daemon.derive = derive  # type: ignore[method-assign]
        logs = site.reload(harness, {"note": "second"})

    assert any("Configuration not reloaded: TypeError" in line for line in logs)
    assert before == (site.daemon.configuration, site.daemon.config)


def test_a_missing_file_is_not_an_empty_configuration(site: DaemonInDirectory) -> None:
    site.write({"note": "written"})
    with site.start() as harness:
        site.file.unlink()
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        logs = [record.message for record in harness.logs]

    assert any("Configuration not reloaded" in x and "there is no such file" in x for x in logs)
    assert site.daemon.c("note") == "written"


def test_after_a_bad_configuration_a_good_one_is_applied(site: DaemonInDirectory) -> None:
    with site.start() as harness:
        site.reload(harness, "{")
        logs = site.reload(harness, {"note": "third"})

    assert "Configuration reloaded" in logs[1]
    assert site.daemon.c("note") == "third"


def test_logs_are_reopened_in_any_case(site: DaemonInDirectory) -> None:
    with site.start() as harness:
        site.reload(harness, {"log_level": "debug"})
        site.reload(harness, {"log_level": "wrong"})

    assert site.reopened == ["DEBUG", "DEBUG"]


def test_logs_that_cannot_be_opened_stop_the_reload(site: DaemonInDirectory) -> None:
    def reopen(config: Mapping[str, Any]) -> None:
        site.reopened.append(config["note"])
        if config["note"] != "first":
            raise ConfigurationError("Log file '/x/y' cannot be opened")

    site.daemon.reopen_logs = reopen
    with site.start() as harness:
        logs = site.reload(harness, {"note": "x", "components": {"greeter": {"word": "bye"}}})

    assert "Configuration not reloaded: Log file '/x/y' cannot be opened" in logs[1]
    assert site.daemon.c("note") == "first"
    assert site.greeter.reconfigured == 0
    assert site.reopened == ["x", "first"]


def test_the_command_line_still_takes_precedence(site: DaemonInDirectory) -> None:
    with site.start(note="given") as harness:
        logs = site.reload(harness, {"note": "filed", "stats_interval": 5})

    assert "changed: stats_interval; components: none" in logs[1]
    assert site.daemon.c("note") == "given"


def test_components_handle_the_signal_after_the_reload(site: DaemonInDirectory) -> None:
    heard: list[str] = []

    class Late(ZenDaemonComponent):
        @handles("signal_hup")
        def cbk_event_signal_hup(self, daemon: Any, args: Any) -> None:
            heard.append(daemon.c("note"))

    site.daemon.components.append(Late())
    with site.start() as harness:
        site.reload(harness, {"note": "second"})

    assert heard == ["second"]


def test_statistics_can_be_turned_on(site: DaemonInDirectory) -> None:
    logged: list[float] = []

    class Clerk(ZenDaemonComponent):
        @handles("log_statistics")
        def cbk_event_log_statistics(self, daemon: Any, args: Any) -> None:
            logged.append(self.clock.monotonic())

    site.write({"stats_interval": 0})
    site.daemon.components.append(Clerk())
    with site.start() as harness:
        harness.advance(400.0)
        assert logged == []
        site.reload(harness, {"stats_interval": 10})
        harness.advance(25.0)

    assert len(logged) == 2


def test_a_daemon_without_files_reloads_nothing(tmp_path: Path) -> None:
    greeter = Greeter()
    with Harness(ZenDaemon(name="d", components=[greeter])) as harness:
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        assert "Configuration reloaded; changed: nothing; components: none" in [
            record.message for record in harness.logs
        ]

    assert greeter.reconfigured == 0


def test_a_daemon_may_have_the_name_of_its_component(tmp_path: Path) -> None:
    greeter = Greeter("d")
    daemon = ZenDaemon(name="d", components=[greeter], path_cfg=str(tmp_path))
    (tmp_path / "d.conf").write_text("{}")
    daemon.configure({"no_daemon": True})
    with Harness(daemon) as harness:
        (tmp_path / "d.conf").write_text('{"components": {"d": {"word": "bye"}}}')
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        assert greeter.word == "bye"


def test_components_of_one_name_keep_their_own_sections(tmp_path: Path) -> None:
    class Two(ZenDaemon):
        def make_components(self) -> list[Any]:
            return [Rigid()]

    given = Rigid()
    daemon = Two(name="d", components=[given], path_cfg=str(tmp_path), schedule=[("count",)])
    file = tmp_path / "d.conf"
    file.write_text("{}")
    daemon.configure({"no_daemon": True})
    with Harness(daemon, files=None) as harness:
        file.write_text(json.dumps({"components": {"rigid": {"size": 7}, "rigid-2": {"size": 9}}}))
        harness.queue.schedule_after(1000.0, "count")
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        assert harness.component("rigid") is not given
        assert (harness.component("rigid").size, harness.component("rigid-2").size) == (7, 9)


def test_make_components_reads_the_new_configuration(site: DaemonInDirectory) -> None:
    seen: list[str] = []

    def make() -> list[Any]:
        seen.append(site.daemon.c("note"))
        return [Rigid()]

    with site.start() as harness:
        site.daemon.make_components = make  # type: ignore[method-assign]
        site.reload(harness, {"note": "second", "components": {"rigid": {"size": 2}}})
        site.reload(harness, {"note": "third", "components": {"rigid": {"size": 2}}})

    assert seen == ["second", "third"]


@pytest.mark.parametrize("between", [[], [0]])
def test_a_changed_interval_counts_at_once_and_only_once(
    site: DaemonInDirectory, between: list[int]
) -> None:
    logged: list[float] = []

    class Clerk(ZenDaemonComponent):
        @handles("log_statistics")
        def cbk_event_log_statistics(self, daemon: Any, args: Any) -> None:
            logged.append(self.clock.monotonic())

    site.daemon.components.append(Clerk())
    with site.start() as harness:
        for interval in (*between, 10):
            site.reload(harness, {"stats_interval": interval})
        harness.advance(100.0)

    assert len(logged) == 10


def steps(harness: Harness) -> list[str]:
    """Return the DEBUG lines of the reloads so far, each up to its facts."""
    return [
        record.message.removeprefix("Reload: ").partition(":")[0]
        for record in harness.logs
        if record.message.startswith("Reload: ")
    ]


STEPS = [
    "reading and checking the configuration",
    "looking for changes that need a restart",
    "components that change",
    "applying the configuration",
    "reopening the logs",
    "reconfiguring the components",
]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"note": "x", "components": {"greeter": {"word": "bye"}}}, STEPS),
        ("{", STEPS[:1]),
        ({"pid_file": "other.pid"}, [*STEPS[:2], "rolling back the configuration"]),
        ({"odd": 2}, STEPS[:1]),
        ({"components": {"greeter": {"refuse": True}}}, [*STEPS, "rolling back the configuration"]),
    ],
    ids=["done", "broken", "needs-restart", "makes-no-sense", "refused"],
)
def test_each_step_of_a_reload_is_logged(
    site: DaemonInDirectory, content: Any, expected: list[str]
) -> None:
    with site.start() as harness:
        site.reload(harness, content)
        assert steps(harness) == expected
