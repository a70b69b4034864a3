"""The public names of zenactors and of zenactors.testing, which are imported at their first use."""

from __future__ import annotations

import ast
import sys
from pathlib import Path
from types import ModuleType

import pytest

import zenactors
import zenactors.components
import zenactors.testing
from tests.running import run_python

both = pytest.mark.parametrize(
    "package",
    [zenactors, zenactors.components, zenactors.testing],
    ids=lambda package: package.__name__,
)


def imported_for_types(package: ModuleType) -> dict[str, str]:
    """Return the names that a type checker sees, and the modules they come from."""
    tree = ast.parse(Path(str(package.__file__)).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    return {
        alias.name: str(node.module)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@both
def test_a_type_checker_sees_what_is_imported_when_the_program_runs(package: ModuleType) -> None:
    seen = imported_for_types(package)
    assert len(seen) > 5
    assert package.__all__ == sorted(seen)
    for name, module in seen.items():
        assert getattr(package, name) is getattr(sys.modules[module], name), name


@both
def test_dir_lists_the_public_names(package: ModuleType) -> None:
    assert dir(package) == package.__all__


@both
def test_an_unknown_name_is_refused(package: ModuleType) -> None:
    with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no .* 'Nonsense'"):
        package.Nonsense  # noqa: B018 - the attribute is what is tested


def test_importing_all_names_works() -> None:
    names: dict[str, object] = {}
    exec("from zenactors import *\nfrom zenactors.testing import *", names)
    assert names.keys() >= {*zenactors.__all__, *zenactors.testing.__all__}


def modules_after(source: str) -> set[str]:
    """Return the modules of zenactors that a new process has imported."""
    show = "import sys; print(*(name for name in sys.modules if name.startswith('zenactors.')))"
    done = run_python("-c", f"{source}\n{show}")
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_only_the_first_use_of_a_name_imports_its_module() -> None:
    source = "import zenactors.testing"
    assert modules_after(source) == {"zenactors._lazy", "zenactors.testing"}
    after_use = modules_after(f"{source}\nzenactors.testing.ClockJump")
    assert "zenactors.testing.faults" in after_use
    assert "zenactors.testing.harness" not in after_use
