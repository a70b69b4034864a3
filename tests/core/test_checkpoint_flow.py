"""Checkpoints and the careful start: processes that die at every point, and what then comes."""

from __future__ import annotations

import json
from collections import Counter
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
        self.deaths_at: Counter[tuple[str, int]] = Counter()  # by the noted event

    @property
    def noted(self) -> tuple[str, int] | None:
        """The event whose note the disk has."""
        key, position = (self.careful or {}).get("note") or (None, "0")
        return None if key is None else (key, int(position))

    @property
    def careful(self) -> Any:
        """What the disk has of the careful start."""
        return (json.loads(self.disk) or {}).get("careful")

    def note_death(self) -> None:
        """Note that the process died."""
        if self.noted is not None:
            self.deaths_at[self.noted] += 1


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
        together: bool = False,
    ) -> None:
        machine.starts += 1
        self.machine = machine
        self.in_flight: list[Item] = []
        self.most_ahead = 0
        self.log: list[str] = []
        self._poison = set(poison)
        self._at_each = at_each
        self._lengths = lengths
        self.flow = CheckpointFlow(json.loads(machine.disk), self, bound=bound, together=together)
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

    def gave_up(self, item: Item) -> None:
        self._at_each("gave up")
        if item.key in self._lengths:  # it may add others, as a source that waits for this does
            self.read(item.key)

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
    lengths: dict[str, int],
    poison: Iterable[tuple[str, int]],
    *,
    bound: int = 4,
    seed: int = 0,
    together: bool = False,
) -> Machine:
    """Restart the process until one ends in order, as a supervisor of processes does."""
    machine, poison, random = Machine(), list(poison), Random(seed)
    while True:
        assert machine.starts <= most_starts(poison, bound)
        process = Process(machine, lengths, bound=bound, poison=poison, together=together)
        try:
            process.run(random)
        except Died:
            machine.note_death()
            continue
        return machine


def most_starts(poison: Iterable[tuple[str, int]], bound: int) -> int:
    """Return how many starts there are at most without other deaths.

    The checkpoint may move that often before it is at the event, and then four processes die.
    """
    return (bound + 4) * len(list(poison)) + 1


def begin_carefully(
    machine: Machine, lengths: dict[str, int], key: str = "a", **options: Any
) -> None:
    """Let two processes die without progress."""
    for _ in range(2):
        Process(machine, lengths, **options).read(key)


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


@pytest.mark.parametrize("together", [False, True])
@pytest.mark.parametrize("number", [1, 2, 5, 40, 100])
def test_an_event_is_passed_when_four_processes_have_died_of_it(
    *, number: int, together: bool
) -> None:
    machine = run_until_it_ends({"a": 100}, [("a", number)], together=together)
    # Before that, some have made progress: none if it is the first event, at most a bound of them.
    assert 5 + (number > 1) <= machine.starts <= 5 + (number > 1) * 4
    assert machine.letters == [("a", number, 4)]
    assert set(machine.handled) == everything({"a": 100}) - {("a", number)}
    assert json.loads(machine.disk) == {"positions": {"a": 100}, "careful": {"keys": {}}}


def test_a_dead_letter_is_saved_at_once_so_that_there_is_no_second_one() -> None:
    machine = Machine()
    for _ in range(4):
        Process(machine, {"a": 9}, bound=100).read("a")
    for _ in range(2):  # nothing else of it is handed over
        process = Process(machine, {"a": 1}, bound=100)
        process.read("a")
    assert machine.letters == [("a", 1, 4)]


def test_two_in_a_row_are_passed_one_after_the_other() -> None:
    machine = run_until_it_ends({"a": 100}, [("a", 7), ("a", 8), ("a", 50)])
    assert machine.letters == [("a", 7, 4), ("a", 8, 2), ("a", 50, 4)]
    progress = 2  # before the 7, and before the 50
    assert machine.starts == 4 + 2 + 4 + progress + 1
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

    for _ in range(4):
        with pytest.raises(Died):
            run(Process(machine, lengths, poison=[("b", 1)]))
    run(Process(machine, lengths, poison=[("b", 1)]))
    assert machine.letters == [("b", 1, 4)]


