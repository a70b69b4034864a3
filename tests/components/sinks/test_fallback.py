"""`Fallback`: each record is in one of two sinks."""

from __future__ import annotations

import errno
import json
from typing import Any

import pytest

from zenactors import Dispatcher, RestartComponent
from zenactors.components import BatchingSink, BlackHole, Fallback, JsonLinesWriter, LineWriter
from zenactors.core.component import ZenDaemonComponent
from zenactors.errors import ComponentStartError
from zenactors.testing import Harness, VirtualFiles


class Sink(BatchingSink):
    """A sink that fails on demand."""

    temporary = (ConnectionError,)

    def __init__(self, name: str) -> None:
        super().__init__(name=name)
        self.written: list[Any] = []
        self.failure: BaseException | None = None
        self.calls = 0
        self.life: list[str] = []

    def setup(self, daemon: Any) -> None:
        super().setup(daemon)
        self.life.append("setup")

    def teardown(self, daemon: Any) -> None:
        super().teardown(daemon)
        self.life.append("teardown")

    def write_batch(self, daemon: Any, records: list[Any]) -> None:
        self.calls += 1
        if self.failure is not None:
            raise self.failure
        self.written += records


class Pair:
    """Two sinks, and a fallback between them in a harness."""

    def __init__(self, zen_harness: Any, **options: Any) -> None:
        self.first, self.second = Sink("first"), Sink("second")
        self.fallback = Fallback(first=self.first, second=self.second, batch_count=1, **options)
        self.harness: Harness = zen_harness([self.fallback])

    def send(self, *records: Any) -> None:
        for record in records:
            self.harness.queue.schedule("lines", [record])
        self.harness.run_until_idle()


@pytest.fixture
def pair(zen_harness) -> Pair:
    return Pair(zen_harness, retry_after=10.0)


# --- options --------------------------------------------------------------------------------


HOLE = {"use": "zenactors.components:BlackHole"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"first": 3}, "first is 3, but a sink with write_batch() is expected"),
        ({"second": {}}, "second has the keys (none), but use and options are expected."),
        ({"first": {"use": "a:b", "x": 1}}, "first has the keys use, x, but use and options"),
        ({"first": {"use": "no_module:X"}}, "first.use is 'no_module:X', but module 'no_module'"),
        ({"first": {"use": "BlackHole"}}, "first.use is 'BlackHole', but \"module:name\""),
        ({"first": {**HOLE, "options": {"size": 1}}}, "first: "),
        ({"second": {"use": "zenactors.components:Statistics"}}, "second: "),
        ({"first": {"use": "builtins:dict"}}, "but a sink with write_batch() is expected"),
        ({"retry_after": 0}, "retry_after is 0, but a number of seconds above 0 is expected."),
    ],
)
def test_a_wrong_option_is_refused(options, message):
    with pytest.raises(ValueError, match=r"expected|first|second") as caught:
        Fallback(**{"first": HOLE, "second": HOLE, **options})
    assert message in str(caught.value)


def test_one_object_cannot_be_both():
    hole = BlackHole()
    with pytest.raises(ValueError, match="two sinks are expected"):
        Fallback(first=hole, second=hole)


# --- which sink -----------------------------------------------------------------------------


def test_the_first_sink_gets_everything_while_it_works(pair):
    pair.send(1, 2, 3)
    assert (pair.first.written, pair.second.written) == ([1, 2, 3], [])
    assert pair.first.clock is pair.second.clock is pair.harness.clock
    assert pair.fallback.statistics_cur == {"first": 3, "batches": 3, "records": 3}


def test_after_a_failure_the_second_one_does_until_the_first_is_tried_again(pair):
    pair.send(1)
    pair.first.failure = ValueError("no.")
    pair.send(2, 3)
    assert pair.first.calls == 2
    pair.first.failure = None
    pair.harness.advance(9.9)
    pair.send(4)
    pair.harness.advance(0.2)
    pair.send(5)
    assert (pair.first.written, pair.second.written) == ([1, 5], [2, 3, 4])
    counted = pair.fallback.statistics_cur
    assert (counted["first"], counted["second"], counted["first_failed"]) == (2, 3, 1)
    logged = [each.message for each in pair.harness.logs if each.component == "Fallback"]
    assert logged == [
        "first fails: no. Writing to second, and trying again every 10 s",
        "first works again",
    ]


def test_a_first_sink_that_fails_for_long_is_reported_once(pair):
    pair.first.failure = OSError(errno.ECONNREFUSED, "Connection refused")
    for number in range(5):
        pair.send(number)
        pair.harness.advance(10)
    assert pair.first.calls == 5
    assert pair.second.written == [0, 1, 2, 3, 4]
    warnings = [each for each in pair.harness.logs if each.level == "WARNING"]
    assert len(warnings) == 1


