"""The leaks that the plugin finds, and those that it does not report."""

from __future__ import annotations

import pytest

from tests.testing.conftest import Run, World

THREE = """
    def test_leaks({fixture}world):
        world.leak_thread()
        world.leak_descriptor()
        world.leak_child()

    def test_does_not({fixture}world):
        pass
"""


@pytest.mark.parametrize(
    ("fixture", "ini"),
    [
        ("zen_clock, ", ""),
        ("zen_harness, ", "zen_leaks = fixtures"),
        ("zen_daemon, ", "zen_leaks = all"),
        ("", "zen_leaks = all"),
    ],
)
def test_what_a_test_leaves_behind_is_named(
    run: Run, world: World, pytester: pytest.Pytester, fixture: str, ini: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    result = run(THREE.format(fixture=fixture))
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_leaks*",
            "The test left something behind:",
            "thread 'busy' (daemon=True) runs:",
            "*assert self.opened.wait(DEADLINE)",
            f"child process {world.children[0]} (true) has ended, but was not waited for",
            f"descriptor {world.descriptors[0]} is open: /dev/null",
        ]
    )


@pytest.mark.parametrize(
    ("fixture", "ini"),
    [("", ""), ("", "zen_leaks = fixtures"), ("zen_daemon, ", "zen_leaks = off")],
)
def test_who_is_not_to_be_checked_is_not(
    run: Run, pytester: pytest.Pytester, fixture: str, ini: str
) -> None:
    pytester.makeini(f"[pytest]\n{ini}")
    run(THREE.format(fixture=fixture)).assert_outcomes(passed=2)


def test_an_unknown_choice_is_refused(run: Run, pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nzen_leaks = yes")
    result = run("def test_it(): pass")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: zen_leaks must be one of fixtures, all, off, not 'yes'."])


def test_a_fixture_that_is_asked_for_by_name_has_its_test_checked(run: Run, world: World) -> None:
    result = run(
        """
        def test_leaks(request, world):
            request.getfixturevalue("zen_clock")
            world.leak_descriptor()
        """
    )
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines([f"descriptor {world.descriptors[0]} is open: /dev/null"])


def test_a_leak_and_another_failure_of_the_teardown_are_both_told(run: Run) -> None:
    result = run(
        """
        def test_dies(zen_harness, world):
            zen_harness([Fake({"x": raising(LookupError("lost"))})]).queue.schedule("x")
            world.leak_descriptor()

        @pytest.fixture
        def broken():
            yield
            raise OSError("broken")

        def test_breaks(broken, zen_clock, world):
            world.leak_descriptor()
        """
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(
        [
            "Event 'x' with * died*",
            "The test left something behind:",
            "descriptor * is open: /dev/null",
            "*OSError: broken",
            "*The test left something behind:",
            "*descriptor * is open: /dev/null",
        ]
    )


def test_a_test_that_fails_or_is_skipped_is_checked_all_the_same(run: Run) -> None:
    result = run(
        """
        def test_fails(zen_clock, world):
            world.leak_descriptor()
            assert not world

        @pytest.fixture
        def broken(world):
            world.leak_descriptor()
            raise OSError

        def test_breaks(zen_clock, broken):
            pass

        def test_skips(zen_clock, world):
            world.leak_descriptor()
            pytest.skip("to see that leaks are still reported")

        def test_is_clean(zen_clock):
            pytest.skip("to see that nothing is reported")
        """
    )
    result.assert_outcomes(failed=1, errors=4, skipped=2)


def test_what_fixtures_clear_away_is_no_leak_whatever_their_order(run: Run) -> None:
    result = run(
        """
        import os

        @pytest.fixture(autouse=True)
        def before():
            descriptor = os.open("/dev/null", os.O_RDONLY)
            yield
            os.close(descriptor)

        @pytest.fixture
        def after(zen_daemon):
            descriptor = os.open("/dev/null", os.O_RDONLY)
            yield
            os.close(descriptor)

        def test_it(after, tmp_path, capfd, caplog, monkeypatch):
            print("captured")
        """
    )
    result.assert_outcomes(passed=1)


WIDER = """
    import os

    class Opened:
        pass

    @pytest.fixture(scope="{scope}")
    def wide():
        Opened.fd = os.open("/dev/null", os.O_RDONLY)
        yield
        if {closes}:
            os.close(Opened.fd)

    def test_one(wide, zen_clock, world):
        world.descriptors.extend([] if {closes} else [Opened.fd])

    def test_two(wide, zen_clock):
        pass
"""


@pytest.mark.parametrize("scope", ["class", "module", "session"])
def test_what_a_wider_fixture_brings_may_stay_as_long_as_it(run: Run, scope: str) -> None:
    source = WIDER.format(scope=scope, closes=True)
    run(source, "-k", "one or two").assert_outcomes(passed=2)


@pytest.mark.parametrize("scope", ["module", "session"])
def test_what_a_wider_fixture_leaves_behind_is_a_leak(run: Run, world: World, scope: str) -> None:
    result = run(WIDER.format(scope=scope, closes=False))
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at teardown of test_two*",
            f"descriptor {world.descriptors[0]} is open: /dev/null",
        ]
    )


def test_a_setup_method_may_open_something_for_its_class(run: Run) -> None:
    result = run(
        """
        import os, unittest

        class TestIt:
            @classmethod
            def setup_class(cls):
                cls.descriptor = os.open("/dev/null", os.O_RDONLY)

            @classmethod
            def teardown_class(cls):
                os.close(cls.descriptor)

            def test_one(self, zen_clock):
                pass

            def test_two(self, zen_clock):
                pass

        @pytest.mark.usefixtures("zen_clock")
        class Old(unittest.TestCase):
            @classmethod
            def setUpClass(cls):
                cls.descriptor = os.open("/dev/null", os.O_RDONLY)

            @classmethod
            def tearDownClass(cls):
                os.close(cls.descriptor)

            def test_one(self):
                pass

            def test_two(self):
                pass
        """
    )
    result.assert_outcomes(passed=4)


def test_an_interrupted_test_is_not_looked_at(run: Run) -> None:
    result = run(
        """
        @pytest.fixture
        def interrupted():
            yield
            pytest.exit("enough", returncode=7)

        def test_it(zen_clock, interrupted, world):
            world.leak_descriptor()
        """
    )
    assert result.ret == 7