def test_of_keys_together_a_busy_one_does_not_hide_the_poison_that_takes_a_while() -> None:
    """Its being under way is saved with the progress of the other, and not before."""
    lengths = {"a": 1_000_000, "b": 1}
    machine = Machine()

    def run(process: Process) -> None:
        process.read("b")
        for _ in range(50):
            if not process.read("a"):  # it waits for the other key's
                break
            process.step(len(process.in_flight) - 1)
        if process.in_flight:
            process.step(0)

    for _ in range(4):
        with pytest.raises(Died):
            run(Process(machine, lengths, poison=[("b", 1)], together=True))
    assert machine.handled == [("a", number) for number in range(1, 101)]  # of two processes
    run(Process(machine, lengths, poison=[("b", 1)], together=True))
    assert machine.letters == [("b", 1, 4)]


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
    for _ in range(4):
        process = Process(machine, {})
        process.flow.add(Item("a", "event", 7, position))
        process.flow.pump()
    process = Process(machine, {})
    process.flow.add(Item("a", "event", 7, position))
    process.flow.pump()
    assert machine.letters == [("a", 7, 4)]


def test_an_event_that_is_held_does_not_hide_a_condemned_one_behind_it() -> None:
    """It comes again at each start, and so do those behind it."""
    machine = Machine()
    for _ in range(8):
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
        assert (machine.starts, machine.letters) == (5, [("a", 3, 4)])
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


# -- kills from outside ----------------------------------------------------------------------------


@pytest.mark.parametrize("together", [False, True])
def test_processes_that_each_make_progress_never_go_carefully(*, together: bool) -> None:
    machine = Machine()
    for number in range(1, 101):
        process = Process(machine, {"a": 1_000}, bound=100, together=together)
        for _ in range(20):
            process.read("a")
        assert process.in_flight[0].args == number
        process.step(0)
        process.flow.save()  # one event is behind the checkpoint when it is killed
        assert process.log == []


def test_only_processes_in_a_row_count() -> None:
    machine = Machine()
    for life in range(20):
        process = Process(machine, {"a": 1_000}, bound=100)
        process.read("a")
        process.read("a")
        if life % 2:
            process.step(0)
            process.flow.save()
        assert process.log == []


def test_what_is_done_but_not_saved_is_no_progress() -> None:
    machine = Machine()
    for _ in range(2):
        process = Process(machine, {"a": 1_000}, bound=100)
        process.read("a")
        process.step(0)
    process = Process(machine, {"a": 1_000}, bound=100)
    process.read("a")
    assert process.log == ["a carefully after 2"]


def test_an_event_that_was_noted_at_one_kill_gets_a_second_chance() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 99}, bound=50)
    for number in range(1, 11):
        Process(machine, {"a": 99}, bound=50).read("a")  # killed while it is noted
        process = Process(machine, {"a": 99}, bound=50)
        process.read("a")
        assert [each.args for each in process.in_flight] == [number]
        assert machine.noted == ("a", number)
        process.step(0)
        process.flow.save()
    assert machine.letters == []


def test_an_event_that_has_ended_under_its_note_is_no_suspect_any_more() -> None:
    """Even if it is held, and comes again."""
    machine = Machine()
    begin_carefully(machine, {"a": 99})
    for _ in range(5):
        Process(machine, {"a": 99}).read("a")
        process = Process(machine, {"a": 99})
        process.read("a")
        process.flow.ended(process.in_flight.pop(), done=False)
        process.flow.save_if_due()
        assert "suspects" not in machine.careful
    assert machine.letters == []


