"""A component as several actors that share its events, behind a router that keeps their order.

The router has the component's place in every chain. Batches arrive at it in ticket order. It
deals their events one by one to the replicas, and releases the results in the order of the
events, even if replicas overtake each other.
"""

from __future__ import annotations

import dataclasses
import zlib
from collections import deque
from collections.abc import Callable, Hashable
from typing import Any

from zenactors.core.batch_runner import BatchRunner, ResultSink
from zenactors.core.callbacks import Callback, Handler, gen_event_handler
from zenactors.core.chain import ALL_CHAINS, Chain, Order, Step
from zenactors.core.clock import Clock
from zenactors.core.failure_handler import Fate, IncidentHandler
from zenactors.core.messages import Batch
from zenactors.core.supervision import Supervisor
from zenactors.core.tokens import Tracked
from zenactors.errors import ConfigurationError


class Replicas:
    """Run `count` instances of a component, each in an actor of its own, as one component.

    For callbacks that wait, for a database or a remote API: `count` events are handled at a
    time. The next component on the chain still sees the events in order. The instances share
    nothing, and each sees only its share of the events. `start`, `stop` and other control events
    reach all instances; a control event that fails in one of them is dead.

        Replicas(lambda: Lookup(url), 8)

    In statistics and in the state the instances are called `NAME/1`, `NAME/2` and so on.

    Args:
        make: Returns a new instance. The constructor calls it `count` times.
        count: How many instances.
        key: Deals events by a hash of `key(args)`: events with equal keys are handled by the
            same instance, in order. Default: by the instance with the fewest events.
        name: The name in logs, statistics and state. Default: the first instance's name.

    Raises:
        ConfigurationError: The instances do not handle the same events, or `make` returns the
            same instance twice; or `no_replicas` of the component says why there are none.
    """

    def __init__(
        self,
        make: Callable[[], Any],
        count: int,
        *,
        key: Callable[[Any], Hashable] | None = None,
        name: str | None = None,
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, not {count!r}.")
        self.key = key
        self.instances = [make() for _ in range(count)]
        if len({id(each) for each in self.instances}) < count:
            raise ConfigurationError(
                f"make() returned the same {type(self.instances[0]).__name__} twice; each replica"
                " runs in a thread of its own, so let make() return a new one every time."
            )
        first = self.instances[0]
        self.name = name or getattr(first, "name", None) or type(first).__name__
        if reason := getattr(first, "no_replicas", ""):
            raise ConfigurationError(f"There are no replicas of {type(first).__name__}: {reason}")
        self.emits = getattr(first, "emits", ())
        self._given: list[list[Handler]] = []
        self._handlers: list[list[Handler]] = []
        self.take_events()

    def take_events(self) -> None:
        """List the events of the instances, again if these were initialised again.

        Raises:
            ConfigurationError: They do not handle the same events.
        """
        self._handlers = self._given = [list(each.get_events()) for each in self.instances]
        wanted = [(each["event"], each.get("prepend")) for each in self._handlers[0]]
        for handlers in self._handlers:
            if [(each["event"], each.get("prepend")) for each in handlers] != wanted:
                raise ConfigurationError(
                    f"Replicas of {self.name!r} handle different events; make() must return"
                    " instances that handle the same ones."
                )

    def get_events(self) -> list[Handler]:
        """Return handlers for the events that each instance handles."""
        return [
            gen_event_handler(
                handler["event"],
                _Dealt(number, getattr(handler["callback"], "__name__", "callback")),
                handler.get("prepend", False),
            )
            for number, handler in enumerate(self._handlers[0])
        ]

    def rewire(self, change: Callable[[int, list[Handler]], list[Handler]]) -> None:
        """Replace the handlers of each instance by `change(number, handlers)`, from 1 on."""
        self._handlers = [
            change(number, handlers) for number, handlers in enumerate(self._given, start=1)
        ]

    def replace(
        self,
        replica: int,
        instance: Any,
        change: Callable[[list[Handler], list[Handler]], list[Handler]],
    ) -> None:
        """Replace one instance. Thread: that instance's.

        Args:
            replica: Its number, from 0.
            instance: The new one.
            change: Returns the handlers to use, from those of the old instance and those of the
                new one.

        Raises:
            ConfigurationError: It handles other events.
        """
        given = list(instance.get_events())
        if [each["event"] for each in given] != [each["event"] for each in self._given[replica]]:
            raise ConfigurationError(f"The new replica of {self.name!r} handles other events.")
        new = change(self._handlers[replica], given)
        self._given[replica] = given
        self._handlers[replica] = new
        self.instances[replica] = instance

    def callbacks(self, replica: int, step: Step) -> tuple[Any, ...]:
        """Return the callbacks of one instance for a step of the router's."""
        return tuple(_OfInstance(self, replica, each) for each in step.callbacks)

    def callback(self, replica: int, number: int) -> Callback:
        """Return a callback of one instance, by its number."""
        return self._handlers[replica][number]["callback"]


class _Dealt:
    """Represents the callbacks of the instances in the chain."""

    def __init__(self, number: int, name: str) -> None:
        self.number = number
        self.__name__ = name

    def __call__(self, daemon: Any, args: Any) -> None:
        raise AssertionError("A router deals events and runs none itself.")


class _OfInstance:
    """Calls the callback of whichever object the instance is now."""

    def __init__(self, replicas: Replicas, replica: int, dealt: Any) -> None:
        self.__name__ = dealt.__name__
        self._replicas = replicas
        self._replica = replica
        self._number = dealt.number

    def __repr__(self) -> str:
        return repr(self._replicas.callback(self._replica, self._number))

    def __call__(self, daemon: Any, args: Any) -> Any:
        return self._replicas.callback(self._replica, self._number)(daemon, args)


@dataclasses.dataclass(slots=True, eq=False)
class _Dealing:
    """A batch whose events are with the replicas."""

    batch: Batch
    results: list[Batch | None]
    released: int = 0


class ReplicaRouter(BatchRunner):
    """Deal events to replicas, and release the results in order. Thread: own.

    The indexes of the replicas follow the router's own.

    Args:
        index: The router's index.
        name: The component's name.
        replicas: The instances.
        sink: Takes the results.
        incidents: Takes the events that could not be dealt.
        clock: The source of time.
        supervisor: For failures of the `key` function.
    """

    def __init__(
        self,
        index: int,
        name: str,
        replicas: Replicas,
        sink: ResultSink,
        incidents: IncidentHandler,
        clock: Clock,
        supervisor: Supervisor,
    ) -> None:
        super().__init__(index, name, None, sink, incidents, clock, supervisor=supervisor)
        self._replicas = replicas
        self._first = index + 1
        self._dealings: dict[Order, deque[_Dealing]] = {}
        self._loads = [0] * len(replicas.instances)
        self._tickets = [0] * len(replicas.instances)
        self._chains: dict[int, list[Chain]] = {}

    def arrive(self, batch: Batch) -> None:
        """Accept a batch to deal, or a result of a replica."""
        if batch.step == len(batch.chain.steps):
            self.take_result(batch)
        else:
            super().arrive(batch)

    def work(self) -> bool:
        """Deal the events of the next batch. Return True if there are more batches."""
        if self.stopped or not self._ready:
            return False
        batch = self._ready.popleft()
        dealing = _Dealing(batch, [None] * len(batch.items))
        dealings = self._dealings.setdefault(batch.chain.steps[batch.step].order, deque())
        dealings.append(dealing)
        step = batch.chain.steps[batch.step]
        for position, args in enumerate(batch.items):
            token = args.token if type(args) is Tracked else None
            try:
                if token is not None and token.skip >= len(step.callbacks):
                    replica = self._idlest()  # it only passes over it: the key is not for its args
                else:
                    replica = self._choose(args if token is None else args.args)
            except BaseException as cause:  # the user's key; contained like a callback
                self.token = token
                fate = self._contain(batch, self._replicas.key or self._choose, args, cause)
                dead = int(fate is Fate.DEAD)
                result = Batch(batch.chain, batch.step, (), [], 1, dead=dead)
                self.token = None
                if token is not None:
                    result.failed = [token]
                dealing.results[position] = result
            else:
                self._deal(replica, batch, (dealing, position), args)
        self._release(dealings)
        return not self.stopped and bool(self._ready)

    def run_control(self, batch: Batch) -> None:
        """Deal a control event to every replica, and send on the result of the first."""
        if not batch.items:  # it has ended, and only its counts are sent on
            self._finish(batch, [], 0, batch.size, last=True)
            return
        dealing = _Dealing(batch, [None] * len(self._loads))
        for replica in range(len(self._loads)):
            self._deal(replica, batch, (dealing, replica), batch.items[0])

    def take_result(self, result: Batch) -> None:
        """Accept a result of a replica."""
        dealing, position = result.origin
        dealing.results[position] = result
        self._loads[result.chain.steps[0].component - self._first] -= 1
        batch = dealing.batch
        if not result.on_control_lane:
            self._release(self._dealings[batch.chain.steps[batch.step].order])
        elif None not in dealing.results:
            dead = any(each.dead for each in dealing.results)
            survivors = [] if dead else dealing.results[0].items
            self._finish(batch, survivors, int(dead), batch.size, last=True)

    def _choose(self, args: Any) -> int:
        key = self._replicas.key
        if key is not None:
            return _stable_hash(key(args)) % len(self._loads)
        return self._idlest()

    def _idlest(self) -> int:
        return self._loads.index(min(self._loads))

    def _deal(self, replica: int, batch: Batch, origin: tuple[_Dealing, int], args: Any) -> None:
        step = batch.chain.steps[batch.step]
        chains = self._chains.get(id(step))
        if chains is None:
            chains = self._chains[id(step)] = self._make_chains(batch.chain, step)
        tickets: tuple[int, ...] = ()
        if not batch.on_control_lane:
            tickets = (self._tickets[replica],)
            self._tickets[replica] += 1
        dealt = Batch(chains[replica], 0, tickets, [args], 1, on_control_lane=batch.on_control_lane)
        dealt.origin = origin
        dealt.tracked = batch.tracked
        self._loads[replica] += 1
        self._sink.forward(self._first + replica, dealt)

    def _make_chains(self, chain: Chain, step: Step) -> list[Chain]:
        chains = []
        for replica in range(len(self._loads)):
            index = self._first + replica
            own = Step(index, self._replicas.callbacks(replica, step), order=(index, ALL_CHAINS))
            chains.append(
                Chain(chain.event, chain.number, (own,), False, chain.is_control_event)  # noqa: FBT003
            )
        return chains

    def _release(self, dealings: deque[_Dealing]) -> None:
        """Send on the finished events, up to the first unfinished one."""
        while dealings:
            dealing = dealings[0]
            batch, results = dealing.batch, dealing.results
            survivors: list[Any] = []
            dead = 0
            begin = end = dealing.released
            while end < len(results) and (result := results[end]) is not None:
                survivors += result.items
                result.items.clear()
                dead += result.dead
                self._left += result.left
                if result.done is not None:
                    batch.done = batch.done or []
                    batch.done += result.done
                if result.failed is not None:
                    batch.failed = batch.failed or []
                    batch.failed += result.failed
                end += 1
            if end == len(results):
                dealings.popleft()
                dealt = batch.items
                self._finish(batch, survivors, dead, batch.size, last=batch.last)
                dealt.clear()
                continue
            if end > begin:
                dealing.released = end
                size = end - begin
                batch.size -= size
                done = Batch(batch.chain, batch.step, batch.tickets, [], size)
                done.tracked = batch.tracked
                done.take_ends_of(batch)
                self._finish(done, survivors, dead, size, last=False)
            return


def _stable_hash(key: Hashable) -> int:
    """Return a hash that is the same in every process, for text, numbers and tuples of them.

    Python's own hash of text differs from process to process, and so would the shares of the
    replicas. A subclass with a `__hash__` of its own keeps it: equal keys must have equal hashes.
    """
    if key is None:
        return 0
    if isinstance(key, str) and type(key).__hash__ is str.__hash__:
        return zlib.crc32(key.encode("utf-8", "surrogatepass"))
    if isinstance(key, bytes) and type(key).__hash__ is bytes.__hash__:
        return zlib.crc32(key)
    if isinstance(key, tuple) and type(key).__hash__ is tuple.__hash__:
        return hash(tuple(map(_stable_hash, key)))  # of integers: it has no random seed
    return hash(key)
