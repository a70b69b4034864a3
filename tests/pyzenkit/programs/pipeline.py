"""A pipeline as its author wrote it for pyzenkit: several components, and most hooks overridden."""

import os
import signal
import sys
import time

from pyzenkit.baseapp import BaseApp
from pyzenkit.zendaemon import (
    SIGNALS_TO_NAMES_DICT,
    EventQueueManager,
    QueueEmptyException,
    ZenDaemon,
    ZenDaemonComponent,
    ZenDaemonStopException,
    calc_statistics,
)

TRACE = os.open(os.environ["TRACE"], os.O_WRONLY)


def say(*words):
    # Unbuffered: under pyzenkit a signal handler may say something in the middle of it.
    os.write(TRACE, (" ".join(map(str, words)) + "\n").encode())


class SourceComponent(ZenDaemonComponent):
    """Make words."""

    def __init__(self, words, **kwargs):
        super().__init__(**kwargs)
        self.words = words
        self.name = "source"
        self.log = []
        self.options = kwargs

    def get_events(self):
        return [
            self.gen_event_handler("start", self.cbk_event_start),
            self.gen_event_handler("word", self.cbk_event_word),
            self.gen_event_handler("later", self.cbk_event_later),
            self.gen_event_handler("beat", self.cbk_event_beat),
            self.gen_event_handler("stop", self.cbk_event_stop),
        ]

    def cbk_event_start(self, daemon, args):
        say("source start", args)
        for word in self.words:
            daemon.queue.schedule("word", {"text": word, "by": ["source"]})
        daemon.queue.schedule_next("word", {"text": "first", "by": ["next"]})
        daemon.queue.schedule_at(time.time() - 5, "word", {"text": "overdue", "by": ["at"]})
        daemon.queue.schedule_after(3600, "later", "never")
        daemon.queue.schedule("later", "now")
        daemon.queue.schedule("beat")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_word(self, daemon, args):
        self.log.append(args["text"])
        args["by"].append(self.name)
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_beat(self, daemon, args):
        # pyzenkit overlooks a signal that comes just before it waits, until it wakes up.
        if not daemon.is_done():
            daemon.queue.schedule_after(0.5, "beat")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_later(self, daemon, args):
        say("later", args, self.log, self.options)
        say("ready")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_stop(self, daemon, args):
        daemon.queue.schedule("word", {"text": "last", "by": ["stop"]})
        daemon.queue.schedule_after(0.5, "later", "after the stop")
        return (daemon.FLAG_CONTINUE, args)


class CheckComponent(ZenDaemonComponent):
    """Come first, and drop what is too long."""

    def get_events(self):
        return [self.gen_event_handler("word", self.cbk_event_word, True)]

    def cbk_event_word(self, daemon, args):
        if len(args["text"]) > 8:
            say("dropped", args["text"])
            self.inc_statistic("cnt_dropped")
            return (daemon.FLAG_STOP, args)
        args["by"].append("check")
        return (daemon.FLAG_CONTINUE, args)


class Wrapped:
    """Count the calls of a callback."""

    calls = 0

    def __init__(self, callback):
        self.callback = callback

    def call(self, daemon, args):
        Wrapped.calls += 1
        return self.callback(daemon, args)


class SinkComponent(ZenDaemonComponent):
    """Write words."""

    def get_events(self):
        return [
            {"event": "word", "callback": self.cbk_event_word, "prepend": False},
            {"event": "word", "callback": self.cbk_event_count, "prepend": False},
        ]

    def cbk_event_word(self, daemon, args):
        say("word", args["text"], args["by"])
        return (daemon.FLAG_CONTINUE, dict(args, seen=True))

    def cbk_event_count(self, daemon, args):
        self.inc_statistic("cnt_words")
        self.inc_statistic("cnt_" + str(args["seen"]))
        return (daemon.FLAG_CONTINUE, None)


