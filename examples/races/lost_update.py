"""A lost update: two components share a dict, and each reads, computes and writes.

A test on real threads passes, because the interpreter hardly ever switches threads between
the three lines. The simulation interrupts callbacks in the middle:

    zenactors simulate --app-dir examples/races lost_update:scenario --seeds 1000
    python examples/races/figures.py lost_update 1000      # and its plain test 1,000 times
"""

from typing import Any

from zenactors import Daemon, Dispatcher, Handler, ZenDaemonComponent
from zenactors.testing import Harness, Scenario

ROUNDS = 3


class Account(ZenDaemonComponent):
    """Add the amount of each `event` to the shared balance."""

    def __init__(self, event: str, ledger: dict[str, int], sign: int) -> None:
        super().__init__(name=event)
        self.ledger = ledger
        self.sign = sign

    def get_events(self) -> list[Handler]:
        return [self.gen_event_handler(self.name, self.cbk_change)]

    def cbk_change(self, daemon: Daemon, args: int) -> None:
        balance = self.ledger["balance"]
        balance += self.sign * args
        self.ledger["balance"] = balance  # overwrites what the other has written


def build() -> list[Account]:
    ledger = {"balance": 0}
    return [Account("deposit", ledger, 1), Account("withdraw", ledger, -1)]


def schedule_all(queue: Any) -> None:
    for _ in range(ROUNDS):
        queue.schedule("deposit", 10)
        queue.schedule("withdraw", 10)


def drive(harness: Harness) -> None:
    schedule_all(harness.queue)


def check(harness: Harness) -> None:
    balance = harness.component("deposit").ledger["balance"]
    assert balance == 0, f"the balance is {balance}, not 0"


scenario = Scenario(build=build, drive=drive, check=check)


def test_plain() -> None:
    """The usual test: on real threads."""
    components = build()
    with Dispatcher(components) as dispatcher:
        schedule_all(dispatcher.queue)
    assert components[0].ledger["balance"] == 0
