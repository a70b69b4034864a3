"""Checkpoints and the careful start: processes that die at every point, and what then comes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from zenactors.core.careful_start import CarefulStart
from zenactors.core.checkpoint_flow import CheckpointFlow, Item


class Died(BaseException):
    """The process has died."""


class Machine:
    """What survives a process: the disk, and what sinks and dead letters have got."""

    def __init__(self) -> None:
        self.disk = "null"
        self.starts = 0
        self.handled: list[tuple[str, int]] = []
        self.letters: list[tuple[str, int, int]] = []
        self.saves = 0


class Process:
    """One run of a source that numbers its events, from 1, for each of its keys.

    The callbacks run in `step`, in an order of the test's choice.
    """

    def __init__(
        self,
        machine: Machine,
        lengths: dict[str, int],
        *,
        bound: int = 4,
        poison: Iterable[tuple[str, int]] = (),
        at_each: Callable[[str], None] = lambda point: None,
    ) -> None:
        machine.starts += 1
        self.machine = machine
        self.in_flight: list[Item] = []
        self.most_ahead = 0
        self.log: list[str] = []
        self._poison = set(poison)
        self._at_each = at_each
        self._lengths = lengths
        self.flow = CheckpointFlow(json.loads(machine.disk), self, bound=bound)
        self._read = {key: self.flow.positions.get(key, 0) for key in lengths}

    # What the flow lets be done.

    def save(self, stored: dict[str, Any]) -> bool:
        self._at_each("before a save")
        self.machine.disk = json.dumps(stored)
        self.machine.saves += 1
        self._at_each("after a save")
        return True

    def hand_over(self, item: Item) -> None:
        self.in_flight.append(item)
        self._at_each("handed over")

    def give_up(self, item: Item, times: int) -> None:
        self.machine.letters.append((item.key, item.args, times))
        self._at_each("dead-lettered")

    def goes_carefully(self, key: str, times: int) -> None:
        self.log.append(f"{key} carefully after {times}")

    def goes_on(self, key: str) -> None:
        self.log.append(f"{key} goes on")

    # What happens.

    def read(self, key: str) -> bool:
        """Read the next event of a key, unless that is at its end or the source is full."""
        if self.flow.is_full or self._read[key] >= self._lengths[key]:
            return False
        self._read[key] += 1
        self.flow.add(Item(key, "event", self._read[key], self._read[key]))
        assert self.flow.pump()
        self.most_ahead = max(self.most_ahead, self.flow.ahead)
        return True

    def step(self, which: int) -> None:
        """Let a callback run."""
        item = self.in_flight.pop(which % len(self.in_flight))
        self._at_each("under way")
        if (item.key, item.args) in self._poison:
            raise Died
        self.machine.handled.append((item.key, item.args))
        self._at_each("handled")
        self.flow.ended(item, done=True)
        self.flow.save_if_due()
        self.flow.pump()

    def run(self, random: Random | None = None) -> None:
        """Run until everything is read and handled, and end in order."""
        random = random or Random(0)
        while True:
            keys = [*self._lengths]
            random.shuffle(keys)
            read = random.random() < 0.7 and any(self.read(key) for key in keys)
            if self.in_flight and (not read or random.random() < 0.5):
                self.step(random.randrange(len(self.in_flight)))
            elif not read and not any(self.read(key) for key in keys):
                break
        self.flow.save()
        self.flow.end_cleanly()
        self.flow.save()


def run_until_it_ends(
    lengths: dict[str, int], poison: Iterable[tuple[str, int]], *, bound: int = 4, seed: int = 0
) -> Machine:
    """Restart the process until one ends in order, as a supervisor of processes does."""
    machine, poison, random = Machine(), list(poison), Random(seed)
    while True:
        assert machine.starts <= 4 * len(poison) + 1
        try:
            Process(machine, lengths, bound=bound, poison=poison).run(random)
        except Died:
            continue
        return machine


def everything(lengths: dict[str, int]) -> set[tuple[str, int]]:
    return {(key, n) for key, length in lengths.items() for n in range(1, length + 1)}


# -- without poison ------------------------------------------------------------------------------


def test_the_checkpoint_moves_behind_what_is_done_in_order() -> None:
    process = Process(Machine(), {"a": 10})
    for _ in range(4):
        process.read("a")
    first, second, third, fourth = process.in_flight
    assert process.flow.is_full

    process.flow.ended(second, done=True)
    process.flow.ended(third, done=True)
    assert process.flow.positions == {}
    process.flow.ended(first, done=True)
    assert process.flow.positions == {"a": 3}
    assert process.flow.is_full  # the checkpoint is not saved yet

    process.flow.save_if_due()
    assert (process.flow.is_full, process.flow.ahead) == (False, 1)
    process.flow.ended(fourth, done=False)
    process.read("a")
    process.flow.ended(process.in_flight[-1], done=True)
    assert process.flow.positions == {"a": 3}  # the fourth must come again


def test_what_is_ahead_of_the_saved_checkpoint_never_exceeds_the_bound() -> None:
    flow_of = Process(Machine(), {"a": 0})
    for number in range(20):
        flow_of.flow.add(Item("a", "event", number, number))
    flow_of.flow.pump()
    assert (len(flow_of.in_flight), flow_of.flow.waiting) == (4, 16)


def test_a_clean_end_is_saved_once() -> None:
    machine = Machine()
    process = Process(machine, {"a": 1})
    process.run()
    saves = machine.saves
    process.flow.end_cleanly()
    process.flow.save()
    assert machine.saves == saves
    assert json.loads(machine.disk) == {"positions": {"a": 1}, "careful": {"keys": {}}}


def test_it_is_saved_at_most_once_in_a_quarter_of_the_bound() -> None:
    machine = Machine()
    Process(machine, {"a": 1_000}, bound=100).run()
    assert 1_000 / 100 <= machine.saves <= 1_000 / 25 + 3  # the first, the last, the clean end


def test_a_save_that_fails_holds_back_and_is_tried_again() -> None:
    machine = Machine()
    process = Process(machine, {"a": 9})
    fails = True

    def save(stored: dict[str, Any]) -> bool:
        machine.disk = machine.disk if fails else json.dumps(stored)
        return not fails

    process.save = save  # type: ignore[method-assign]
    process.flow.add(Item("a", "event", 1, 1))
    assert not process.flow.pump()  # that events are under way must be saved before
    assert process.in_flight == []
    fails = False
    assert process.flow.pump()
    [item] = process.in_flight
    fails = True
    process.flow.ended(item, done=True)
    assert not process.flow.save_if_due()
    assert (process.flow.ahead, process.flow.is_dirty) == (1, True)
    fails = False
    assert process.flow.save_if_due()
    assert (process.flow.ahead, json.loads(machine.disk)["positions"]) == (0, {"a": 1})


def test_it_is_saved_at_once_if_only_that_makes_room() -> None:
    process = Process(Machine(), {"a": 99}, bound=8)  # a quarter is two
    while process.read("a"):
        pass
    first, *others = process.in_flight
    for item in others:
        process.flow.ended(item, done=False)
    process.flow.ended(first, done=True)
    process.flow.save_if_due()
    assert process.read("a")
    assert not process.read("a")


def test_data_of_the_source_is_saved_with_the_checkpoints() -> None:
    machine = Machine()
    process = Process(machine, {"a": 1})
    process.flow.data = {"length": 7}
    process.run()
    assert Process(machine, {}).flow.data == {"length": 7}


def test_a_key_is_forgotten_when_nothing_of_it_is_left() -> None:
    process = Process(Machine(), {"a": 1, "b": 1})
    process.read("a")
    process.flow.forget("a")
    process.step(0)
    process.read("b")
    process.step(0)
    process.flow.forget("a")
    process.flow.save()
    assert json.loads(process.machine.disk)["positions"] == {"b": 1}
    assert process.flow.ahead == 0


# -- the careful start ---------------------------------------------------------------------------


@pytest.mark.parametrize("number", [1, 2, 5, 40, 100])
def test_an_event_that_kills_the_process_is_passed_at_the_fourth_start(number: int) -> None:
    machine = run_until_it_ends({"a": 100}, [("a", number)])
    assert machine.starts == 4
    assert machine.letters == [("a", number, 3)]
    assert set(machine.handled) == everything({"a": 100}) - {("a", number)}
    assert json.loads(machine.disk) == {"positions": {"a": 100}, "careful": {"keys": {}}}


def test_two_in_a_row_are_passed_one_after_the_other() -> None:
    machine = run_until_it_ends({"a": 100}, [("a", 7), ("a", 8), ("a", 50)])
    assert machine.letters == [("a", 7, 3), ("a", 8, 1), ("a", 50, 3)]
    assert machine.starts == 5 + 3
    assert set(machine.handled) == everything({"a": 100}) - {("a", 7), ("a", 8), ("a", 50)}


def test_a_busy_key_does_not_hide_the_poison_of_another() -> None:
    """However much progress `a` makes in each run."""
    lengths = {"a": 1_000_000, "b": 1}
    machine = Machine()

    def run(process: Process) -> None:
        for number in range(500):
            if number == 400:
                process.read("b")
            process.read("a")
            process.step(0)

    for _ in range(3):
        with pytest.raises(Died):
            run(Process(machine, lengths, poison=[("b", 1)]))
    run(Process(machine, lengths, poison=[("b", 1)]))
    assert machine.letters == [("b", 1, 3)]


def test_a_process_that_dies_before_any_event_does_not_count() -> None:
    machine = Machine()
    process = Process(machine, {"a": 9})
    process.read("a")
    for _ in range(10):  # none of them gets so far
        process = Process(machine, {"a": 9})
    process.read("a")
    assert (process.log, machine.letters) == ([], [])


def test_an_end_in_order_forgets_the_others() -> None:
    machine = Machine()
    for _ in range(2):
        Process(machine, {"a": 9}).read("a")
    process = Process(machine, {"a": 9})
    process.read("a")
    assert process.log == ["a carefully after 2"]
    process.flow.end_cleanly()
    process.flow.save()

    process = Process(machine, {"a": 9})
    process.read("a")
    assert (process.log, machine.letters) == ([], [])


def test_progress_ends_the_care_at_the_bound_that_the_dead_processes_had() -> None:
    machine = Machine()
    for _ in range(2):
        Process(machine, {"a": 99}, bound=20).read("a")
    process = Process(machine, {"a": 99}, bound=2)
    for number in range(1, 25):
        process.read("a")
        assert len(process.in_flight) <= (1 if number <= 21 else 2), number
        process.step(0)
        process.flow.save()
        assert process.log[1:] == ["a goes on"] * (number > 20), number


def test_carefully_means_one_at_a_time_of_all_keys_and_noted_before() -> None:
    machine = Machine()
    for _ in range(2):
        Process(machine, {"a": 9, "b": 9}).read("a")
    process = Process(machine, {"a": 9, "b": 9})
    process.read("b")  # this one is not careful
    process.read("a")
    assert [(each.key, each.args) for each in process.in_flight] == [("b", 1)]
    process.step(0)
    assert [(each.key, each.args) for each in process.in_flight] == [("a", 1)]
    assert json.loads(machine.disk)["careful"]["note"] == ["a", "1"]
    process.flow.add(Item("b", "event", 2, 2))
    process.flow.pump()
    assert len(process.in_flight) == 1

    process.step(0)
    assert [(each.key, each.args) for each in process.in_flight] == [("b", 2)]


def test_a_note_does_not_outlive_its_event() -> None:
    machine = Machine()
    for _ in range(2):
        Process(machine, {"a": 9}, bound=100).read("a")
    process = Process(machine, {"a": 9}, bound=100)
    process.read("a")
    process.step(0)  # then the source is idle, and the process is killed

    process = Process(machine, {"a": 9}, bound=100)
    process.read("a")
    assert machine.letters == []
    assert [each.args for each in process.in_flight] == [2]


def test_the_last_note_does_not_outlive_the_care() -> None:
    """The save of a note may be the progress that ends the care; the next event has no note."""
    machine = Machine()
    for _ in range(2):
        Process(machine, {"a": 9}, bound=8).read("a")
    process = Process(machine, {"a": 9}, bound=8)
    for number in range(1, 13):
        process.flow.add(Item("a", "event", number, number))
    process.flow.pump()
    while not process.log[1:]:
        process.step(0)
    assert json.loads(machine.disk)["careful"]["note"] == ["a", "10"]
    process.step(0)
    assert [each.args for each in process.in_flight] == [11, 12]
    assert "note" not in json.loads(machine.disk)["careful"]


def test_a_position_may_be_any_json_value() -> None:
    machine = Machine()
    position = {"offset": 7, "identity": (1, 2)}
    for _ in range(3):
        process = Process(machine, {})
        process.flow.add(Item("a", "event", 7, position))
        process.flow.pump()
    process = Process(machine, {})
    process.flow.add(Item("a", "event", 7, position))
    process.flow.pump()
    assert machine.letters == [("a", 7, 3)]


def test_an_event_that_is_held_does_not_hide_a_condemned_one_behind_it() -> None:
    """It comes again at each start, and so do those behind it."""
    machine = Machine()
    for _ in range(6):
        process = Process(machine, {"a": 9})
        try:
            process.read("a")
            while process.in_flight:
                item = process.in_flight.pop(0)
                if item.args == 3:
                    raise Died
                process.flow.ended(item, done=item.args != 1)
                process.read("a")
        except Died:
            continue
        assert (machine.starts, machine.letters) == (4, [("a", 3, 3)])
        return
    pytest.fail("it dies for ever")


def test_a_component_that_is_made_anew_is_no_process_that_died() -> None:
    first = CarefulStart(None, bound=4)
    assert first.open("a")
    for _ in range(5):
        first = CarefulStart(first.stored(), bound=4, continued=True)
        assert not first.open("a")
    assert first.unclean_ends("a") == 0
    assert CarefulStart(first.stored(), bound=4).unclean_ends("a") == 1


# -- at every point ------------------------------------------------------------------------------

LENGTHS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), min_size=1)


@settings(max_examples=200)
@given(st.data())
def test_without_other_deaths_exactly_the_poison_is_dead_lettered(data: st.DataObject) -> None:
    lengths = data.draw(LENGTHS)
    poison = data.draw(st.sets(st.sampled_from(sorted(everything(lengths))), max_size=4))
    bound = data.draw(st.integers(1, 12))

    machine = run_until_it_ends(lengths, poison, bound=bound, seed=data.draw(st.integers(0, 9)))

    assert {(key, number) for key, number, _ in machine.letters} == poison
    assert len(machine.letters) == len(poison)
    assert set(machine.handled) == everything(lengths) - poison


@settings(max_examples=300)
@given(st.data())
def test_whenever_processes_die_each_event_is_handled_or_dead_lettered(
    data: st.DataObject,
) -> None:
    """Also in the middle of a save, and between a dead letter and the save of that it was one."""
    lengths = data.draw(LENGTHS)
    poison = data.draw(st.sets(st.sampled_from(sorted(everything(lengths))), max_size=3))
    bound = data.draw(st.integers(1, 8))
    random = Random(data.draw(st.integers(0, 99)))
    kills = data.draw(st.lists(st.integers(1, 120), max_size=12))

    machine = Machine()
    saved: dict[str, int] = {}
    while True:
        assert machine.starts <= 4 * len(poison) + len(kills) + 1
        left = kills[machine.starts] if machine.starts < len(kills) else None

        def at_each(point: str) -> None:
            nonlocal left
            left = None if left is None else left - 1
            if left == 0:
                raise Died

        before = len(machine.handled)
        process = Process(machine, lengths, bound=bound, poison=poison, at_each=at_each)
        try:
            process.run(random)
        except Died:
            # No more is handled twice than the bound: it is behind the saved checkpoint.
            again = [each for each in machine.handled[before:] if each[1] <= saved.get(each[0], 0)]
            assert again == []
            assert process.most_ahead <= bound + 1
            saved = (json.loads(machine.disk) or {}).get("positions", {})
            continue
        break

    dead = {(key, number) for key, number, _ in machine.letters}
    assert {*machine.handled} | dead == everything(lengths)
    assert poison <= dead
    if not kills:
        assert dead == poison


def test_a_position_is_known_again_when_saving_it_has_made_its_keys_text() -> None:
    position: dict[Any, int] = {9: 1, 10: 2, "x": 3}
    first = CarefulStart(None, bound=4)
    first.open("")
    first.note("", position)
    saved = json.loads(json.dumps(first.stored()))

    after = CarefulStart(saved, bound=4)
    assert after.deaths("", position) == 1
    assert after.deaths("", json.loads(json.dumps(position))) == 1
