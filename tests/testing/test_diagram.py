"""The picture of a trace: a few complete ones, and properties of all."""

from __future__ import annotations

from textwrap import dedent

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zenactors.testing._trace.diagram import MIN_WIDTH, WIDTH, draw
from zenactors.testing._trace.trace import Entry

ON_LIFELINES = set("│┃┇·┏┗┠■X●┼╂")


def trace(text: str) -> list[Entry]:
    """Return entries from a table of time, who, kind, event, to and text."""
    found = []
    for line in text.strip().splitlines():
        time, who, kind, event, to, words = (field.strip() for field in line.split("|"))
        found.append(Entry(float(time), who, kind, event, to, words))
    return found


def picture(text: str) -> str:
    return dedent(text).strip("\n")


LOST_UPDATE = trace(
    """
    0 | outside    | schedule  | deposit#1  | dispatcher | 10
    0 | dispatcher | start     | deposit#1  | deposit    |
    0 | deposit    | call      | deposit#1  |            | 10
    0 | deposit    | interrupt | deposit#1  |            | at lost_update.py:33
    0 | outside    | schedule  | withdraw#1 | dispatcher | 10
    0 | dispatcher | start     | withdraw#1 | withdraw   |
    0 | withdraw   | call      | withdraw#1 |            | 10
    0 | withdraw   | answer    | withdraw#1 |            |
    0 | deposit    | answer    | deposit#1  |            |
    """
)


def test_an_interrupted_callback_is_open_while_others_run() -> None:
    expected = """\
         outside
         │    dispatcher
         │    │    deposit
         │    │    │    withdraw
0.000 s  │───>│    │    │    deposit#1 10
         │    │───>│    │    deposit#1
         │    │    ┏    │    deposit#1 10
         │    │    ┠    │    deposit#1 interrupted at lost_update.py:33
         │───>│    ┇    │    withdraw#1 10
         │    │────╂───>│    withdraw#1
         │    │    ┇    ■    withdraw#1 10
         │    │    ┗    │    deposit#1
■ a callback   ┏ it begins   ┇ is interrupted   ┗ ends
"""
    assert draw(LOST_UPDATE) + "\n" == expected


def test_everything_that_can_happen_has_its_place() -> None:
    entries = trace(
        """
        0     | parser     | hook      |        |            | setup
        0     | parser     | hook      |        |            | setup_dump
        0     | writer     | hook      |        |            | setup
        0     | outside    | schedule  | line#1 | dispatcher | 'a b' in 2.5 s
        0     | outside    | schedule  | line#2 | dispatcher | None
        0     | outside    | cancel    | line#2 | dispatcher |
        0     | time       | passes    |        |            | 1.250000
        1.25  | tailer     | hook      |        |            | _poll
        1.25  | time       | passes    |        |            | 1.250000
        2.5   | dispatcher | start     | line#1 | parser     | and line#3
        2.5   | parser     | call      | line#1 |            | 'a b'
        2.5   | parser     | log       |        |            | WARNING odd
        2.5   | parser     | schedule  | odd#1  | dispatcher | None with priority
        2.5   | parser     | answer    | line#1 | writer     | ['a', 'b']
        2.5   | parser     | call      | line#3 |            | ''
        2.5   | parser     | answer    | line#3 |            | stops
        2.5   | writer     | fault     |        |            | crash: InjectedCrash()
        2.5   | writer     | call      | line#1 |            | ['a', 'b']
        2.5   | writer     | raise     | line#1 |            | OSError: the disk is full
        2.5   | outside    | signal    |        | reader     | 2
        2.5   | daemon     | log       |        |            | INFO reader stops
        2.5   | writer     | hook      |        |            | teardown
        2.5   | parser     | hook      |        |            | teardown
        """
    )
    assert draw(entries) == picture(
        """
                 outside
                 │    dispatcher
                 │    │    parser
                 │    │    │    writer
                 │    │    │    │    reader
        0.000 s  │    │    ●    ●    │    setup, setup_dump
                 │───>│    │    │    │    line#1 'a b' in 2.5 s
                 │───>│    │    │    │    line#2
                 │───>│    │    │    │    line#2 cancelled
                 ·    ·    ·    ·    ·    2.5 s pass, _poll
        2.500 s  │    │───>│    │    │    line#1 and line#3
                 │    │    ┏    │    │    line#1 'a b'
                 │    │    ●    │    │    WARNING odd
                 │    │<───┃    │    │    odd#1 with priority
                 │    │    ┗───>│    │    line#1 ['a', 'b']
                 │    │    ■    │    │    line#3 '' → stops
                 │    │    │    ●    │    crash: InjectedCrash()
                 │    │    │    X    │    line#1 OSError: the disk is full; got ['a', 'b']
                 │────┼────┼────┼───>│    SIGINT
                 │    │    │    │    │    INFO reader stops
                 │    │    ●    ●    │    teardown
        ■ a callback   ┏ it begins   ┗ ends   X raises   ● hook, log or fault
        """
    )


