"""A component that assumes that a child event is handled before its parent's chain ends.

`Intake` schedules `reserve` and passes the `order` on. `Shipping`, at the end of the chain of
`order`, assumes that the goods are reserved by then. `Signing` comes in between and takes some
milliseconds, so they always are, as long as the machine is not busy.

    zenactors simulate --app-dir examples/races impatient_parent:scenario --seeds 1000
    python examples/races/figures.py impatient_parent 1000      # and its plain test 1,000 times
"""

import hashlib

from zenactors import Daemon, Dispatcher, ZenDaemonComponent, handles
from zenactors.testing import Harness, Scenario

STRETCHING = 60_000  # rounds: some twenty milliseconds


class Intake(ZenDaemonComponent):
    emits = ("reserve",)

    @handles("order")
    def cbk_event_order(self, daemon: Daemon, args: int) -> None:
        daemon.queue.schedule("reserve", args)


class Warehouse(ZenDaemonComponent):
    def __init__(self) -> None:
        super().__init__()
        self.reserved: set[int] = set()

    @handles("reserve")
    def cbk_event_reserve(self, daemon: Daemon, args: int) -> None:
        self.reserved.add(args)


class Signing(ZenDaemonComponent):
    @handles("order")
    def cbk_event_order(self, daemon: Daemon, args: int) -> None:
        self.signature = hashlib.pbkdf2_hmac("sha256", b"%d" % args, b"key", STRETCHING)


class Shipping(ZenDaemonComponent):
    def __init__(self, warehouse: Warehouse) -> None:
        super().__init__()
        self.warehouse = warehouse
        self.shipped: list[int] = []

    @handles("order")
    def cbk_event_order(self, daemon: Daemon, args: int) -> None:
        if args not in self.warehouse.reserved:
            raise LookupError(f"order {args} cannot be shipped: nothing is reserved for it")
        self.shipped.append(args)


def build() -> list[ZenDaemonComponent]:
    warehouse = Warehouse()
    return [Intake(), Signing(), Shipping(warehouse), warehouse]


def drive(harness: Harness) -> None:
    harness.queue.schedule("order", 1)


scenario = Scenario(build=build, drive=drive)  # an event that dies is a failure


def test_plain() -> None:
    """The usual test: on real threads."""
    with Dispatcher(build()) as dispatcher:
        dispatcher.queue.schedule("order", 1)
    assert not dispatcher.dead_letters()