def test_a_suspect_is_handed_over_before_others_that_wait_but_not_before_its_own_key() -> None:
    machine = Machine()
    for key in "ab":
        begin_carefully(machine, {"a": 9, "b": 9}, key)
    Process(machine, {"b": 9}).read("b")
    assert machine.noted == ("b", 1)

    def order(*events: tuple[str, int]) -> list[tuple[str, int]]:
        disk = machine.disk
        process = Process(machine, {})
        for key, number in events:
            process.flow.add(Item(key, "event", number, number))
        process.flow.pump()
        while process.in_flight:
            process.step(0)
        machine.disk = disk
        return machine.handled[-len(events) :]

    assert order(("a", 1), ("a", 2), ("b", 1), ("b", 2)) == [
        ("b", 1),
        ("a", 1),
        ("a", 2),
        ("b", 2),
    ]
    assert order(("a", 1), ("b", 0), ("b", 1)) == [("a", 1), ("b", 0), ("b", 1)]


def test_a_clean_end_acquits_the_suspect() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9})
    Process(machine, {"a": 9}).read("a")
    process = Process(machine, {"a": 9})
    assert machine.noted == ("a", 1)
    process.flow.end_cleanly()
    process.flow.save()
    assert machine.careful == {"keys": {}}


def test_the_care_ends_over_several_runs() -> None:
    """A source that is killed each second would otherwise never leave it."""
    machine = Machine()
    begin_carefully(machine, {"a": 99}, bound=10)
    for life in range(1, 6):
        process = Process(machine, {"a": 99}, bound=10)
        for _ in range(2):
            process.read("a")
            process.step(0)
        process.flow.save()
        assert process.log == ["a carefully after 2"], life
    process = Process(machine, {"a": 99}, bound=10)
    process.read("a")
    process.step(0)
    process.flow.save()
    assert process.log == ["a carefully after 2", "a goes on"]
    process.flow.save()
    process = Process(machine, {"a": 99}, bound=10)
    assert process.read("a")
    assert process.read("a")
    assert (process.log, len(process.in_flight)) == ([], 2)


def test_a_held_event_leaves_no_note_when_the_source_is_full() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9}, bound=1)
    process = Process(machine, {"a": 9}, bound=1)
    process.read("a")
    process.flow.add(Item("a", "event", 2, 2))
    process.flow.ended(process.in_flight.pop(), done=False)
    process.flow.save_if_due()
    assert machine.noted is None


def test_no_event_is_handed_over_until_it_is_saved_that_some_are_under_way() -> None:
    process = Process(Machine(), {"a": 9})
    tries = 0

    def save(stored: dict[str, Any]) -> bool:
        nonlocal tries
        tries += 1
        return False

    process.save = save  # type: ignore[method-assign]
    process.flow.add(Item("a", "event", 1, 1))
    for _ in range(3):
        assert not process.flow.pump()
    assert (process.in_flight, tries) == ([], 3)


# -- keys together ---------------------------------------------------------------------------------


def test_keys_together_are_saved_once_before_the_first_event_of_all() -> None:
    machine = Machine()
    lengths = {str(number): 1 for number in range(1_000)}
    process = Process(machine, lengths, bound=2_000, together=True)
    for key in lengths:
        assert process.read(key)
    assert (len(process.in_flight), machine.saves) == (1_000, 1)


def test_all_keys_together_go_carefully_and_each_event_is_noted_with_its_key() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9, "b": 9}, together=True)
    process = Process(machine, {"b": 9}, together=True)
    assert process.flow.is_careful("b")
    process.read("b")
    process.read("b")
    assert [each.args for each in process.in_flight] == [1]
    assert process.log == [" carefully after 2"]
    assert machine.noted == ("b", 1)
    assert not Process(machine, {"b": 9}).flow.is_careful("b")  # for itself


def test_the_same_position_of_another_key_is_another_event() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9, "b": 9}, together=True)
    Process(machine, {"a": 9}, together=True).read("a")
    Process(machine, {"b": 9}, together=True).read("b")
    process = Process(machine, {"a": 9, "b": 9}, together=True)
    process.read("b")
    process.step(0)
    process.read("a")
    process.step(0)
    assert machine.letters == []


