"""A process that starts Python programs by a fork of itself; see `tests.forked`.

    fork_server.py PRELOAD

It executes `PRELOAD`, a line of Python that imports what the programs import. Then it takes
requests from its standard input, a socket. The forked process leaves `serve`, so it ends as any
interpreter does: with a traceback, a status and `atexit`.
"""

from __future__ import annotations

import fcntl
import gc
import json
import os
import runpy
import socket
import sys
import tempfile
import termios
import time
from pathlib import Path
from typing import Any

LARGEST = 1 << 18  # bytes of a request
DESCRIPTORS = 8  # that come with a request, at most


def serve(link: socket.socket) -> dict[str, Any]:
    """Fork for each request. Return it in the new process; end in the server."""
    while True:
        data, descriptors, _, _ = socket.recv_fds(link, LARGEST, DESCRIPTORS)
        if not data:
            sys.exit()
        orphaned, close_when_orphaned = os.pipe()
        between = os.fork()
        if between == 0:
            if os.fork() > 0:
                os._exit(0)
            os.close(close_when_orphaned)
            os.read(orphaned, 1)  # until the process between has ended
            os.close(orphaned)
            link.send(str(os.getpid()).encode())
            request: dict[str, Any] = json.loads(data)
            for descriptor, number in zip(descriptors, request["descriptors"], strict=True):
                os.dup2(descriptor, number)
                os.close(descriptor)
            return request
        os.waitpid(between, 0)
        for descriptor in (orphaned, close_when_orphaned, *descriptors):
            os.close(descriptor)


def prepare(request: dict[str, Any]) -> None:
    """Take over what a fresh process has from the process that started it."""
    if request["on_terminal"]:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.environ.clear()
    os.environ.update(request["environ"])
    os.chdir(request["cwd"])
    if request["groups"] is not None:
        os.setgroups(request["groups"])
    time.tzset()
    tempfile.tempdir = None


def main() -> None:
    exec(sys.argv[1], {})
    gc.collect()
    gc.freeze()  # a collection in a forked process would copy the pages of all these objects
    # The number of standard input is not a program's own: its first file gets 3, as always.
    link = socket.socket(fileno=0)
    request = serve(link)
    link.detach()
    prepare(request)
    match request["argv"]:
        case ["-m", module, *words]:
            sys.argv, sys.path[0] = [module, *words], request["cwd"]
            if not hasattr(sys.modules.get(module), "__path__"):
                sys.modules.pop(module, None)  # runpy warns of one that was imported before
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case [script, *words]:
            sys.argv, sys.path[0] = [script, *words], str(Path(script).resolve().parent)
            runpy.run_path(script, run_name="__main__")


if __name__ == "__main__":
    main()
