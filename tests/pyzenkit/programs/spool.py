"""A spool watcher as its author wrote it for pyzenkit: it adds up the numbers in JSON files."""

import os
import signal
import sys

import pyzenkit.baseapp
import pyzenkit.jsonconf
from pyzenkit.zendaemon import ZenDaemon, ZenDaemonComponent

TRACE = os.open(os.environ["TRACE"], os.O_WRONLY)


def say(*words):
    # Unbuffered: under pyzenkit a signal handler may say something in the middle of it.
    os.write(TRACE, (" ".join(map(str, words)) + "\n").encode())


class WatcherComponent(ZenDaemonComponent):
    """Look for files, and hand each on."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.cid = kwargs.get("cid", "watcher")
        self.spool = None
        self.is_ready = False

    def get_events(self):
        return [
            {"event": "start", "callback": self.cbk_event_scan, "prepend": False},
            {"event": "scan", "callback": self.cbk_event_scan, "prepend": False},
            {"event": "beat", "callback": self.cbk_event_beat, "prepend": False},
            {"event": "stop", "callback": self.cbk_event_stop, "prepend": False},
        ]

    def setup(self, daemon):
        self.spool = daemon.c("spool_dir")
        say("setup", self.cid, os.path.basename(self.spool), daemon.is_done())
        if daemon.c("fail_setup") == "setup":
            raise pyzenkit.baseapp.ZenAppSetupException("no spool")
        if daemon.c("fail_setup") == "bug":
            raise LookupError("a bug in setup")
        daemon.logger.info("> watching every %.1f seconds", daemon.c("interval"))

    def setup_dump(self, daemon):
        say("setup_dump", self.cid)
        daemon.logger.debug("> not logged")

    def cbk_event_scan(self, daemon, args):
        found = sorted(os.listdir(self.spool))
        say("scan", len(found))
        for name in reversed(found):
            daemon.queue.schedule_next("file", {"name": name})
        if found:
            daemon.queue.schedule("scan")
        elif daemon.c("once"):
            daemon.set_done()
        elif not daemon.is_done():
            daemon.queue.schedule_after(daemon.c("interval"), "scan")
            if not self.is_ready:
                self.is_ready = True
                daemon.queue.schedule("beat")
                say("ready")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_beat(self, daemon, args):
        # pyzenkit overlooks a signal that comes just before it waits, until it wakes up.
        if not daemon.is_done():
            daemon.queue.schedule_after(0.5, "beat")
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_stop(self, daemon, args):
        say("stop", self.cid, daemon.is_done())
        return (daemon.FLAG_CONTINUE, args)


class SumComponent(ZenDaemonComponent):
    """Add a file's numbers, and move it away."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.sums = {}

    def get_events(self):
        return [self.gen_event_handler("file", self.cbk_event_file)]

    def get_state(self):
        state = super().get_state()
        state["sums"] = self.sums
        return state

    def cbk_event_file(self, daemon, args):
        path = os.path.join(daemon.c("spool_dir"), args["name"])
        try:
            self.sums[args["name"]] = sum(daemon.json_load(path)["numbers"])
            self.inc_statistic("cnt_files")
        except ValueError:
            daemon.error("> bad file {}".format(args["name"]), retc=4)
            self.inc_statistic("cnt_errors")
        say("file", args["name"], self.sums.get(args["name"]))
        os.rename(path, os.path.join(daemon.config["done_dir"], args["name"]))
        return (daemon.FLAG_CONTINUE, args)


class SpoolDaemon(ZenDaemon):
    """The daemon."""

    CONFIG_SPOOL = "spool_dir"

    def __init__(self, **kwargs):
        self.order = []
        super().__init__(**kwargs)
        say("constructed", self.name, len(self.components), self.queue.count(), *self.order)

    def _init_argparser(self, **kwargs):
        self.order.append("argparser")
        argparser = super()._init_argparser(**kwargs)
        group = argparser.add_argument_group("spool arguments")
        group.add_argument("--spool-dir", type=str, default=None, help="directory to watch")
        group.add_argument("--interval", type=float, default=None)
        group.add_argument("--once", action="store_true", default=None)
        group.add_argument("--fail-setup", choices=["setup", "bug", "check"], default=None)
        return argparser

    def _init_config(self, cfgs, **kwargs):
        self.order.append("config")
        cfgs = (
            (self.CONFIG_SPOOL, None),
            ("interval", 30.0),
            ("once", False),
            ("fail_setup", None),
            ("owner", None),
        ) + cfgs
        return super()._init_config(cfgs, **kwargs)

    def _configure_postprocess(self):
        super()._configure_postprocess()
        self.config["done_dir"] = self.config[self.CONFIG_SPOOL] + ".done"
        self.config[self.CORE]["spool"] = {"answer": 42}
        say("core", self.cc("spool"), self.c("no such key"), self.c("no such key", 1), self.cc("x"))

    def _configure_check(self):
        super()._configure_check()
        if self.c("fail_setup") == "check":
            raise pyzenkit.baseapp.ZenAppSetupException("spool_dir is wrong")

    def _sub_stage_teardown(self):
        say("teardown", self.retc)
        self.json_save(self.get_resource_path("sums.json"), self.components[1].sums)

    def cbk_action_count(self):
        """Print how many files wait."""
        self.p("{} files of {}".format(len(os.listdir(self.c(self.CONFIG_SPOOL))), self.c("owner")))
        self.p("not shown", 1)

    def cbk_action_list(self):
        output = self.execute_command(f"ls {self.c(self.CONFIG_SPOOL)}")
        print(output.decode(), self.execute_command("exit 3", can_fail=True))

    def cbk_action_fail(self):
        raise pyzenkit.baseapp.ZenAppProcessException("> the action failed")

    def cbk_action_command(self):
        self.execute_command("exit 5")

    def cbk_action_json(self):
        print(self.json_dump({"b": {1}, "a": self.config[self.CORE]["spool"]}))
        data = pyzenkit.jsonconf.config_load(self.c(self.CONFIG_CFG_FILE))
        print(sorted(data), self.format_progress_bar(0.25, 8))


if __name__ == "__main__":
    daemon = SpoolDaemon(
        name="spool.py",
        description="adds up numbers",
        components=[WatcherComponent(cid="the-watcher", interval=3, other=None), SumComponent()],
        schedule_after=[],
        default_interval=60.0,
        unknown_argument=True,
        path_run="run",
        path_log="log",
        path_cfg="etc",
    )
    try:
        daemon.run()
    finally:
        signal.alarm(0)  # pyzenkit leaves it on after SIGTERM: a slow machine dies of it at the end
        say("end", sys.exc_info()[0].__name__)
