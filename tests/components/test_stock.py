"""Properties of every stock component."""

from __future__ import annotations

import inspect
import json
import typing

import pydantic
import pytest

import zenactors.components as stock
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import read_constructor

BASES = ("AcknowledgingSource", "BatchingSink", "RecordStep")
COMPONENTS = [
    value
    for name in stock.__all__
    if isinstance(value := getattr(stock, name), type)
    and issubclass(value, ZenDaemonComponent)
    and name not in BASES
]
SINK = "zenactors.components:BlackHole"
REQUIRED: dict[str, dict[str, typing.Any]] = {
    "Deduplicator": {"keys": ["x"]},
    "DirectoryQueue": {"path": "x"},
    "DirectoryQueueWriter": {"path": "x"},
    "DirectoryWatcher": {"patterns": ["x"]},
    "Enrich": {"path": "x.csv", "key": "x"},
    "Fallback": {"first": {"use": SINK}, "second": {"use": SINK}},
    "FileTailer": {"patterns": ["x"]},
    "Filter": {"where": {"x": 1}},
    "FlatMap": {"function": "builtins:list"},
    "HttpListener": {"listen": ["http://:0"]},
    "HttpPoller": {"url": "http://127.0.0.1/"},
    "HttpSink": {"url": "http://127.0.0.1/"},
    "LineListener": {"listen": ["tcp://:0"]},
    "Map": {"function": "builtins:dict"},
    "Parse": {"format": "json"},
    "RateLimiter": {"limit": 1},
    "RegexParser": {"pattern": "(?P<x>.)"},
    "Router": {"key": "x", "to": {"1": "one"}},
    "SocketSink": {"address": "tcp://:5140"},
    "SqliteSink": {"path": "x"},
    "Statistics": {"by": ["x"]},
    "SubprocessFilter": {"command": ["x"]},
    "SubprocessSink": {"command": ["x"]},
    "SubprocessSource": {"command": ["x"]},
    "Ticker": {"interval": 1.0},
    "Validate": {"json_schema": {"required": ["x"]}},
    "WindowedCounter": {"by": ["x"], "size": 60.0},
}


def test_all_is_sorted_and_complete():
    assert stock.__all__ == sorted(stock.__all__)
    assert len(COMPONENTS) >= 9


@pytest.mark.parametrize("cls", COMPONENTS)
def test_a_model_can_be_built_from_the_signature(cls):
    constructor = read_constructor(cls)
    assert not constructor.is_open
    fields: dict[str, typing.Any] = {}
    for name, (parameter, function) in constructor.accepts.items():
        assert parameter.kind is inspect.Parameter.KEYWORD_ONLY
        default = ... if parameter.default is inspect.Parameter.empty else parameter.default
        fields[name] = (typing.get_type_hints(function)[name], default)
    model = pydantic.create_model(cls.__name__, **fields)

    assert cls(**model(**REQUIRED.get(cls.__name__, {})).model_dump()).name == cls.__name__


@pytest.mark.parametrize("cls", COMPONENTS)
def test_the_docstring_has_every_option(cls):
    # As the compiler of Python 3.13 and later leaves them.
    texts = [inspect.cleandoc(each.__doc__ or "") for each in cls.__mro__]
    for option in read_constructor(cls).accepts:
        assert any(f"\n    {option}: " in text for text in texts)


@pytest.mark.parametrize("cls", COMPONENTS)
def test_the_state_is_json(cls):
    json.dumps(cls(**REQUIRED.get(cls.__name__, {})).get_state())


@pytest.mark.parametrize("name", ["a\0b", "a\ud800"])
@pytest.mark.parametrize(
    ("cls", "option"),
    [
        (stock.FileTailer, "patterns"),
        (stock.FileTailer, "exclude"),
        (stock.AccessLogParser, "rejects"),
        (stock.RegexParser, "rejects"),
        (stock.Enrich, "path"),
        (stock.Validate, "json_schema"),
        (stock.DirectoryQueue, "path"),
        (stock.DirectoryQueueWriter, "path"),
        (stock.DirectoryWatcher, "exclude"),
        (stock.DirectoryWatcher, "patterns"),
        (stock.JsonLinesWriter, "path"),
        (stock.LineWriter, "path"),
        (stock.RawWriter, "path"),
    ],
)
def test_a_name_that_no_file_can_have_is_a_wrong_option(cls, option, name):
    value = [name] if option in ("patterns", "exclude") else name
    with pytest.raises(ValueError, match="file's name can"):
        cls(**{**REQUIRED.get(cls.__name__, {}), option: value})
