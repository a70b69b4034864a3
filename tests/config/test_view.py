"""The tree shows each value with its origin, and no secret."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pydantic
from pydantic import Field

from tests.config.sample import SECTIONS, Options, default, file, given, program
from zenactors.config.merge import Configuration, leaves, load
from zenactors.config.view import config_tree


def tree(values: dict[str, Any]) -> str:
    return config_tree(Configuration(values, dict.fromkeys(leaves(values), "program")))


def test_each_key_is_a_line_with_its_value_and_its_origin_aligned() -> None:
    layers = [
        default(),
        program({"signals": {"WINCH": "w"}}),
        file(Path("x.toml"), "\numask = '027'\n[components.tailer]\npaths = ['a', 'b']\n"),
        given({"directory": Path("/f"), "verbosity": 2}),
    ]
    lines = config_tree(load(Options, layers, SECTIONS)).splitlines()

    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(
        Options.model_fields
    )
    columns = {line.index("  default") for line in lines if line.endswith("  default")}
    assert len(columns) == 1
    compact = [" ".join(line.split()) for line in lines]
    for expected in (
        'name "x" default',
        'umask "027" x.toml:2',
        "verbosity 2 command line",
        "stats_interval 300.0 default",
        "pid_file null default",
        'SIGWINCH "w" program',
        'paths ["a", "b"] x.toml:4',
        "plain {} default",
    ):
        assert expected in compact, expected
    at = lines.index("signals")
    assert lines[at + 1].startswith("  SIGWINCH  ")
    assert lines[lines.index("components") + 1] == "  tailer"


def test_secrets_are_redacted_wherever_they_are() -> None:
    class Own(Options):
        api_key: str = "hunter1"
        secrets: dict[str, Any] = Field(default={})
        services: list[dict[str, Any]] = Field(default=[])
        url: str = "amqp://me:hunter2@host/x"
        urls: list[str] = Field(
            default=["http://x/", "redis://:hun/ter3@h", "pg://u:p@hunter4@h/#x"]
        )
        token: str | None = None

    found = load(
        Own,
        [
            default(),
            program({
                "secrets": {"a": {"b": "hunter5"}},
                "database": {"host": "h", "password": "hunter6"},
                "services": [{"name": "n", "passwd": "hunter7"}],
            }),
        ],
    )  # fmt: skip
    text = config_tree(found)
    assert "hun" not in text
    compact = [" ".join(line.split()) for line in text.splitlines()]
    assert 'api_key "***" default' in compact
    assert 'secrets "***" program' in compact
    assert 'password "***" program' in compact
    assert 'url "amqp://me:***@host/x" default' in compact
    assert 'urls ["http://x/", "redis://:***@h", "pg://u:***@h/#x"] default' in compact
    assert 'services [{"name": "n", "passwd": "***"}] program' in compact
    assert "token null default" in compact  # that it is not set is no secret


def test_control_characters_and_surrogates_are_escaped() -> None:
    text = tree({"a": "\x1b[2J", "b": "\udc80", "c\nd": "ä", "e": "x\x9by"})
    assert text.splitlines() == [
        'a       "\\u001b[2J"  program',
        'b       "\\udc80"     program',
        '"c\\nd"  "ä"          program',
        'e       "x\\u009by"   program',
    ]
    text.encode()


def test_values_that_json_does_not_have_are_shown_all_the_same() -> None:
    class Own(Options):
        pin: pydantic.SecretStr = pydantic.SecretStr("1234")
        paths: set[Path] = Field(default={Path("/p")})

    text = config_tree(load(Own, [default()]))
    assert "1234" not in text
    assert "/p" in text
