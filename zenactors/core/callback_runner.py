"""Run the callbacks of one component on events, and decide what becomes of each. Pure."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from zenactors.core.callbacks import (
    FLAG_CONTINUE,
    Callback,
    callback_name,
    invalid_answer,
    read_answer,
)
from zenactors.core.chain import Step
from zenactors.core.failure_handler import UNHANDLED, FailureHandler, Fate
from zenactors.core.messages import Batch
from zenactors.core.tokens import Tracked


class CallbackRunner(FailureHandler):
    """The part of a runner that calls callbacks: on each of some events of one batch.

    Thread: own.
    """

    __slots__ = ()

    def _run(self, batch: Batch, step: Step, items: list[Any], survivors: list[Any]) -> int:
        """Run a step's callbacks on each of `items`; return how many were dead-lettered."""
        each = iter(items)
        self._calls += 1
        self._under_way = each
        callbacks = step.callbacks
        if self.is_limited:
            callbacks = self._limited(callbacks)
        if len(callbacks) > 1 or self._unpacked:
            return self._run_several(batch, callbacks, each, survivors)
        callback = callbacks[0]
        if batch.tracked:
            return self._run_tracked(batch, callback, each, survivors)
        daemon = self._daemon
        survive = survivors.append
        dead = 0
        args = result = None
        while True:
            # Everything is contained here: a SystemExit that reached pykka's loop would end
            # every actor of the process.
            try:
                for args in each:
                    result = None  # if the call itself fails, this is not the last one's
                    result = callback(daemon, args)
                    if result is None:
                        survive(args)
                        continue
                    # The usual answer first: `read_answer` would add a tenth to every event.
                    flag, changed = result
                    if flag is FLAG_CONTINUE and type(result) is tuple:
                        survive(changed)
                        continue
                    answer = read_answer(result, unpacked=False)
                    if answer is None:
                        raise invalid_answer(callback, result)
                    if answer[0]:
                        survive(changed)
            except BaseException as cause:  # see above
                fate = self._contain(batch, callback, args, cause, result)
                dead += self._dispose(batch, fate, args, survivors)
                if self._pauses():
                    self._not_run = operator.length_hint(each) + (fate is Fate.AGAIN)
                    return dead
            else:
                args = result = changed = answer = None  # a dead letter keeps this frame
                return dead

    def _limited(self, callbacks: tuple[Callback, ...]) -> tuple[Callback, ...]:
        last = len(callbacks) - 1
        return tuple(
            _Limited(self, callback, number, is_last=number == last)
            for number, callback in enumerate(callbacks)
        )

    def _run_tracked(
        self, batch: Batch, callback: Callback, each: Iterator[Any], survivors: list[Any]
    ) -> int:
        """Run a callback on each of some events that may carry tokens; see `_run`."""
        daemon = self._daemon
        survive = survivors.append
        dead = 0
        item = args = result = None
        while True:
            try:
                for item in each:
                    result = token = None
                    args = item
                    if type(item) is Tracked:
                        token, args = item.token, item.args
                        if token.skip:
                            token.pass_over(1)
                            survive(item)
                            continue
                    self.token = token
                    result = callback(daemon, args)
                    if result is None:
                        survive(item)
                        continue
                    flag, changed = result
                    if flag is FLAG_CONTINUE and type(result) is tuple:
                        if token is not None:
                            item.args = changed  # of nobody else: an event is in one place
                            survive(item)
                        else:
                            survive(changed)
                        continue
                    answer = read_answer(result, unpacked=False)
                    if answer is None:
                        raise invalid_answer(callback, result)
                    self._dispose(batch, answer, changed, survivors)
            except BaseException as cause:  # contained, as in `_run`
                fate = self._contain(batch, callback, args, cause, result)
                dead += self._dispose(batch, fate, args, survivors)
                if self._pauses():
                    self._not_run = operator.length_hint(each) + (fate is Fate.AGAIN)
                    self.token = None
                    return dead
            else:
                item = args = result = changed = answer = self.token = None  # as in `_run`
                return dead

    def _run_several(
        self,
        batch: Batch,
        callbacks: tuple[Callback, ...],
        each: Iterator[Any],
        survivors: list[Any],
    ) -> int:
        dead = 0
        for item in each:
            token = None
            if type(item) is Tracked:
                token, item = item.token, item.args  # noqa: PLW2901 - the event's own args
            self.token = token
            begin, args = 0, item
            if token is not None and token.skip:
                begin = min(token.skip, len(callbacks))
                token.pass_over(begin)
            if self._resume is not None and batch is self._batch:
                (begin, args), self._resume = self._resume, None
            fate = self._run_all(batch, callbacks, begin, args)
            dead += self._dispose(batch, fate, item, survivors)
            self.token = None
            if self._pauses():
                self._not_run = operator.length_hint(each) + (fate is Fate.AGAIN)
                break
        item = args = None  # as in `_run`
        return dead

    def _run_all(
        self, batch: Batch, callbacks: tuple[Callback, ...], begin: int, args: Any
    ) -> Fate | tuple[bool, Any]:
        """Run the callbacks of a step on one event, from the one with the number `begin` on.

        Returns:
            Whether the event continues, and with which args; or its fate.
        """
        daemon = self._daemon
        unpacked = self._unpacked
        answer: Fate | tuple[bool, Any] | None
        for position in range(begin, len(callbacks)):
            callback, result = callbacks[position], None
            try:
                result = callback(daemon, args)
                if result is None and not unpacked:
                    continue
                answer = read_answer(result, unpacked=unpacked)
                if answer is None:
                    raise invalid_answer(callback, result)
            except BaseException as cause:  # contained, as in `_run`
                answer = self._contain(batch, callback, args, cause, result)
                if isinstance(answer, Fate):
                    if answer in UNHANDLED and self._goes_on(batch):
                        if self.failure is None or position + 1 == len(callbacks):
                            continue
                        self._held.append((batch, position + 1, args))
                        return Fate.AGAIN
                    if answer is Fate.AGAIN:
                        self._resume = position, args
                    return answer
            if not answer[0]:
                return answer
            args = answer[1]
        return True, args

    def _dispose(
        self, batch: Batch, fate: Fate | tuple[bool, Any], args: Any, survivors: list[Any]
    ) -> int:
        """Add an event to the survivors if it continues. Return 1 if it is dead, else 0."""
        continues, args = fate if isinstance(fate, tuple) else (False, args)
        is_dead = fate is Fate.DEAD
        if fate in UNHANDLED and self._goes_on(batch):
            continues, is_dead = True, False
        token = self.token
        if continues:
            survivors.append(args if token is None else Tracked(args, token))
        elif token is not None and fate is not Fate.AGAIN:
            if isinstance(fate, tuple):  # it ended by FLAG_STOP
                batch.done = batch.done or []
                batch.done.append(token)
            else:
                batch.failed = batch.failed or []
                batch.failed.append(token)
        return int(is_dead)


class _Limited:
    """A callback of a component with a hard limit: each call has a turn.

    Attributes:
        number: Its place among the callbacks of its step.
        is_last: True for the last of them.
    """

    __slots__ = ("__name__", "_callback", "_runner", "is_last", "number")

    def __init__(
        self, runner: CallbackRunner, callback: Callback, number: int, *, is_last: bool
    ) -> None:
        self.__name__ = callback_name(callback)
        self.number = number
        self.is_last = is_last
        self._callback = callback
        self._runner = runner

    def __repr__(self) -> str:
        return repr(self._callback)

    def __call__(self, daemon: Any, args: Any) -> Any:
        runner = self._runner
        turn = runner.begin_turn(self, args)
        try:
            return self._callback(daemon, args)
        finally:
            runner.end_turn(turn)
