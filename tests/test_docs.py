"""What stands in the documentation is true: its programs run, its links lead somewhere."""

from __future__ import annotations

import ast
import inspect
import os
import re
import signal
import subprocess
import sys
import tomllib
import typing
from pathlib import Path

import pytest

import zenactors
import zenactors.components
import zenactors.errors
from zenactors import testing
from zenactors.components._files import Files

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
LIMIT = 60.0  # seconds; generous: only a hang takes that long

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(typing.NamedTuple):
    """A block of code on a page."""

    place: str
    language: str
    text: str


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text()
    name = page.relative_to(ROOT)
    return [
        Block(f"{name}:{text.count(chr(10), 0, found.start()) + 1}", found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]


def is_whole_program(block: Block) -> bool:
    """Return True if it imports zenactors itself: then a reader may save and run it."""
    imported = {
        (node.module or "").partition(".")[0]
        for node in ast.parse(block.text).body
        if isinstance(node, ast.ImportFrom)
    }
    return "zenactors" in imported and "sensors" not in imported


def by_place(block: Block) -> str:
    return block.place


def run_python(*argv: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *argv],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def names_in(page: Path) -> set[str]:
    return set(re.findall(r"\w+", page.read_text()))


def options_of(cls: type) -> set[str]:
    return set(inspect.signature(cls).parameters)


def members_of(cls: type) -> set[str]:
    return {name for name in vars(cls) if not name.startswith("_")}


def anchors_of(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    text = _FENCE.sub("", page.read_text())
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("block", PYTHON, ids=by_place)
def test_python_compiles(block: Block) -> None:
    compile(block.text, block.place, "exec")


ENDING = [
    block
    for block in PYTHON
    if is_whole_program(block) and not block.place.startswith("docs/migration.md")
]


@pytest.mark.parametrize("block", ENDING, ids=by_place)
def test_whole_program_runs(block: Block, tmp_path: Path) -> None:
    program = tmp_path / "longest.py"  # the name under which a reader saves the one that needs one
    program.write_text(block.text)
    done = run_python(program.name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for shown in re.findall(r"print\(.+\)  # (\d+)", block.text):
        assert shown in done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.language == "toml"], ids=by_place)
def test_toml_is_toml(block: Block) -> None:
    tomllib.loads(block.text)


def test_getting_started_s_toml_is_a_right_spec(tmp_path: Path) -> None:
    (block,) = [b for b in blocks_of(ROOT / "docs/getting-started.md") if b.language == "toml"]
    (tmp_path / "count.toml").write_text(block.text)
    for path in (tmp_path, tmp_path / "count.toml"):
        path.chmod(path.stat().st_mode & ~0o022)  # as root, what others can change is refused
    done = run_python("-m", "zenactors", "run", "count.toml", "--exit-when-idle", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == block.text


def test_the_tests_of_the_testing_guide_pass(tmp_path: Path) -> None:
    blocks = [b.text for b in blocks_of(ROOT / "docs/testing.md") if b.language == "python"]
    (sensors,) = [text for text in blocks if "class Alarm" in text]
    (tmp_path / "sensors.py").write_text(sensors)
    tests = [text for text in blocks if "\ndef test_" in text]
    for number, text in enumerate(tests):
        (tmp_path / f"test_block_{number}.py").write_text(text)
    done = run_python("-m", "pytest", "-q", "-p", "zenactors.testing.plugin", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    expected = sum(text.count("\ndef test_") for text in tests)
    assert f"{expected} passed" in done.stdout


def moved_over(module: str) -> str:
    """Return the migration guide's daemon, as written for this package."""
    blocks = [b.text for b in blocks_of(ROOT / "docs/migration.md") if b.language == "python"]
    (found,) = [text for text in blocks if f"\nfrom {module}" in text]
    return found


@pytest.mark.parametrize("module", ["pyzenkit.zendaemon", "zenactors"])
def test_the_migration_guide_s_daemon_does_the_same_before_and_after(
    module: str, tmp_path: Path
) -> None:
    pytest.importorskip(module)
    for folder in ("etc", "var/run", "var/log"):
        (tmp_path / folder).mkdir(parents=True)
    for path in (tmp_path, *tmp_path.rglob("*")):
        path.chmod(0o755)  # as root, a configuration that others can change is refused
    (tmp_path / "etc/disk-daemon.conf").write_text('# Megabytes:\n{"min_free": 1000000000000}\n')
    (tmp_path / "etc/disk-daemon.conf").chmod(0o644)
    (tmp_path / "disk.py").write_text(moved_over(module))
    options = ("--no-daemon", "--config-dir-silent", "--folder", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "disk.py", *options],
        env={**os.environ, "PYTHONPATH": str(ROOT), "APP_ROOT_PATH": str(tmp_path)},
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            said = next((line for line in process.stderr if "Little room" in line), "")
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=LIMIT)
        finally:
            process.kill()
    assert f"Little room in {tmp_path}" in said
    assert process.returncode == 0, errors


def test_the_migration_guide_s_component_is_the_same_before_and_after() -> None:
    def component(module: str) -> str:
        text = moved_over(module)
        (found,) = [
            ast.get_source_segment(text, node)
            for node in ast.parse(text).body
            if isinstance(node, ast.ClassDef) and node.name == "DiskComponent"
        ]
        return found or ""

    assert component("zenactors") == component("pyzenkit.zendaemon") != ""


def test_readme_shows_hello_as_it_is() -> None:
    hello = (ROOT / "examples/hello.py").read_text()
    assert hello in [block.text for block in blocks_of(ROOT / "README.md")]


def test_reference_names_everything_public() -> None:
    shown = names_in(ROOT / "docs/reference.md")
    public = {*zenactors.__all__, *zenactors.components.__all__}
    public |= {name for name in vars(zenactors.errors) if name.startswith("EXIT_")}
    assert public - shown == set()


@pytest.mark.parametrize("cls", [zenactors.ZenDaemon, zenactors.Dispatcher], ids=str)
def test_reference_names_every_option_and_member(cls: type) -> None:
    shown = names_in(ROOT / "docs/reference.md")
    options = options_of(cls)
    members = {name for name in vars(cls) if not name.startswith(("_", "cbk_"))}
    assert (options | members) - shown == set()


def test_reference_names_everything_of_the_testing_package() -> None:
    shown = names_in(ROOT / "docs/reference.md")
    assert set(testing.__all__) - shown == set()
    for name in testing.__all__:
        cls = getattr(testing, name)
        if isinstance(cls, type) and not issubclass(cls, BaseException | testing.DaemonMachine):
            assert options_of(cls) - shown == set(), name
            assert members_of(cls) - members_of(Files) - shown == set(), name
    for function in (testing.simulate, testing.explore):
        assert set(inspect.signature(function).parameters) - shown == set()


@pytest.mark.parametrize("name", zenactors.components.__all__)
def test_reference_names_every_option_of_a_stock_component(name: str) -> None:
    shown = names_in(ROOT / "docs/reference.md")
    cls = getattr(zenactors.components, name)
    assert options_of(cls) - shown == set()


def test_reference_names_every_option_of_the_command_line() -> None:
    shown = set(re.findall(r"--[a-z-]+", (ROOT / "docs/reference.md").read_text()))
    for command in ("run", "tail", "check", "simulate"):
        source = ROOT / f"zenactors/cli/{command}.py"
        doc = ast.get_docstring(ast.parse(source.read_text())) or ""
        assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", doc, re.MULTILINE)) - shown == set()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for link in _LINK.findall(_FENCE.sub("", page.read_text())):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = page.parent / path if path else page
        assert target.exists(), link
        assert not anchor or anchor in anchors_of(target), link