def test_if_both_fail_for_a_time_the_batch_is_tried_again(pair):
    pair.first.failure = ValueError("no")
    pair.second.failure = ConnectionError("refused")
    pair.harness.queue.schedule("lines", [1])
    pair.harness.advance(1)
    pair.second.failure = None
    pair.harness.advance(5)
    assert pair.second.written == [1]
    assert pair.fallback.statistics_cur["retries"] > 0


def test_if_both_fail_for_good_the_event_is_a_dead_letter(pair):
    pair.first.failure = ValueError("no")
    pair.second.failure = KeyError("neither")
    pair.send(1)
    (letter,) = pair.harness.dead_letters()
    assert letter.cause is pair.second.failure


def test_a_sink_that_wants_to_be_made_anew_is_no_reason_for_the_second(zen_harness):
    pair = Pair(zen_harness)
    pair.first.failure = RestartComponent("as told")
    pair.harness.queue.schedule("lines", [1])
    pair.harness.run_until_idle()
    assert pair.second.written == []
    pair.harness.dead_letters()


# --- together -------------------------------------------------------------------------------


def test_both_are_set_up_and_torn_down():
    first, second = Sink("first"), Sink("second")
    with Harness([Fallback(first=first, second=second)]) as harness:
        harness.queue.schedule("lines", [1])
        harness.run_until_idle()
    assert first.life == second.life == ["setup", "teardown"]
    assert first.written == [1]  # at the stop, before it was torn down


def test_if_the_second_cannot_be_set_up_the_first_is_torn_down():
    first = Sink("first")
    files = VirtualFiles()
    second = JsonLinesWriter(path="missing/out")
    harness = Harness([Fallback(first=first, second=second)], files=files)
    with pytest.raises(ComponentStartError, match="Cannot write to missing/out"), harness:
        pass
    assert first.life == ["setup", "teardown"]


class FullDisk(VirtualFiles):
    """Files of which `first` cannot be written to."""

    full = True

    def write(self, fd: int, data: bytes | memoryview, /) -> int:
        if self.full and (fd, "first") in self.open_descriptors():
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


def test_writers_on_a_full_disk_are_followed_by_others_and_tried_again(zen_harness):
    files = FullDisk()
    sinks: dict[str, Any] = {
        "first": {"use": "zenactors.components:JsonLinesWriter", "options": {"path": "first"}},
        "second": LineWriter(path="second", field="n"),
    }
    component = Fallback(**sinks, batch_count=1, retry_after=5.0)
    harness = zen_harness([component], files=files)
    for number in range(3):
        harness.queue.schedule("lines", [{"n": number}])
    harness.run_until_idle()
    files.full = False
    harness.advance(5)
    harness.queue.schedule("lines", [{"n": 3}])
    harness.run_until_idle()
    assert files.content("first") == b'{"n":3}\n'
    assert files.content("second") == b"0\n1\n2\n"


def test_the_sinks_open_their_files_anew_at_a_hangup(zen_harness):
    files = VirtualFiles()
    component = Fallback(first=JsonLinesWriter(path="first"), second=BlackHole(), batch_count=1)
    harness = zen_harness([component], files=files)
    harness.queue.schedule("lines", [{"n": 1}])
    harness.run_until_idle()
    files.rename("first", "first.1")
    harness.queue.schedule("signal_hup")
    harness.queue.schedule("lines", [{"n": 2}])
    harness.run_until_idle()
    assert files.content("first") == b'{"n":2}\n'


def test_the_state_has_both_sinks_and_is_json():
    component = Fallback(first=HOLE, second=HOLE, name="out")
    state = json.loads(json.dumps(component.get_state()))
    assert {"first", "second"} <= state.keys()
    assert [str(each) for each in (component.first, component.second)] == [
        "out.first",
        "out.second",
    ]
    assert isinstance(component.first, ZenDaemonComponent)


def test_an_interrupt_reaches_both():
    class Interruptible(Sink):
        interrupts = 0

        def interrupt(self) -> None:
            self.interrupts += 1

    first, second = Interruptible("first"), Interruptible("second")
    Fallback(first=first, second=second).interrupt()
    assert (first.interrupts, second.interrupts) == (1, 1)


def test_on_a_real_full_device(tmp_path):
    first = {"use": "zenactors.components:JsonLinesWriter", "options": {"path": "/dev/full"}}
    path = str(tmp_path / "spare.jsonl")
    component = Fallback(first=first, second=JsonLinesWriter(path=path))
    with Dispatcher([component]) as dispatcher:
        for number in range(10):
            dispatcher.queue.schedule("lines", [{"n": number}])
        assert dispatcher.drain(30)
    lines = (tmp_path / "spare.jsonl").read_text().splitlines()
    assert [json.loads(line)["n"] for line in lines] == list(range(10))
