"""Compare the end of a run with what its test expects."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.testing._cases.content import Found, differences
from zenactors.testing._trace.trace import stable_error

if TYPE_CHECKING:
    from zenactors.spec.cases import Expectations
    from zenactors.testing._cases.stub import Stubs
    from zenactors.testing._cases.world import World
    from zenactors.testing.harness import Harness

LETTERS = 5  # dead letters that a report shows


class UnexpectedOutcome(AssertionError):  # noqa: N818 - the failure of a test
    """A run did not end as its test expects. The text is the report, of several lines."""


def check_outcome(expected: Expectations, world: World, stubs: Stubs, harness: Harness) -> None:
    """Compare a run that has ended with what its test expects.

    Raises:
        UnexpectedOutcome: It has not ended so.
    """
    report = list(_report(expected, world, stubs, harness))
    if report:
        raise UnexpectedOutcome("\n".join(report))


def _report(expected: Expectations, world: World, stubs: Stubs, harness: Harness) -> Iterator[str]:
    yield from _ending(expected, world, harness)
    for path, content in expected.files.items():
        exists = harness.files.lexists(path)
        if exists and content.exists:
            yield from differences(path, content, Found.in_file(harness.files.content(path)))
        elif exists:
            yield f"{path}: expected no such file, but it exists"
        elif content.exists:
            yield f"{path}: there is no such file{_files(harness)}"
    for name, content in expected.received.items():
        yield from differences(f"received.{name}", content, Found(stubs.records[name].items))
    for name, counters in expected.statistics.items():
        yield from _counters(f"statistics.{name}", counters, harness.component(name).statistics_cur)
    if expected.dead_letters is not None:
        yield from _dead_letters(expected.dead_letters, harness)
    for text in expected.log:
        if not any(text in record.message for life in harness.lives for record in life.logs):
            yield f"log: expected {text!r} in a message, but no message has it"


def _ending(expected: Expectations, world: World, harness: Harness) -> Iterator[str]:
    if expected.exit_status not in (None, harness.status):
        errors = [each.message for each in harness.logs if each.level in ("ERROR", "CRITICAL")]
        why = f": {errors[-1]}" if errors else ""
        yield f"exit_status: expected {expected.exit_status}, got {harness.status}{why}"
    if expected.exit_status is None and (step := world.next_step) is not None:
        moment = f"before step {step}" if step else "before the events of the test"
        yield f"the daemon has ended with status {harness.status} {moment}"


def _files(harness: Harness) -> str:
    names = [path for path in harness.files.paths() if "/." not in path]
    return f"; there are {', '.join(names)}" if names else ""


def _counters(subject: str, expected: Mapping[str, Any], found: Mapping[Any, Any]) -> Iterator[str]:
    named = {str(key): value for key, value in found.items()}
    for key, value in expected.items():
        got = named.get(key, 0)
        if isinstance(value, Mapping):
            yield from _counters(f"{subject}.{key}", value, got if isinstance(got, Mapping) else {})
        elif value != got:
            known = "" if key in named else f"; there are {', '.join(sorted(named)) or 'none'}"
            yield f"{subject}.{key}: expected {value}, got {got}{known}"


def _dead_letters(expected: int, harness: Harness) -> Iterator[str]:
    letters = [letter for life in harness.lives for letter in life.dead_letters()]
    if len(letters) != expected:
        yield f"dead_letters: expected {expected}, got {len(letters)}"
        for letter in letters[:LETTERS]:
            yield f"  {letter.event!r} in {letter.component}: {stable_error(letter.cause)}"
