"""Positions and outputs are saved together."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest

from zenactors import ZenDaemonComponent, handles
from zenactors.components import FileTailer, RawWriter, WindowedCounter
from zenactors.errors import EXIT_NO_INPUT, ComponentStartError
from zenactors.testing import Harness
from zenactors.testing.files import VirtualFiles

STORE = "/state/FileTailer.store"


@pytest.fixture
def files():
    files = VirtualFiles()
    files.put("/log/a.log", b"one\ntwo\n")
    return files


def components(**options):
    options = {"start": "beginning", "exactly_once": True, "long_lines": "split", **options}
    return [FileTailer(patterns=["/log/a.log"], **options), RawWriter(path="/out/all")]


def harness(files, made=None, **options):
    files.mkdir("/out")
    return Harness(made or components(), files=files, state_dir="/state", **options)


def saved(files) -> Any:
    return json.loads(files.content(STORE))["value"]["data"]["exact"]


def test_a_checkpoint_has_the_length_of_the_output_and_the_position(files):
    with harness(files) as one:
        one.run(seconds=3)
        (position,) = saved(files)["positions"].values()
        assert position[:2] == [0, 8]
        assert saved(files)["outputs"]["RawWriter"]["length"] == 8


def test_what_came_after_the_checkpoint_is_cut_off_and_comes_again(files):
    with harness(files) as one:
        one.run(seconds=3)
        files.append("/log/a.log", b"three\n")
        one.run(seconds=0.05)
        assert files.content("/out/all") == b"one\ntwo\nthree\n"
        assert saved(files)["outputs"]["RawWriter"]["length"] == 8
        one.kill()
        with one.next_life(components()) as two:
            two.run(seconds=3)
            assert two.files.content("/out/all") == b"one\ntwo\nthree\n"


def test_the_end_of_a_run_is_a_checkpoint(files):
    with harness(files, exit_when_idle=True) as one:
        one.run_until_idle()
    assert saved(files)["outputs"]["RawWriter"]["length"] == 8


@pytest.mark.parametrize("sink", [RawWriter(path="/out/x"), WindowedCounter(by=[], size=60.0)])
def test_a_missing_file_is_told_at_the_end_if_there_is_nothing_to_read(files, sink):
    tailer = FileTailer(patterns=["/log/none.log"], exactly_once=True)
    with harness(files, [tailer, sink], exit_when_idle=True) as one:
        one.run(10.0)
        assert one.daemon.status == EXIT_NO_INPUT


def test_no_sink_with_an_output_is_an_error(files):
    class Sink(ZenDaemonComponent):
        @handles("lines")
        def cbk_event_lines(self, daemon, args):
            pass

        @handles("checkpoint")
        def cbk_event_checkpoint(self, daemon, args):
            pass

    with harness(files, [components()[0], Sink()]) as one:
        one.run(seconds=3)
        one.stop()
        assert sum("no sink with an output" in record.message for record in one.logs) == 1


def test_the_replay_of_a_checkpoint_that_failed_cuts_nothing_off(files):
    class FailsOnce(ZenDaemonComponent):
        fails = True

        @handles("checkpoint")
        def cbk_event_checkpoint(self, daemon, args):
            if self.fails:
                self.fails = False
                raise ValueError("on purpose")

    with harness(files) as one:
        one.advance(3)
    with harness(files, [components()[0], FailsOnce(), components()[1]]) as one:
        one.advance(3)
        one.files.append("/log/a.log", b"three\n")
        one.advance(3)
        assert [letter.event for letter in one.dead_letters.replay()] == ["checkpoint"]
        one.advance(3)
        one.unread_dead_letters()
    assert files.content("/out/all") == b"one\ntwo\nthree\n"


def test_one_output_cannot_be_cut_back_for_two_tailers(files):
    tailers = [
        FileTailer(patterns=[f"/log/{name}.log"], exactly_once=True, name=name) for name in "ab"
    ]
    with harness(files, [*tailers, RawWriter(path="/out/all")]) as one:
        one.run(seconds=3)
        (error,) = [each.message for each in one.logs if each.level == "ERROR"]
    assert "RawWriter belongs to a already" in error


def test_a_daemon_without_a_state_directory_cannot_start(files):
    files.mkdir("/out")
    one = Harness(components(), files=files)
    with pytest.raises(ComponentStartError, match="state_dir"):
        one.start()
    one.close()


def test_a_run_that_dies_before_its_first_checkpoint_changes_nothing(files):
    files.put("/log/b.log", b"one\n")

    def parts():
        return [
            FileTailer(patterns=["/log/*.log"], start="beginning", exactly_once=True),
            RawWriter(path="/out/all"),
        ]

    one = harness(files, parts())
    with one:
        one.run(seconds=3)
        files.append("/log/a.log", b"three\n")
        one.run(seconds=0.9)  # the positions are saved, but not together with the output
        one.kill()
    two = one.next_life(parts())
    with two:
        two.run(seconds=0.05)
        two.kill()
    with two.next_life(parts()) as three:
        three.run(seconds=3)
        assert sorted(three.files.content("/out/all").split()) == [b"one", b"one", b"three", b"two"]


def test_without_exact_outputs_a_run_goes_on_where_the_last_one_was(files):
    with harness(files, exit_when_idle=True) as one:
        one.run_until_idle()
    for number in range(2):
        files.append("/log/a.log", b"%d\n" % number)
        with harness(files, components(exactly_once=False), exit_when_idle=True) as one:
            one.run_until_idle()
    assert files.content("/out/all") == b"one\ntwo\n0\n1\n"


def test_checkpoints_come_soon_at_first_and_then_once_a_second(files):
    with harness(files) as one:
        one.run(seconds=0.05)
        assert saved(files)["outputs"]["RawWriter"]["length"] == 0
        one.run(seconds=0.1)
        assert saved(files)["outputs"]["RawWriter"]["length"] == 8
        moments = []
        for number in range(400):
            files.append("/log/a.log", b"x\n")
            before = saved(files)
            one.run(seconds=0.02)
            if saved(files) != before:
                moments.append(number * 0.02)

    pauses = [after - before for before, after in itertools.pairwise(moments)]
    assert pauses[0] < 0.5
    assert min(pauses[-3:]) >= 0.9
