"""Best-effort components: chains pass them without waiting, and they lose what they cannot take.

A chain does not visit such a component. It has a *tap* where the component would be its next step:
the batch goes on at once, and the component gets a copy of the list of its args, as far as there
is room. The copy is a batch of a chain of its own, with a single step. It carries no tokens, and
its answers decide nothing.

Pure decisions, no thread. A tap has one sender at a time: the component of the chain's step before
it, or, before the first step, the thread that holds the dispatcher's state. So the component sees
what it gets of one chain in order.

Atomic operations relied on: storing and reading an attribute of a `Tap`, in the order of the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from zenactors.core.accounting import BestEffortCounts
from zenactors.core.chain import ALL_CHAINS, Chain, Step
from zenactors.core.messages import Batch
from zenactors.core.tokens import Tracked


class Tap:
    """One place where a chain passes a best-effort component.

    Args:
        chain: The chain of the copies, whose single step is the component's.
        limit: How many events may wait for the component, or be under way in it, at a time.

    Attributes:
        chain: As above.
        component: The component's index.
        offered: How many events have passed. Thread: the sender's.
        lost: How many of them the component did not get. Thread: the sender's.
        handled: How many it has handled. Thread: the component's, as for the next two.
        failed: How many became dead letters.
        left: How many were left undone, because the daemon stops.
        compares: True until an answer of the component had to be ignored.
    """

    __slots__ = (
        "_limit",
        "_sent",
        "chain",
        "compares",
        "component",
        "failed",
        "handled",
        "left",
        "lost",
        "offered",
    )

    def __init__(self, chain: Chain, limit: int) -> None:
        self.chain = chain
        self.component = chain.steps[0].component
        self.offered = self.lost = self.handled = self.failed = self.left = 0
        self.compares = True
        self._limit = limit
        self._sent = 0  # batches

    def offer(self, batch: Batch) -> Batch | None:
        """Return a copy of a batch for the component, without the events that it loses.

        None: it loses all of them, or there are none. Thread: the sender's.
        """
        items = batch.items
        if batch.tracked:  # a replay passes over what has handled its event already
            items = [each for each in items if type(each) is not Tracked or not each.token.skip]
        size = len(items)
        room = self._limit - self.counts().pending
        self.offered += size
        if size > room:
            self.lost += size - room
            size = room
        if not size:
            return None
        args = items[:size]
        if batch.tracked:
            args = [each.args if type(each) is Tracked else each for each in args]
        tickets: tuple[int, ...] = ()
        if not batch.on_control_lane:
            tickets = (self._sent,)
            self._sent += 1
        copy = Batch(self.chain, 0, tickets, args, size, on_control_lane=batch.on_control_lane)
        if self.compares:
            copy.origin = args[:]
        return copy

    def end(self, batch: Batch) -> bool:
        """Count a copy that the component has handled, and let go of its args.

        Returns:
            True if it had answers that are ignored, for the first time. Thread: the component's.
        """
        self.handled += batch.size - batch.dead - batch.left
        self.failed += batch.dead
        self.left += batch.left
        given, answered = batch.origin, batch.items
        is_ignored = self.compares and (
            batch.stopped > 0
            or (
                given is not None
                and len(given) == len(answered)
                and any(a is not b for a, b in zip(given, answered, strict=True))
            )
        )
        if is_ignored:
            self.compares = False
        batch.origin = None
        batch.items.clear()
        return is_ignored

    def counts(self) -> BestEffortCounts:
        """Return the counts. Thread: any."""
        # In this order: what another thread counts meanwhile seems to be pending at worst.
        handled, failed, left = self.handled, self.failed, self.left
        lost = self.lost
        return BestEffortCounts(self.offered, handled, failed, left, lost)


def pass_by(chain: Chain, limits: Mapping[int, int], first_number: int) -> list[Tap]:
    """Let a chain pass best-effort components. Its steps are those of the others from now on.

    Args:
        chain: The chain.
        limits: The limit for each of these components, by its index.
        first_number: How many taps there are in other chains.

    Returns:
        The new taps.
    """
    steps: list[Step] = []
    places: list[list[Tap]] = [[]]
    taps: list[Tap] = []
    for step in chain.steps:
        limit = limits.get(step.component)
        if limit is None:
            steps.append(step)
            places.append([])
            continue
        # Its copies have an order of their own: they are apart from what it gets otherwise.
        step.order = (step.component, _order_of(first_number + len(taps)))
        tap = Tap(Chain(chain.event, chain.number, (step,), revisits=False), limit)
        places[-1].append(tap)
        taps.append(tap)
    if taps:
        chain.visits = chain.steps
        chain.steps = tuple(steps)
        chain.revisits = len({step.component for step in steps}) < len(steps)
        chain.taps = tuple(map(tuple, places))
    return taps


def _order_of(number: int) -> int:
    """Return the second half of an `Order` that no chain has."""
    return ALL_CHAINS - 1 - number


def offer(taps: Iterable[Tap], batch: Batch, deliver: Callable[[int, Batch], Any]) -> None:
    """Offer a batch to the components that it passes before its next step."""
    for tap in taps:
        copy = tap.offer(batch)
        if copy is not None:
            deliver(tap.component, copy)
