"""One component, stock or own, has its options in every place where a component runs."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from tests.config.sample import write
from tests.daemon.optioned import Collector, Modelled, Signed
from tests.running import ROOT
from zenactors import (
    ConfigurationError,
    Dispatcher,
    NeedsRestart,
    Recipe,
    Replicas,
    ZenDaemon,
    ZenDaemonComponent,
    handles,
    spec,
)
from zenactors.components import FileTailer, Statistics
from zenactors.config.assignments import Assignment, parse
from zenactors.config.redaction import json_text
from zenactors.config.view import config_tree
from zenactors.testing import Harness

DEADLINE = 30.0  # seconds: generous, so that only a hang fails

Observed = tuple[list[str], list[str]]  # what came of the options; the errors


class Subject:
    """A component, the arguments that the program gives it, and options that override them."""

    def __init__(self, cls: type, given: dict[str, Any], before: str) -> None:
        self.cls = cls
        self.given = given
        self.before = before

    def made(self) -> list[Any]:
        return [self.cls(**self.given, name="subject"), Collector()]

    def spec(self, options: dict[str, Any]) -> str:
        """Return a SPEC that gives the component these options."""
        given = "".join(f"{key} = {json.dumps(each)}\n" for key, each in options.items())
        return (
            'name = "d"\n[[component]]\n'
            f'use = "{self.cls.__module__}:{self.cls.__name__}"\nname = "subject"\n'
            f"[component.options]\n{given}"
            '[[component]]\nuse = "tests.daemon.optioned:Collector"\n'
        )


def assignments(options: dict[str, Any]) -> list[Assignment]:
    return parse(
        f"components.subject.{key}={each if isinstance(each, str) else json.dumps(each)}"
        for key, each in options.items()
    )


def config(options: dict[str, Any]) -> dict[str, Any]:
    return {"components": {"subject": options}}


def observed(daemon: ZenDaemon, then: Callable[[Harness], None] = lambda _: None) -> Observed:
    with Harness(daemon) as harness:
        harness.advance(1.0)
        then(harness)
        harness.advance(1.0)
        errors = [each.message for each in harness.logs if each.level == "ERROR"]
    return harness.component("collector").seen, errors


def from_file(subject: Subject, options: dict[str, Any]) -> Observed:
    daemon = ZenDaemon(name="d", components=subject.made())
    file = write("given.json", json.dumps(config(options), indent=1))
    daemon.configure({"no_daemon": True, "config_file": str(file)})
    return observed(daemon)


def from_set(subject: Subject, options: dict[str, Any]) -> Observed:
    daemon = ZenDaemon(name="d", components=subject.made())
    daemon.configure({"no_daemon": True}, assignments(options))
    return observed(daemon)


def from_program(subject: Subject, options: dict[str, Any]) -> Observed:
    daemon = ZenDaemon(name="d", components=subject.made(), default_components={"subject": options})
    daemon.configure({"no_daemon": True})
    return observed(daemon)


def in_spec(subject: Subject, options: dict[str, Any]) -> Observed:
    file = write("spec.toml", subject.spec(subject.given | options))
    return observed(spec.load(str(file), ROOT))


def in_spec_by_set(subject: Subject, options: dict[str, Any]) -> Observed:
    file = write("spec.toml", subject.spec(subject.given))
    return observed(spec.load(str(file), ROOT, assignments=assignments(options)))


def in_dispatcher(subject: Subject, options: dict[str, Any]) -> Observed:
    components = subject.made()
    collector = components[1]
    with Dispatcher(components, config=config(options)):
        assert collector.arrived.wait(DEADLINE)
    return collector.seen, []


def in_harness(subject: Subject, options: dict[str, Any]) -> Observed:
    components = subject.made()
    with Harness(components, config=config(options)) as harness:
        harness.advance(1.0)
    return components[1].seen, []


def hang_up(file: Path, text: str) -> Callable[[Harness], None]:
    def then(harness: Harness) -> None:
        write(file, text)
        harness.signal(signal.SIGHUP)

    return then


def by_reload(subject: Subject, options: dict[str, Any]) -> Observed:
    daemon = ZenDaemon(name="d", components=subject.made())
    file = write("given.json", "{}")
    daemon.configure({"no_daemon": True, "config_file": str(file)})
    seen, errors = observed(daemon, hang_up(file, json.dumps(config(options), indent=1)))
    return seen, refused(seen, errors, subject)


def by_reload_of_spec(subject: Subject, options: dict[str, Any]) -> Observed:
    file = write("spec.toml", subject.spec(subject.given))
    daemon = spec.load(str(file), ROOT)
    seen, errors = observed(daemon, hang_up(file, subject.spec(subject.given | options)))
    return seen, refused(seen, errors, subject)


def refused(seen: list[str], errors: list[str], subject: Subject) -> list[str]:
    """Take what came before the reload, and return the lines of a refused one."""
    assert seen.pop(0) == subject.before
    return [each.removeprefix("Configuration not reloaded: ") for each in errors]


PLACES = {
    from_file: r"given\.json:\d",
    from_set: r"--set components\.subject\.\w+",
    from_program: "program",
    in_spec: r"spec\.toml:\d",
    in_spec_by_set: r"--set components\.subject\.\w+",
    in_dispatcher: "program",
    in_harness: "program",
    by_reload: r"given\.json:\d",
    by_reload_of_spec: r"spec\.toml:\d",
}
"""The ways in which options come to a component, and the place that an error has."""

SUBJECTS = ("stock", "modelled", "signed")


@pytest.fixture
def subject(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Subject:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        write(tmp_path / f"{name}.log", f"line of {name}\n")
    if kind == "stock":
        return Subject(FileTailer, {"patterns": ["a.log"], "start": "beginning"}, "line of a")
    if kind == "modelled":
        return Subject(Modelled, {"word": "given"}, "given")
    return Subject(Signed, {"word": "given"}, "given")


@pytest.mark.parametrize("way", PLACES)
@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("stock", {"patterns": ["b.log"]}, "line of b"),
        ("modelled", {"times": 2}, "givengiven"),
        ("modelled", {"word": "other"}, "other"),
        ("signed", {"times": 2}, "givengiven"),
        ("signed", {"word": "other"}, "other"),
    ],
)
def test_an_option_has_its_effect(
    way: Callable[..., Observed], subject: Subject, options: dict[str, Any], expected: str
) -> None:
    assert way(subject, options) == ([expected], [])


@pytest.mark.parametrize("way", PLACES)
@pytest.mark.parametrize(
    ("kind", "options", "problem"),
    [
        ("stock", {"patterns": 5}, "option 'patterns': expected list[str], got 5"),
        ("stock", {"start": "edn"},
         "option 'start': expected one of 'beginning', 'end', got 'edn'; did you mean 'end'?"),
        ("stock", {"patern": ["x"]}, "unknown option 'patern'; did you mean 'patterns'?"),
        ("stock", {"poll_interval": -1.0},
         "poll_interval is -1.0, but a number of seconds above 0 is expected."),
        ("modelled", {"times": 0}, "option 'times': input should be greater than or equal to 1,"
         " got 0"),
        ("modelled", {"wrod": "x"}, "unknown option 'wrod'; did you mean 'word'?"),
        ("signed", {"times": "many"}, "option 'times': expected int, got 'many'"),
        ("signed", {"wrod": "x"}, "unknown option 'wrod'; did you mean 'word'?"),
        ("signed", {"times": 0},
         "its constructor raises ValueError: times is 0, but at least 1 is expected."),
    ],
)  # fmt: skip
def test_a_wrong_option_is_one_line_with_its_place(
    way: Callable[..., Observed], subject: Subject, options: dict[str, Any], problem: str
) -> None:
    try:
        _, errors = way(subject, options)
    except ConfigurationError as cause:
        errors = str(cause).splitlines()

    [line] = errors
    # A component that runs, and has a `reconfigure`, refuses an option by itself.
    refuses = "' cannot take its new options: "
    line = line.replace(f"{refuses}ValueError: poll", "': poll")
    line = line.replace(refuses, "': its constructor raises ")
    found = re.match(rf"(.*/)?{PLACES[way]}: component (1 \(subject\)|'subject'): ", line)
    assert found, line
    assert line[found.end() :].partition(" (/")[0] == problem


# --- when the components are made ---------------------------------------------------------------


class Needy(ZenDaemonComponent):
    """Requires an option."""

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.path = path

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None: ...


class NeedyModel(ZenDaemonComponent):
    class Options(BaseModel):
        path: str

    @property
    def path(self) -> str:
        return str(self.options["path"])


class Heart(ZenDaemonComponent):
    def setup(self, daemon: Any) -> None:
        daemon.io.keep_alive()


def configured(daemon: ZenDaemon, **options: dict[str, Any]) -> ZenDaemon:
    """Configure a daemon by a file, with the options of each component."""
    file = write("given.json", json.dumps({"components": options}, indent=1))
    daemon.configure({"no_daemon": True, "config_file": str(file)})
    return daemon


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("listed", [Needy, Recipe(Needy), NeedyModel, Recipe(NeedyModel)])
def test_a_required_option_may_come_from_the_configuration(directory: Path, listed: Any) -> None:
    cls = listed.cls if isinstance(listed, Recipe) else listed
    options = {cls.__name__: {"path": "there"}}
    daemon = configured(ZenDaemon(name="d", components=[listed]), **options)
    dispatcher = Dispatcher([listed], config={"components": options})
    harness = Harness([listed], config={"components": options})

    [made] = daemon.components
    others = [dispatcher.entries[0].component, harness.component(cls.__name__)]
    assert [type(made), made.path] == [cls, "there"]
    assert [each.path for each in others] == ["there", "there"]
    assert len({id(each) for each in [made, *others]}) == 3
    harness.close()


@pytest.mark.parametrize("listed", [Needy, Recipe(NeedyModel), NeedyModel()])
def test_a_required_option_that_is_missing_is_one_line(listed: Any) -> None:
    name = "NeedyModel" if listed is not Needy else "Needy"
    problem = f"configuration: component '{name}': option 'path' is missing; it must be given"
    for make in (Dispatcher, lambda each: ZenDaemon(name="d", components=each).chains()):
        with pytest.raises(ConfigurationError) as caught:
            make([listed])
        assert str(caught.value) == problem


def test_the_object_stays_the_same(directory: Path) -> None:
    component = Needy("here", name="needy")
    callback = component.cbk_event_x
    daemon = configured(ZenDaemon(name="d", components=[component]), needy={"path": "there"})
    assert daemon.components == [component]
    assert component.path == "there"
    assert daemon.dispatcher.entries[1].component is component
    assert callback == component.cbk_event_x


def test_a_component_that_is_not_configured_is_not_initialised_again(directory: Path) -> None:
    component = Needy("here", name="needy")
    component.noted = True  # type: ignore[attr-defined]
    configured(ZenDaemon(name="d", components=[component]), needy={"path": "here"})
    assert component.noted  # type: ignore[attr-defined]


def test_a_component_of_another_daemon_has_no_options_of_it_left(directory: Path) -> None:
    component = Needy("here", name="needy")
    configured(ZenDaemon(name="d", components=[component]), needy={"path": "there"})
    assert component.path == "there"
    configured(ZenDaemon(name="d", components=[component]))
    assert component.path == "here"


def test_what_code_gives_to_a_constructor_is_not_checked(directory: Path) -> None:
    client = object()
    component = Signed(("tuple",), times=1, client=client)  # type: ignore[arg-type]
    other = Signed(client=client, name="other")
    daemon = configured(ZenDaemon(name="d", components=[component, other]), other={"times": 2})
    assert repr(component.text) == "('tuple',)"
    assert (other.text, other.client) == ("signedsigned", client)
    assert json.dumps(json.loads(json_text(daemon.get_state())))


@dataclass
class Address:
    host: str
    port: int = 1


class Rich(ZenDaemonComponent):
    """Has options of many types."""

    def __init__(
        self,
        address: Address | None = None,
        path: Path = Path("x"),
        names: tuple[str, ...] = (),
        client: Any = None,
        password: str = "",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.address, self.path, self.names = address, path, names


def test_all_options_are_shown_with_their_origins(directory: Path) -> None:
    endless: dict[str, Any] = {}
    endless["itself"] = endless
    rich = Rich(client=endless, password="hunter2", name="rich")
    daemon = ZenDaemon(name="d", components=[rich])
    file = write("given.json", '{"components": {"rich": {"names": ["a"]}}}')
    given = parse(['components.rich.address={"host": "h"}', "components.rich.path=/p"])
    daemon.configure({"no_daemon": True, "config_file": str(file)}, given)

    assert (rich.address, rich.path, rich.names) == (Address("h"), Path("/p"), ("a",))
    view = [line.split(maxsplit=1) for line in config_tree(daemon.configuration).splitlines()]
    shown = {key: " ".join(rest.split()) for key, rest in view[view.index(["rich"]) + 1 :]}
    assert shown == {
        "address": "\"Address(host='h', port=1)\" --set components.rich.address",
        "path": '"/p" --set components.rich.path',
        "names": f'["a"] {file.absolute()}:1',
        "client": '{"itself": "…"} program',
        "password": '"***" program',
    }
    state = json.loads(json_text(daemon.get_state()))["config"]["components"]["rich"]
    assert state["password"] == "***"
    assert (state["names"], state["path"]) == (["a"], "/p")
    assert json.loads(daemon.cbk_action_config_schema().text)


def test_what_code_gives_to_a_model_is_checked() -> None:
    daemon = ZenDaemon(name="d", components=[Modelled(times=0)])
    with pytest.raises(ConfigurationError) as caught:
        daemon.chains()
    assert str(caught.value) == (
        "program: component 'Modelled': option 'times': input should be greater than or equal to"
        " 1, got 0"
    )


def test_a_recipe_with_a_wrong_argument_is_one_line() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Dispatcher([Recipe(FileTailer, patern=["x"], start="end")])
    assert str(caught.value) == (
        "program: component 'FileTailer': unknown option 'patern'; did you mean 'patterns'?"
    )


def test_a_component_that_names_itself_otherwise_is_an_error() -> None:
    class Odd(Needy):
        def __init__(self, path: str, name: str = "odd") -> None:
            super().__init__(path, name=f"very {name}")

    with pytest.raises(
        ConfigurationError, match="it calls itself 'very odd', so the configuration"
    ):
        Dispatcher([Odd], config={"components": {"odd": {"path": "x"}}})


def test_an_object_that_is_no_component_class_takes_no_options() -> None:
    class Plain:
        name = "plain"

        def get_events(self) -> list[Any]:
            return []

    with pytest.raises(ConfigurationError, match="component 'plain' takes no options, but got 'x'"):
        Dispatcher([Plain()], config={"components": {"plain": {"x": 1}}})


def test_arguments_beside_a_model_can_only_be_given_by_the_program() -> None:
    class Both(ZenDaemonComponent):
        class Options(BaseModel):
            times: int = 1

        def __init__(self, client: Any, times: int, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.client, self.times = client, times

    client = object()
    made = Dispatcher([Recipe(Both, client)]).entries[0].component
    assert (made.client, made.times, made.options) == (client, 1, {"times": 1})
    changed = Both(client, 1)
    Dispatcher([changed], config={"components": {"Both": {"times": 5}}})
    assert (changed.client, changed.times, changed.options) == (client, 5, {"times": 5})
    with pytest.raises(ConfigurationError, match="unknown option 'client'; only the program can"):
        Dispatcher([changed], config={"components": {"Both": {"client": 5}}})


def test_a_table_of_the_configuration_is_merged_into_that_of_the_program() -> None:
    class Tabled(ZenDaemonComponent):
        def __init__(self, limits: dict[str, int], more: dict[str, int] = {"z": 9}) -> None:  # noqa: B006 - not changed
            super().__init__(name="tabled")
            self.limits, self.more = limits, more

    tabled = Tabled({"a": 1, "b": 2})
    Dispatcher([tabled], config={"components": {"tabled": {"limits": {"b": 3}, "more": {"y": 8}}}})
    assert tabled.limits == {"a": 1, "b": 3}
    assert tabled.more == {"z": 9, "y": 8}


# --- replicas -----------------------------------------------------------------------------------


def replicas() -> Replicas:
    numbers = iter("123")
    return Replicas(lambda: Signed(next(numbers), name="several"), 3)


def texts(component: Replicas) -> list[str]:
    return [each.text for each in component.instances]


def test_each_replica_has_the_options_of_the_configuration(directory: Path) -> None:
    several = replicas()
    with Harness([several, Collector()], config={"components": {"several": {"times": 2}}}):
        assert texts(several) == ["11", "22", "33"]


def test_a_reload_gives_each_replica_its_options(directory: Path) -> None:
    several, collector = replicas(), Collector()
    daemon = configured(ZenDaemon(name="d", components=[several, collector]))
    with Harness(daemon) as harness:
        harness.advance(1.0)
        several.instances[0].inc_statistic("counted", 5)
        write("given.json", '{"components": {"several": {"times": 2}}}')
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)
        assert harness.statistics["several/1"]["counted"]["cnt"] == 5
        assert texts(several) == ["11", "22", "33"]
        write("given.json", "{}")
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)

    assert sorted(collector.seen) == ["1", "1", "11", "2", "2", "22", "3", "3", "33"]


class Inner:
    def __init__(self, word: str) -> None:
        self.word = word

    def cbk_event_ask(self, daemon: Any, args: Any) -> None:
        daemon.queue.schedule("seen", self.word)


class Delegating(ZenDaemonComponent):
    """Its callback belongs to an object that its constructor makes."""

    def __init__(self, word: str = "given") -> None:
        super().__init__(name="delegating")
        self.inner = Inner(word)

    def get_events(self) -> list[Any]:
        return [self.gen_event_handler("ask", self.inner.cbk_event_ask)]


@pytest.mark.parametrize("component", [Delegating, lambda: Replicas(Delegating, 2)])
def test_callbacks_are_those_of_the_new_options(
    directory: Path, component: Callable[[], Any]
) -> None:
    daemon = ZenDaemon(name="d", components=[component(), Collector()])
    configured(daemon, delegating={"word": "configured"})
    with Harness(daemon) as harness:
        harness.queue.schedule("ask")
        harness.run_until_idle()
        assert harness.component("collector").seen == ["configured"]


def test_replicas_are_reconfigured_with_options_of_their_own(directory: Path) -> None:
    class Adapting(Signed):
        def reconfigure(self, daemon: Any, config: dict[str, Any]) -> None:
            self.text = config["word"] * config["times"]

    numbers = iter("123")
    several = Replicas(lambda: Adapting(next(numbers), name="several"), 3)
    daemon = configured(ZenDaemon(name="d", components=[several, Collector()]))
    with Harness(daemon) as harness:
        write("given.json", '{"components": {"several": {"times": 2}}}')
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)

    assert texts(several) == ["11", "22", "33"]
    assert [each.options["word"] for each in several.instances] == ["1", "2", "3"]


def test_replicas_roll_back_together(directory: Path) -> None:
    class Choosy(Signed):
        def __init__(self, word: str, **kwargs: Any) -> None:
            super().__init__(word, **kwargs)
            if word == "3" and kwargs.get("times") == 2:
                raise OSError("not me")

    numbers = iter("123")
    several = Replicas(lambda: Choosy(next(numbers), name="several"), 3)
    daemon = configured(ZenDaemon(name="d", components=[several, Collector()]))
    with Harness(daemon) as harness:
        write("given.json", '{"components": {"several": {"times": 2}}}')
        harness.signal(signal.SIGHUP)
        harness.advance(1.0)
        errors = [each.message for each in harness.logs if each.level == "ERROR"]

    assert texts(several) == ["1", "2", "3"]
    assert "component 'several/3' cannot take its new options: OSError: not me" in errors[0]


class Server(BaseModel):
    host: str = "h"
    port: Annotated[int | None, NeedsRestart] = None


# --- reload -------------------------------------------------------------------------------------


def reloaded(harness: Harness, text: str) -> list[str]:
    """Write the file, send SIGHUP, and return the lines from INFO on."""
    write("given.json", text)
    before = len(harness.logs)
    harness.signal(signal.SIGHUP)
    harness.advance(0.5)
    return [each.message for each in harness.logs[before:] if each.level != "DEBUG"]


def subject_options(**options: Any) -> str:
    return json.dumps({"components": {"subject": options}})


@pytest.mark.parametrize("cls", [Modelled, Signed])
def test_a_reload_goes_back_to_what_the_program_gives(directory: Path, cls: type) -> None:
    collector = Collector()
    component = cls(word="given", name="subject")
    daemon = configured(ZenDaemon(name="d", components=[component, collector]))
    with Harness(daemon) as harness:
        harness.advance(0.5)
        component.inc_statistic("counted")
        reloaded(harness, subject_options(word="one", times=2))
        replaced = harness.component("subject")
        reloaded(harness, subject_options(times=2))
        reloaded(harness, "{}")
        statistics = harness.statistics["subject"]

    assert replaced is not component
    assert collector.seen == ["given", "oneone", "givengiven", "given"]
    assert statistics["counted"]["cnt"] == 1


@pytest.mark.parametrize("cls", [Modelled, Signed])
def test_a_marked_option_needs_a_restart(directory: Path, cls: type) -> None:
    component = cls(name="subject")
    daemon = configured(ZenDaemon(name="d", components=[component, Collector()]))
    with Harness(daemon) as harness:
        logs = reloaded(harness, subject_options(port=515, word="new"))
        assert harness.component("subject") is component

    assert "Configuration not reloaded: Only a restart can change: components.subject.port" in logs


def test_a_marked_key_of_the_daemon_needs_a_restart(directory: Path) -> None:
    class Own(ZenDaemon):
        class Options(ZenDaemon.Options):
            port: Annotated[int, NeedsRestart] = 514
            server: Server = Server()

    daemon = configured(Own(name="d", components=[Signed(), Collector()]))
    with Harness(daemon) as harness:
        logs = reloaded(harness, '{"port": 1, "server": {"port": 2, "host": "x"}}')
        assert any("Only a restart can change: port, server.port" in line for line in logs), logs
        logs = reloaded(harness, '{"server": {"host": "x"}}')
        assert any("changed: server" in line for line in logs), logs
    assert daemon.c("port") == 514


def test_counters_by_value_go_on_after_a_reload(directory: Path) -> None:
    statistics = Statistics(by=["a"], name="subject")
    daemon = configured(ZenDaemon(name="d", components=[statistics, Heart()]))
    with Harness(daemon) as harness:
        harness.queue.schedule("lines", [{"a": 1, "b": 2}])
        harness.advance(0.5)
        reloaded(harness, subject_options(by=["a", "b"], top=5))
        harness.queue.schedule("lines", [{"a": 1, "b": 2}])
        harness.advance(0.5)
        found = harness.statistics["subject"]["by"]
        summary = harness.component("subject").summary()

    assert (found["a"]["1"]["cnt"], found["b"]["2"]["cnt"]) == (2, 1)
    assert summary == [("a", [("1", 2)]), ("b", [("2", 1)])]


def test_a_constructor_that_refuses_leaves_the_old_object_at_work(directory: Path) -> None:
    component = Signed("given", name="subject")
    daemon = configured(ZenDaemon(name="d", components=[component, Collector()]))
    with Harness(daemon) as harness:
        reloaded(harness, subject_options(times=0))
        assert harness.component("subject") is component
        assert daemon.c("components")["subject"]["times"] == 1
        assert "components: subject" in reloaded(harness, subject_options(times=3))[-1]


# --- make_components ----------------------------------------------------------------------------


class Hooked(ZenDaemon):
    """Makes a component from a key of its own."""

    class Options(ZenDaemon.Options):
        text: str = "default"
        other: int = 0

    def make_components(self) -> list[Any]:
        self.logger.debug("%s", self.c("text"))
        return [Signed(self.c("text"), client=object(), name="subject"), Collector()]


def test_the_hook_reads_the_configuration(directory: Path) -> None:
    daemon = Hooked(name="d", components=[Needy("x", name="first")])
    assert len(daemon.components) == 1
    write("given.json", '{"text": "filed", "components": {"subject": {"times": 2}}}')
    daemon.configure({"no_daemon": True, "config_file": "given.json"})
    assert [str(each) for each in daemon.components] == ["first", "subject", "collector"]
    assert daemon.components[1].text == "filedfiled"
    assert daemon.c("components")["subject"]["word"] == "filed"


def test_a_reload_makes_what_follows_from_the_daemons_own_keys(directory: Path) -> None:
    daemon = configured(Hooked(name="d"))
    with Harness(daemon) as harness:
        first = harness.component("subject")
        assert "components: none" in reloaded(harness, '{"other": 1}')[-1]
        assert harness.component("subject") is first
        assert "components: subject" in reloaded(harness, '{"text": "new"}')[-1]
        assert harness.component("subject").text == "new"
        assert harness.component("collector").seen == ["default", "new"]


def test_a_reload_sees_arguments_of_the_hook_that_are_no_options(directory: Path) -> None:
    class Both(ZenDaemonComponent):
        class Options(BaseModel):
            times: int = 1

        def __init__(self, text: str) -> None:
            super().__init__(name="both")
            self.text = text

    class Making(Hooked):
        def make_components(self) -> list[Any]:
            return [Both(self.c("text")), Collector()]

    daemon = configured(Making(name="d", components=[Heart()]))
    with Harness(daemon) as harness:
        assert "components: both" in reloaded(harness, '{"text": "new"}')[-1]
        assert harness.component("both").text == "new"


def test_a_refused_reload_leaves_the_name(directory: Path) -> None:
    daemon = configured(Hooked(name="d"))
    with Harness(daemon) as harness:
        assert "Only a restart can change: name" in reloaded(harness, '{"name": "e"}')[-1]
        assert daemon.name == "d"


def test_problems_of_the_daemon_and_of_its_components_come_together(directory: Path) -> None:
    def problems(daemon: ZenDaemon, text: str) -> list[str]:
        write("given.json", text)
        with pytest.raises(ConfigurationError) as caught:
            daemon.configure({"no_daemon": True, "config_file": "given.json"})
        return [line.partition(": ")[2] for line in str(caught.value).splitlines()]

    first = Needy("x", name="first")
    text = '{"txet": "x", "components": {"first": {"pth": 1}, "subjct": {}, "subject": {"x": 1}}}'
    known = [
        "component 'first': unknown option 'pth'; did you mean 'path'?",
        "unknown key 'txet'; did you mean 'text'?",
    ]
    assert sorted(problems(Hooked(name="d", components=[first]), text)) == known
    assert problems(Hooked(name="d", components=[first]), text.replace("txet", "text")) == [
        known[0],
    ]
    assert sorted(problems(Hooked(name="d"), '{"components": {"subjct": {}, "subject": {"x": 1}}}')
    ) == [
        "component 'subject': unknown option 'x'; known: client, port, times, word",
        "unknown component 'subjct'; did you mean 'subject'?",
    ]  # fmt: skip


def test_the_hook_cannot_use_the_engine() -> None:
    class Eager(ZenDaemon):
        def make_components(self) -> list[Any]:
            self.queue.schedule("x")
            return []

    with pytest.raises(RuntimeError, match=r"make_components\(\) runs before the engine exists"):
        Eager(name="d").configure({})


def test_a_component_that_refuses_its_arguments_in_the_hook_is_one_line() -> None:
    class Wrong(ZenDaemon):
        def make_components(self) -> list[Any]:
            return [FileTailer(patterns=[])]

    with pytest.raises(ConfigurationError) as caught:
        Wrong(name="d").configure({})
    assert str(caught.value) == (
        "make_components() raises ValueError: patterns is [], but at least one path or glob is"
        " expected."
    )


def test_an_error_of_the_hook_has_no_secret() -> None:
    class Wrong(ZenDaemon):
        class Options(ZenDaemon.Options):
            token: str = "opensesame"

        def make_components(self) -> list[Any]:
            raise ValueError(f"{self.c('token')} is too short")

    with pytest.raises(ConfigurationError, match=r"raises ValueError: \*\*\* is too short"):
        Wrong(name="d").configure({})


# --- an early use of the engine -----------------------------------------------------------------


@pytest.mark.parametrize("hooked", [False, True])
def test_what_was_scheduled_early_is_kept_and_the_options_hold(
    directory: Path, *, hooked: bool
) -> None:
    class Ender(ZenDaemonComponent):
        @handles("seen")
        def cbk_event_seen(self, daemon: Any, args: str) -> None:
            self.inc_statistic("seen")
            if self.statistics_cur["seen"] > 1:
                daemon.set_done()

    daemon: ZenDaemon = Hooked(name="d", components=[Ender()])
    if not hooked:
        daemon = ZenDaemon(name="d", components=[Ender(), Signed(name="subject"), Collector()])
    queue = daemon.queue
    queue.schedule("seen", "early")
    configured(daemon, subject={"word": "late"})
    assert daemon.queue is queue
    assert daemon.serve() == 0
    assert sorted(daemon.components[-1].seen) == ["early", "late"]


class Varying(ZenDaemonComponent):
    """Its events follow from its options."""

    def __init__(self, event: str = "a") -> None:
        super().__init__(name="varying")
        self.own = event

    def get_events(self) -> list[Any]:
        return [self.gen_event_handler(self.own, self.cbk_event)]

    def cbk_event(self, daemon: Any, args: Any) -> None: ...


@pytest.mark.parametrize("early", [False, True])
def test_other_events_after_an_early_use_are_an_error(directory: Path, *, early: bool) -> None:
    daemon = ZenDaemon(name="d", components=[Varying()])
    if not early:
        configured(daemon, varying={"event": "b"})
        assert "b" in daemon.chains()
        return
    assert "a" in daemon.chains()
    with pytest.raises(ConfigurationError) as caught:
        configured(daemon, varying={"event": "b"})
    assert str(caught.value).startswith(
        "component 'varying' would handle other events: the daemon was used (its queue, or its"
        " chains) before its configuration was known. Give its first events to the constructor"
    )


def test_other_components_after_an_early_use_are_an_error(directory: Path) -> None:
    class Growing(ZenDaemon):
        class Options(ZenDaemon.Options):
            count: int = 1

        def make_components(self) -> list[Any]:
            return [Signed(name=f"number {each}") for each in range(self.c("count"))]

    daemon = Growing(name="d")
    daemon.chains()
    write("given.json", '{"count": 2}')
    with pytest.raises(ConfigurationError, match="the components would be others: the daemon was"):
        daemon.configure({"no_daemon": True, "config_file": "given.json"})


def test_replicas_may_be_configured_after_an_early_use(directory: Path) -> None:
    several = replicas()
    daemon = ZenDaemon(name="d", components=[several, Collector()])
    daemon.chains()
    configured(daemon, several={"times": 2})
    assert texts(several) == ["11", "22", "33"]