def test_the_care_of_keys_together_ends_at_progress_of_all_of_them() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9, "b": 9}, bound=6, together=True)
    process = Process(machine, {"a": 9, "b": 9}, bound=6, together=True)
    for number in range(1, 8):
        process.read("ab"[number % 2])
        process.step(0)
        process.flow.save()
        assert process.log[1:] == [" goes on"] * (number > 6), number
    assert not process.flow.is_careful("a")
    process.flow.save()
    assert not Process(machine, {}, together=True).flow.is_careful("a")


def test_a_condemned_event_of_a_key_is_not_forgotten_by_the_progress_of_another() -> None:
    machine = Machine()
    for _ in range(4):
        Process(machine, {"b": 1}, together=True).read("b")
    process = Process(machine, {"a": 99, "b": 1}, together=True)
    for _ in range(20):
        process.read("a")
        process.step(0)
        process.flow.save()
    assert process.log == [" carefully after 2", " goes on"]
    process.read("b")
    assert machine.letters == [("b", 1, 4)]
    process.flow.save()
    assert "condemned" not in machine.careful


def test_of_keys_together_only_those_are_saved_that_have_not_moved() -> None:
    """A tailer has thousands, and saves all the time."""
    machine = Machine()
    process = Process(machine, {"a": 9, "b": 9, "c": 9}, together=True)
    for key in "abc":
        process.read(key)
    process.step(0)
    process.step(0)
    process.flow.save()
    assert [*machine.careful["keys"]] == ["c"]


def test_a_key_alone_that_does_not_move_in_two_runs_makes_all_go_carefully_but_not_two() -> None:
    machine = Machine()
    for slow in "bcbc":  # each is under way when the process is killed, and the other moves
        process = Process(machine, {"a": 99, "b": 9, "c": 9}, together=True)
        process.read(slow)
        process.read("a")
        process.step(1)
        if slow != "b":
            process.read("b")
            process.step(1)
        else:
            process.read("c")
            process.step(1)
        process.flow.save()
        assert process.log == []
    for _ in range(2):
        process = Process(machine, {"a": 99, "b": 9}, together=True)
        process.read("b")
        process.read("a")
        process.step(1)
        process.flow.save()
    assert Process(machine, {}, together=True).flow.is_careful("a")


def test_a_key_that_has_not_moved_once_does_not_count_for_all() -> None:
    machine = Machine()
    process = Process(machine, {"a": 9, "b": 9}, together=True)
    process.read("b")
    process.read("a")
    process.step(1)
    process.flow.save()  # `b` has not moved, and all have
    Process(machine, {"a": 9}, together=True).read("a")
    assert not Process(machine, {}, together=True).flow.is_careful("a")


def test_a_key_that_is_forgotten_leaves_nothing() -> None:
    machine = Machine()
    begin_carefully(machine, {"a": 9}, together=True)
    Process(machine, {"a": 9}, together=True).read("a")
    process = Process(machine, {"b": 9}, together=True)
    process.flow.forget("a")
    process.flow.save()
    assert machine.careful["keys"] == {}
    assert "suspects" not in machine.careful


def test_a_checkpoint_is_begun_once() -> None:
    machine = Machine()
    process = Process(machine, {"a": 9})
    assert process.flow.begin("a", 4)
    assert process.flow.is_dirty
    assert not process.flow.begin("a", 7)
    assert process.flow.save()
    assert Process(machine, {}).flow.positions == {"a": 4}


# -- at every point ------------------------------------------------------------------------------

LENGTHS = st.dictionaries(st.sampled_from("abc"), st.integers(1, 40), min_size=1)


@settings(max_examples=200)
@given(st.data())
def test_without_other_deaths_exactly_the_poison_is_dead_lettered(data: st.DataObject) -> None:
    lengths = data.draw(LENGTHS)
    poison = data.draw(st.sets(st.sampled_from(sorted(everything(lengths))), max_size=4))
    bound = data.draw(st.integers(1, 12))
    # Together, a busy key may make progress before the poison of another is handed over, which
    # then takes longer: that is no number of starts. With one key it is the same as alone.
    together = len(lengths) == 1 and data.draw(st.booleans())

    machine = run_until_it_ends(
        lengths, poison, bound=bound, seed=data.draw(st.integers(0, 9)), together=together
    )

    assert {(key, number) for key, number, _ in machine.letters} == poison
    assert len(machine.letters) == len(poison)
    assert all(machine.deaths_at[each] == 2 for each in poison)
    assert set(machine.handled) == everything(lengths) - poison


