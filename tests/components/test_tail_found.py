"""Bugs of the tailer that random sequences have found: each is a short one, with the same model."""

from __future__ import annotations

from typing import Any

import pytest

from tests.attack.tail_model import run
from zenactors.components import FileTailer, RawWriter
from zenactors.testing import Harness, Probe, VirtualFiles

Found = tuple[str, str, list[tuple[Any, ...]]]

FOUND: dict[str, Found] = {
    "a file that came and went between two looks, and has no successor": (
        "one", "none",
        [("write", 0, 0, 0), ("wait", 3.5), ("rotate", 0, 1, 0), ("rotate", 0, 0, 0)],
    ),
    "a small copy, seen before its original is truncated": (
        "glob", "state", [("write", 0, 1, 0), ("copytruncate", 0, 0, 1.5, 0)],
    ),
    "a copy that was empty when it was found": (
        "glob", "none",
        [("write", 0, 3, 400), ("wait", 3.5), ("copytruncate", 0, 0, -1.5, 0), ("write", 0, 2, 0)],
    ),
    "such a copy, and lines that only it has": (
        "glob", "none",
        [("write", 0, 3, 400), ("wait", 3.5), ("copytruncate", 0, 2, -1.5, 0)],
    ),
    "such a copy, and nothing can be read when the process starts again": (
        "glob", "state",
        [("rotate", 0, 1, 20), ("copytruncate", 0, 0, -1.5, 0), ("error", "read"), ("restart",)],
    ),
    "such a copy, filled before the process starts again": (
        "glob", "state", [("write", 0, 1, 0), ("copytruncate", 0, 0, -1.5, 0), ("stop", 2.0)],
    ),
    "such a copy, under a name that no pattern matches": (
        "one", "none",
        [("write", 0, 0, 0), ("wait", 3.5), ("rotate", 0, 1, 0), ("copytruncate", 0, 0, -1.5, 0),
         ("rotate", 0, 1, 0)],
    ),
    "such a copy that is deleted as soon as its original is truncated": (
        "glob", "none",
        [("write", 0, 1, 0), ("wait", 3.5), ("copytruncate", 0, 2, -1.5, 0), ("compress", 0)],
    ),
    "an empty file that is renamed and written to later, and is no copy of itself": (
        "glob", "state",
        [("write", 0, 0, 0), ("wait", 3.5), ("linger", 0, 3, 400, 3.5)],
    ),
    "such a file under a name that no pattern matches": (
        "one", "state",
        [("write", 0, 0, 0), ("wait", 3.5), ("rotate", 0, 0, 0), ("write", 0, 0, 0),
         ("rotate", 0, 1, 0), ("wait", 3.5), ("late", 0, 3, 400)],
    ),
    "a copy whose original is renamed before a look": (
        "one", "none",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 1.5, 0), ("rotate", 0, 0, 0)],
    ),
    "a copy of a file that is not followed yet": (
        "one", "none",
        [("write", 0, 0, 0), ("copytruncate", 0, 0, 1.5, 0), ("date", 0), ("write", 0, 1, 0),
         ("copytruncate", 0, 0, 1.5, 0)],
    ),
    "a copy of a file of which nothing was saved": (
        "glob", "state",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 1.5, 0), ("power", 0.1)],
    ),
    "a copy of a file that is renamed and truncated before the next run": (
        "glob", "state",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 1.5, 0), ("rotate", 0, 0, 0), ("power", 0.1)],
    ),
    "a file written anew after it was opened, before it is read": (
        "one", "state", [("rotate", 0, 1, 0), ("stop", 0.0), ("truncate", 0, 1, 0)],
    ),
    "a file copied and truncated after it was opened, before it is read": (
        "one", "state", [("rotate", 0, 1, 0), ("stop", 0.0), ("copytruncate", 0, 0, 0.0, 0)],
    ),
    "positions ahead of the outputs, at a restart": (
        "one", "exact", [("write", 0, 1, 0), ("restart",), ("restart",), ("restart",)],
    ),
    "the rest in a copy, and the place of the file itself": (
        "glob", "state", [("rotate", 0, 1, 0), ("restart",), ("copytruncate", 0, 0, 0.0, 0)],
    ),
    "a copy under a name that is made of the first name of its original": (
        "glob", "state",
        [("rotate", 0, 1, 0), ("kill", 0.1), ("copytruncate", 0, 0, 0.1, 0), ("rotate", 0, 0, 0)],
    ),
    "a small copy that is deleted as soon as its original is truncated": (
        "glob", "none", [("write", 0, 1, 0), ("copytruncate", 0, 0, 1.5, 0), ("compress", 0)],
    ),
    "an unfinished line at the end of a copy": (
        "one", "state",
        [("tear", 0, 0), ("wait", 0.3), ("copytruncate", 0, 0, 0.0, 0), ("write", 0, 1, 0)],
    ),
    "a copy of a file that has not been read yet": (
        "glob", "none",
        [("write", 0, 0, 0), ("copytruncate", 0, 0, 4.0, 0), ("truncate", 0, 1, 0),
         ("copytruncate", 0, 0, 1.5, 0)],
    ),
    "a copy of what a file has that was truncated just before": (
        "glob", "none",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 4.0, 0), ("truncate", 0, 1, 0),
         ("copytruncate", 0, 0, 1.5, 0)],
    ),
    "a copy that has what the output lost again": (
        "glob", "exact",
        [("rotate", 0, 1, 0), ("copytruncate", 0, 0, 0.001, 0), ("wait", 0.3), ("restart",)],
    ),
    "two earlier contents that the output lost again": (
        "glob", "exact",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 0.001, 0), ("write", 0, 1, 0), ("wait", 0.3),
         ("copytruncate", 0, 0, 0.001, 0), ("wait", 0.3), ("kill", 0.1), ("stop", 0.1)],
    ),
    "an older file that is read on behind a newer one in the next run": (
        "glob", "state",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 0.0, 0), ("write", 0, 1, 0), ("stop", 0.1),
         ("restart",)],
    ),
    "a renamed file that cannot be read when the next run begins": (
        "link", "state",
        [("write", 0, 1, 0), ("wait", 3.5), ("error", "read"), ("write", 0, 1, 0), ("swap",),
         ("restart",)],
    ),
    "a file that cannot be read when the next run begins, and is renamed then": (
        "all", "state",
        [("linger", 0, 1, 0, 0.3), ("error", "read"), ("restart",), ("linger", 0, 1, 0, 0.0)],
    ),
    "a file that came and went while no file could be opened": (
        "one", "none",
        [("write", 0, 0, 0), ("wait", 3.5), ("error", "open"), ("rotate", 0, 1, 0), ("wait", 12.0),
         ("rotate", 0, 0, 0)],
    ),
    "a copy of a file that an earlier run has read to its end": (
        "two", "state",
        [("write", 1, 0, 0), ("stop", 0.1), ("rotate", 1, 1, 0), ("copytruncate", 1, 0, 4.0, 0),
         ("rotate", 1, 1, 0)],
    ),
    "a file that came and went while no process was there": (
        "glob", "state",
        [("rotate", 0, 2, 0), ("wait", 12.0), ("write", 0, 2, 0), ("rotate", 0, 1, 0),
         ("date", 0), ("restart",)],
    ),
    "a copy of a file that had grown after it was opened": (
        "one", "state",
        [("rotate", 0, 1, 0), ("power", 0.1), ("write", 0, 1, 0), ("copytruncate", 0, 0, 0.1, 0),
         ("date", 0), ("wait", 0.3), ("restart",)],
    ),
    "a copy that cannot be opened when its original is truncated": (
        "glob", "none",
        [("write", 0, 1, 0), ("wait", 0.3), ("error", "open"), ("copytruncate", 0, 0, 0.1, 0),
         ("wait", 2.0)],
    ),
    "a small copy that is deleted before a look, after a hint of the truncation": (
        "hints", "none",
        [("write", 0, 1, 0), ("copytruncate", 0, 0, 0.001, 0), ("hints", "drop"), ("compress", 0)],
    ),
    "the rest in a copy that cannot be read, and that the next content overtakes": (
        "all", "state",
        [("write", 0, 1, 0), ("power", 0.1), ("copytruncate", 0, 0, 0.0, 0), ("stop", 0.1),
         ("error", "read"), ("truncate", 0, 1, 0), ("wait", 0.001)],
    ),
    "a renamed file that cannot be read for longer than it is waited for": (
        "one", "none",
        [("write", 0, 0, 0), ("wait", 12.0), ("linger", 0, 1, 0, 0.3), ("error", "read"),
         ("wait", 12.0)],
    ),
    "a file that came and went while no file could be opened, for longer than it is waited for": (
        "one", "none",
        [("write", 0, 0, 0), ("wait", 3.5), ("error", "open"), ("rotate", 0, 1, 0), ("wait", 1.1),
         ("rotate", 0, 0, 0), ("wait", 25.0)],
    ),
    "a file that came and went before the next run, and the one before it, written to later": (
        "one", "state",
        [("write", 0, 1, 0), ("wait", 3.5), ("linger", 0, 1, 0, 0.0), ("rotate", 0, 0, 0),
         ("power", 0.1)],
    ),
    "a file that is renamed while no file can be opened": (
        "one", "none",
        [("write", 0, 1, 0), ("wait", 3.5), ("error", "open"), ("copytruncate", 0, 0, 0.0, 0),
         ("wait", 0.3), ("linger", 0, 1, 0, 0.3)],
    ),
    "files of two quick rotations, of which a pattern matches only the first one": (
        "glob", "none",
        [("write", 0, 1, 0), ("wait", 3.5), ("rotate", 0, 1, 0), ("rotate", 0, 1, 0), ("date", 0)],
    ),
    "a copy beside the file to which a link leads": (
        "link", "none",
        [("write", 0, 1, 0), ("wait", 12.0), ("write", 0, 1, 0), ("copytruncate", 0, 0, 0.0, 0)],
    ),
    "a copy beside the file to which a link has led": (
        "link", "none",
        [("write", 0, 1, 0), ("wait", 12.0), ("write", 0, 1, 0), ("copytruncate", 0, 0, 0.0, 0),
         ("swap",)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("found", FOUND)
def test_what_was_wrong_once_stays_right(found):
    patterns, memory, steps = FOUND[found]
    hinted = patterns == "hints"
    options = {"patterns": "glob" if hinted else patterns, "memory": memory}
    run({**options, "notifications": hinted}, steps)


def test_a_run_without_exact_outputs_goes_on_at_its_own_positions():
    files = VirtualFiles()
    files.put("in.log", b"one\n")
    files.put("state/.keep")
    came = []
    for exactly_once in (True, False, False, True):
        tailer = FileTailer(patterns=["in.log"], start="beginning", exactly_once=exactly_once)
        components = [tailer, RawWriter(path="out.log"), probe := Probe("lines")]
        with Harness(components, files=files, state_dir="state") as harness:
            harness.advance(3)
            files.append("in.log", b"more\n")
            harness.advance(3)
        came.append(b"".join(lines.data for _, lines in probe.received))

    assert came == [b"one\nmore\n", b"more\n", b"more\n", b"more\n"]
