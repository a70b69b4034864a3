"""A first daemon: it greets two readers, greets again a second later, and ends by itself.

python examples/hello.py
"""

import sys

from zenactors import Daemon, ZenDaemon, ZenDaemonComponent, handles


class Greeter(ZenDaemonComponent):
    @handles("greet")
    def cbk_event_greet(self, daemon: Daemon, args: str) -> None:
        print(f"Hello, {args}!")
        self.inc_statistic("greeted")


if __name__ == "__main__":
    daemon = ZenDaemon(
        name="hello",
        components=[Greeter()],
        schedule=[("greet", "world"), ("greet", "reader")],
        schedule_after=[(1.0, "greet", "world, a second later")],
    )
    sys.exit(daemon.serve())
