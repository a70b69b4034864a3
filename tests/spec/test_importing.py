"""Modules are imported, or the reason is reported; root trusts no file that others can write."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.config.sample import write
from tests.spec.sample import PARTS, SINK
from zenactors import spec
from zenactors.errors import ConfigurationError

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="only root has to mistrust")


def test_a_module_that_does_not_exist_gets_the_nearest_name(
    problems_of: Callable[[str], list[str]],
) -> None:
    (problem,) = problems_of("name = 'x'\n[[component]]\nuse = 'partz:Sink'\n")
    assert problem.startswith(
        "x.toml:3: component 1: key 'use': there is no module 'partz' (searched"
    )
    assert problem.endswith("; did you mean 'parts'?")

    (problem,) = problems_of("name = 'x'\n[[component]]\nuse = 'zenactors.component:A'\n")
    assert problem.endswith("; did you mean 'zenactors.components'?")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("\n1 / 0\n", "ZeroDivisionError: division by zero ({file}:2)"),
        ("import not_there_at_all\n",
         "ModuleNotFoundError: No module named 'not_there_at_all' ({file}:1)"),
        ("def f(:\n", "SyntaxError: invalid syntax ({file}:1)"),
        ("raise SystemExit(3)\n", "SystemExit: 3 ({file}:1)"),
    ],
)  # fmt: skip
def test_a_module_that_raises_on_import_is_named_with_the_exception(
    app: Path, problems_of: Callable[[str], list[str]], code: str, expected: str
) -> None:
    write(app / "bad.py", code)
    reason = expected.format(file=app / "bad.py")
    assert problems_of("name = 'x'\n[[component]]\nuse = 'bad:Sink'\n") == [
        f"x.toml:3: component 1: key 'use': module 'bad' cannot be imported: {reason}"
    ]


def test_modules_are_looked_for_in_app_dir_first(app: Path) -> None:
    write(app / "inner" / "parts.py", PARTS.replace('"made"', '"inner"'))
    assert spec.load("parts:make", app / "inner").name == "inner"


@root_only
@pytest.mark.parametrize(
    ("group", "mode"), [(0, 0o666), (0, 0o646), (12345, 0o666), (12345, 0o664), (12345, 0o646)]
)
def test_root_refuses_a_file_that_others_can_write(app: Path, group: int, mode: int) -> None:
    write(app / "x.toml", "name = 'x'\n")
    os.chown(app / "x.toml", 0, group)
    (app / "x.toml").chmod(mode)
    with pytest.raises(ConfigurationError) as caught:
        spec.load("x.toml", app)
    assert str(caught.value) == (
        f"x.toml can be written by others (mode {mode:o}), and it names code that would run as"
        " root; use: chown root x.toml && chmod go-w x.toml"
    )


@root_only
def test_root_trusts_a_file_that_only_the_group_of_root_can_write(app: Path) -> None:
    write(app / "x.toml", "name = 'x'\n" + SINK)
    for path, mode in ((app, 0o775), (app / "x.toml", 0o664), (app / "parts.py", 0o664)):
        os.chown(path, 0, 0)
        path.chmod(mode)
    assert spec.load("x.toml", app).name == "x"


@root_only
def test_root_imports_nothing_from_a_directory_that_another_group_can_write(app: Path) -> None:
    write(app / "open" / "planted.py", "raise AssertionError('imported')")
    os.chown(app / "open", 0, 12345)
    (app / "open").chmod(0o775)
    with pytest.raises(ConfigurationError, match="'planted' is not imported as root from"):
        spec.load("planted:make", app / "open")
    assert str(app / "open") not in sys.path


@root_only
def test_root_refuses_a_file_of_another_user_unless_that_user_is_behind_sudo(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(app / "x.toml", "name = 'x'\n" + SINK)
    os.chown(app / "x.toml", 12345, 0)
    with pytest.raises(ConfigurationError, match=r"x\.toml belongs to user 12345, and"):
        spec.load("x.toml", app)

    monkeypatch.setenv("SUDO_UID", "12345")
    assert spec.load("x.toml", app)


@root_only
def test_root_refuses_a_module_that_others_can_write(app: Path) -> None:
    (app / "parts.py").chmod(0o666)
    with pytest.raises(ConfigurationError, match=r"parts\.py can be written by others"):
        spec.load("parts:make", app)
    assert "parts" not in sys.modules


@root_only
def test_root_imports_nothing_from_a_directory_that_others_can_write(app: Path) -> None:
    write(app / "open" / "planted.py", "raise AssertionError('imported')")
    (app / "open").chmod(0o777)
    with pytest.raises(ConfigurationError, match="'planted' is not imported as root from"):
        spec.load("planted:make", app / "open")
    assert str(app / "open") not in sys.path


def test_a_user_other_than_root_may_use_a_file_that_others_can_write(
    app: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    (app / "parts.py").chmod(0o666)
    assert spec.load("parts:make", app).name == "made"
