"""A chain of three components with a slow one in it, once under each of two orderings.

Parcels go through scales, customs and shelf; letters skip the customs, which are slow.

python examples/pipeline.py
"""

import time
from typing import Any, Literal

from zenactors import Dispatcher, ZenDaemonComponent, handles

CUSTOMS_SECONDS = 0.1


class Scales(ZenDaemonComponent):
    @handles("parcel")
    @handles("letter")
    def cbk_event_weigh(self, daemon: Any, args: str) -> tuple[int, str]:
        return daemon.FLAG_CONTINUE, f"{args}, weighed"


class Customs(ZenDaemonComponent):
    @handles("parcel")
    def cbk_event_parcel(self, daemon: Any, args: str) -> tuple[int, str]:
        time.sleep(CUSTOMS_SECONDS)  # stands for a slow disk, database or service
        return daemon.FLAG_CONTINUE, f"{args}, inspected"


class Shelf(ZenDaemonComponent):
    @handles("parcel")
    @handles("letter")
    def cbk_event_put(self, daemon: Any, args: str) -> None:
        print(f"  {args}", flush=True)


def run(ordering: Literal["component", "event"]) -> None:
    print(f'ordering="{ordering}"')
    with Dispatcher([Scales(), Customs(), Shelf()], ordering=ordering) as dispatcher:
        for number in (1, 2, 3):
            dispatcher.queue.schedule("parcel", f"parcel {number}")
            dispatcher.queue.schedule("letter", f"letter {number}")


if __name__ == "__main__":
    run("component")  # the shelf sees what was started in exactly that order
    run("event")  # letters wait for letters only, so they come first
