"""Validate SPEC and show its components, chains and their order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zenactors.cli.output import write_tables
from zenactors.daemon.command_line import assignments_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from zenactors.daemon.zendaemon import ZenDaemon

# Not a docstring, which `python -OO` drops.
USAGE = """\
Validate SPEC and show its components, chains and their order.

Usage:
  zenactors check [options] [--set KEY=VALUE]... SPEC
  zenactors check (-h | --help)

SPEC is the path of a TOML file, or package.module:attribute. The modules that it names
are imported and the components are constructed, but nothing is started. The [[tests]] of a
file are validated; zenactors test runs them.

Options:
  --app-dir DIR    Search this directory first for modules; default: the current directory.
  --set KEY=VALUE  Set one key, also of a table or of a component, as for zenactors run; may be
                   repeated.
  -h, --help       Show this help.

Exit status 0: SPEC is valid. 78: it is not; each problem is a line on standard error.
"""


def main(arguments: dict[str, Any]) -> int:
    """Run the command and return its exit status."""
    from zenactors import spec  # noqa: PLC0415 - slow to import; --help must be fast

    assignments = assignments_in(arguments, USAGE)
    app_dir = Path(arguments["--app-dir"] or ".")
    daemon, cases = spec.load_with_tests(arguments["SPEC"], app_dir, assignments=assignments)
    if cases:
        from zenactors.testing._cases.faults import check_faults  # noqa: PLC0415

        check_faults(cases, daemon)
    _show(daemon, spec.emitted_by)
    return 0


def _show(daemon: ZenDaemon, emitted_by: Callable[[Any], Iterable[object]]) -> None:
    from rich.table import Table  # noqa: PLC0415

    chains = daemon.chains()
    components = Table("name", "class", "handles", "emits", title="Components", show_lines=True)
    # The engine's names, which are unique; the first entry is the daemon itself.
    for entry in daemon.dispatcher.entries[1:]:
        name, component = entry.name, entry.component
        handles = {event for event, chain in chains.items() if name in dict(chain)}
        emits = emitted_by(component)
        cls = type(component)
        components.add_row(
            name, f"{cls.__module__}.{cls.__qualname__}", _lines(handles), _lines(emits)
        )
    steps = Table("event", "callbacks, in order", title="Chains", show_lines=True)
    for event, chain in sorted(chains.items(), key=lambda item: str(item[0])):
        steps.add_row(
            str(event),
            "\n".join(f"{n}. {name}.{callback}" for n, (name, callback) in enumerate(chain, 1)),
        )
    for table in (components, steps):
        for column in table.columns:
            column.overflow = "fold"  # on narrow terminals, too, nothing is cut off
    write_tables(components, steps)


def _lines(events: Iterable[object]) -> str:
    return "\n".join(sorted(map(str, events)))
