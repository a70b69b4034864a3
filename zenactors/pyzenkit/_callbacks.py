"""The callbacks of a daemon's events once the chains are wired: they are read only."""

from __future__ import annotations

from typing import Any, NoReturn


class _Refusing:
    """Raise a `RuntimeError` instead of changing the container. A copy of it is changeable."""

    def _refuse(self, *_args: Any, **_kwargs: Any) -> NoReturn:
        raise RuntimeError(
            "It is too late to change callbacks: register them before the components are set up,"
            " that is before super()._sub_stage_setup()."
        )

    __setitem__ = __delitem__ = __ior__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = popitem = remove = reverse = setdefault = _refuse
    sort = update = _refuse


class WiredCallbacks(_Refusing, dict[Any, Any]):
    """The callbacks of each event. See `_Refusing`."""

    def __init__(self, callbacks: dict[Any, list[Any]]) -> None:
        super().__init__({event: _WiredChain(chain) for event, chain in callbacks.items()})

    def __reduce__(self) -> tuple[Any, ...]:
        return (dict, (dict(self),))


class _WiredChain(_Refusing, list[Any]):
    """The callbacks of one event."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (list, (list(self),))
