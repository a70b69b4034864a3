"""The JSON Schema allows exactly the files that are valid."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.config.sample import SECTIONS, Options, default, file, section
from zenactors.config.component_options import Section
from zenactors.config.merge import load
from zenactors.config.options import NOT_IN_FILES, DaemonOptions, Table
from zenactors.config.schema import DIALECT, json_schema
from zenactors.errors import ConfigurationError

jsonschema = pytest.importorskip("jsonschema")

RIGHT: list[dict[str, Any]] = [
    {},
    {"name": "x", "umask": "027", "log_level": "debug", "pid_file": "/run/x.pid"},
    {"umask": 18, "log_level": "Warning", "pid_file": "", "user": 5, "group": "g"},
    {"paralel": True},
    {"parallel": False},
    {"signals": {"winch": "a", "SIGIO": "b", "SIGCLD": None}},
    {"components": {"tailer": {"paths": ["a"], "poll": 1}, "lax": {}, "plain": {}}},
    {"components": {"tailer": None, "lax": {"level": None}}},
    {"database": {"port": 5, "host": "h"}, "replicas": [{"host": "h"}]},
    {"tags": ["a"], "directory": "/f", "mode": "fast", "loud": False, "greeting": None},
    {"limits": {"x": 1, "y": None}},
    {key: None for key in DaemonOptions.model_fields if key not in NOT_IN_FILES},
]

WRONG: list[dict[str, Any]] = [
    {"nmae": "x"},
    {"name": ""},
    *({key: "x"} for key in NOT_IN_FILES),
    *({key: None} for key in NOT_IN_FILES),
    {"umask": "9"},
    {"umask": -1},
    {"umask": 512},
    {"log_level": "loud"},
    {"pid_file": "/run/x"},
    {"user": -1},
    {"user": []},
    {"parallel": 1},
    {"stats_interval": -1},
    {"start_timeout": 0},
    {"stop_timeout": "5"},
    {"sigterm": "now"},
    {"verbosity": -1},
    {"signals": {"SIGKILL": "x"}},
    {"signals": {"HUP": "x"}},
    {"signals": {"WINCHH": "x"}},
    {"signals": {"WINCH": ""}},
    {"signals": {"WINCH": 5}},
    {"components": {"tialer": {}}},
    {"components": {"tailer": {"pol": 1}}},
    {"components": {"tailer": {"poll": "x"}}},
    {"components": {"tailer": {"limits": {"x": "y"}}}},
    {"components": {"lax": {"x": 1}}},
    {"components": {"plain": {"x": 1}}},
    {"components": []},
    {"database": {"host": "h", "prot": 5}},
    {"database": {"host": 5}},
    {"replicas": [{"port": 5}]},
    {"replicas": [None]},
    {"replicas": [{"host": "h", "prot": 5}]},
    {"tags": [5]},
    {"tags": "a"},
    {"mode": "slow"},
    {"limits": {"x": "y"}},
]


def is_right(document: dict[str, Any]) -> bool:
    try:
        load(Options, [default(), file(Path("x.json"), json.dumps(document))], SECTIONS)
    except ConfigurationError:
        return False
    return True


@functools.cache
def validator() -> Any:
    schema = json_schema(Options, SECTIONS)
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@pytest.mark.parametrize("document", [*RIGHT, *WRONG], ids=json.dumps)
def test_the_schema_and_the_daemon_agree_about_a_file(document: dict[str, Any]) -> None:
    assert validator().is_valid(document) is (document in RIGHT)
    assert is_right(document) is (document in RIGHT)


def test_the_schema_describes_each_key_with_its_default() -> None:
    schema = json_schema(Options, SECTIONS)
    assert schema["$schema"] == DIALECT
    assert schema["additionalProperties"] is False
    assert "required" not in schema
    keys = {*Options.model_fields, "parallel"} - set(NOT_IN_FILES)
    assert set(schema["properties"]) == keys
    assert schema["properties"]["greeting"]["description"] == "What to say first."
    assert schema["properties"]["stats_interval"]["default"] == 300.0
    components = schema["properties"]["components"]["anyOf"][0]["properties"]
    assert list(components) == list(SECTIONS)
    json.dumps(schema)


def test_components_may_have_models_that_are_called_alike() -> None:
    def made_of(kind: type) -> Section:
        inner = pydantic.create_model("Inner", __base__=Table, value=(kind, ...))
        return section(pydantic.create_model("Outer", __base__=Table, inner=(inner, ...)))

    sections = {"a b/c~{d}": made_of(int), "é": made_of(str)}
    validator = jsonschema.Draft202012Validator(json_schema(DaemonOptions, sections))
    for name, right, wrong in (("a b/c~{d}", 5, "x"), ("é", "x", 5)):
        assert validator.is_valid({"components": {name: {"inner": {"value": right}}}})
        assert not validator.is_valid({"components": {name: {"inner": {"value": wrong}}}})


class Node(Table):
    value: int
    left: Node | None = None
    more: list[Node] = pydantic.Field(default=[])


class Tree(DaemonOptions):
    root: Node | None = None


def test_a_model_may_contain_itself() -> None:
    validator = jsonschema.Draft202012Validator(json_schema(Tree))
    assert validator.is_valid({"root": {"left": {"left": {"value": 1}}}})
    assert not validator.is_valid({"root": {"left": {"left": {"valeu": 1}}}})
    assert not validator.is_valid({"root": {"more": [{}]}})  # a list is not spread over layers


def test_a_type_that_json_schema_has_no_words_for_may_be_anything() -> None:
    class Odd(DaemonOptions):
        clock: Any = None
        lock: object = object()
        path: type = int

    schema = json_schema(Odd)
    assert jsonschema.Draft202012Validator(schema).is_valid({"path": "x", "clock": 5})


def test_the_default_of_a_secret_key_is_not_shown() -> None:
    class Account(pydantic.BaseModel):
        password: str = "opensesame"

    class Secretive(DaemonOptions):
        token: str = "opensesame"
        url: str = "http://me:opensesame@host/"
        account: Account = Account()

    schema = json_schema(Secretive)
    assert "opensesame" not in json.dumps(schema)
    assert schema["properties"]["url"]["default"] == "http://me:***@host/"
