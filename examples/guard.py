"""Raise an alarm for each address whose logins fail too often: an application of stock parts.

    mkdir -p build/guard
    python examples/guard.py --no-daemon --log examples/data/auth.log --directory build/guard

Alarms go to `alarms.jsonl` and to the table `alarms` of `guard.db`, each of them once, also after a
kill -9. SIGHUP reads the configuration again. See docs/cookbook-alarms.md.
"""

from typing import Any

from pydantic import Field

from zenactors import Daemon, ZenDaemon, handles
from zenactors.components import (
    FileTailer,
    HttpPoller,
    JsonLinesWriter,
    Parse,
    RecordStep,
    SqliteSink,
    WindowedCounter,
)

FAILED = r"Failed \w+ for (?:invalid user )?(?P<user>.*) from (?P<address>\S+) port \d+"
LOGINS, ALARMS, ALLOWED = ({"lines": each} for each in ("lines", "alarm", "allowed"))


class AllowList(RecordStep):
    """Leave out records with an address of the list that has come last."""

    allowed: frozenset[Any] = frozenset()

    @handles("allowed")
    def cbk_event_allowed(self, daemon: Daemon, records: list[dict[str, Any]]) -> None:
        self.allowed = frozenset(record["address"] for record in records)
        self.log.info("{count} addresses are allowed", count=len(self.allowed))

    def apply(self, daemon: Daemon, records: list[Any]) -> list[Any]:
        return [record for record in records if record["address"] not in self.allowed]


class Guard(ZenDaemon):
    class Options(ZenDaemon.Options):
        log: str = Field("/var/log/auth.log", description="Log to follow.")
        failures: int = Field(5, ge=1, description="Failed logins that raise an alarm.")
        window: float = Field(600.0, gt=0, description="Seconds in which they must come.")
        allow_url: str = Field("", description="URL of a JSON list of {address} to allow.")
        directory: str = Field("/var/lib/guard", description="Directory of alarms and state.")

    def make_components(self) -> list[Any]:
        window, directory = self.c("window"), self.c("directory")
        url = self.c("allow_url")
        return [
            *([HttpPoller(url=url, interval=60.0, event_map=ALLOWED)] if url else []),
            FileTailer(patterns=[self.c("log")], start="beginning", exactly_once=True),
            Parse(format="syslog", zone="local", name="syslog"),
            Parse(format="regex", pattern=FAILED, field="message", name="failures"),
            AllowList(),
            WindowedCounter(
                by=["address"],
                size=window,
                slide=window / 20,
                time="time",
                threshold=self.c("failures"),
                report=False,
            ),
            JsonLinesWriter(path=f"{directory}/alarms.jsonl", event_map=ALARMS),
            SqliteSink(
                path=f"{directory}/guard.db",
                table="alarms",
                key=["address", "end"],
                event_map=ALARMS,
            ),
        ]


if __name__ == "__main__":
    Guard(name="guard", default_state_dir="/var/lib/guard/state").run()
