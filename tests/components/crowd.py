"""A program that is very many clients of a listener: `crowd.py HOST PORT COUNT STEP`.

It is a process of its own, because a process may have only so many descriptors. Each client sends a
line, and the beginning of another one; both are the beginning of a request. The program prints how
many clients are connected, after each `STEP` of them, waits for the end of its input, and ends.
"""

from __future__ import annotations

import socket
import sys

UNFINISHED = b"POST / HTTP/1.1\r\nX: "


def main(host: str, port: int, count: int, step: int) -> None:
    clients = []
    for number in range(1, count + 1):
        client = socket.create_connection((host, port))
        client.sendall(UNFINISHED)
        clients.append(client)
        if number % step == 0:
            sys.stdout.write(f"{number}\n")
            sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
