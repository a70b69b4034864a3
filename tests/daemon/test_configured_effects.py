"""What the keys do that `test_configured` cannot look at in one run: levels, users, directories."""

from __future__ import annotations

import json
import os
import pwd
from pathlib import Path
from typing import Any

import pytest

from tests.config.sample import write
from tests.daemon.test_configured import set_words, toml, words
from tests.forked import ForkServer

WAYS = ("program", "file", "command line", "--set")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root may change user and root")

PROGRAM = """
import json, os, sys
from loguru import logger
from zenactors import ZenDaemon, ZenDaemonComponent, handles

class Speaker(ZenDaemonComponent):
    def setup(self, daemon):
        logger.debug("it is debugging")
        logger.info("it is informing")
        logger.error("it is failing")

    @handles("start")
    def cbk_event_start(self, daemon, args):
        found = {"uid": os.getuid(), "gid": os.getgid(), "root": os.stat("/").st_ino}
        print(json.dumps(found | {"size": daemon.c("stats_interval")}))

given = json.loads(sys.argv.pop(1))
ZenDaemon(name="speaker", components=[Speaker()], default_no_daemon=True, **given).run()
"""


def run(forks: ForkServer, tmp_path: Path, way: str, given: dict[str, Any]) -> Any:
    """Run the program to its end, with some keys set in one way."""
    program: dict[str, Any] = {"path_run": str(tmp_path), "path_log": str(tmp_path)}
    line: list[str] = []
    if way == "program":
        program |= {f"default_{key}": value for key, value in given.items()}
    if way == "file":
        line = ["--config-file", str(write(tmp_path / "given.toml", toml(given)))]
    if way == "command line":
        line = words(given)
    if way == "--set":
        line = set_words(given)
    path = write(tmp_path / "speaker.py", PROGRAM)
    done = forks.run(path, json.dumps(program), *line, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({}, ["informing", "failing"]),
        ({"debug": True}, ["debugging", "informing", "failing"]),
        ({"verbosity": 1}, ["debugging", "informing", "failing"]),
        ({"quiet": True}, ["failing"]),
        ({"log_level": "ERROR"}, ["failing"]),
    ],
)
def test_levels(
    forks: ForkServer, tmp_path: Path, way: str, given: dict[str, Any], said: list[str]
) -> None:
    lines = run(forks, tmp_path, way, given).stderr.splitlines()
    assert [line.rpartition("it is ")[2] for line in lines if "it is " in line] == said


@AS_ROOT
@pytest.mark.parametrize("way", WAYS)
def test_user_and_group(forks: ForkServer, tmp_path: Path, way: str) -> None:
    nobody = pwd.getpwnam("nobody")
    found = json.loads(run(forks, tmp_path, way, {"user": "nobody", "group": "daemon"}).stdout)
    assert (found["uid"], found["gid"]) == (nobody.pw_uid, 1)


@AS_ROOT
@pytest.mark.parametrize("way", WAYS)
def test_another_root(forks: ForkServer, tmp_path: Path, way: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    given = {"chroot_dir": str(inside), "work_dir": "/"}
    found = json.loads(run(forks, tmp_path, way, given).stdout)
    assert found["root"] == inside.stat().st_ino


@pytest.mark.parametrize("way", ["program", "command line"])
@pytest.mark.parametrize("key", ["config_file", "config_dir"])
def test_other_sources(forks: ForkServer, tmp_path: Path, way: str, key: str) -> None:
    (tmp_path / "more").mkdir()
    write(tmp_path / "more" / "one.toml", "stats_interval = 77.0\n")
    place = "more" if key == "config_dir" else "more/one.toml"
    assert json.loads(run(forks, tmp_path, way, {key: place}).stdout)["size"] == 77.0
    # A name that is wrong is an error, unless that is to be ignored.
    silent = {key: "missing", f"{key}_silent": True}
    assert json.loads(run(forks, tmp_path, way, silent).stdout)["size"] == 300.0
