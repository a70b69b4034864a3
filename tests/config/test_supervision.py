"""The policies of components in the configuration: merged, checked, shown, with their places."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic
import pytest

from tests.config.sample import SECTIONS, Options, default, file, given, program, section
from zenactors.config.assignments import parse
from zenactors.config.merge import Configuration, load
from zenactors.config.plan import plan_for
from zenactors.config.schema import json_schema
from zenactors.config.supervision import supervision_model
from zenactors.config.view import config_tree
from zenactors.core.callbacks import handles
from zenactors.core.component import ZenDaemonComponent
from zenactors.core.recipe import Recipe
from zenactors.core.supervision import Retry, Supervision, with_values
from zenactors.errors import ConfigurationError


def policies(*layers: Any, sets: tuple[str, ...] = ()) -> Mapping[str, Any]:
    return merged(*layers, sets=sets).supervision


def merged(*layers: Any, sets: tuple[str, ...] = ()) -> Configuration:
    return load(Options, [default(), *layers], SECTIONS, parse(sets))


def problems(*layers: Any, sets: tuple[str, ...] = ()) -> list[str]:
    with pytest.raises(ConfigurationError) as refused:
        merged(*layers, sets=sets)
    return str(refused.value).splitlines()


def policy(**values: Any) -> dict[str, Any]:
    return {"components": {"tailer": {"supervision": values}}}


def test_all_sources_set_values_and_the_stronger_ones_win(tmp_path: Path) -> None:
    text = "[components.tailer.supervision]\ndelay = 2\nretry.attempts = 4\nretry.delay = 1\n"
    found = policies(
        program(policy(on_error="stop", delay=1.0)),
        file(tmp_path / "x.toml", text),
        given(policy(max_restarts=7)),
        sets=(
            "components.tailer.supervision.on_error=restart",
            "components.tailer.supervision.retry.attempts=5",
            'components.plain.supervision={on_error = "stop", status = 3}',
        ),
    )
    assert found == {
        "tailer": {
            "on_error": "restart",
            "delay": 2.0,
            "max_restarts": 7,
            "retry": {"attempts": 5, "delay": 1.0},
        },
        "plain": {"on_error": "stop", "status": 3},
    }


def test_options_do_not_contain_the_policy() -> None:
    found = merged(program({"components": {"tailer": {"poll": 1.0, "supervision": {"delay": 1}}}}))
    assert found.tables["tailer"] == {"poll": 1.0}
    assert found.values["components"]["tailer"]["supervision"] == {"delay": 1}


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("on_eror = 'stop'", "unknown key 'supervision.on_eror'; did you mean 'on_error'?"),
        ("on_error = 'x'", "key 'supervision.on_error': expected one of 'dead-letter', 'restart'"),
        ("max_restarts = -1", "supervision.max_restarts is -1, but a whole number of at least 0"),
        ("status = 256", "supervision.status is 256, but a whole number from 0 to 255 is expected"),
        ("retry = {attempts = 1}", "supervision.retry.attempts is 1, but a whole number of at"),
        ("retry = {tries = 2}", "unknown key 'supervision.retry.tries'"),
    ],
)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, line: str, problem: str) -> None:
    text = f"[components.tailer.supervision]\ndelay = 1\n{line}\n"
    (found,) = problems(file(tmp_path / "x.toml", text), given(policy(delay=2.0)))
    assert found.startswith(f"{tmp_path}/x.toml:3: component 'tailer': ")
    assert problem in found


def test_a_mistake_is_found_even_if_a_stronger_source_overrides_the_value() -> None:
    (found,) = problems(program(policy(delay=-1)), given(policy(delay=2.0)))
    assert found.startswith("program: component 'tailer': supervision.delay is -1.0, but")


def test_a_mistake_on_the_command_line_names_the_argument() -> None:
    (found,) = problems(sets=("components.tailer.supervision.delay=soon",))
    assert found == (
        "--set components.tailer.supervision.delay: component 'tailer':"
        " key 'supervision.delay': expected float, got 'soon'"
    )


@pytest.mark.parametrize("value", [3, "restart", [1]])
def test_a_policy_that_is_no_table_is_refused(value: Any) -> None:
    layer = program({"components": {"tailer": {"supervision": value}}})
    assert f"component 'tailer': key 'supervision': expected a table, got {value!r}" in (
        "\n".join(problems(layer))
    )


def test_a_component_may_have_an_option_of_this_name() -> None:
    class Own(pydantic.BaseModel):
        supervision: str = "none"

    sections = {"own": section(Own)}
    layer = program({"components": {"own": {"supervision": "close"}}})
    found = load(Options, [default(), layer], sections, parse(["components.own.supervision=loose"]))
    assert found.values["components"]["own"] == {"supervision": "loose"}
    assert found.supervision == {}


def test_only_values_that_are_set_are_shown_with_their_origins(tmp_path: Path) -> None:
    layer = file(tmp_path / "x.toml", "components.tailer.supervision.delay = 2\n")
    lines = config_tree(merged(layer, sets=("components.plain.supervision.budget=3",))).splitlines()
    rows = [re.split(r"  +", line.strip()) for line in lines]
    assert ["delay", "2.0", f"{tmp_path}/x.toml:1"] in rows
    assert ["budget", "3.0", "--set components.plain.supervision.budget"] in rows
    assert sum(row[0] == "supervision" for row in rows) == 2


def test_the_schema_describes_the_policy_of_each_component() -> None:
    components = json_schema(Options, SECTIONS)["properties"]["components"]["anyOf"][0]
    for name in SECTIONS:
        (table, _) = components["properties"][name]["anyOf"]
        (supervision, _) = table["properties"]["supervision"]["anyOf"]
        assert supervision["properties"].keys() == supervision_model().model_fields.keys()


class Declares(ZenDaemonComponent):
    supervision = Supervision(on_error="restart", max_restarts=2)

    def __init__(self, path: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)

    @handles("x")
    def cbk_event_x(self, daemon: Any, args: Any) -> None: ...


def test_a_component_without_options_in_the_configuration_keeps_its_constructor() -> None:
    config = {"components": {"Declares": {"supervision": {"budget": 1.0}}}}
    plan = plan_for([Recipe(Declares, "p", supervision=Supervision(delay=3))], config)
    (made,), changed = plan.make()
    assert (made.options, changed, plan.options) == (
        {"path": "p"},
        set(),
        {"Declares": {"path": "p"}},
    )
    assert made.supervision == Supervision(delay=3)
    assert plan.configuration.supervision == {"Declares": {"budget": 1.0}}


def test_values_replace_single_ones_of_what_the_code_declares() -> None:
    def wait(_: object) -> float:
        return 1.0

    declared = Supervision(on_error="restart", wait=wait, retry=Retry(attempts=4, delay=3.0))
    assert with_values(declared, {}) == declared
    assert with_values(declared, {"max_restarts": 1, "retry": {"attempts": 2}}) == Supervision(
        on_error="restart", wait=wait, max_restarts=1, retry=Retry(attempts=2, delay=3.0)
    )
    assert with_values(declared, {"delay": 5.0}).wait is None
    assert with_values(Supervision(retry={"stop": 3}), {"retry": {}}).retry == Retry()
    assert with_values(declared, {"retry": None}).retry is None
