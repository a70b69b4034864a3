"""Layers merge key by key; all problems of all layers are reported together, with their places."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import hypothesis
import pydantic
import pytest
from hypothesis import strategies as st

from tests.config.sample import (
    SECTIONS,
    Database,
    Options,
    default,
    file,
    given,
    program,
    write,
)
from zenactors.config.merge import Configuration, leaves, load
from zenactors.config.options import DaemonOptions
from zenactors.config.sources import Kind, Layer, read_file, read_layers
from zenactors.config.view import config_tree
from zenactors.errors import ConfigurationError


def problems(*layers: Layer) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load(Options, [default(), *layers], SECTIONS)
    return str(caught.value).splitlines()


def merge(*layers: Layer) -> Configuration:
    return load(Options, [default(), *layers], SECTIONS)


def test_each_source_overrides_those_before_it() -> None:
    Path("conf.d").mkdir(mode=0o755)
    keys = ["start_timeout", "stop_timeout", "stats_interval", "runlog_interval", "verbosity"]
    write(Path("conf.d/a.toml"), "\n".join(f"{key} = 2" for key in keys[2:]))
    write(Path("conf.d/b.conf"), '{\n"runlog_interval": 3, "verbosity": 3}')
    write(Path("x.conf"), '{"runlog_interval": 4,\n "verbosity": 4}')
    found = load(
        DaemonOptions,
        read_layers(
            default={"name": "x", "config_dir": "conf.d", "config_file": "x.conf"},
            program=dict.fromkeys(keys[1:], 1),
            command_line={"verbosity": 5},
        ),
    )
    assert [found.values[key] for key in keys] == [30.0, 1.0, 2.0, 4.0, 5]
    assert [found.origins[(key,)] for key in keys] == [
        "default", "program", "conf.d/a.toml:1", "x.conf:1", "command line",
    ]  # fmt: skip


def test_all_keys_have_a_value_and_all_values_an_origin() -> None:
    found = merge(given({"greeting": "hi"}))
    assert found.values.keys() == Options.model_fields.keys()
    assert set(found.origins) == set(leaves(found.values))
    assert found.origins.pop(("greeting",)) == "command line"
    assert set(found.origins.values()) == {"default"}


def test_values_are_those_that_were_checked() -> None:
    found = merge(
        file(Path("x.toml"), "umask = '027'\nlog_level = 'debug'\npid_file = ''\ndirectory = '/f'\n"
             "tags = ['a']\nstats_interval = 5\n[signals]\nwinch = 'w'\nCld = 'c'\n")
    )  # fmt: skip
    assert found.values["umask"] == 0o027
    assert found.values["log_level"] == "DEBUG"
    assert found.values["pid_file"] is None
    assert found.values["directory"] == Path("/f")
    assert found.values["tags"] == ("a",)
    assert found.values["stats_interval"] == 5.0
    assert isinstance(found.values["stats_interval"], float)
    assert found.values["signals"] == {"SIGWINCH": "w", "SIGCHLD": "c"}
    assert found.origins["signals", "SIGCHLD"] == "x.toml:9"
    assert found.origins["pid_file",] == "x.toml:3"


def test_tables_merge_key_by_key_and_everything_else_is_replaced() -> None:
    found = merge(
        program({"limits": {"bytes": 1}, "database": {"host": "p", "port": 1}, "tags": ["p"]}),
        file(
            Path("x.toml"), "tags = ['f']\n[limits]\nrate = 2\n[database]\nhost = 'f'\n"
            "[components.tailer.limits]\na = 1\n"
        ),
        given({"components": {"tailer": {"limits": {"b": 2}}}}),
    )  # fmt: skip
    assert found.values["limits"] == {"lines": 10, "bytes": 1, "rate": 2}
    assert found.values["database"] == {"host": "f", "port": 1, "password": None}
    assert found.values["tags"] == ("f",)
    assert found.values["components"] == {
        "tailer": {"paths": [], "poll": 0.25, "limits": {"a": 1, "b": 2}},
        "lax": {"level": 1},
        "plain": {},
    }
    assert {path: origin for path, origin in found.origins.items() if len(path) > 1} == {
        ("limits", "lines"): "default",
        ("limits", "bytes"): "program",
        ("limits", "rate"): "x.toml:3",
        ("database", "host"): "x.toml:5",
        ("database", "port"): "program",
        ("database", "password"): "default",
        ("components", "tailer", "paths"): "default",
        ("components", "tailer", "poll"): "default",
        ("components", "tailer", "limits", "a"): "x.toml:7",
        ("components", "tailer", "limits", "b"): "command line",
        ("components", "lax", "level"): "default",
        ("components", "plain"): "default",
    }


def test_the_default_of_a_model_is_not_changed_by_merging() -> None:
    assert merge(given({"limits": {"x": 1}})).values["limits"] == {"lines": 10, "x": 1}
    assert merge().values["limits"] == {"lines": 10}


def test_tables_that_are_made_by_default_are_merged_into_too() -> None:
    class Made(DaemonOptions):
        database: Database = Database(host="d", port=1)
        limits: dict[str, int] = pydantic.Field(default_factory=lambda: {"lines": 10})

    found = load(Made, [default(), given({"database": {"port": 2}, "limits": {"x": 1}})])
    assert found.values["database"] == {"host": "d", "port": 2, "password": None}
    assert found.values["limits"] == {"lines": 10, "x": 1}
    assert found.origins["database", "host"] == "default"


def test_an_empty_table_does_not_make_the_defaults_in_it_the_files() -> None:
    found = merge(file(Path("x.toml"), "[components.tailer]\n[components.plain]\n"))
    assert found.origins["components", "tailer", "poll"] == "default"
    assert found.origins["components", "plain"] == "x.toml:2"


def test_both_spellings_of_a_key_are_one_key() -> None:
    found = merge(file(Path("x.conf"), '{"parallel": true}'), given({"paralel": False}))
    assert found.values["paralel"] is False
    assert "parallel" not in found.values
    found = merge(program({"paralel": False}), file(Path("x.conf"), '{"parallel": true}'))
    assert found.values["paralel"] is True
    assert found.origins["paralel",] == "x.conf:1"
    found = merge(program({"signals": {"SIGWINCH": "a"}}), given({"signals": {"winch": "b"}}),
                  given({"signals": {"SIGWINCH": "c"}}))  # fmt: skip
    assert found.values["signals"] == {"SIGWINCH": "c"}


def test_null_in_a_file_leaves_a_key_to_the_others() -> None:
    found = merge(
        program({"umask": 1, "work_dir": "/w", "signals": {"WINCH": "w"}}),
        file(Path("x.conf"), '{"umask": null, "work_dir": null, "signals": {"WINCH": null},'
             ' "components": {"tailer": null, "lax": {"level": null}}, "database": null}'),
    )  # fmt: skip
    assert found.values["umask"] == 1
    assert found.values["work_dir"] == "/w"
    assert found.values["signals"] == {"SIGWINCH": "w"}
    assert found.values["components"]["lax"] == {"level": 1}
    assert found.values["database"] is None
    assert found.origins["work_dir",] == "program"


def test_none_from_the_program_and_an_empty_text_from_anywhere_unset() -> None:
    weak = program({"work_dir": "/w", "log_file": "/l", "user": "u"})
    found = merge(weak, program({"work_dir": None}), given({"log_file": "", "user": ""}))
    assert (found.values["work_dir"], found.values["log_file"], found.values["user"]) == (
        None, None, None,
    )  # fmt: skip
    assert found.origins["log_file",] == "command line"


def test_problems_of_all_layers_come_at_once_also_overridden_ones() -> None:
    Path("conf.d").mkdir(mode=0o755)
    write(Path("broken.conf"), '{"a": }')
    found = problems(
        program({"stop_timeout": 0}),
        read_file(Path("broken.conf")),
        file(
            Path("x.toml"),
            "umask = '8'\nnmae = 'y'\nstats_interval = 'often'\n[signals]\nKILL = 'k'\n"
            "[components.tialer]\n[components.tailer]\npol = 1\npoll = 'x'\n"
            "[components.plain]\nlevel = 1\n[components.lax]\nlevle = 2\n",
        ),
        given({"umask": "022", "stats_interval": 5.0, "verbosity": -1}),
    )
    assert found == [
        "program: key 'stop_timeout': input should be greater than 0, got 0",
        "broken.conf:1:7: expecting value",
        "x.toml:1: key 'umask': must be an octal text such as \"022\", or a number from 0 to 0o777,"
        " got '8'",
        "x.toml:2: unknown key 'nmae'; did you mean 'name'?",
        "x.toml:3: key 'stats_interval': expected float, got 'often'",
        "x.toml:5: key 'signals.KILL': SIGKILL cannot be mapped to an event: no process can"
        " catch it",
        "x.toml:6: unknown component 'tialer'; did you mean 'tailer'?",
        "x.toml:8: component 'tailer': unknown option 'pol'; did you mean 'poll'?",
        "x.toml:9: component 'tailer': option 'poll': expected float, got 'x'",
        "x.toml:11: component 'plain' takes no options, but got 'level'",
        "x.toml:13: component 'lax': unknown option 'levle'; did you mean 'level'?",
        "command line: --verbose: input should be greater than or equal to 0, got -1",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"action": "config-view"}',
         "key 'action' cannot be set here; every start would perform it; use --action on the"
         " command line"),
        ('{"config_dir": "x"}',
         "key 'config_dir' cannot be set here; it names the configuration files;"
         " use --config-dir on the command line"),
        ('{"nmae": null}', "unknown key 'nmae'; did you mean 'name'?"),
        ('{"components": {"tialer": null}}',
         "unknown component 'tialer'; did you mean 'tailer'?"),
        ('{"components": {"tailer": 5}}', "key 'components.tailer': expected a table, got 5"),
        ('{"components": []}', "key 'components': expected a table, got []"),
        ('{"tags": [null]}', "key 'tags': expected tuple[str, ...], got [None]"),
        ('{"paralel": true, "parallel": true}',
         "key 'parallel' is given twice, in two spellings"),
        ('{"signals": {"winch": "a", "SIGWINCH": "b"}}',
         "key 'signals': SIGWINCH is given twice, in two spellings, got"
         " {'winch': 'a', 'SIGWINCH': 'b'}"),
        ('{"database": {"hots": "x"}}', "unknown key 'database.hots'; did you mean 'host'?"),
        ('{"database": {"host": "h", "port": "x"}}', "key 'database.port': expected int, got 'x'"),
        ('{"database": {"host": "h", "password": 12345}}',
         "key 'database.password': expected str, got ***"),
        ('{"database": [{"password": "p"}]}',
         "key 'database': expected a table, got [{'password': '***'}]"),
        ('{"signals": {"winch": {"a": 5}}}',
         "key 'signals.winch': expected str, got {'a': 5}"),
        ('{"database": 5}', "key 'database': expected a table, got 5"),
        ('{"replicas": [{"host": "x", "password": 5}]}',
         "key 'replicas.0.password': expected str, got ***"),
        ('{"replicas": [{"host": "x"}, {}]}',
         "key 'replicas.1.host' is missing; it must be given"),
        ('{"replicas": [null]}', "key 'replicas.0': expected a table, got None"),
        ('{"mode": "saef"}',
         "key 'mode': expected one of 'fast', 'safe', got 'saef'; did you mean 'safe'?"),
        ('{"umask": [1]}',
         'key \'umask\': must be an octal text such as "022", or a number from 0 to 0o777,'
         " got [1]"),
        ('{"user": true}', "key 'user': expected str or int, got True"),
        ('{"name": "a/b"}', "key 'name': must be usable in file names: without '/', got 'a/b'"),
    ],
)  # fmt: skip
def test_a_wrong_key_of_a_file_is_named(text: str, expected: str) -> None:
    assert problems(file(Path("x.conf"), text)) == [f"x.conf:1: {expected}"]


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({"umask": "9"}, "--umask: must be an octal text such as \"022\", or a number from 0 to"
                         " 0o777, got '9'"),
        ({"work_dir": 5}, "--work-dir: expected str, got 5"),
    ],
)  # fmt: skip
def test_a_wrong_key_of_the_command_line_is_named_by_its_option(
    data: dict[str, Any], expected: str
) -> None:
    assert problems(given(data)) == [f"command line: {expected}"]


def test_a_key_missing_in_all_layers_is_reported_once_and_not_if_it_was_misspelled() -> None:
    with pytest.raises(ConfigurationError) as caught:
        load(DaemonOptions, [default({})])
    assert str(caught.value) == "configuration: key 'name' is missing; it must be given"

    layers = [default({}), file(Path("x.toml"), "umask = -1\nnmae = 'x'\n")]
    with pytest.raises(ConfigurationError) as caught:
        load(DaemonOptions, layers)
    assert [line.partition(" ")[0] for line in str(caught.value).splitlines()] == [
        "x.toml:1:", "x.toml:2:",
    ]  # fmt: skip


def test_a_table_may_be_spread_over_layers_but_must_be_whole_in_the_end() -> None:
    part = file(Path("x.toml"), "[database]\nport = 5\n")
    assert problems(part) == [
        "configuration: key 'database.host' is missing; it must be given",
    ]
    assert merge(part, given({"database": {"host": "h"}})).values["database"]["port"] == 5


def test_a_model_may_check_keys_against_each_other_once_all_are_there() -> None:
    class Pair(DaemonOptions):
        low: int = 0
        high: int = 10

        @pydantic.model_validator(mode="after")
        def _in_order(self) -> Pair:
            if self.low > self.high:
                raise ValueError(f"low ({self.low}) is above high ({self.high})")
            return self

    # Alone, the first layer would be wrong.
    layers = [default(), program({"low": 20}), given({"high": 30})]
    assert load(Pair, layers).values["high"] == 30
    with pytest.raises(ConfigurationError, match=r"^configuration: low \(20\) is above high"):
        load(Pair, layers[:2])


keys = st.sampled_from(
    [*Options.model_fields, "parallel", "winch", "HUP", "tailer", "lax", "host", "limits", "x"]
)
simple = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)
tables = st.recursive(
    simple,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=8,
)


KINDS: tuple[Kind, ...] = ("file", "program")
given_layers = st.lists(st.dictionaries(keys, tables, max_size=4), max_size=3)


def check_layers(kind: Kind, layers: list[dict[str, Any]]) -> None:
    made = [Layer(kind=kind, label=f"layer {n}", data=data) for n, data in enumerate(layers)]
    try:
        found = merge(*made)
    except ConfigurationError as cause:
        for line in str(cause).splitlines():
            assert line.startswith(("layer ", "configuration: ")), line
    else:
        assert set(found.origins) == set(leaves(found.values))
        assert config_tree(found).count("\n") >= len(found.origins)


@hypothesis.settings(max_examples=25)
@hypothesis.given(st.sampled_from(KINDS), given_layers)
def test_whatever_the_layers_hold_all_is_well_or_each_problem_is_a_line(
    kind: Kind, layers: list[dict[str, Any]]
) -> None:
    check_layers(kind, layers)


@pytest.mark.slow
@hypothesis.given(st.sampled_from(KINDS), given_layers)
def test_whatever_more_layers_hold_all_is_well_or_each_problem_is_a_line(
    kind: Kind, layers: list[dict[str, Any]]
) -> None:
    check_layers(kind, layers)
