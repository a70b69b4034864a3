from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.actors.fakes import switch_interval
from zenactors.core.callbacks import FLAG_CONTINUE, FLAG_STOP, gen_event_handler, handles
from zenactors.core.clock import VirtualClock
from zenactors.core.component import ZenDaemonComponent, transfer_state
from zenactors.core.statistics import calc_statistics


def wiring(component: ZenDaemonComponent) -> list[tuple[Any, str, bool]]:
    return [
        (handler["event"], handler["callback"].__name__, handler["prepend"])
        for handler in component.get_events()
    ]


# --- flags and handlers ---------------------------------------------------------------------


def test_flags_have_the_values_of_pyzenkit() -> None:
    assert (FLAG_STOP, FLAG_CONTINUE) == (0, 1)
    assert isinstance(FLAG_STOP, int)


def test_handlers_are_the_dicts_of_pyzenkit() -> None:
    assert gen_event_handler("line", print) == {
        "event": "line",
        "callback": print,
        "prepend": False,
    }
    assert ZenDaemonComponent.gen_event_handler("line", print, True)["prepend"] is True  # noqa: FBT003


class Base(ZenDaemonComponent):
    @handles("first")
    def cbk_event_first(self, daemon: Any, args: Any) -> None:
        return None

    @handles("second", prepend=True)
    @handles("third")
    def cbk_event_second(self, daemon: Any, args: Any) -> None:
        return None

    def helper(self) -> None:
        pass


def test_marked_methods_are_listed_in_the_order_of_their_definition() -> None:
    assert wiring(Base()) == [
        ("first", "cbk_event_first", False),
        ("second", "cbk_event_second", True),
        ("third", "cbk_event_second", False),
    ]


def test_inherited_callbacks_come_before_own_ones() -> None:
    class Derived(Base):
        @handles("own")
        def cbk_event_own(self, daemon: Any, args: Any) -> None:
            return None

    assert [event for event, _, _ in wiring(Derived())] == ["first", "second", "third", "own"]


def test_an_override_keeps_the_place_and_brings_its_own_marks() -> None:
    class Derived(Base):
        @handles("other")
        def cbk_event_first(self, daemon: Any, args: Any) -> None:
            return None

    component = Derived()
    assert wiring(component)[0] == ("other", "cbk_event_first", False)
    assert len(component.get_events()) == 3
    assert component.get_events()[0]["callback"] == component.cbk_event_first


def test_marks_of_two_bases_are_all_there() -> None:
    class Mixin:
        @handles("mixed")
        def cbk_event_mixed(self, daemon: Any, args: Any) -> None:
            return None

    class Derived(Mixin, Base):
        pass

    assert [event for event, _, _ in wiring(Derived())] == ["first", "second", "third", "mixed"]


def test_several_methods_may_handle_one_event_in_their_order() -> None:
    class Twice(ZenDaemonComponent):
        @handles("x")
        def zulu(self, daemon: Any, args: Any) -> None:
            return None

        @handles("x")
        def alpha(self, daemon: Any, args: Any) -> None:
            return None

    assert wiring(Twice()) == [("x", "zulu", False), ("x", "alpha", False)]


def test_callbacks_are_bound_to_their_own_component() -> None:
    class Counting(ZenDaemonComponent):
        @handles("x")
        def cbk_event_x(self, daemon: Any, args: Any) -> None:
            self.inc_statistic("x")

    one, two = Counting(name="one"), Counting(name="two")
    one.get_events()[0]["callback"](None, None)
    assert (one.statistics_cur, two.statistics_cur) == ({"x": 1}, {})


def test_event_map_renames_marked_events() -> None:
    component = Base(event_map={"first": "uno", "third": 3})
    assert [event for event, _, _ in wiring(component)] == ["uno", "second", 3]
    assert component.event("first") == "uno"
    assert component.event("anything") == "anything"


def test_names_and_unknown_options() -> None:
    assert str(Base()) == "Base"
    assert str(Base(name="tailer")) == "tailer"
    with pytest.raises(TypeError, match=r"^Base takes no option 'nmae'; did you mean 'name'\?$"):
        Base(nmae="tailer")
    assert (Base().get_events() is not Base().get_events()) is True


def test_a_component_that_calls_no_super_init_still_has_a_name() -> None:
    class Careless(ZenDaemonComponent):
        def __init__(self) -> None:
            pass

    assert str(Careless()) == "Careless"


