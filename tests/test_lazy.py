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


def all_modules_after(source: str, cwd: Path | None = None) -> set[str]:
    """Return the modules that a new process has imported."""
    done = run_python("-c", f"{source}\nimport sys; print(*sys.modules)", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def modules_after(source: str) -> set[str]:
    """Return the modules of zenactors that a new process has imported."""
    return {name for name in all_modules_after(source) if name.startswith("zenactors.")}


def test_only_the_first_use_of_a_name_imports_its_module() -> None:
    source = "import zenactors.testing"
    assert modules_after(source) == {"zenactors._lazy", "zenactors.testing"}
    after_use = modules_after(f"{source}\nzenactors.testing.ClockJump")
    assert "zenactors.testing.faults" in after_use
    assert "zenactors.testing.harness" not in after_use


def test_only_the_tailer_imports_the_tailer() -> None:
    others = [name for name in zenactors.components.__all__ if name != "FileTailer"]
    source = f"from zenactors.components import {', '.join(others)}"
    modules = modules_after(source)
    assert {"zenactors.components.tail.lines", "zenactors.components.sinks.black_hole"} <= modules
    assert "zenactors.components.tail.tailer" not in modules
    assert "zenactors.components.tail.loop" not in modules


SPEC = """
name = "small"
[[component]]
use = "zenactors.components:Generate"
options = { count = 1 }
[[component]]
use = "zenactors.components:BlackHole"
"""


def modules_after_run(directory: Path, spec: str, *options: str) -> set[str]:
    """Return the modules that a process has imported after `zenactors run`."""
    (directory / "small.toml").write_text(spec)
    argv = ["run", "small.toml", "--exit-when-idle", *options]
    return all_modules_after(f"from zenactors.cli import main; assert main({argv}) == 0", directory)


def test_a_run_imports_nothing_for_what_its_file_does_not_have(tmp_path: Path) -> None:
    modules = modules_after_run(tmp_path, SPEC, "--no-summary")
    assert "zenactors.components.sinks.black_hole" in modules
    assert "zenactors.spec.cases" not in modules  # there are no [[tests]]
    assert "zenactors.components.tail.tailer" not in modules
    assert "zenactors.testing" not in modules
    assert "rich" not in modules  # nothing is drawn


def test_a_run_imports_the_models_of_tests_if_its_file_has_some(tmp_path: Path) -> None:
    modules = modules_after_run(tmp_path, f"{SPEC}[[tests]]\nname = 'one'\n", "--no-summary")
    assert "zenactors.spec.cases" in modules


def test_a_daemon_in_code_imports_no_command_line(tmp_path: Path) -> None:
    source = (
        "from zenactors import ZenDaemon\n"
        "from zenactors.components import BlackHole, Generate\n"
        "parts = [Generate(count=1), BlackHole()]\n"
        "assert ZenDaemon(name='small', components=parts, exit_when_idle=True).serve() == 0"
    )
    modules = all_modules_after(source, tmp_path)
    assert "zenactors.components.sinks.black_hole" in modules
    unwanted = {"docopt", "rich", "zenactors.cli", "zenactors.components.tail.tailer",
                "zenactors.daemon.launch", "zenactors.spec", "zenactors.testing"}  # fmt: skip
    assert not unwanted & modules