class PipelineDaemon(ZenDaemon):
    """The daemon."""

    def _init_paths(self, **kwargs):
        paths = super()._init_paths(**kwargs)
        paths["tmp"] = self.get_resource_path_fr("/scratch")
        return paths

    def _parse_cli_arguments(self, argparser):
        arguments = super()._parse_cli_arguments(argparser)
        arguments["parsed"] = True
        return arguments

    def _init_name(self, **kwargs):
        return super()._init_name(**kwargs) + "-x"

    def _init_callbacks(self, **kwargs):
        super()._init_callbacks(**kwargs)
        self._init_event_callback("word", self.cbk_event_any_word)

    def _init_event_callback(self, event, callback, prepend=False):
        if callback.__name__ == "cbk_event_count":
            callback = Wrapped(callback).call
        super()._init_event_callback(event, callback, prepend)

    def _init_components(self, **kwargs):
        kwargs[self.CONFIG_COMPONENTS] = [
            SourceComponent(["one", "two", "incomprehensible"], color="red"),
            CheckComponent(),
            SinkComponent(),
        ]
        super()._init_components(**kwargs)
        self._init_event_callback("late", self.cbk_event_late)

    def _init_schedule(self, **kwargs):
        super()._init_schedule(**kwargs)
        self.queue.schedule("late", self.queue.count())

    def cbk_event_any_word(self, daemon, args):
        args["by"].append("daemon")
        return (self.FLAG_CONTINUE, args)

    def cbk_event_late(self, daemon, args):
        say("late", args)
        return (daemon.FLAG_CONTINUE, args)

    def _configure_from_cli(self):
        super()._configure_from_cli()
        say("cli", self._config_cli["parsed"])

    def _configure_from_file(self):
        super()._configure_from_file()
        say("file", self._config_file)

    def _configure_from_dir(self):
        super()._configure_from_dir()
        say("dir", self._config_dir)

    def _configure_merge(self):
        super()._configure_merge()
        say("merged", [self.config[key] for key in ("one", "two", "three", "umask", "input")])

    def _configure_plugins(self):
        super()._configure_plugins()
        say("plugins", self._plugins)

    def _stage_setup_configuration(self):
        super()._stage_setup_configuration()
        logging = self.config[self.CORE][self.CORE_LOGGING]
        say("logging", sorted(logging.items()), self.cc(self.CORE_STATE))

    def _stage_setup_plugins(self):
        say("stage plugins")
        super()._stage_setup_plugins()

    def _stage_setup_dump(self):
        say("stage dump", len(self.callbacks["word"]), sorted(self.callbacks))
        super()._stage_setup_dump()

    def _stage_setup(self):
        super()._stage_setup()
        say("stage setup over", type(self.logger).__name__, self.logger.name)

    def _stage_process(self):
        say("stage process")
        super()._stage_process()

    def _stage_teardown(self):
        say("stage teardown")
        super()._stage_teardown()

    def _stage_action(self):
        say("stage action", self.c("action"))
        super()._stage_action()

    def _daemonize(self):
        before = sorted(os.listdir(self.paths["run"]))
        super()._daemonize()
        names = [name for name in os.listdir(self.paths["run"]) if name not in before]
        with open(os.path.join(self.paths["run"], names[0])) as file:
            pid = int(file.readline())
        serial = self._get_process_serial()
        say("daemonized", len(names), names[0] == f"pipeline.py-x.{serial}.pid")
        say("pid", pid == os.getpid(), os.getcwd(), oct(os.umask(os.umask(0))))

    def _event_loop(self):
        try:
            super()._event_loop()
        except QueueEmptyException:
            say("loop: empty")
            raise
        except ZenDaemonStopException:
            say("loop: stop")
            raise
        finally:
            say(
                "counted",
                Wrapped.calls,
                self.components[2].statistics_cur,
                self.components[1].statistics_cur,
            )

    def cbk_action_tools(self):
        queue = EventQueueManager()
        queue.schedule("b")
        queue.schedule_next("a", 1)
        queue.schedule_at(1, "c")
        say(queue.count(), queue.next(), queue.next(), queue.wait() == 0, queue.next())
        try:
            queue.next()
        except QueueEmptyException:
            say("empty")
        stats = calc_statistics({"x": 10, "y": {"z": 0}}, {"x": 5}, 2)
        say(stats["x"], stats["y"]["z"]["cnt"])
        say(SIGNALS_TO_NAMES_DICT[signal.SIGUSR1], self.c("input"), self.c("limit"))
        say(self._pidfiles_list(reverse=True), self._get_fn_state().count("."))
        say(sorted(self._utils_detect_actions())[-3:], BaseApp.RC_FAILURE, BaseApp.FLAG_DEBUG)

    def cbk_action_excout(self):
        self.excout("it is over", 8)

    def cbk_action_break(self):
        raise LookupError("> not a ZenAppException")


if __name__ == "__main__":
    PipelineDaemon(
        components=None,
        default_no_daemon="--background" not in sys.argv,
        default_one=0,
        schedule=[("start", "s"), ("word", {"text": "initial", "by": []})],
        schedule_next=[("word", {"text": "very", "by": []})],
        schedule_after=[(3600, "later", "x")] if "--wait" in sys.argv else [],
        schedule_at=[(5, "word", {"text": "at 5", "by": []})],
        path_run="run",
        path_log="log",
        path_cfg="etc",
    ).run()
