"""Run `make test` on each other version of Python that this machine has: `make test-others`.

An interpreter counts if it is in `PATH` under a name such as `python3.12`, or among pyenv's. Each
has an environment of its own, `build/venv-3.12`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
ENVIRONMENTS = "build/venv-{version}"
MISSING = (
    "not on this machine. To get it: pyenv install {version}, or the system's package"
    " (Debian: python{version}-venv); then it must be in PATH as python{version}, or under pyenv"
)
ASK = "import sys; print('%d.%d' % sys.version_info[:2])"


def main(environ: Mapping[str, str] = os.environ) -> int:
    """Test each version but that of this process. Return 1 if one fails, else 0."""
    results = {}
    for version in VERSIONS:
        if version == "{}.{}".format(*sys.version_info):
            results[version] = "this one, see make test"
        elif (python := find(version, environ)) is None:
            results[version] = MISSING.format(version=version)
        else:
            show(f"Python {version}: {python}")
            results[version] = "passed" if passes(version, python, environ) else "FAILED"
    for version, result in results.items():
        show(f"Python {version}: {result}")
    return int("FAILED" in results.values())


def find(version: str, environ: Mapping[str, str]) -> Path | None:
    """Return the first interpreter of a version that runs: from `PATH`, then pyenv's newest."""
    return next((each for each in _candidates(version, environ) if _is(each, version)), None)


def passes(version: str, python: Path, environ: Mapping[str, str]) -> bool:
    """Return True if the suite passes on an interpreter."""
    environment = ENVIRONMENTS.format(version=version)
    command = [environ.get("MAKE", "make"), "test", f"PYTHON={python}", f"VENV={environment}"]
    return subprocess.run(command, check=False).returncode == 0


def show(line: str) -> None:
    """Write a line at once, before the output of the next program."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _candidates(version: str, environ: Mapping[str, str]) -> Iterable[Path]:
    name = f"python{version}"
    for directory in environ.get("PATH", "").split(os.pathsep):
        yield Path(directory or ".", name)
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    for each in sorted(pyenv.glob(f"versions/{version}.*"), key=_patch, reverse=True):
        if _patch(each) >= 0:
            yield each / "bin" / name


def _patch(installed: Path) -> int:
    """Return the last part of a version; -1 for special and early ones (3.13.0t, 3.14.0rc1)."""
    patch = installed.name.rpartition(".")[2]
    return int(patch) if patch.isdecimal() else -1


def _is(python: Path, version: str) -> bool:
    if not os.access(python, os.X_OK):
        return False
    # It may be a shim of pyenv, whose version is not installed or not chosen.
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main())
