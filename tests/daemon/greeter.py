"""A daemon whose texts are not ASCII; for `test_encodings`."""

from __future__ import annotations

from pydantic import Field

from zenactors import Outcome, ZenDaemon, ZenDaemonComponent


class GreeterDaemon(ZenDaemon):
    """The program."""

    class Options(ZenDaemon.Options):
        """Its configuration."""

        greeting: str = Field("čau", description="Grüße: what to say.")

    def cbk_action_say(self) -> Outcome:
        """Say it: „now“."""
        return Outcome(self.c("greeting"))

    def cbk_action_fail(self) -> Outcome:
        """Fail."""
        return Outcome(f"not {self.c('greeting')}", 1)


if __name__ == "__main__":
    GreeterDaemon(name="greeter", components=[ZenDaemonComponent()]).run()
