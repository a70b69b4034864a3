"""The dispatcher's decisions, noted in the trace."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from zenactors.core.chain_state import ChainState
from zenactors.core.dispatch_state import DispatchState
from zenactors.core.messages import NEW, Batch, ManyScheduled, OpenRun, Scheduled, Sent
from zenactors.core.tokens import Tracked
from zenactors.testing._simulator.recorder import Recorder

if TYPE_CHECKING:
    from zenactors.core.chain import Chain


class ObservedDispatchState(DispatchState):
    """A `DispatchState` whose decisions are noted in the trace."""

    def __init__(
        self,
        chains: dict[Any, Chain],
        recorder: Recorder,
        place: Callable[[dict[Any, Chain]], None],
        **options: Any,
    ) -> None:
        super().__init__(chains, **options)
        self._recorder = recorder
        self._place = place

    def pass_by(self, limits: Mapping[int, int]) -> None:
        """Let chains pass best-effort components."""
        super().pass_by(limits)
        self._place({event: each.chain for event, each in self.chain_states.items()})

    def accept(self, scheduled: Scheduled) -> None:
        """Accept a scheduled event."""
        if scheduled.location is NEW:
            self._recorder.scheduled(scheduled)
        super().accept(scheduled)

    def accept_run(self, run: OpenRun, limit: int) -> int:
        """Accept events that were appended to an open run."""
        self._recorder.appended(run, min(len(run.args), run.taken + limit))
        return super().accept_run(run, limit)

    def accept_many(self, many: ManyScheduled, limit: int) -> int:
        """Accept events that were scheduled at once."""
        self._recorder.scheduled_at_once(many)
        return super().accept_many(many, limit)

    def cancel_many(self, many: ManyScheduled) -> int:
        """Cancel those of many events that were not started yet."""
        self._recorder.scheduled_at_once(many)
        who = self._recorder.who(self._recorder.hub.ident())
        for args in [*self.queue.queued_of(many), *itertools.chain(*many.chunks)]:
            bare = args.args if type(args) is Tracked else args
            self._recorder.trace.taken_out(who, many.event, bare)
        return super().cancel_many(many)

    def admit(self, arriving: Scheduled | None = None) -> list[Batch]:
        """Start what may start now."""
        if arriving is not None and arriving.location is NEW:
            self._recorder.scheduled(arriving)
        return super().admit(arriving)

    def cancel(self, scheduled: Scheduled) -> bool:
        """Cancel an event."""
        noted = scheduled
        if type(scheduled) is Sent:
            number = scheduled.number
            noted = self._recorder.appended(scheduled.run, number + 1)[number]
        cancelled = super().cancel(scheduled)
        if cancelled:
            who = self._recorder.who(self._recorder.hub.ident())
            self._recorder.trace.cancelled(who, noted)
        return cancelled

    def take_next(self) -> tuple[Any, Any]:
        """Remove the next event from the queue instead of starting it."""
        event, args = super().take_next()
        who = self._recorder.who(self._recorder.hub.ident())
        self._recorder.trace.taken_out(who, event, args)
        return event, args

    def _start(self, chain_state: ChainState, items: list[Any]) -> Batch:
        batch = super()._start(chain_state, items)
        self._note(chain_state, items)
        return batch

    def _start_control(self, chain_state: ChainState, args: Any) -> Batch:
        batch = super()._start_control(chain_state, args)
        self._note(chain_state, [args])
        return batch

    def _join(self, chain_state: ChainState, items: list[Any], latest: dict[int, Batch]) -> bool:
        joined = super()._join(chain_state, items, latest)
        if joined:
            self._note(chain_state, items)
        return joined

    def _note(self, chain_state: ChainState, items: list[Any]) -> None:
        chain = chain_state.chain
        to = self._recorder.component(chain.all_steps()[0].component)
        if chain.steps:
            to = self._recorder.component(chain.steps[0].component)
        args = [item.args if type(item) is Tracked else item for item in items]
        self._recorder.trace.started(chain.event, args, to, ends=not chain.steps)
