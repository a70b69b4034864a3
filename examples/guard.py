"""Raise an alarm for each address whose logins fail too often: an application of stock parts.

    mkdir -p build
    python examples/guard.py --no-daemon --log examples/data/auth.log --exit-when-idle

Alarms go to `build/guard/alarms.jsonl` and to the table `alarms` of `build/guard/guard.db`, each of
them once, also after a kill -9. In the background, without --no-daemon, it follows /var/log/auth.log
through its rotations. SIGHUP reads its configuration again.
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from zenactors import ZenDaemon, ZenDaemonComponent, handles
from zenactors.components import (
    FileTailer,
    HttpPoller,
    JsonLinesWriter,
    Parse,
    RecordStep,
    SqliteSink,
    SyslogParser,
    WindowedCounter,
)

FAILED = r"Failed \w+ for (?:invalid user )?(?P<user>\S+) from (?P<address>\S+) port \d+"


class AllowList(RecordStep):
    """Leave out records with an address of the list that the event `allowed` has brought last."""

    allowed: frozenset[Any] = frozenset()

    @handles("allowed")
    def cbk_event_allowed(self, daemon: Any, records: list[dict[str, Any]]) -> None:
        self.allowed = frozenset(record["address"] for record in records)

    def apply(self, daemon: Any, records: list[Any]) -> list[Any]:
        return [record for record in records if record["address"] not in self.allowed]


class Guard(ZenDaemon):
    """Follows the log, counts the failures of each address in a sliding window, raises alarms."""

    class Options(ZenDaemon.Options):
        log: str = Field("/var/log/auth.log", description="Log to follow.")
        failures: int = Field(5, ge=1, description="Failed logins that raise an alarm.")
        window: float = Field(600.0, gt=0, description="Seconds in which they must come.")
        allow_url: str = Field("", description="URL of a JSON list of allowed addresses.")
        directory: str = Field("build/guard", description="Directory of the alarms.")

    def make_components(self) -> list[ZenDaemonComponent]:
        window = self.c("window")
        allowed = HttpPoller(url=self.c("allow_url"), event_map={"lines": "allowed"})
        return [
            *([allowed] if self.c("allow_url") else []),
            FileTailer(patterns=[self.c("log")], start="beginning", exactly_once=True),
            SyslogParser(zone="local"),
            Parse(format="regex", field="message", pattern=FAILED),
            AllowList(),
            WindowedCounter(
                by=["address"],
                size=window,
                slide=window / 20,
                time="time",
                threshold=self.c("failures"),
                top=10,
            ),
            JsonLinesWriter(path=f"{self.c('directory')}/alarms.jsonl", event_map={"lines": "alarm"}),
            SqliteSink(
                path=f"{self.c('directory')}/guard.db",
                table="alarms",
                key=["address", "end"],
                event_map={"lines": "alarm"},
            ),
        ]


if __name__ == "__main__":
    Guard(name="guard").run()
