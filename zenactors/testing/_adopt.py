"""Give components a harness's time, random numbers and files instead of the machine's."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from random import Random
from typing import TYPE_CHECKING, Any

from zenactors.components._files import SYSTEM_FILES
from zenactors.core.component import Unseeded, ZenDaemonComponent, set_clock
from zenactors.errors import ConfigurationError
from zenactors.testing._trace.describe import describe
from zenactors.testing.files import VirtualFiles

if TYPE_CHECKING:
    from zenactors.core.clock import Clock

_USED = "_zenactors_in_a_harness"  # set on a component: no other harness takes it


def adopt(
    name: str, component: Any, *, clock: Clock, seed: object, files: VirtualFiles | None, life: int
) -> None:
    """Prepare a component for its run.

    Args:
        name: Its name, as errors give it.
        component: Only a `ZenDaemonComponent` is changed.
        clock: Its new clock.
        seed: With the name, the seed of its random numbers; 0 unless it is a whole number.
        files: The files of a stock component; None: the disk.
        life: Counts the starts of the process; each has random numbers of its own.

    Raises:
        ConfigurationError: The component was in a harness before.
    """
    if not isinstance(component, ZenDaemonComponent):
        return
    if vars(component).get(_USED):
        raise ConfigurationError(
            f"Component {name!r} was in a harness before: make new components for each, and"
            " in a scenario inside build()."
        )
    # A component may forbid changes, as a frozen dataclass does.
    give = functools.partial(object.__setattr__, component)
    give(_USED, True)  # noqa: FBT003 - its value
    set_clock(component, clock)
    own = vars(component).get("random")
    inherits = type(component).random is ZenDaemonComponent.random
    if inherits and (own is None or type(own) is Unseeded):
        number = seed if isinstance(seed, int) else 0
        text = f"{number}:{name}" if life == 1 else f"{number}:{name}:{life}"
        give("random", Random(text))  # noqa: S311 - no secret
    if files is not None and getattr(type(component), "files", None) is SYSTEM_FILES:
        give("files", files)


def virtual_files(
    files: VirtualFiles | Mapping[str, str | bytes] | None,
) -> VirtualFiles | None:
    """Return the files that a harness was given, as `VirtualFiles`; None if it uses the disk.

    Raises:
        TypeError: They are neither `VirtualFiles` nor contents by path.
    """
    if files is None or isinstance(files, VirtualFiles):
        return files
    if not isinstance(files, Mapping):
        raise TypeError(f"files must be VirtualFiles, or contents by path, not {describe(files)}.")
    made = VirtualFiles()
    for path, content in files.items():
        if not isinstance(content, str | bytes):
            raise TypeError(
                f"The content of {path!r} must be str or bytes, not {describe(content)}."
            )
        made.put(path, content)
    return made
