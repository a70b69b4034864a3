"""A daemon with an event loop of its own, as its author wrote it for pyzenkit."""

import itertools
import os
import select
import signal

from pyzenkit.zendaemon import QueueEmptyException, ZenDaemon, ZenDaemonComponent

TRACE = os.open(os.environ["TRACE"], os.O_WRONLY)
LONGEST = 20.0  # seconds; it ends after a while, even if no signal reaches it


def say(*words):
    os.write(TRACE, (" ".join(map(str, words)) + "\n").encode())


class LoopComponent(ZenDaemonComponent):
    """Says what happens."""

    name = "looper"

    def get_events(self):
        return [
            {"event": event, "callback": self.cbk_event, "prepend": False}
            for event in ("start", "signal_hup", "stop")
        ]

    def cbk_event(self, daemon, args):
        say("event", self.name, daemon.is_done())
        return (daemon.FLAG_CONTINUE, args)


class LoopDaemon(ZenDaemon):
    """The daemon."""

    def _event_loop(self):
        signals, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker)
        for turn in itertools.count():
            try:
                event, args = self.queue.next()
            except QueueEmptyException:
                if turn == 1:
                    say("ready")
                if not select.select([signals], [], [], LONGEST)[0]:
                    break
                os.read(signals, 1)
                continue
            for callback in self.callbacks[event]:
                _, args = callback(self, args)
            if event == self.EVENT_SIGNAL_HUP:
                say("ready")
            if event == self.EVENT_STOP:
                break
        say("the loop has ended", self.flag_loop_done)


if __name__ == "__main__":
    LoopDaemon(
        name="looper.py",
        components=[LoopComponent()],
        schedule_after=[],
        path_run="run",
        path_log="log",
        path_cfg="etc",
        default_config_file_silent=True,
        default_config_dir_silent=True,
    ).run()
