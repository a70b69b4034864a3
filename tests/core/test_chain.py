from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zenactors.core.callbacks import gen_event_handler
from zenactors.core.chain import Chain, build_chains
from zenactors.core.component import ZenDaemonComponent
from zenactors.errors import ConfigurationError


def callback(label: str) -> Callable[[Any, Any], None]:
    def call(daemon: Any, args: Any) -> None:
        return None

    call.__name__ = label
    return call


def names(chain: Chain) -> list[tuple[int, list[str]]]:
    return [(s.component, [c.__name__ for c in s.callbacks]) for s in chain.steps]


def handler(event: Any, label: str, *, prepend: bool = False) -> Any:
    return gen_event_handler(event, callback(label), prepend)


def test_callbacks_are_in_the_order_of_registration() -> None:
    chains = build_chains(
        [
            ("a", [handler("x", "a1"), handler("y", "a2")]),
            ("b", [handler("x", "b1")]),
            ("c", [handler("y", "c1"), handler("x", "c2")]),
        ]
    )

    assert list(chains) == ["x", "y"]
    assert [chain.number for chain in chains.values()] == [0, 1]
    assert names(chains["x"]) == [(0, ["a1"]), (1, ["b1"]), (2, ["c2"])]
    assert names(chains["y"]) == [(0, ["a2"]), (2, ["c1"])]
    assert not chains["x"].revisits


def test_prepend_puts_a_callback_first_and_the_last_prepended_one_before_all() -> None:
    chains = build_chains(
        [
            ("a", [handler("x", "a1")]),
            ("b", [handler("x", "b1", prepend=True)]),
            ("c", [handler("x", "c1", prepend=True), handler("x", "c2")]),
        ]
    )
    assert names(chains["x"]) == [(2, ["c1"]), (1, ["b1"]), (0, ["a1"]), (2, ["c2"])]
    assert chains["x"].revisits


def test_several_callbacks_of_one_component_are_one_step_in_their_order() -> None:
    chains = build_chains(
        [
            ("a", [handler("x", "a1"), handler("y", "a2"), handler("x", "a3")]),
            ("b", [handler("x", "b1")]),
        ]
    )
    assert names(chains["x"]) == [(0, ["a1", "a3"]), (1, ["b1"])]
    assert not chains["x"].revisits


def test_a_chain_that_returns_to_a_component_has_a_step_for_each_visit() -> None:
    chains = build_chains(
        [
            ("a", [handler("x", "a1")]),
            ("b", [handler("x", "b1")]),
            ("a again", [handler("x", "a2", prepend=True), handler("x", "a3")]),
        ]
    )
    assert names(chains["x"]) == [(2, ["a2"]), (0, ["a1"]), (1, ["b1"]), (2, ["a3"])]
    assert chains["x"].revisits


def test_falsy_events_have_chains() -> None:
    events: list[Any] = [0, "", None, (), False]
    chains = build_chains([("a", [handler(event, "a1") for event in events])])
    # 0 and False are equal, so they are one event.
    assert len(chains) == 4
    assert names(chains[None]) == [(0, ["a1"])]
    assert names(chains[0]) == [(0, ["a1", "a1"])]


def test_a_handler_of_pyzenkit_without_prepend_is_accepted() -> None:
    chains = build_chains([("a", [{"event": "x", "callback": callback("a1")}])])
    assert names(chains["x"]) == [(0, ["a1"])]


def test_no_handlers_make_no_chains() -> None:
    assert build_chains([]) == {}
    assert build_chains([("a", ZenDaemonComponent().get_events())]) == {}


@pytest.mark.parametrize(
    ("entry", "text"),
    [
        ({"callback": print}, "gen_event_handler"),
        ({"event": "x"}, "gen_event_handler"),
        ("x", "gen_event_handler"),
        (None, "gen_event_handler"),
        ({"event": "x", "callback": "print"}, "cannot be called"),
        ({"event": [], "callback": print}, "not hashable"),
    ],
)
def test_a_wrong_entry_is_refused_with_the_components_name(entry: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text) as caught:
        build_chains([("fine", []), ("broken", [entry])])
    assert "'broken'" in str(caught.value)
