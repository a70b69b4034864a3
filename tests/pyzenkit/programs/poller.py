"""A poller as its author wrote it for pyzenkit: plugins, stages, statistics, state and a runlog."""

import json
import os
import signal
import sys
import time

import pyzenkit.baseapp
import pyzenkit.zendaemon

TRACE = os.open(os.environ["TRACE"], os.O_WRONLY)


def say(*words):
    # Unbuffered: under pyzenkit a signal handler may say something in the middle of it.
    os.write(TRACE, (" ".join(map(str, words)) + "\n").encode())


class SayingHandler(pyzenkit.baseapp.logging.Handler):
    """A log handler of the program's own."""

    def emit(self, record):
        say("own handler:", record.getMessage())


class GreetingPlugin(pyzenkit.baseapp.ZenAppPlugin):
    """Adds an option and a key."""

    def init_argparser(self, app, argparser, **kwargs):
        argparser.add_argument("--greeting", default=None)
        return argparser

    def init_config(self, app, config, **kwargs):
        config["greeting"] = kwargs.get("default_greeting", "hello")
        return config

    def configure(self, app):
        say("plugin configure", app.c("greeting"), app.logger is None)
        app.config["greeting"] += "!"

    def setup(self, app):
        say("plugin setup", self, app.c("greeting"), app.logger is not None)


class PollComponent(pyzenkit.zendaemon.ZenDaemonComponent):
    """Poll something three times, and then idle."""

    def __init__(self, **kwargs):
        super().__init__()
        self.polls = 0

    def get_events(self):
        return [
            {"event": daemon_event, "callback": callback, "prepend": False}
            for daemon_event, callback in (
                ("start", self.cbk_event_start),
                ("poll", self.cbk_event_poll),
                ("log_statistics", self.cbk_event_log_statistics),
                ("signal_hup", self.cbk_event_signal),
                ("signal_usr1", self.cbk_event_signal),
                ("finish", self.cbk_event_finish),
                ("beat", self.cbk_event_beat),
            )
        ]

    def cbk_event_start(self, daemon, args):
        say("start", args)
        daemon.queue.schedule("poll", [])
        daemon.queue.schedule("beat")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_poll(self, daemon, args):
        self.polls += 1
        self.inc_statistic("cnt_polls")
        self.inc_statistic("cnt_items", 7)
        args.append(self.polls)
        say("poll", args, daemon.c("greeting"))
        fail = daemon.c("fail")
        if fail and self.polls == 2:
            return self.fail(daemon, fail, args)
        if self.polls < 3:
            daemon.queue.schedule_at(time.time() - 1, "poll", args)
        else:
            daemon.queue.schedule("log_statistics")
        return (daemon.FLAG_CONTINUE, args)

    def fail(self, daemon, fail, args):
        if fail == "raise":
            raise RuntimeError("> the poll failed")
        if fail == "process":
            raise pyzenkit.baseapp.ZenAppProcessException("> cannot poll")
        if fail == "component":
            raise pyzenkit.zendaemon.ZenDaemonComponentException("> cannot poll", number=1)
        if fail == "stop":
            raise pyzenkit.zendaemon.ZenDaemonStopException("> enough")
        if fail == "exit":
            sys.exit(7)
        if fail == "interrupt":
            raise KeyboardInterrupt
        if fail == "unknown":
            daemon.queue.schedule("nobody handles this")
        if fail == "command":
            daemon.execute_command("exit 9")
        if fail == "retc":
            daemon.retc = 6
        if fail == "none":
            return None
        daemon.queue.schedule("log_statistics")
        if fail == "list":
            return [True, args]
        return (2, args)

    def cbk_event_log_statistics(self, daemon, args):
        stats = self.get_statistics()
        text = ""
        for key in sorted(stats):
            text = self.pattern_stats.format(text, key, stats[key]["cnt"], stats[key]["inc"], 0)
        daemon.logger.info("> statistics%s", text.replace("\n\t", " "))
        say("statistics", [(key, stats[key]["cnt"], stats[key]["inc"]) for key in sorted(stats)])
        say("ready")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_signal(self, daemon, args):
        say("signal event")
        daemon.queue.schedule("finish")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_beat(self, daemon, args):
        # pyzenkit overlooks a signal that comes just before it waits, until it wakes up.
        if not daemon.is_done():
            daemon.queue.schedule_after(0.5, "beat")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_finish(self, daemon, args):
        say("finish", daemon.c("umask"), os.getcwd())
        say("ready")
        return (daemon.FLAG_CONTINUE, args)


