"""A wrong component is one line that names the value, the place and the next step."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.spec.sample import PARTS, SINK, SOURCE


@pytest.mark.parametrize(
    ("component", "line", "expected"),
    [
        ("[[component]]", 3, "component 1: key 'use' is missing; it must be given"),
        ("[[component]]\nuse = ''", 4,
         "component 1: key 'use': string should have at least 1 character, got ''"),
        ("[[component]]\nuse = 'parts.Sink'", 4,
         "component 1: key 'use': 'parts.Sink' is not of the form 'package.module:attribute';"
         " did you mean 'parts:Sink'?"),
        ("[[component]]\nname = 'a'\nuse = 'parts:Snik'", 5,
         "component 1 (a): key 'use': 'parts' has no attribute 'Snik'; did you mean 'Sink'?"),
        ("[[component]]\nuse = 'parts:number'", 4,
         "component 1: key 'use': 'parts:number' is 5, not a subclass of ZenDaemonComponent"),
        ("[[component]]\nuse = 'parts.sub:Sink'", 4,
         "component 1: key 'use': there is no module 'parts.sub': 'parts' is not a package"),
        ("[[component]]\nuse = 'a b:Sink'", 4,
         "component 1: key 'use': 'a b' is not the name of a module"),
        (SINK + "optoins = {}", 5,
         "component 1 (Sink): unknown key 'optoins'; did you mean 'options'?"),
        (SINK + "options = 5", 5, "component 1 (Sink): key 'options': expected a table, got 5"),
        (SOURCE + "[component.options]\n\npatern = 'a'\npattern = 'a'", 8,
         "component 1 (source): unknown option 'patern'; did you mean 'pattern'?"),
        (SINK + "[component.options]\nx = 1", 6,
         "component 1 (Sink): unknown option 'x'; known: (none)"),
        (SINK + "[component.options]\nname = 'x'", 6,
         "component 1 (Sink): unknown option 'name'; write it as a key of [[component]] itself"),
        (SINK + "[component.options]\nevent_map = {}", 6,
         "component 1 (Sink): unknown option 'event_map'; write it as [component.events]"),
        (SOURCE, 3, "component 1 (source): option 'pattern' is missing; it must be given"),
        (SOURCE + "[component.options]", 6,
         "component 1 (source): option 'pattern' is missing; it must be given"),
        (SOURCE + "options = { pattern = 'a',\tsize = '5' }", 6,
         "component 1 (source): option 'size': expected int, got '5'"),
        (SOURCE + "options.pattern = 'a'\noptions.size = true", 7,
         "component 1 (source): option 'size': expected int, got True"),
        (SOURCE + "options.pattern = 'a'\noptions.start = 'begining'", 7,
         "component 1 (source): option 'start': expected one of 'beginning', 'end',"
         " got 'begining'; did you mean 'beginning'?"),
        (SOURCE + "options.pattern = 'a'\noptions.paths = ['a', 5]", 7,
         "component 1 (source): option 'paths': expected list[str], got ['a', 5]"),
        (SOURCE + "options.pattern = 'a'\noptions.paths = 'a'", 7,
         "component 1 (source): option 'paths': expected list[str], got 'a'"),
        ("[[component]]\nuse = 'parts:SubSource'\noptions.pattern = 'a'\noptions.extar = true", 6,
         "component 1 (SubSource): unknown option 'extar'; did you mean 'extra'?"),
        ("[[component]]\nuse = 'parts:Plain'\nname = 'p'", 5,
         "component 1 (p): Plain takes no 'name': let its __init__ take **kwargs and pass"
         " them to super().__init__, or leave 'name' out"),
        ("[[component]]\nuse = 'parts:Plain'\n[component.events]\nline = 'l'", 5,
         "component 1 (Plain): Plain takes no 'event_map': let its __init__ take **kwargs and pass"
         " them to super().__init__, or leave 'events' out"),
        ("[[component]]\nuse = 'parts:Deaf'\n[component.events]\nline = 'l'", 5,
         "component 1 (Deaf): events cannot be renamed, because its get_events() ignores its"
         " event_map: use self.event(name)"),
        (SINK + "[component.events]\nlines = 'l'", 6,
         "component 1 (Sink): it neither handles nor emits event 'lines'; did you mean 'line'?"),
        (SINK + "[component.events]\nline = 5", 6,
         "component 1 (Sink): key 'events.line': expected str, got 5"),
        ("[[component]]\nuse = 'parts:Mute'", 3,
         "component 1 (Mute): its events cannot be listed: KeyError: 'event'"),
    ],
)  # fmt: skip
def test_a_wrong_component_is_named_with_its_line(
    problems_of: Callable[[str], list[str]], component: str, line: int, expected: str
) -> None:
    assert problems_of(f"name = 'x'\n\n{component}\n") == [f"x.toml:{line}: {expected}"]


def test_problems_of_all_components_come_at_once_from_top_to_bottom(
    problems_of: Callable[[str], list[str]],
) -> None:
    found = problems_of(
        "name = 'x'\nspeed = 1\n"
        + SINK + "nam = 'y'\n[component.options]\ncolour = 1\n"
        + SINK
        + SOURCE + "[component.options]\nsize = 'big'\nrate = 'slow'\n"
    )  # fmt: skip

    assert [line.partition(" ")[0] for line in found] == [
        f"x.toml:{number}:" for number in (2, 5, 7, 13, 14, 15)
    ]


def test_the_exception_of_a_constructor_has_no_secret(
    app: Path, problems_of: Callable[[str], list[str]]
) -> None:
    (app / "talkative.py").write_text(
        "from zenactors import ZenDaemonComponent\n"
        "class Talkative(ZenDaemonComponent):\n"
        "    def __init__(self, token: str) -> None:\n"
        "        raise ValueError(token)\n"
    )
    [problem] = problems_of(
        "name = 'x'\n[[component]]\nuse = 'talkative:Talkative'\noptions = {token = 'sesame'}\n"
    )
    assert "its constructor raises ValueError: *** (" in problem


def test_a_constructor_that_raises_is_one_line_with_the_exception_and_its_place(
    app: Path, problems_of: Callable[[str], list[str]]
) -> None:
    number = 1 + PARTS.splitlines().index('        raise ValueError("the disk\\nis not there")')
    assert problems_of("name = 'x'\n[[component]]\nuse = 'parts:Broken'\n") == [
        "x.toml:2: component 1 (Broken): its constructor raises ValueError: the disk is not there"
        f" ({app / 'parts.py'}:{number})"
    ]


def test_an_emitted_event_without_a_handler_is_named_with_the_nearest(
    problems_of: Callable[[str], list[str]],
) -> None:
    source = SOURCE + "options.pattern = 'a'\n"
    assert problems_of("name = 'x'\n" + source) == [
        "x.toml:2: component 1 (source): it emits event 'line', but no component handles it;"
        " known: (none)"
    ]
    assert problems_of("name = 'x'\n" + source + "[component.events]\nline = 'lin'\n" + SINK) == [
        "x.toml:7: component 1 (source): it emits event 'lin', but no component handles it;"
        " did you mean 'line'?"
    ]


def test_options_without_a_known_type_are_handed_on_as_they_are(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\n" + SOURCE + "[component.options]\npattern = 'a'\nother = [1, 'b']\n"
        "loose = 1979-05-27\n" + SINK
    )
    assert daemon.components[0].other == [1, "b"]
    assert daemon.components[0].loose == datetime.date(1979, 5, 27)


def test_events_are_renamed_for_emitters_and_handlers(
    load_text: Callable[[str], Any],
) -> None:
    daemon = load_text(
        "name = 'x'\n"
        + SOURCE + "options.pattern = 'a'\n[component.events]\nline = 'l'\n"
        + SINK + "[component.events]\nline = 'l'\n"
    )  # fmt: skip
    assert daemon.components[0].event("line") == "l"
    assert daemon.chains()["l"] == [("Sink", "cbk_event_line")]
    assert "line" not in daemon.chains()
