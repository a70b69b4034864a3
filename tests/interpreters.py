"""Run `make test` on the other versions of Python that this machine has.

    make test-others               each other version from 3.11 to 3.14
    make test-others SHARES=8      the same, but of the costly tests an eighth; see tests/sharing.py
    make freethreaded              the suite and the benchmarks on a Python without the GIL

An interpreter counts if it is in `PATH` under a name such as `python3.12`, or among pyenv's. Each
has an environment of its own, `build/venv-3.12`.

Status 0: all passed that are there. 1: the tests failed on one. 2: wrong usage. 3: there is no
Python without the GIL for `make freethreaded`. `make` itself then has status 2.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

VERSIONS = ("3.11", "3.12", "3.13", "3.14")
FREE_THREADED = ("3.14t", "3.13t")  # the first that is there
ENVIRONMENTS = "build/venv-{version}"
MISSING = (
    "not on this machine. To get it: pyenv install {version}, or uv python install"
    " {version}{debian}. Then it must be in PATH as python{version}, or under pyenv"
)
DEBIAN = ", or the system's package (Debian: python{version}-venv)"
ASK = (
    "import sys, sysconfig; free = sysconfig.get_config_var('Py_GIL_DISABLED');"
    "print('%d.%d' % sys.version_info[:2] + 't' * bool(free))"
)
# Without the first, the import of one extension module may switch the GIL on. Without the second,
# the tests' filter of warnings would not hold in the threads of components.
WITHOUT_GIL = {"PYTHON_GIL": "0", "PYTHON_CONTEXT_AWARE_WARNINGS": "0"}
BENCHMARKS = "--quick --json=build/bench-{version}.json"
STATUS_MISSING = 3

Environ = Mapping[str, str]


def main(argv: Sequence[str] = (), environ: Environ = os.environ) -> int:
    """Run what the command line says; return the status."""
    if list(argv) == ["free-threaded"]:
        return test_without_gil(environ)
    if argv:
        show(__doc__ or "")
        return 2
    return test_others(environ)


def test_others(environ: Environ) -> int:
    """Test each version but that of this process. Return 1 if one fails, else 0."""
    results = {}
    for number, version in enumerate(VERSIONS):
        if version == "{}.{}".format(*sys.version_info):
            results[version] = "this one, see make test"
        elif (python := find(version, environ)) is None:
            results[version] = missing(version)
        else:
            show(f"Python {version}: {python}")
            options = share_of(number, environ)
            passed = make("test", version, python, environ, options)
            part = f", with {options}" if options else ""
            results[version] = f"passed{part}" if passed else f"FAILED{part}"
    for version, result in results.items():
        show(f"Python {version}: {result}")
    return int(any(result.startswith("FAILED") for result in results.values()))


def test_without_gil(environ: Environ) -> int:
    """Run the suite and the benchmarks, briefly, on a Python without the GIL."""
    for version in FREE_THREADED:
        python = find(version, environ)
        if python is not None:
            break
    else:
        show(f"Python {FREE_THREADED[0]}: {missing(FREE_THREADED[0])}")
        return STATUS_MISSING
    show(f"Python {version}: {python}")
    free = {**environ, **WITHOUT_GIL}
    passed = {
        "tests": make("test", version, python, free),
        "benchmarks": make("bench", version, python, free, BENCHMARKS.format(version=version)),
    }
    for what, well in passed.items():
        show(f"Python {version}: {what} {'passed' if well else 'FAILED'}")
    return int(not all(passed.values()))


def share_of(number: int, environ: Environ) -> str:
    """Return the options by which a version runs its share of the costly tests; "": all of them."""
    shares = environ.get("SHARES", "")
    return f"--share={number % int(shares)}/{shares}" if shares else ""


def missing(version: str) -> str:
    """Return how to get a version that is not there."""
    debian = "" if version.endswith("t") else DEBIAN.format(version=version)
    return MISSING.format(version=version, debian=debian)


def find(version: str, environ: Environ) -> Path | None:
    """Return the first interpreter of a version that runs: from `PATH`, then pyenv's newest."""
    return next((each for each in _candidates(version, environ) if _is(each, version)), None)


def make(target: str, version: str, python: Path, environ: Environ, options: str = "") -> bool:
    """Return True if a target is made on an interpreter, in an environment of its own."""
    environment = ENVIRONMENTS.format(version=version)
    command = [environ.get("MAKE", "make"), target, f"PYTHON={python}", f"VENV={environment}"]
    if options:
        command.append(f"OPTIONS={options}")
    return subprocess.run(command, env={**environ}, check=False).returncode == 0


def show(line: str) -> None:
    """Write a line at once, before the output of the next program."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _candidates(version: str, environ: Environ) -> Iterable[Path]:
    name = f"python{version}"
    for directory in environ.get("PATH", "").split(os.pathsep):
        yield Path(directory or ".", name)
    number, t, _ = version.partition("t")
    pyenv = Path(environ.get("PYENV_ROOT") or Path(environ.get("HOME", "/"), ".pyenv"))
    installed = pyenv.glob(f"versions/{number}.*{t}")
    for each in sorted(installed, key=lambda path: _patch(path, t), reverse=True):
        if _patch(each, t) >= 0:
            yield each / "bin" / name


def _patch(installed: Path, suffix: str) -> int:
    """Return the last part of a version; -1 for special and early ones (3.13-dev, 3.14.0rc1)."""
    patch = installed.name.rpartition(".")[2].removesuffix(suffix)
    return int(patch) if patch.isdecimal() else -1


def _is(python: Path, version: str) -> bool:
    if not os.access(python, os.X_OK):
        return False
    # It may be a shim of pyenv, whose version is not installed or not chosen.
    done = subprocess.run([python, "-c", ASK], capture_output=True, text=True, check=False)
    return done.returncode == 0 and done.stdout.strip() == version


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