def let_processes_die(data: st.DataObject) -> None:
    """Also in the middle of a save, and between a dead letter and the save of that it was one.

    And an event that is no poison is a dead letter only if two processes died while it was noted.
    """
    lengths = data.draw(LENGTHS)
    poison = data.draw(st.sets(st.sampled_from(sorted(everything(lengths))), max_size=3))
    bound = data.draw(st.integers(1, 8))
    together = data.draw(st.booleans())
    random = Random(data.draw(st.integers(0, 99)))
    kills = data.draw(st.lists(st.integers(1, 120), max_size=12))

    machine = Machine()
    saved: dict[str, int] = {}
    while True:
        most = 1_000 if together else most_starts(poison, bound) + len(kills)
        assert machine.starts <= most
        left = kills[machine.starts] if machine.starts < len(kills) else None

        def at_each(point: str) -> None:
            nonlocal left
            left = None if left is None else left - 1
            if left == 0:
                raise Died

        before = len(machine.handled)
        process = Process(
            machine, lengths, bound=bound, poison=poison, at_each=at_each, together=together
        )
        try:
            process.run(random)
        except Died:
            machine.note_death()
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
    assert all(machine.deaths_at[each] >= 2 for each in dead)
    if not kills:
        assert dead == poison


@settings(max_examples=80)
@given(st.data())
def test_whenever_processes_die_each_event_is_handled_or_dead_lettered(
    data: st.DataObject,
) -> None:
    let_processes_die(data)


@pytest.mark.slow
@settings(max_examples=5_000)
@given(st.data())
def test_whenever_many_processes_die_each_event_is_handled_or_dead_lettered(
    data: st.DataObject,
) -> None:
    let_processes_die(data)


KILLS = {
    "seed": st.integers(0, 10**9),
    "bound": st.integers(1, 6),
    "together": st.booleans(),
    "kills": st.integers(1, 30),
}


def kill_from_outside(*, seed: int, bound: int, together: bool, kills: int) -> None:
    """Whatever else they hit, and however many there are in a row."""
    random = Random(seed)
    lengths = {"a": 12, "b": 7}
    machine = Machine()
    left = 0

    def at_each(point: str) -> None:
        nonlocal left
        left -= 1
        if left <= 0 and kills and machine.deaths_at[machine.noted or ("", 0)] == 0:
            raise Died

    while True:
        left = random.choice([random.randrange(1, 6), random.randrange(1, 60)])
        process = Process(machine, lengths, bound=bound, at_each=at_each, together=together)
        try:
            process.run(random)
        except Died:
            machine.note_death()
            kills -= 1
            continue
        break
    assert machine.letters == []
    assert {*machine.handled} == everything(lengths)


@settings(max_examples=150)
@given(**KILLS)
def test_kills_from_outside_condemn_no_event_that_was_noted_at_only_one(**how: Any) -> None:
    kill_from_outside(**how)


@pytest.mark.slow
@settings(max_examples=10_000)
@given(**KILLS)
def test_many_kills_from_outside_condemn_no_event_that_was_noted_at_only_one(**how: Any) -> None:
    kill_from_outside(**how)


def test_a_position_is_known_again_when_saving_it_has_made_its_keys_text() -> None:
    position: dict[Any, int] = {9: 1, 10: 2, "x": 3}
    first = CarefulStart(None, bound=4)
    first.open("")
    first.note("", position)
    saved = json.loads(json.dumps(first.stored()))

    after = CarefulStart(saved, bound=4)
    assert after.deaths("", position) == 0
    after.open("")
    after.note("", json.loads(json.dumps(position)))
    after = CarefulStart(json.loads(json.dumps(after.stored())), bound=4)
    assert after.deaths("", position) > 0
    assert after.deaths("", json.loads(json.dumps(position))) > 0