def test_hooks_do_nothing_by_default() -> None:
    component = Base()
    for hook in (component.setup, component.setup_dump, component.teardown):
        hook(None)


def test_state_shows_the_counters() -> None:
    component = Base()
    component.inc_statistic("lines", 3)
    assert component.get_state() == {"statistics": {"lines": 3}}


def test_the_log_is_bound_once_and_late() -> None:
    component = Base()
    assert "log" not in vars(component)
    assert component.log is component.log


# --- counting from several threads ----------------------------------------------------------


@pytest.fixture
def restless() -> Iterator[None]:
    """Let the interpreter switch threads as often as it can."""
    with switch_interval(1e-6):
        yield


def run_together(*work: Callable[[], Any]) -> None:
    """Run all callables at once, each in a thread; raise the first of their exceptions."""
    errors: list[BaseException] = []
    begin = threading.Barrier(len(work))

    def run(each: Callable[[], Any]) -> None:
        begin.wait(30.0)
        try:
            each()
        except BaseException as cause:
            errors.append(cause)

    threads = [threading.Thread(target=run, args=(each,), daemon=True) for each in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
        assert not thread.is_alive(), "it hangs"
    if errors:
        raise errors[0]


@pytest.mark.usefixtures("restless")
def test_eight_threads_that_count_on_one_component_lose_nothing() -> None:
    component = Base()

    def count() -> None:
        for _ in range(20_000):
            component.inc_statistic("lines")
            component.inc_statistic("bytes", 3)

    run_together(*[count] * 8)

    assert component.statistics_cur == {"lines": 160_000, "bytes": 480_000}


@pytest.mark.usefixtures("restless")
def test_readers_in_other_threads_see_every_increase_once() -> None:
    component = Base()
    increases: dict[str, list[int]] = {"log": [], "metrics": []}

    def count() -> None:
        for number in range(3_000):
            component.inc_statistic("lines")
            component.inc_statistic(f"file {number}")  # the counters grow while they are read

    def read(reader: str) -> None:
        found = component.get_statistics(reader)
        increases[reader] += [values["inc"] for values in found.values()]

    def read_often(reader: str) -> None:
        for _ in range(50):
            read(reader)
            component.get_state()

    # Two threads are one reader: each increase reaches one of them.
    readers = [lambda name=name: read_often(name) for name in ("log", "log", "metrics")]
    run_together(count, count, *readers)
    read("log")
    read("metrics")

    assert {reader: sum(each) for reader, each in increases.items()} == {
        "log": 12_000,
        "metrics": 12_000,
    }


def test_counting_in_the_middle_of_counting_does_not_hang() -> None:
    component = Base()

    class Finalized:
        """Simulates a finalizer, which may run anywhere."""

        def __radd__(self, count: int) -> int:
            component.inc_statistic("finalized")
            return count + 1

    run_together(lambda: component.inc_statistic("lines", Finalized()))  # type: ignore[arg-type]

    assert component.statistics_cur == {"lines": 1, "finalized": 1}


def test_counting_that_failed_keeps_no_lock() -> None:
    component = Base()
    with pytest.raises(TypeError):
        component.inc_statistic([])  # type: ignore[arg-type]

    run_together(lambda: component.inc_statistic("lines"))

    assert component.statistics_cur == {"lines": 1}


def test_a_deep_copy_counts_for_itself() -> None:
    component = Base()
    component.inc_statistic("lines")
    other = copy.deepcopy(component)
    other.inc_statistic("lines")
    with component._counting.lock:
        run_together(lambda: other.inc_statistic("lines"))

    assert component.statistics_cur == {"lines": 1}
    assert other.get_statistics()["lines"]["cnt"] == 3


@pytest.mark.usefixtures("restless")
def test_an_object_that_replaces_a_component_continues_its_counters() -> None:
    old, new = Base(), Base()
    transfer_state(old, new)

    def count(component: Base) -> None:
        for _ in range(20_000):
            component.inc_statistic("lines")

    run_together(*[lambda each=each: count(each) for each in (old, new, old, new)])

    assert new.statistics_cur == {"lines": 80_000}


def test_counters_of_a_component_that_calls_no_super_init_count_too() -> None:
    class Careless(ZenDaemonComponent):
        def __init__(self) -> None:
            self.statistics_cur = {}

    component = Careless()
    component.inc_statistic("lines")

    assert component.statistics_cur == {"lines": 1}


# --- calc_statistics ------------------------------------------------------------------------


def test_statistics_compare_two_readings() -> None:
    assert calc_statistics({"lines": 200}, {"lines": 150}, 10.0) == {
        "lines": {"cnt": 200, "inc": 50, "spd": 5.0, "pct": 25.0}
    }


def test_a_missing_previous_reading_counts_from_zero() -> None:
    assert calc_statistics({"lines": 20}, {}, 10.0)["lines"] == {
        "cnt": 20,
        "inc": 20,
        "spd": 2.0,
        "pct": 100.0,
    }


@pytest.mark.parametrize(("cur", "prev"), [(0, 0), (0, 5), (0, None)])
def test_zero_is_no_crash(cur: int, prev: int | None) -> None:
    result = calc_statistics({"x": cur}, {} if prev is None else {"x": prev}, 5.0)["x"]
    inc = cur - (prev or 0)
    assert result == {"cnt": 0, "inc": inc, "spd": inc / 5.0, "pct": 0.0}


@pytest.mark.parametrize("tdiff", [0, 0.0, -1.0])
def test_no_time_between_two_readings_is_no_crash(tdiff: float) -> None:
    assert calc_statistics({"x": 4}, {"x": 1}, tdiff)["x"] == {
        "cnt": 4,
        "inc": 3,
        "spd": 0.0,
        "pct": 75.0,
    }


def test_nested_counters_are_compared_key_by_key() -> None:
    result = calc_statistics(
        {"codes": {"200": 30, "404": {"get": 4}}, "new": {"x": 2}},
        {"codes": {"200": 10, "404": {"get": 1}}},
        10.0,
    )
    assert result["codes"]["200"] == {"cnt": 30, "inc": 20, "spd": 2.0, "pct": 20 / 0.3}
    assert result["codes"]["404"]["get"]["inc"] == 3
    assert result["new"]["x"]["inc"] == 2


@pytest.mark.parametrize(
    ("cur", "prev"), [({"x": {"y": 1}}, {"x": 5}), ({"x": 1}, {"x": {"y": 5}})]
)
def test_a_counter_that_changed_its_shape_starts_again(
    cur: dict[str, Any], prev: dict[str, Any]
) -> None:
    result = calc_statistics(cur, prev, 1.0)["x"]
    assert result.get("y", result)["inc"] == 1


def test_fractions_are_counted_too() -> None:
    assert calc_statistics({"s": 1.5}, {"s": 0.5}, 2.0)["s"]["spd"] == 0.5


# --- reading statistics ---------------------------------------------------------------------


def test_two_readers_do_not_disturb_each_other() -> None:
    clock = VirtualClock()
    component = Base(clock=clock)
    component.inc_statistic("x", 10)
    clock.advance(10.0)
    assert component.get_statistics()["x"] == {"cnt": 10, "inc": 10, "spd": 1.0, "pct": 100.0}

    component.inc_statistic("x", 10)
    clock.advance(10.0)
    other = component.get_statistics(reader="metrics")["x"]
    assert (other["inc"], other["spd"]) == (20, 1.0)

    component.inc_statistic("x", 20)
    clock.advance(10.0)
    first = component.get_statistics()["x"]
    assert (first["cnt"], first["inc"], first["spd"]) == (40, 30, 1.5)
    assert component.get_statistics("metrics")["x"]["inc"] == 20


def test_a_reading_copies_even_nested_counters() -> None:
    component = Base()
    component.statistics_cur["codes"] = {"200": 1}
    component.get_statistics()
    component.statistics_cur["codes"]["200"] += 2
    assert component.get_statistics()["codes"]["200"]["inc"] == 2


def test_reading_twice_at_the_same_instant_is_no_crash() -> None:
    component = Base(clock=VirtualClock())
    component.inc_statistic("x")
    component.get_statistics()
    assert component.get_statistics()["x"] == {"cnt": 1, "inc": 0, "spd": 0.0, "pct": 0.0}


def test_the_statistics_line_of_pyzenkit_formats() -> None:
    numbers = calc_statistics({"lines": 200}, {"lines": 150}, 10.0)["lines"]
    line = ZenDaemonComponent.pattern_stats.format(
        "Statistics:", "lines", numbers["cnt"], numbers["inc"], numbers["spd"]
    )
    assert "200" in line
    assert "+50" in line
    assert "5.00 #/s" in line
