"""SPECs: every mistake is one line that names the value, the place and the next step."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.spec.sample import SINK, SOURCE
from zenactors import spec
from zenactors.errors import ConfigurationError
from zenactors.testing import Harness


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["x.toml:1: key 'name' is missing; it must be given"]),
        ("nmae = 'x'\n", ["x.toml:1: unknown key 'nmae'; did you mean 'name'?"]),
        ("name = 'x'\n\ncolour = 1\n",
         ["x.toml:3: unknown key 'colour'; known: chroot_dir, component,"
          " dead_letter_file, debug,"
          " description, group, log_file, log_json, log_level, name, no_daemon, ordering, paralel,"
          " parallel, pid_file, quiet, runlog_dir, runlog_interval, schedule, schedule_after,"
          " schedule_at, schedule_next, signals, sigterm, start_timeout, state_dir, state_file,"
          " stats_interval, stop_timeout, tests, umask, user, verbosity, work_dir"]),
        ("name = 'x'\naction = 'config-view'\ncomponents = {}\nconfig_file = 'y'\n",
         ["x.toml:2: key 'action' cannot be set here; every start would perform it; use --action"
          " on the command line",
          "x.toml:3: key 'components' cannot be set here; write their options as"
          " [component.options]",
          "x.toml:4: key 'config_file' cannot be set here; SPEC is the only file"]),
        ("name = 'x'\nparalel = true\nparallel = true\n",
         ["x.toml:3: key 'parallel' is given twice, in two spellings"]),
        ("name = 'x'\numask = '9'\n\npid_file = 'x'\n",
         ["x.toml:2: key 'umask': must be an octal text such as \"022\", or a number from 0 to"
          " 0o777, got '9'",
          "x.toml:4: key 'pid_file': must end in .pid, got 'x'"]),
        ("name = 5\n", ["x.toml:1: key 'name': expected str, got 5"]),
        ("name = ''\n",
         ["x.toml:1: key 'name': string should have at least 1 character, got ''"]),
        ("name = 'x'\nordering = 'globl'\n",
         ["x.toml:2: key 'ordering': expected one of 'component', 'global', 'event', got 'globl';"
          " did you mean 'global'?"]),
        ("name = 'x'\n# \nstop_timeout = '5'\n",
         ["x.toml:3: key 'stop_timeout': expected float, got '5'"]),
        ("name = 'x'\nstop_timeout = 0\n",
         ["x.toml:2: key 'stop_timeout': input should be greater than 0, got 0"]),
        ("name = 'x'\nstats_interval = inf\n",
         ["x.toml:2: key 'stats_interval': input should be a finite number, got inf"]),
        ("name = 'x'\nordering = 'globe'\n",
         ["x.toml:2: key 'ordering': expected one of 'component', 'global', 'event', got 'globe';"
          " did you mean 'global'?"]),
        ("name = 'x'\ncomponent = 5\n",
         ["x.toml:2: key 'component': expected list[dict[str, typing.Any]], got 5"]),
    ],
)  # fmt: skip
def test_wrong_keys_of_the_daemon_are_named_with_their_lines(
    problems_of: Callable[[str], list[str]], text: str, expected: list[str]
) -> None:
    assert problems_of(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = \n", "x.toml:1:8: Invalid value: one is missing here"),
        ("name = 'x'\n\n  oops\n", "x.toml:3:7: Expected '=' after a key in a key/value pair"),
        ("name = 'x'\nlist = [1,", "x.toml:2:11: Invalid value: one is missing here"),
    ],
)  # fmt: skip
def test_broken_toml_is_named_with_line_and_column(
    problems_of: Callable[[str], list[str]], text: str, expected: str
) -> None:
    assert problems_of(text) == [expected]


@pytest.mark.parametrize("depth", [100_000])
def test_toml_nested_beyond_all_reason_is_an_error_of_the_file(
    problems_of: Callable[[str], list[str]], depth: int
) -> None:
    assert problems_of("a = " + "[" * depth) == ["x.toml: is nested too deeply"]


@pytest.mark.parametrize(
    ("entry", "expected"),
    [
        ("schedule = ['start']",
         "key 'schedule': expected [\"event\"] or [\"event\", its args], got 'start'"),
        ("schedule = [[1]]",
         "key 'schedule': expected [\"event\"] or [\"event\", its args], got [1]"),
        ("schedule_next = [[]]",
         "key 'schedule_next': expected [\"event\"] or [\"event\", its args], got []"),
        ("schedule_after = [['line']]",
         'key \'schedule_after\': expected [seconds, "event"] or [seconds, "event", its args],'
         " got ['line']"),
        ("schedule_at = [[nan, 'line']]",
         'key \'schedule_at\': expected [Unix time, "event"] or [Unix time, "event", its args],'
         " got [nan, 'line']"),
        ("schedule_after = [[1" + 400 * "0" + ", 'line']]",
         'key \'schedule_after\': expected [seconds, "event"] or [seconds, "event", its args],'
         f" got [1{198 * '0'}…"),
        ("schedule = 'start'", "key 'schedule': expected list[typing.Any], got 'start'"),
    ],
)  # fmt: skip
def test_a_schedule_of_the_wrong_form_is_shown_the_right_one(
    problems_of: Callable[[str], list[str]], entry: str, expected: str
) -> None:
    assert problems_of(f"name = 'x'\n\n{entry}\n") == [f"x.toml:3: {expected}"]


def test_a_scheduled_event_without_a_handler_is_named_with_the_nearest(
    problems_of: Callable[[str], list[str]],
) -> None:
    found = problems_of(
        "name = 'x'\nschedule = [\n  ['line'],\n  ['lime', {a = 1}],\n]\n"
        "schedule_after = [[1.5, 'quite else']]\n" + SINK
    )
    assert found == [
        "x.toml:4: key 'schedule': no component handles event 'lime'; did you mean 'line'?",
        "x.toml:6: key 'schedule_after': no component handles event 'quite else'; known: line",
    ]


def test_a_right_file_becomes_a_daemon_with_its_components_in_order(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\nschedule = [['line', {a = 1}], ['line']]\nschedule_after = [[1, 'line']]\n"
        + SOURCE
        + "options = { pattern = 'a', size = 5, rate = 2, paths = ['p'], directory = '/f' }\n"
        + SINK
    )
    source, sink = daemon.components
    assert (str(source), str(sink)) == ("source", "Sink")
    assert (source.pattern, source.start, source.size, source.rate) == ("a", "end", 5, 2.0)
    assert (source.paths, source.directory) == (["p"], Path("/f"))
    assert daemon.chains()["line"] == [("Sink", "cbk_event_line")]


def test_events_of_the_daemon_itself_may_be_scheduled(load_text: Callable[[str], Any]) -> None:
    assert load_text("name = 'x'\nschedule_after = [[60, 'stop']]\n" + SINK)


def test_other_settings_of_the_daemon_in_a_file_are_kept(app: Path) -> None:
    write(
        app / "x.toml",
        "name = 'x'\numask = '027'\nparallel = true\nstart_timeout = 5\n"
        "schedule = [['line']]\n[signals]\nwinch = 'line'\n" + SINK,
    )
    daemon = spec.load("x.toml", app, {"ordering": "event"})

    assert daemon.ordering == "event"
    assert daemon.config["start_timeout"] == 5.0
    assert {key: daemon.c(key) for key in ("name", "umask", "paralel", "start_timeout")} == {
        "name": "x", "umask": 0o027, "paralel": True, "start_timeout": 5.0,
    }  # fmt: skip
    assert daemon.c("signals") == {"SIGWINCH": "line"}
    assert daemon.configuration.origins["start_timeout",] == "x.toml:4"
    assert daemon.c("no_daemon") is True
    assert daemon.c("pid_file") is None


def test_settings_of_the_caller_take_precedence_over_the_file(app: Path) -> None:
    write(app / "x.toml", "name = 'x'\nordering = 'event'\n" + SINK)
    assert spec.load("x.toml", app, {"name": "y"}).name == "y"


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("y.toml", "y.toml: there is no such file; did you mean 'x.toml'?"),
        ("directory", "directory is a directory; SPEC must be a TOML file"),
        ("x.tmol", "SPEC 'x.tmol' is neither a file nor of the form 'package.module:attribute';"
                   " did you mean 'x.toml'?"),
        ("binary.toml", "binary.toml:1:2: is not UTF-8 text; save the file as UTF-8"),
        ("a" * 300 + ".toml", "a" * 300 + ".toml: cannot be read: File name too long"),
        ("parts:", "parts:: 'parts:' is not of the form 'package.module:attribute'"),
        ("parts:dæmon", "parts:dæmon: 'parts' has no attribute 'dæmon'; did you mean 'daemon'?"),
        ("parts:number", "parts:number is 5, which is not a ZenDaemon, a subclass of it, or a"
                         " function without arguments that returns one"),
        ("parts:Sink", "parts:Sink is <class 'parts.Sink'>, which is not a ZenDaemon, a subclass of"
                       " it, or a function without arguments that returns one"),
        ("parts:make_of", "parts:make_of cannot be called without arguments (missing a required"
                          " argument: 'number'); SPEC must be a ZenDaemon, a subclass of it, or a"
                          " function without arguments that returns one"),
        ("parts:make_nothing", "parts:make_nothing returns None; SPEC must be a ZenDaemon, a"
                               " subclass of it, or a function without arguments that returns one"),
        ("parts:unheard", "parts:unheard: component 1 (Source): it emits event 'line', but no"
                          " component handles it; known: (none)"),
    ],
)  # fmt: skip
def test_a_spec_that_is_nothing_to_run_is_one_clear_line(
    app: Path, given: str, expected: str
) -> None:
    write(app / "x.toml", "name = 'x'\n")
    (app / "directory").mkdir()
    (app / "binary.toml").write_bytes(b"a\xff\x00")
    with pytest.raises(ConfigurationError) as caught:
        spec.load(given, app)
    assert str(caught.value) == expected


def test_a_function_that_raises_is_named_with_the_exception_and_its_place(app: Path) -> None:
    with pytest.raises(
        ConfigurationError, match=r"parts:fail raises OSError: no such thing \(.*\)"
    ):
        spec.load("parts:fail", app)


@pytest.mark.parametrize(
    ("attribute", "name"), [("daemon", "instance"), ("Daemon", "subclass"), ("make", "made")]
)
def test_a_spec_names_a_daemon_a_class_or_a_function(app: Path, attribute: str, name: str) -> None:
    assert spec.load(f"parts:{attribute}", app).name == name


def test_settings_for_a_daemon_made_elsewhere_are_refused(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="parts:make: 'ordering' can be set for a TOML"):
        spec.load("parts:make", app, {"ordering": "event"})


def test_app_dir_must_be_a_directory(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a directory"):
        spec.load("parts:make", app / "nowhere")


def test_a_reload_of_a_file_gives_checked_options_and_the_files_of_the_start(
    app: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(
        app / "typed.py",
        "from pathlib import Path\n"
        "from zenactors import ZenDaemonComponent, handles\n"
        "class Typed(ZenDaemonComponent):\n"
        "    def __init__(self, *, directory: Path, **kwargs):\n"
        "        super().__init__(**kwargs)\n"
        "        self.directory = directory\n"
        "    def setup(self, daemon): daemon.io.keep_alive()\n"
        "    def reconfigure(self, daemon, config): self.directory = config['directory'] / 'x'\n"
        "    @handles('line')\n"
        "    def cbk_event_line(self, daemon, args): pass\n",
    )
    text = "name = 'x'\n[[component]]\nuse = 'typed:Typed'\noptions.directory = '/{}'\n"
    write(app / "x.toml", text.format("a"))
    daemon = spec.load(str(app / "x.toml"), app)
    before = daemon.c("state_file")
    with Harness(daemon) as harness:
        write(app / "x.toml", text.format("b"))
        elsewhere = tmp_path / "elsewhere"
        elsewhere.mkdir()
        monkeypatch.chdir(elsewhere)
        harness.signal(signal.SIGHUP)
        harness.advance(0.5)
        assert harness.component("Typed").directory == Path("/b/x")

    assert daemon.c("state_file") == before
