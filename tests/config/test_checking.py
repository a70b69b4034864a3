"""Tables are checked against any model: each wrong key is one problem, with its whole path."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
import pytest

from zenactors.config.checking import as_option, check_table
from zenactors.core.recipe import key_of, keys_of


class Inner(pydantic.BaseModel):
    """Ignores unknown keys, as models do by default."""

    host: str
    port: Annotated[int, pydantic.Field(gt=0)] = 1


class Open(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="allow")

    known: int = 1


class Outer(pydantic.BaseModel):
    inner: Inner | None = None
    by_name: dict[str, Inner] = {}
    open: Open = Open()
    either: Inner | Open | None = None
    many: list[Inner] = []
    size: int = pydantic.Field(1, alias="max-size")
    old: int = pydantic.Field(1, validation_alias=pydantic.AliasChoices("new", "old"))


def found(table: dict[str, Any], **how: Any) -> list[str]:
    return [problem for _, problem in check_table(Outer, table, **how)[1]]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ({"inner": {"hots": "x"}}, ["unknown key 'inner.hots'; did you mean 'host'?"]),
        ({"inner": {"port": 2}}, ["key 'inner.host' is missing; it must be given"]),
        ({"inner": {"host": "h", "port": 0}},
         ["key 'inner.port': input should be greater than 0, got 0"]),
        ({"by_name": {"a": {"host": 5}, "b": {"host": "h", "prot": 1}}},
         ["key 'by_name.a.host': expected str, got 5",
          "unknown key 'by_name.b.prot'; did you mean 'port'?"]),
        ({"open": {"whatever": 1}}, []),
        ({"open": {"known": "x"}}, ["key 'open.known': expected int, got 'x'"]),
        ({"max_size": 5}, ["unknown key 'max_size'; did you mean 'max-size'?"]),
        ({"max-size": "x"}, ["key 'max-size': expected int, got 'x'"]),
        ({"old": "x"}, ["key 'old': expected int, got 'x'"]),
        ({"many": [{"host": "h"}, {"hosst": "h"}, {}, 5]},
         ["key 'many.2.host' is missing; it must be given",
          "key 'many.3': expected a table, got 5",
          "unknown key 'many.1.hosst'; did you mean 'host'?"]),
    ],
)  # fmt: skip
def test_a_wrong_key_is_named_with_its_whole_path(
    table: dict[str, Any], expected: list[str]
) -> None:
    assert found(table) == expected


def test_where_a_problem_is_can_be_looked_up() -> None:
    _, findings = check_table(Outer, {"inner": {"host": 5, "x": 1}, "new": "y"})
    assert {path for path, _ in findings} == {("inner", "host"), ("inner", "x"), ("new",)}


def test_a_value_that_fits_no_member_of_a_union_is_one_problem() -> None:
    assert len(found({"either": 5})) == 1


def test_in_a_part_of_a_table_nothing_is_missing_and_null_is_no_value() -> None:
    part = {"inner": {"port": 2}, "new": None, "by_name": {"a": None}}
    assert found(part, partial=True) == []
    assert len(found(part)) == 3
    assert found({"many": [{}, None]}, partial=True) == [  # a list is never put together
        "key 'many.0.host' is missing; it must be given",
        "key 'many.1': expected a table, got None",
    ]
    assert found({"x": None}, partial=True) == [f"unknown key 'x'; known: {', '.join(KNOWN)}"]


KNOWN = ["by_name", "either", "inner", "many", "max-size", "new", "old", "open"]


def test_keys_that_belong_elsewhere_are_said_so_and_are_no_suggestion() -> None:
    elsewhere = {"inner": "write it there", "name": "it is given already"}
    assert found({"inner": 5, "name": "x", "inne": 1}, elsewhere=elsewhere) == [
        "key 'inner' cannot be set here; write it there",
        "unknown key 'name'; it is given already",
        f"unknown key 'inne'; known: {', '.join(key for key in KNOWN if key != 'inner')}",
    ]


def test_the_caller_names_the_keys() -> None:
    assert found({"new": "x"}, called=as_option) == ["option 'new': expected int, got 'x'"]


def test_a_model_that_is_wrong_as_a_whole_is_reported() -> None:
    class Whole(pydantic.BaseModel):
        a: int = 1

        @pydantic.model_validator(mode="after")
        def _never(self) -> Whole:
            raise ValueError("this\ncannot be")

    assert check_table(Whole, {"a": 2}) == (None, [((), "this cannot be")])
    assert check_table(Whole, {"a": 2}, partial=True) == (None, [])


def test_a_right_table_becomes_the_model() -> None:
    checked, findings = check_table(Outer, {"max-size": 3, "old": 4})
    assert findings == []
    assert isinstance(checked, Outer)
    assert (checked.size, checked.old) == (3, 4)


def test_a_field_is_known_under_all_its_keys_and_kept_under_one() -> None:
    assert sorted(keys_of(Outer)) == KNOWN
    assert [key_of(name, field) for name, field in Outer.model_fields.items()][-2:] == [
        "max-size", "old",
    ]  # fmt: skip