def test_who_takes_part_least_shares_a_line_if_there_are_too_many() -> None:
    entries = trace("\n".join(f"0 | dispatcher | start | x#{n} | c{n} |" for n in range(1, 9)))
    entries += trace("0 | dispatcher | start | x#9 | c8 |")
    assert draw(entries, width=60) == picture(
        """
                 dispatcher
                 │    c1
                 │    │    c2
                 │    │    │    c8
                 │    │    │    │    5 others
        0.000 s  │───>│    │    │    │    x#1
                 │────┼───>│    │    │    x#2
                 │────┼────┼────┼───>│    x#3 (c3)
                 │────┼────┼────┼───>│    x#4 (c4)
                 │────┼────┼────┼───>│    x#5 (c5)
                 │────┼────┼────┼───>│    x#6 (c6)
                 │────┼────┼────┼───>│    x#7 (c7)
                 │────┼────┼───>│    │    x#8
                 │────┼────┼───>│    │    x#9
        """
    )


def test_a_callback_that_began_before_the_first_entry_is_open() -> None:
    entries = trace(
        """
        3 | outside | schedule | line#2 | dispatcher |
        3 | writer  | answer   | line#1 |            |
        """
    )
    assert draw(entries) == picture(
        """
                 outside
                 │    dispatcher
                 │    │    writer
        3.000 s  │───>│    ┃    line#2
                 │    │    ┗    line#1
        ┗ ends
        """
    )


def test_only_the_last_rows_are_drawn_if_so_asked() -> None:
    assert draw(LOST_UPDATE, rows=2) == picture(
        """
                 deposit
                 │    withdraw
        0.000 s  ┇    ■    withdraw#1 10
                 ┗    │    deposit#1
        ■ a callback   ┇ is interrupted   ┗ ends
        """
    )


def test_text_cannot_command_the_terminal() -> None:
    shown = draw(trace("0 | writer | log | | | INFO \x1b[31mred"))
    assert "\x1b" not in shown
    assert "INFO \\x1b[31mred" in shown


def test_nothing_is_drawn_as_such() -> None:
    assert draw([]) == "(nothing happened)"


def test_too_narrow_is_refused() -> None:
    with pytest.raises(ValueError, match=f"width must be at least {MIN_WIDTH}, not 20"):
        draw(LOST_UPDATE, width=20)


# --- what holds for every picture -----------------------------------------------------------------

NAMES = [f"{'component-with-a-long-name' if n % 3 else 'c'}-{n}" for n in range(14)]
WHO = st.sampled_from(["outside", "dispatcher", "daemon", "time", *NAMES])
KINDS = st.sampled_from(
    ["schedule", "start", "call", "answer", "raise", "interrupt", "hook", "log", "fault", "cancel"]
)
EVENTS = st.builds("{}#{}".format, st.sampled_from(["line", "reading", "x"]), st.integers(1, 99))
TEXTS = st.text(max_size=60) | st.just("None")


@st.composite
def entries(draw_one: st.DrawFn) -> list[Entry]:
    found = []
    time = 0.0
    for kind in draw_one(st.lists(KINDS | st.just("passes"), min_size=1, max_size=30)):
        if kind == "passes":
            seconds = draw_one(st.floats(0.001, 1e5))
            found.append(Entry(time, "time", "passes", "", "", f"{seconds:.6f}"))
            time += seconds
            continue
        to = draw_one(WHO) if kind in ("schedule", "start", "answer", "cancel") else ""
        event, texts = draw_one(EVENTS), TEXTS
        if kind in ("hook", "log", "fault"):
            event, texts = "", TEXTS.filter(bool)  # they consist of their text
        found.append(Entry(time, draw_one(WHO), kind, event, to, draw_one(texts)))
    return found


@given(entries(), st.integers(MIN_WIDTH, 200))
def test_every_picture_fits_and_shows_every_event(found: list[Entry], width: int) -> None:
    shown = draw(found, width=width)

    assert shown == draw(list(found), width=width)
    assert all(len(line) <= width and line.isprintable() for line in shown.splitlines())
    for entry in found:
        assert entry.event in shown


@given(entries(), st.integers(MIN_WIDTH, 200))
def test_lifelines_are_straight(found: list[Entry], width: int) -> None:
    lines = draw(found, width=width).splitlines()
    first = next(n for n, line in enumerate(lines) if " s  " in line)
    header, rows = lines[:first], lines[first:]
    positions = [len(line) - len(line.lstrip(" │")) for line in header]  # where each name begins
    if rows[-1][:1] in ON_LIFELINES:
        rows.pop()  # the legend
    for line in rows:
        assert {line[position] for position in positions} <= ON_LIFELINES, line


def test_the_usual_width_is_one_hundred() -> None:
    assert max(map(len, draw(trace("0 | a | log | | | " + "x" * 300)).splitlines())) == WIDTH == 100
