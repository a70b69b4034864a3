"""Run the benchmarks, print a table, and write the same figures as JSON.

Status 0: all were measured, even if they missed their targets. 1: a benchmark failed, because it
did not do the work that it should measure. 2: wrong usage.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import importlib.metadata
import json
import os
import platform
import re
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from loguru import logger
from rich.console import Console
from rich.table import Table

from benchmarks.common import Options, Row

MODULES = {
    "F1": "f01_chain",
    "F2": "f02_ask",
    "F3": "f03_latency",
    "F4": "f04_blocking",
    "F5": "f05_tail",
    "F6": "f06_signal",
    "F8": "f08_memory",
    "F9": "f09_growth",
    "F10": "f10_loop",
    "F11": "f11_live",
    "F12": "f12_global",
    "F13": "f13_pipeline",
    "F14": "f14_tokens",
    "F15": "f15_supervision",
    "F16": "f16_neighbours",
    "F17": "f17_floods",
    "F18": "f18_ways",
    "F19": "f19_pinned",
    "V7": "v7_simulation",
}
STYLES = {"reached": "green", "missed": "red", "failed": "bold red", "not built": "yellow"}


def main() -> int:
    arguments = _parse()
    # The engine's lines would be among the progress. Some benchmarks make components fail on
    # purpose, and each checks its own work.
    logger.remove()
    options = Options(quick=arguments.quick, pairs=arguments.pairs or (2 if arguments.quick else 7))
    began = time.monotonic()
    environment = _environment(options)
    rows: list[Row] = []
    for id_ in arguments.only:
        begin = time.monotonic()
        print(f"{id_} …", end=" ", file=sys.stderr, flush=True)
        rows += _run(id_, options)
        print(f"{time.monotonic() - begin:.1f} s", file=sys.stderr)
    environment["seconds"] = round(time.monotonic() - began, 1)
    arguments.json.parent.mkdir(parents=True, exist_ok=True)
    arguments.json.write_text(as_text(environment, rows), "utf-8")
    # A pipe has no width, and a table of 80 columns would lose figures.
    console = Console() if sys.stdout.isatty() else Console(width=170)
    console.print(_table(rows, environment))
    console.print(f"Written to {arguments.json}.")
    return 1 if any(row.verdict == "failed" for row in rows) else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="run everything briefly; the figures mean nothing"
    )
    parser.add_argument("--only", type=_ids, default=list(MODULES), metavar="F1,F10")
    parser.add_argument("--json", type=Path, default=Path("build/bench.json"), metavar="FILE")
    parser.add_argument(
        "--pairs", type=_positive, metavar="N", help="interleaved pairs (default: 7; quick: 2)"
    )
    return parser.parse_args()


def _ids(text: str) -> list[str]:
    ids = [word.strip().upper() for word in text.split(",")]
    for id_ in ids:
        if id_ not in MODULES:
            raise argparse.ArgumentTypeError(f"{id_!r} is not one of {', '.join(MODULES)}")
    return ids


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


def _run(id_: str, options: Options) -> list[Row]:
    rows: list[Row] = []
    try:
        rows.extend(importlib.import_module(f"benchmarks.{MODULES[id_]}").run(options))
    except Exception as cause:  # the other benchmarks can still be measured
        traceback.print_exc()
        note = f"{type(cause).__name__}: {str(cause).splitlines()[0] if str(cause) else ''}"
        rows.append(Row(id=id_, case="stopped here", verdict="failed", note=note))
    return rows


def as_text(environment: dict[str, Any], rows: list[Row]) -> str:
    """Return JSON, a line for each row."""
    lines = ",\n".join(json.dumps(row.as_json(), ensure_ascii=False) for row in rows)
    head = json.dumps(environment, ensure_ascii=False)
    return f'{{"environment": {head},\n"rows": [\n{lines}\n]}}\n'


def _environment(options: Options) -> dict[str, Any]:
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        "cpu": _cpu_model(),
        "cpus": os.cpu_count(),
        "load_before": [round(load, 2) for load in os.getloadavg()],
        "pyzenkit": importlib.metadata.version("pyzenkit"),
        "pykka": importlib.metadata.version("pykka"),
        "quick": options.quick,
        "pairs": options.pairs,
    }


def _cpu_model() -> str:
    """Return the name of the processor, or of the architecture where Linux gives no name."""
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8")
    except OSError:
        text = ""
    found = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return found[1].strip() if found else platform.machine()


def _table(rows: list[Row], environment: dict[str, Any]) -> Table:
    quick = " · QUICK: the figures mean nothing" if environment["quick"] else ""
    table = Table(
        title=f"zenactors · Python {environment['python']} · {environment['cpus']} CPUs ·"
        f" load before {environment['load_before'][0]} · {environment['seconds']} s{quick}",
        caption="Medians of interleaved pairs; in brackets the smallest and largest ratio. The"
        " ratio is ours / peer, or ours / target without a peer.",
    )
    for heading in ("id", "case", "ours", "peer", "ratio", "target", "verdict", "note"):
        right = heading in ("ours", "peer", "ratio", "target")
        table.add_column(
            heading, justify="right" if right else "left", overflow="fold", no_wrap=right
        )
    for row in rows:
        verdict = f"[{STYLES[row.verdict]}]{row.verdict}" if row.verdict in STYLES else row.verdict
        note = f"peer: {row.peer_name}" if row.peer_name else ""
        table.add_row(
            row.id,
            row.case,
            _figure(row.ours, row.unit),
            _figure(row.peer, ""),
            _ratio(row),
            str(row.target or "-"),
            verdict,
            "; ".join(filter(None, (note, row.note))),
        )
    return table


def _figure(value: float | None, unit: str) -> str:
    if value is None:
        return "-"
    return f"{value:,.0f} {unit}".rstrip() if value >= 100 else f"{value:,.2f} {unit}".rstrip()


def _ratio(row: Row) -> str:
    if row.ratio is None:
        return "-"
    spread = f" ({row.low:.2f}-{row.high:.2f})" if len(row.samples) > 1 else ""
    return f"{row.ratio:.2f}{spread}"


if __name__ == "__main__":
    sys.exit(main())
