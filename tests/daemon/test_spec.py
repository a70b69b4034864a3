"""SPECs: every mistake is one line that names the value, the place and the next step."""

from __future__ import annotations

import datetime
import os
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import pytest

from zenactors.core.component import ZenDaemonComponent, handles
from zenactors.daemon import spec
from zenactors.errors import ConfigurationError

PARTS = """
from __future__ import annotations
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from zenactors import ZenDaemon, ZenDaemonComponent, handles

if TYPE_CHECKING:
    from nowhere import Unknown


class Source(ZenDaemonComponent):
    emits = ("line",)

    def __init__(
        self, *, pattern: str, start: Literal["beginning", "end"] = "end", size: int = 1,
        rate: float = 1.0, paths: Iterable[str] = (), folder: Path | None = None,
        other: Unknown = None, loose=None, **kwargs,
    ) -> None:
        super().__init__(**kwargs)
        self.pattern, self.start, self.size, self.rate = pattern, start, size, rate
        self.paths, self.folder, self.other, self.loose = paths, folder, other, loose


class SubSource(Source):
    def __init__(self, *, extra: bool = False, **kwargs) -> None:
        super().__init__(**kwargs)
        self.extra = extra


class Sink(ZenDaemonComponent):
    @handles("line")
    def cbk_event_line(self, daemon, args):
        pass


class Plain(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()

    @handles("line")
    def cbk_event_line(self, daemon, args):
        pass


class Deaf(ZenDaemonComponent):
    def get_events(self):
        return [self.gen_event_handler("line", self.cbk_event_line)]

    def cbk_event_line(self, daemon, args):
        pass


class Broken(ZenDaemonComponent):
    def __init__(self, **kwargs) -> None:
        super().__init__(**kwargs)
        raise ValueError("the disk\\nis not there")


class Mute(ZenDaemonComponent):
    def get_events(self):
        return [{"evnt": "line"}]


def make() -> ZenDaemon:
    return ZenDaemon(name="made", components=[Sink()])


def make_of(number):
    return None


def make_nothing():
    return None


def fail():
    raise OSError("no such thing")


class Daemon(ZenDaemon):
    def __init__(self) -> None:
        super().__init__(name="subclass", components=[Sink()])


daemon = ZenDaemon(name="instance", components=[Sink()])
unheard = ZenDaemon(name="unheard", components=[Source(pattern="a")])
number = 5
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a folder with a module `parts`, forgotten again after the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    write(tmp_path / "parts.py", PARTS)
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None)).startswith(str(tmp_path)):
            del sys.modules[name]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o644)  # whatever the umask: as root, what others can write is refused


@pytest.fixture
def problems_of(app: Path) -> Callable[[str], list[str]]:
    """Return a function that loads a TOML text and returns the lines of the error."""

    def problems(text: str) -> list[str]:
        write(app / "x.toml", text)
        with pytest.raises(ConfigurationError) as caught:
            spec.load("x.toml", app)
        return str(caught.value).splitlines()

    return problems


SINK = '[[component]]\nuse = "parts:Sink"\n'
SOURCE = '[[component]]\nuse = "parts:Source"\nname = "source"\n'


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("a = 1\nb = 2", ("b",), 2),
        ("\n\n# a = 0\na = 1", ("a",), 4),
        ("[t]\n\nx = 1", ("t", "x"), 3),
        ("[t.u]\nx = 1", ("t", "u"), 1),
        ("[t]\na.b = 1", ("t", "a", "b"), 2),
        ('x = """\ny = 1\n"""\ny = 2', ("y",), 4),
        ("x = '''\n[[t]]\n'''\n[[t]]", ("t", 0), 4),
        ('x = "a # b" # c\ny = 1', ("y",), 2),
        ('x = "\\"" \ny = 1', ("y",), 2),
        ('x = """a""""\ny = 1', ("y",), 2),
        ('"a.b" = 1', ("a.b",), 1),
        ('\n"\\u00e4" = 1', ("ä",), 2),
        ("'a b' . c = 1", ("a b", "c"), 1),
        ("[[t]]\n[[t]]\nx = 1", ("t", 1, "x"), 3),
        ("[[t]]\n[t.o]\nx = 1\n[[t]]\n[t.o]\nx = 1", ("t", 1, "o", "x"), 6),
        ("[[t]]\n[[t.u]]\n[[t.u]]\nx = 1\n[[t]]\n[[t.u]]\nx = 1", ("t", 1, "u", 0, "x"), 7),
        ("t = { a = 1, b = { c = 2 } }\n", ("t", "b", "c"), 1),
        ("t = [\n  1,\n  # two\n  2,\n]\nx = 1", ("t", 1), 4),
        ("t = [\n  1,\n  # two\n  2,\n]\nx = 1", ("x",), 6),
        ("t = [\n  [1, 2],\n  { a = 1,\n b = 2 }]", ("t", 1, "b"), 4),
        ("d = 1979-05-27 07:32:00\ne = 1.5\nf = +inf", ("f",), 3),
        ("a = 1\r\nb = 2\r\n", ("b",), 2),
    ],
)
def test_each_key_is_located_at_its_line(text: str, path: tuple[str | int, ...], line: int) -> None:
    assert spec.locate(text)[path] == line


def paths_in(data: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    yield path
    pairs = data.items() if isinstance(data, dict) else ()
    for key, value in enumerate(data) if isinstance(data, list) else pairs:
        yield from paths_in(value, (*path, key))


@pytest.mark.parametrize(
    "text",
    [
        'a = 1\n[b.c]\nd.e = "x"\n[[f]]\n[f.g]\nh = [[], {}, [{ i = 1 }]]\n[[f]]\n[f.g.j]\n',
        "a = [ # [\n  'x]', \"y}\", { \"k=\" = ''' } ''' },\n]\n['q.r'.s]\nt = {}\nu = []\n",
        "x = 0x1F\ny = 1_000.5e-3\nz = [true,false,\n07:32:00, 1979-05-27T07:32:00Z]\n-1 = 2\n",
        "",
        "# only a comment",
    ],
)
def test_everything_that_is_in_a_text_has_a_line(text: str) -> None:
    assert set(paths_in(tomllib.loads(text))) == set(spec.locate(text))


def test_what_is_not_in_the_text_stands_where_it_would_belong() -> None:
    lines = spec.locate("a = 1\n[[t]]\n[[t]]\nb = 2\n")
    assert spec.line_of(lines, ("t", 1, "options", "x")) == 3
    assert spec.line_of(lines, ("missing",)) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", ["x.toml:1: key 'name' is missing; it must be given"]),
        ("nmae = 'x'\n", ["x.toml:1: unknown key 'nmae'; did you mean 'name'?"]),
        ("name = 'x'\n\ncolour = 1\n",
         ["x.toml:3: unknown key 'colour'; known: compat, component, description, name, ordering,"
          " schedule, schedule_after, schedule_at, schedule_next, state_file, stats_interval,"
          " stop_timeout"]),
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
        ("name = 'x'\ncompat = 'zenkit'\n",
         ["x.toml:2: key 'compat': expected 'pyzenkit', got 'zenkit'; did you mean 'pyzenkit'?"]),
        ("name = 'x'\ncomponent = 5\n",
         ["x.toml:2: key 'component': expected list[dict[str, typing.Any]], got 5"]),
    ],
)  # fmt: skip
def test_wrong_keys_of_the_daemon_are_named_with_their_lines(
    problems_of: Callable[[str], list[str]], text: str, expected: list[str]
) -> None:
    assert problems_of(text) == expected


@pytest.mark.parametrize(
    ("component", "line", "expected"),
    [
        ("[[component]]", 3, "component 1: key 'use' is missing; it must be given"),
        ("[[component]]\nuse = ''", 4,
         "component 1: key 'use': string should have at least 1 character, got ''"),
        ("[[component]]\nuse = 'parts.Sink'", 4,
         "component 1: key 'use': 'parts.Sink' is not of the form 'package.module:attribute';"
         " did you mean 'parts:Sink'?"),
        ("[[component]]\nname = 'a'\nuse = 'parts:Snik'", 5,
         "component 1 (a): key 'use': 'parts' has no attribute 'Snik'; did you mean 'Sink'?"),
        ("[[component]]\nuse = 'parts:number'", 4,
         "component 1: key 'use': 'parts:number' is 5, not a subclass of ZenDaemonComponent"),
        ("[[component]]\nuse = 'parts.sub:Sink'", 4,
         "component 1: key 'use': there is no module 'parts.sub': 'parts' is not a package"),
        ("[[component]]\nuse = 'a b:Sink'", 4,
         "component 1: key 'use': 'a b' is not the name of a module"),
        (SINK + "optoins = {}", 5,
         "component 1 (Sink): unknown key 'optoins'; did you mean 'options'?"),
        (SINK + "options = 5", 5, "component 1 (Sink): key 'options': expected a table, got 5"),
        (SOURCE + "[component.options]\n\npatern = 'a'\npattern = 'a'", 8,
         "component 1 (source): unknown option 'patern'; did you mean 'pattern'?"),
        (SINK + "[component.options]\nx = 1", 6,
         "component 1 (Sink): unknown option 'x'; known: (none)"),
        (SINK + "[component.options]\nname = 'x'", 6,
         "component 1 (Sink): unknown option 'name'; write it as a key of [[component]] itself"),
        (SINK + "[component.options]\nevent_map = {}", 6,
         "component 1 (Sink): unknown option 'event_map'; write it as [component.events]"),
        (SOURCE, 3, "component 1 (source): option 'pattern' is missing; it must be given"),
        (SOURCE + "[component.options]", 6,
         "component 1 (source): option 'pattern' is missing; it must be given"),
        (SOURCE + "options = { pattern = 'a',\tsize = '5' }", 6,
         "component 1 (source): option 'size': expected int, got '5'"),
        (SOURCE + "options.pattern = 'a'\noptions.size = true", 7,
         "component 1 (source): option 'size': expected int, got True"),
        (SOURCE + "options.pattern = 'a'\noptions.start = 'begining'", 7,
         "component 1 (source): option 'start': expected one of 'beginning', 'end',"
         " got 'begining'; did you mean 'beginning'?"),
        (SOURCE + "options.pattern = 'a'\noptions.paths = ['a', 5]", 7,
         "component 1 (source): option 'paths': expected list[str], got ['a', 5]"),
        (SOURCE + "options.pattern = 'a'\noptions.paths = 'a'", 7,
         "component 1 (source): option 'paths': expected list[str], got 'a'"),
        ("[[component]]\nuse = 'parts:SubSource'\noptions.pattern = 'a'\noptions.extar = true", 6,
         "component 1 (SubSource): unknown option 'extar'; did you mean 'extra'?"),
        ("[[component]]\nuse = 'parts:Plain'\nname = 'p'", 5,
         "component 1 (p): Plain takes no 'name': let its __init__ take **kwargs and hand"
         " them to super().__init__, or leave 'name' out"),
        ("[[component]]\nuse = 'parts:Plain'\n[component.events]\nline = 'l'", 5,
         "component 1 (Plain): Plain takes no 'event_map': let its __init__ take **kwargs and hand"
         " them to super().__init__, or leave 'events' out"),
        ("[[component]]\nuse = 'parts:Deaf'\n[component.events]\nline = 'l'", 5,
         "component 1 (Deaf): events cannot be renamed, for its get_events() does not look at"
         " its event_map: use self.event(name)"),
        (SINK + "[component.events]\nlines = 'l'", 6,
         "component 1 (Sink): it neither handles nor emits event 'lines'; did you mean 'line'?"),
        (SINK + "[component.events]\nline = 5", 6,
         "component 1 (Sink): key 'events': expected a table, got {'line': 5}"),
        ("[[component]]\nuse = 'parts:Mute'", 3,
         "component 1 (Mute): its events cannot be listed: KeyError: 'event'"),
    ],
)  # fmt: skip
def test_a_wrong_component_is_named_with_its_line(
    problems_of: Callable[[str], list[str]], component: str, line: int, expected: str
) -> None:
    assert problems_of(f"name = 'x'\n\n{component}\n") == [f"x.toml:{line}: {expected}"]


def test_problems_of_all_components_come_at_once_from_top_to_bottom(
    problems_of: Callable[[str], list[str]],
) -> None:
    found = problems_of(
        "name = 'x'\nspeed = 1\n"
        + SINK + "nam = 'y'\n[component.options]\ncolour = 1\n"
        + SINK
        + SOURCE + "[component.options]\nsize = 'big'\nrate = 'slow'\n"
    )  # fmt: skip

    assert [line.partition(" ")[0] for line in found] == [
        f"x.toml:{number}:" for number in (2, 5, 7, 13, 14, 15)
    ]


def test_a_module_that_does_not_exist_gets_the_nearest_name(
    problems_of: Callable[[str], list[str]],
) -> None:
    (problem,) = problems_of("name = 'x'\n[[component]]\nuse = 'partz:Sink'\n")
    assert problem.startswith(
        "x.toml:3: component 1: key 'use': there is no module 'partz' (looked"
    )
    assert problem.endswith("; did you mean 'parts'?")

    (problem,) = problems_of("name = 'x'\n[[component]]\nuse = 'zenactors.component:A'\n")
    assert problem.endswith("; did you mean 'zenactors.components'?")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("\n1 / 0\n", "ZeroDivisionError: division by zero ({file}:2)"),
        ("import not_there_at_all\n",
         "ModuleNotFoundError: No module named 'not_there_at_all' ({file}:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax ({file}:1)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({file}:1)"),
    ],
)  # fmt: skip
def test_a_module_that_raises_on_import_is_named_with_the_exception(
    app: Path, problems_of: Callable[[str], list[str]], code: str, expected: str
) -> None:
    write(app / "bad.py", code)
    reason = expected.format(file=app / "bad.py")
    assert problems_of("name = 'x'\n[[component]]\nuse = 'bad:Sink'\n") == [
        f"x.toml:3: component 1: key 'use': module 'bad' cannot be imported: {reason}"
    ]


def test_a_constructor_that_raises_is_one_line_with_the_exception_and_its_place(
    app: Path, problems_of: Callable[[str], list[str]]
) -> None:
    number = 1 + PARTS.splitlines().index('        raise ValueError("the disk\\nis not there")')
    assert problems_of("name = 'x'\n[[component]]\nuse = 'parts:Broken'\n") == [
        "x.toml:2: component 1 (Broken): its constructor raises ValueError: the disk is not there"
        f" ({app / 'parts.py'}:{number})"
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = \n", "x.toml:1:8: Invalid value"),
        ("name = 'x'\n\n  oops\n", "x.toml:3:7: Expected '=' after a key in a key/value pair"),
        ("name = 'x'\nlist = [1,", "x.toml:2:11: Invalid value"),
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
        ("schedule = 'start'", "key 'schedule': expected list[typing.Any], got 'start'"),
    ],
)  # fmt: skip
def test_a_schedule_of_the_wrong_form_is_shown_the_right_one(
    problems_of: Callable[[str], list[str]], entry: str, expected: str
) -> None:
    assert problems_of(f"name = 'x'\n\n{entry}\n") == [f"x.toml:3: {expected}"]


def test_a_scheduled_event_that_nobody_handles_is_named_with_the_nearest(
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


def test_an_emitted_event_that_nobody_handles_is_named_with_the_nearest(
    problems_of: Callable[[str], list[str]],
) -> None:
    source = SOURCE + "options.pattern = 'a'\n"
    assert problems_of("name = 'x'\n" + source) == [
        "x.toml:2: component 1 (source): it emits event 'line', but no component handles that;"
        " known: (none)"
    ]
    assert problems_of("name = 'x'\n" + source + "[component.events]\nline = 'lin'\n" + SINK) == [
        "x.toml:7: component 1 (source): it emits event 'lin', but no component handles that;"
        " did you mean 'line'?"
    ]


@pytest.fixture
def load_text(app: Path) -> Callable[[str], Any]:
    def load(text: str) -> Any:
        write(app / "x.toml", text)
        return spec.load("x.toml", app)

    return load


def test_a_right_file_becomes_a_daemon_with_its_components_in_order(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\nschedule = [['line', {a = 1}], ['line']]\nschedule_after = [[1, 'line']]\n"
        + SOURCE
        + "options = { pattern = 'a', size = 5, rate = 2, paths = ['p'], folder = '/f' }\n"
        + SINK
    )
    source, sink = daemon.components
    assert (str(source), str(sink)) == ("source", "Sink")
    assert (source.pattern, source.start, source.size, source.rate) == ("a", "end", 5, 2.0)
    assert (source.paths, source.folder) == (["p"], Path("/f"))
    assert daemon.chains()["line"] == [("Sink", "cbk_event_line")]


def test_options_without_a_known_type_are_handed_on_as_they_are(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\n" + SOURCE + "[component.options]\npattern = 'a'\nother = [1, 'b']\n"
        "loose = 1979-05-27\n" + SINK
    )
    assert daemon.components[0].other == [1, "b"]
    assert daemon.components[0].loose == datetime.date(1979, 5, 27)


def test_events_are_renamed_for_who_emits_and_who_handles(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\n"
        + SOURCE + "options.pattern = 'a'\n[component.events]\nline = 'l'\n"
        + SINK + "[component.events]\nline = 'l'\n"
    )  # fmt: skip
    assert daemon.components[0].event("line") == "l"
    assert daemon.chains()["l"] == [("Sink", "cbk_event_line")]
    assert "line" not in daemon.chains()


def test_events_of_the_daemon_itself_may_be_scheduled(load_text: Callable[[str], Any]) -> None:
    assert load_text("name = 'x'\nschedule_after = [[60, 'stop']]\n" + SINK)


def test_settings_of_the_caller_take_precedence_over_the_file(app: Path) -> None:
    write(app / "x.toml", "name = 'x'\nordering = 'event'\n" + SINK)
    assert spec.load("x.toml", app, {"name": "y"}).name == "y"


class Base(ZenDaemonComponent):
    def __init__(self, path: str, *rest: int, mode: Literal["a", "b"] = "a", **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None: ...


class Closed(Base):
    def __init__(self, path: str, *, json: bool = False) -> None:
        super().__init__(path)


class Open(Base):
    def __init__(self, *, mode: int = 5, copy: list[str] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)


def test_options_of_base_classes_count_as_long_as_kwargs_are_handed_on() -> None:
    assert list(spec.read_constructor(Base).options) == ["path", "mode"]
    assert list(spec.read_constructor(Closed).options) == ["path", "json"]
    found = spec.read_constructor(Open)
    assert found.options["mode"] == (int, 5)  # the subclass's, not the base's
    assert found.accepts == {"mode", "copy", "path", "name", "event_map", "clock"}


def test_options_may_be_called_as_attributes_of_models_are() -> None:
    model = spec.options_model(Open)
    assert model.model_validate({"path": "p", "copy": ["x"]}).model_fields_set
    assert "copy" in model.model_json_schema()["properties"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("y.toml", "y.toml: there is no such file; did you mean 'x.toml'?"),
        ("folder", "folder is a folder; SPEC must be a TOML file"),
        ("x.tmol", "SPEC 'x.tmol' is neither a file nor of the form 'package.module:attribute';"
                   " did you mean 'x.toml'?"),
        ("binary.toml", "binary.toml: byte 1 is not UTF-8 text; a TOML file must be UTF-8"),
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
                          " component handles that; known: (none)"),
    ],
)  # fmt: skip
def test_a_spec_that_is_nothing_to_run_is_one_clear_line(
    app: Path, given: str, expected: str
) -> None:
    write(app / "x.toml", "name = 'x'\n")
    (app / "folder").mkdir()
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


def test_app_dir_must_be_a_folder(app: Path) -> None:
    with pytest.raises(ConfigurationError, match="is not a folder"):
        spec.load("parts:make", app / "nowhere")


def test_modules_are_looked_for_in_app_dir_first(app: Path) -> None:
    write(app / "inner" / "parts.py", PARTS.replace('"made"', '"inner"'))
    assert spec.load("parts:make", app / "inner").name == "inner"


root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to mistrust")


@root_only
@pytest.mark.parametrize("mode", [0o666, 0o664, 0o646])
def test_root_refuses_a_file_that_others_can_write(app: Path, mode: int) -> None:
    write(app / "x.toml", "name = 'x'\n")
    (app / "x.toml").chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        spec.load("x.toml", app)
    assert str(caught.value) == (
        f"x.toml can be written by others (mode {mode:o}), and it names code that would run as"
        " root; use: chown root x.toml && chmod go-w x.toml"
    )


@root_only
def test_root_refuses_a_file_of_another_user_unless_that_user_is_behind_sudo(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(app / "x.toml", "name = 'x'\n" + SINK)
    os.chown(app / "x.toml", 12345, 0)
    with pytest.raises(ConfigurationError, match=r"x\.toml belongs to user 12345, and"):
        spec.load("x.toml", app)

    monkeypatch.setenv("SUDO_UID", "12345")
    assert spec.load("x.toml", app)


@root_only
def test_root_refuses_a_module_that_others_can_write(app: Path) -> None:
    (app / "parts.py").chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"parts\.py can be written by others"):
        spec.load("parts:make", app)
    assert "parts" not in sys.modules


@root_only
def test_root_imports_nothing_from_a_folder_that_others_can_write(app: Path) -> None:
    write(app / "open" / "planted.py", "raise AssertionError('imported')")
    (app / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="'planted' is not imported as root from"):
        spec.load("planted:make", app / "open")
    assert str(app / "open") not in sys.path


def test_who_is_not_root_may_use_what_others_can_write(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (app / "parts.py").chmod(0o666)
    assert spec.load("parts:make", app).name == "made"
