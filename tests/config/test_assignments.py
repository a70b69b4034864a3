"""`--set KEY=VALUE` takes the text as the type of the key says, and overrides all else."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from tests.config.sample import SECTIONS, Options, default, file, given
from zenactors.config.assignments import parse, value_in
from zenactors.config.component_options import section_of
from zenactors.config.merge import Configuration, load
from zenactors.config.options import Table
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import Recipe
from zenactors.errors import ConfigurationError


@pytest.fixture(autouse=True)
def _directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def merged(*words: str) -> Configuration:
    layers = [
        default(),
        file(Path("x.toml"), "greeting = 'filed'\n[components.tailer]\npaths = ['a']\n"),
        given({"greeting": "said"}),
    ]
    return load(Options, layers, SECTIONS, parse(words))


def problems(*words: str) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        merged(*words)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("word", "key", "expected"),
    [
        ("greeting=5", "greeting", "5"),
        ("greeting=", "greeting", ""),
        ("greeting=a=b", "greeting", "a=b"),
        ('greeting="x"', "greeting", '"x"'),
        ("loud=false", "loud", False),
        ("verbosity=3", "verbosity", 3),
        ("stop_timeout=2.5", "stop_timeout", 2.5),
        ("umask=077", "umask", 0o077),
        ("log_level=debug", "log_level", "DEBUG"),
        ("directory=/x", "directory", Path("/x")),
        ("mode=fast", "mode", "fast"),
        ("user=1000", "user", "1000"),
        ("parallel=true", "paralel", True),
        ('tags=["a", "b"]', "tags", ("a", "b")),
        ("tags=['a']", "tags", ("a",)),
        ("limits.bytes=5", "limits", {"lines": 10, "bytes": 5}),
        ("signals.winch=look", "signals", {"SIGWINCH": "look"}),
        ('signals={"SIGWINCH": "look"}', "signals", {"SIGWINCH": "look"}),
        ('signals={ SIGWINCH = "look" }', "signals", {"SIGWINCH": "look"}),
        ('database={host = "h", port = 5}', "database",
         {"host": "h", "port": 5, "password": None}),
        ('replicas=[{"host": "h"}]', "replicas",
         [{"host": "h", "port": 5432, "password": None}]),
    ],
)  # fmt: skip
def test_a_text_becomes_a_value_of_the_keys_type(word: str, key: str, expected: Any) -> None:
    assert merged(word).values[key] == expected
    assert type(merged(word).values[key]) is type(expected)


def test_it_overrides_all_else_and_the_last_one_counts() -> None:
    found = merged("greeting=one", 'components.tailer.paths=["x"]', "greeting=two")
    assert found.values["greeting"] == "two"
    assert found.values["components"]["tailer"]["paths"] == ["x"]
    assert found.origins["greeting",] == "--set greeting"
    assert found.origins["components", "tailer", "paths"] == "--set components.tailer.paths"


@pytest.mark.parametrize(
    ("word", "problem"),
    [
        ("greting=x", "--set greting: unknown key 'greting'; did you mean 'greeting'?"),
        ("componets.tailer.poll=1",
         "--set componets.tailer.poll: unknown key 'componets'; did you mean 'components'?"),
        ("components.tialer.poll=1",
         "--set components.tialer.poll: unknown component 'tialer'; did you mean 'tailer'?"),
        ("components.tailer.pol=1",
         "--set components.tailer.pol: component 'tailer': unknown option 'pol'; did you mean"
         " 'poll'?"),
        ("components.tailer.poll=often",
         "--set components.tailer.poll: component 'tailer': option 'poll': expected float, got"
         " 'often'"),
        ("components.tailer.paths=x",
         "--set components.tailer.paths: component 'tailer': option 'paths': expected list[str],"
         " got 'x'"),
        ("components.tailer=5",
         "--set components.tailer: key 'components.tailer': expected a table, got 5"),
        ("components.plain.x=5",
         "--set components.plain.x: component 'plain' takes no options, but got 'x'"),
        ("verbosity=-1",
         "--set verbosity: key 'verbosity': input should be greater than or equal to 0, got -1"),
        ("umask=9",
         '--set umask: key \'umask\': must be an octal text such as "022", or a number from 0 to'
         " 0o777, got '9'"),
        ("database.password=[1]", None),
        ('database={"host": "h", "password": 12345}',
         "--set database: key 'database.password': expected str, got ***"),
        ("config_file=x",
         "--set config_file: key 'config_file' cannot be set here; it names the configuration"
         " files; use --config-file on the command line"),
        ("signals.SIGKILL=x",
         "--set signals.SIGKILL: key 'signals.SIGKILL': SIGKILL cannot be mapped to an event: no"
         " process can catch it"),
    ],
)  # fmt: skip
def test_a_wrong_one_is_one_line(word: str, problem: str | None) -> None:
    if problem is None:
        assert problems(word) == ["configuration: key 'database.host' is missing; it must be given"]
    else:
        assert problems(word) == [problem]


def test_all_problems_come_at_once() -> None:
    assert len(problems("greting=x", "components.tailer.pol=1", "loud=maybe")) == 3


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("a.b", ("a", "b")),
        ('components."a.b".c', ("components", "a.b", "c")),
        ("components.'a b'.c", ("components", "a b", "c")),
        ("components.a b.c", ("components", "a b", "c")),
        ("components.é.c", ("components", "é", "c")),
        ("components.x/1.c", ("components", "x/1", "c")),
    ],
)
def test_a_key_may_be_quoted(key: str, path: tuple[str, ...]) -> None:
    [found] = parse([f"{key}=1"])
    assert (found.key, found.path, found.text) == (key, path, "1")


@pytest.mark.parametrize("word", ["", "x", "=x", "a..b=x", ".a=x", "a\nb"])
def test_a_word_of_another_form_is_refused(word: str) -> None:
    with pytest.raises(ValueError, match=r"^--set expects KEY=VALUE, such as"):
        parse([word])


def test_a_wrong_word_does_not_show_a_password() -> None:
    with pytest.raises(ValueError, match=r"got \*\*\*$"):
        parse(["components.x.password:hunter2"])


class Odd(Table):
    number: int | None = None
    either: int | str = 0
    both: str | list[str] = ""
    flags: dict[str, bool] = Field(default={})
    deep: dict[str, dict[str, int]] = Field(default={})
    level: Annotated[int, Field(ge=1)] = 1
    kind: Literal[1, "a"] = 1
    anything: Any = None


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        (("number",), "5", 5),
        (("number",), "x", "x"),
        (("either",), "5", "5"),
        (("both",), "x", "x"),
        (("both",), '["x"]', ["x"]),
        (("flags", "a"), "true", True),
        (("deep", "a", "b"), "7", 7),
        (("deep", "a"), "{b = 1}", {"b": 1}),
        (("level",), "0", 0),
        (("kind",), "a", "a"),
        (("anything",), "5", 5),
        (("anything",), "x y", "x y"),
        (("anything",), '"5"', "5"),
        (("none", "at", "all"), "5", "5"),
        (("number", "x"), "5", "5"),
    ],
)
def test_a_text_at_a_place(path: tuple[str, ...], text: str, expected: Any) -> None:
    assert value_in(Odd, path, text) == expected


def test_options_of_a_constructor_have_types_too() -> None:
    class Typed(ZenDaemonComponent):
        def __init__(self, size: int, *, names: tuple[str, ...] = (), loose=None) -> None:
            super().__init__()

    section = section_of(Recipe(Typed))
    assert section is not None
    found = [
        value_in(section.model, (key,), text)
        for key, text in (("size", "5"), ("names", "['a']"), ("loose", "1.5"))
    ]
    assert found == [5, ["a"], 1.5]


def test_under_any_type_a_value_may_be_of_any_type() -> None:
    class Lax(Table):
        anything: Any = None
        table: dict[str, Any] = Field(default={})

    assert value_in(Lax, ("anything", "x"), "5") == 5
    assert value_in(Lax, ("table", "x", "y"), "true") is True
    assert value_in(Lax, ("table", "x", "y"), "text") == "text"
