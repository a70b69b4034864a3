"""The parts of `zenactors.testing.spec_tests`."""
