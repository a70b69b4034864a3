"""Shares of the costly tests: together they have all, and no two have one in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import sharing

ROOT = Path(__file__).parents[1]
NAMES = [f"test_{number}" for number in range(40)]


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A suite of 40 costly tests and a cheap one."""
    monkeypatch.setattr(sharing, "COSTLY", ("test_costly.py",))
    tests = "\n".join(f"def {name}(): pass" for name in NAMES)
    pytester.makepyfile(test_costly=tests, test_cheap="def test_cheap(): pass")
    return pytester


def passed(suite: pytest.Pytester, *options: str) -> set[str]:
    """Return the names of the tests that a run has."""
    result = suite.inline_run("-p", "tests.sharing", "-p", "no:cacheprovider", *options)
    return {report.nodeid.rpartition("::")[2] for report in result.listoutcomes()[0]}


def test_all_shares_together_have_all_tests_and_no_two_have_one_in_common(
    suite: pytest.Pytester,
) -> None:
    shares = [passed(suite, f"--share={number}/4") - {"test_cheap"} for number in range(4)]
    assert all(shares)
    assert sorted(name for share in shares for name in share) == sorted(NAMES)


def test_tests_that_cost_little_are_in_every_share(suite: pytest.Pytester) -> None:
    assert all("test_cheap" in passed(suite, f"--share={number}/4") for number in range(4))


def test_without_the_option_all_tests_run(suite: pytest.Pytester) -> None:
    assert passed(suite) == {*NAMES, "test_cheap"}


@pytest.mark.parametrize("share", ["4/4", "1", "-1/4", "x/4", "1/0"])
def test_a_share_that_is_none_is_refused(share: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        sharing._share(share)


def test_the_costly_modules_exist() -> None:
    assert [each for each in sharing.COSTLY if not (ROOT / each).exists()] == []
