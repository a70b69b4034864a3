"""A chain of three components, one of them slow, run under two orderings.

Parcels pass through scales, customs and shelf. Letters skip customs, which is slow.

python examples/pipeline.py
"""

import time
from typing import Literal

from zenactors import Daemon, Dispatcher, Flag, ZenDaemonComponent, handles

CUSTOMS_SECONDS = 0.1


class Scales(ZenDaemonComponent):
    @handles("parcel")
    @handles("letter")
    def cbk_event_weigh(self, daemon: Daemon, args: str) -> tuple[Flag, str]:
        return daemon.FLAG_CONTINUE, f"{args}, weighed"


class Customs(ZenDaemonComponent):
    @handles("parcel")
    def cbk_event_parcel(self, daemon: Daemon, args: str) -> tuple[Flag, str]:
        time.sleep(CUSTOMS_SECONDS)  # in place of a slow disk, database or service
        return daemon.FLAG_CONTINUE, f"{args}, inspected"


class Shelf(ZenDaemonComponent):
    @handles("parcel")
    @handles("letter")
    def cbk_event_put(self, daemon: Daemon, args: str) -> None:
        print(f"  {args}", flush=True)


def run(ordering: Literal["component", "event"]) -> None:
    print(f'ordering="{ordering}"')
    with Dispatcher([Scales(), Customs(), Shelf()], ordering=ordering) as dispatcher:
        for number in (1, 2, 3):
            dispatcher.queue.schedule("parcel", f"parcel {number}")
            dispatcher.queue.schedule("letter", f"letter {number}")


if __name__ == "__main__":
    run("component")  # the shelf gets the events in exactly the order in which they started
    run("event")  # a letter waits only for other letters, so letters arrive first
