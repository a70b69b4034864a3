from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zenactors.daemon.state import REDACTED, plain, save_json


def test_values_of_secret_looking_keys_are_redacted_at_any_depth() -> None:
    state = {"db": {"password": "p", "user": "u", "api_key": "k"}, "list": [{"authToken": "t"}]}

    assert plain(state) == {
        "db": {"password": REDACTED, "user": "u", "api_key": REDACTED},
        "list": [{"authToken": REDACTED}],
    }


def test_anything_can_be_written_and_what_contains_itself_is_cut() -> None:
    loop: dict[object, object] = {(1, 2): {3}, "object": object}
    loop["self"] = loop

    text = json.dumps(plain(loop))

    assert '"(1, 2)": [3]' in text
    assert "…" in json.loads(text)["self"].__repr__()


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.state"
    save_json(path, {"n": 1})

    class Unreadable(dict[str, int]):
        def items(self) -> Any:
            raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        save_json(path, {"n": Unreadable()})

    assert json.loads(path.read_text()) == {"n": 1}
    assert [each.name for each in tmp_path.iterdir()] == ["a.state"]


def test_what_has_no_place_in_a_file_and_what_cannot_be_shown_are_written_all_the_same(
    tmp_path: Path,
) -> None:
    class Unprintable:
        def __repr__(self) -> str:
            raise RuntimeError("no")

    path = tmp_path / "a.state"
    save_json(path, {"surrogate": "\udc80", "object": Unprintable()})

    state = json.loads(path.read_text())
    assert state["surrogate"] == "\udc80"
    assert state["object"] == "<Unprintable whose repr raises RuntimeError>"