class PollDaemon(pyzenkit.zendaemon.ZenDaemon):
    """The daemon."""

    def _sub_stage_init(self, **kwargs):
        say("sub_stage_init", kwargs["color"], self.name)
        self.color = kwargs["color"]

    def _init_config(self, cfgs, **kwargs):
        return super()._init_config((("fail", None), ("runlog", None)) + cfgs, **kwargs)

    def _init_argparser(self, **kwargs):
        argparser = super()._init_argparser(**kwargs)
        argparser.add_argument("--fail", type=str, default=None)
        return argparser

    def _stage_setup_privileges(self):
        say("privileges", self.c("user"), self.c("group"))
        super()._stage_setup_privileges()

    def _stage_setup_logging(self):
        super()._stage_setup_logging()
        handler = SayingHandler()
        handler.addFilter(lambda record: record.getMessage().startswith("> "))
        self.logger.addHandler(handler)

    def _sub_stage_setup(self):
        say("before setup")
        super()._sub_stage_setup()
        self.logger.warning("> %s is set up with %d of %s", self.color, 1, {"a": 2})
        say("after setup", self.components[0].polls)

    def _daemonize(self):
        super()._daemonize()
        if self.c("fail") == "handler":
            signal.signal(signal.SIGTERM, self.stop_gracefully)

    def stop_gracefully(self, number, frame):
        say("own handler of", int(number))
        self.set_done()

    def _sub_stage_process(self):
        say("before process", self.is_done())
        super()._sub_stage_process()
        say("after process", self.retc)

    def _sub_stage_teardown(self):
        runlog = {
            "rc": self.retc,
            "statistics": self._fetch_statistics()["components"],
            "rates": sorted(self._get_statistics()["components"]["PollComponent"]),
        }
        with open(self.c("runlog"), "w") as file:
            json.dump(runlog, file, sort_keys=True)
        if self.c("fail") == "teardown":
            raise pyzenkit.baseapp.ZenAppTeardownException("> cannot tear down")

    def get_events(self):
        return super().get_events() + [
            self.gen_event_handler(self.EVENT_SIGNAL_USR1, self.cbk_event_signal_usr1)
        ]

    def cbk_event_start(self, daemon, args):
        say("daemon start", daemon is self)
        return super().cbk_event_start(daemon, {"by": "daemon"})

    def cbk_event_stop(self, daemon, args):
        say("daemon stop", self.is_done(), self.flag_loop_done > 0)
        return super().cbk_event_stop(daemon, args)

    def cbk_event_signal_usr1(self, daemon, args=None):
        say("daemon usr1")
        return (self.FLAG_CONTINUE, args)

    def cbk_event_signal_usr2(self, daemon, args=None):
        super().cbk_event_signal_usr2(daemon, args)
        with open(self._get_fn_state()) as file:
            state = json.load(file)
        del state["time"]
        say("state", sorted(state), state["components"], state["more"], state["rc"])
        say("state", state["callbacks"]["poll"], state["component_list"])
        say("ready")
        return (self.FLAG_CONTINUE, args)

    def _get_state(self):
        state = super()._get_state()
        state["more"] = self.color
        return state

    def _hnd_signal_usr1(self, signum, frame):
        say("handler", signal.Signals(signum).name)
        super()._hnd_signal_usr1(signum, frame)

    def _get_fn_pidfile(self):
        return self.c(self.CONFIG_PID_FILE)

    def cbk_action_greet(self):
        self.p(self.c("greeting"))

    def cbk_action_paths(self):
        for kind in (self.PATH_CFG, self.PATH_RUN, self.PATH_BIN):
            self.p(os.path.relpath(self.paths[kind], os.environ["APP_ROOT_PATH"]))
        self.p(self.get_resource_path("/etc", "a") + " " + str(self.MAX_X))

    def cbk_action_ask(self):
        self.send_signal(signal.SIGUSR1)
        self.send_signal(0)

    MAX_X = pyzenkit.zendaemon.MAX_STOP_ATTEMPTS, pyzenkit.zendaemon.MAX_STOP_TIMEOUT


if __name__ == "__main__":
    daemon = PollDaemon(
        name="poller.py",
        plugins=[GreetingPlugin()],
        components=[PollComponent(name=3, clock="noon")],
        default_greeting="good day",
        color="green",
        path_run="run",
        path_log="log",
        path_cfg="etc",
    )
    try:
        daemon.run()
    finally:
        signal.alarm(0)  # pyzenkit leaves it on after SIGTERM: a slow machine dies of it at the end
