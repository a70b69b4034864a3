"""A program as a user of pyzenkit 0.67 has it. Moved over: the next statement is all that changed.

Its tests also run it with `pyzenkit.zendaemon` in the place of `zenactors`.
"""

import os

from zenactors import (
    MAX_STOP_ATTEMPTS,
    MAX_STOP_TIMEOUT,
    SIGNALS_TO_NAMES_DICT,
    EventQueueManager,
    QueueEmptyException,
    ZenDaemon,
    ZenDaemonComponent,
    ZenDaemonComponentException,
    ZenDaemonException,
    ZenDaemonStopException,
    calc_statistics,
)

STATS_FETCHED = "cnt_fetched"
STATS_BYTES = "cnt_bytes"


class FetcherDaemonComponent(ZenDaemonComponent):
    """Take items out of a list, one event an item, and pass them on."""

    accepts_any_option = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.items = list(kwargs.get("items", ["a", "bb", "ccc"]))
        self.event_map = kwargs.get("event_map", {"fetch": "fetch", "item": "item"})

    def get_events(self):
        return [
            {"event": "start", "callback": self.cbk_event_start, "prepend": False},
            {
                "event": self.event_map["fetch"],
                "callback": self.cbk_event_fetch,
                "prepend": False,
            },
            self.gen_event_handler("log_statistics", self.cbk_event_log_statistics),
            self.gen_event_handler("stop", self.cbk_event_stop),
        ]

    def setup(self, daemon):
        daemon.dbgout("[STATUS] Component 'fetcher': setting up")
        self.to_console = daemon.cc(daemon.CORE_LOGGING, {}).get(daemon.CORE_LOGGING_TOCONS)
        self.work_dir = daemon.config[daemon.CONFIG_WORK_DIR]
        self.who = (daemon.c(daemon.CONFIG_USER), daemon.c(daemon.CONFIG_GROUP))
        self.spool = os.path.join(daemon.paths[daemon.PATH_VAR], "spool")  # noqa: PTH118 - as it was
        if not self.items:
            raise ZenDaemonComponentException("There is nothing to fetch")

    def setup_dump(self, daemon):
        daemon.logger.info("[STATUS] Component 'fetcher': %d items", len(self.items))

    def cbk_event_start(self, daemon, args):
        daemon.logger.debug("Component 'fetcher': Starting the daemon")
        daemon.queue.schedule(self.event_map["fetch"])
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_fetch(self, daemon, args=None):
        if not self.items:
            daemon.logger.info("Component 'fetcher': nothing left")
            daemon.set_done()
            return (daemon.FLAG_STOP, None)

        item = self.items.pop(0)
        self.inc_statistic(STATS_FETCHED)
        self.inc_statistic(STATS_BYTES, len(item))
        daemon.queue.schedule_next(self.event_map["item"], {"name": item, "seen_by": ["fetcher"]})
        if not daemon.is_done():
            daemon.queue.schedule(self.event_map["fetch"])
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_log_statistics(self, daemon, args):
        stats = self.get_statistics()
        stats_str = ""
        for k in [STATS_FETCHED, STATS_BYTES]:
            if k in stats:
                stats_str = self.pattern_stats.format(
                    stats_str, k, stats[k]["cnt"], stats[k]["inc"], stats[k]["spd"]
                )
            else:
                stats_str = self.pattern_stats.format(stats_str, k, 0, 0, 0)
        daemon.logger.info(
            "Component '{}': *** Processing statistics ***{}".format("fetcher", stats_str)
        )
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_stop(self, daemon, args):
        daemon.logger.warning("Component 'fetcher': stopping, %s items left", len(self.items))
        return (daemon.FLAG_CONTINUE, args)


class FilterDaemonComponent(ZenDaemonComponent):
    """Be the first in the chain of an item, and stop those that are too long."""

    accepts_any_option = True

    def __init__(self, max_length=2, **kwargs):
        super().__init__(**kwargs)
        self.max_length = max_length

    def get_events(self):
        return [self.gen_event_handler("item", self.cbk_event_item, prepend=True)]

    def cbk_event_item(self, daemon, args):
        args["seen_by"].append("filter")
        if len(args["name"]) > self.max_length:
            self.inc_statistic("cnt_too_long")
            return (daemon.FLAG_STOP, args)
        return (daemon.FLAG_CONTINUE, args)


class StorageDaemonComponent(ZenDaemonComponent):
    """Keep the items that arrive, and write them later, all at once."""

    accepts_any_option = True

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.stored = []
        self.written = []

    def get_events(self):
        return [
            {"event": "item", "callback": self.cbk_event_item, "prepend": False},
            {"event": "item", "callback": self.cbk_event_item_again, "prepend": False},
            {"event": "write", "callback": self.cbk_event_write, "prepend": False},
        ]

    def get_state(self):
        state = super().get_state()
        state.update({"stored": self.stored, "written": self.written})
        return state

    def cbk_event_item(self, daemon, args):
        args["seen_by"].append("storage")
        if not self.stored:
            daemon.queue.schedule_after(2.5, "write", "after")
            daemon.queue.schedule_at(1, "write", "at once")
        self.stored.append(args["name"])
        return (daemon.FLAG_CONTINUE, "|".join(args["seen_by"]))

    def cbk_event_item_again(self, daemon, args):
        self.inc_statistic(args)
        return (daemon.FLAG_CONTINUE, args)

    def cbk_event_write(self, daemon, args):
        self.written.append((args, list(self.stored)))
        self.inc_statistic("cnt_written")
        return (daemon.FLAG_CONTINUE, args)


class CollectorDaemon(ZenDaemon):
    """The daemon of these three."""

    def __init__(self, name="collector.py", items=("a", "bb", "ccc"), **kwargs):
        super().__init__(
            name=name,
            description="collector.py - fetches, filters and stores",
            path_cfg="tmp",
            path_log="tmp",
            path_run="tmp",
            path_tmp="tmp",
            default_no_daemon=True,
            default_config_file_silent=True,
            default_config_dir_silent=True,
            default_stats_interval=5,
            schedule=[(self.EVENT_START,)],
            schedule_after=[(5, self.EVENT_LOG_STATISTICS)],
            components=[
                FetcherDaemonComponent(items=items),
                FilterDaemonComponent(max_length=2),
                StorageDaemonComponent(),
            ],
            **kwargs,
        )

    def get_events(self):
        return [
            *super().get_events(),
            self.gen_event_handler("item", self.cbk_event_item, prepend=True),
        ]

    def cbk_event_item(self, daemon, args):
        args["seen_by"].append(self.name)
        return (self.FLAG_CONTINUE, args)

    def cbk_action_hello(self):
        """Say hello."""
        print("Hello from", self.name, "in", self.get_resource_path("tmp", "x"))  # noqa: T201 - as it was


class OrdersComponent(ZenDaemonComponent):
    """Act by its table, event by event, and record the arguments."""

    accepts_any_option = True

    def __init__(self, label, table, **kwargs):
        super().__init__(**kwargs)
        self.label = label
        self.table = table
        self.seen = kwargs["seen"]

    def get_events(self):
        return [
            self.gen_event_handler(event, getattr(self, "cbk_event_" + event), prepend)
            for event, (prepend, _, _) in self.table.items()
        ]

    def cbk_event_x(self, daemon, args):
        return self.obey("x", daemon, args)

    def cbk_event_y(self, daemon, args):
        return self.obey("y", daemon, args)

    def cbk_event_z(self, daemon, args):
        return self.obey("z", daemon, args)

    def obey(self, event, daemon, args):
        self.seen.append((self.label, event, args))
        _, orders, flag = self.table[event]
        if args > 0:
            for order, child in orders:
                getattr(daemon.queue, order)(child, args - 1)
        return (flag, args - 1 if flag else args)


def describe_queue():
    """Return the answers of an event queue, empty and not."""
    queue = EventQueueManager()
    try:
        queue.next()
    except QueueEmptyException:
        empty = queue.count()
    queue.schedule("b", 2)
    queue.schedule_next("a", 1)
    queue.schedule_at(1, "first")
    queue.schedule_after(1000, "later")
    given = [queue.next() for _ in range(4)]
    return (empty, queue.count(), given)


def describe_limits():
    """Return the limits of a stop, and the names of signals."""
    return (MAX_STOP_ATTEMPTS, MAX_STOP_TIMEOUT, SIGNALS_TO_NAMES_DICT)


def describe_statistics():
    """Return the difference of two readings."""
    return calc_statistics({"a": 10, "b": {"c": 4}, "z": 0}, {"a": 5, "b": {"c": 3}}, 2.5)


def describe_errors():
    """Return the relations of the exceptions, and their texts."""
    raised = [
        ZenDaemonException("Bad thing", code=1),
        ZenDaemonComponentException("Bad component"),
    ]
    said = [str(exc).strip("'") for exc in raised]
    stop_is_no_error = not issubclass(ZenDaemonStopException, Exception)
    return (said, [exc.description for exc in raised], raised[0].params, stop_is_no_error)


if __name__ == "__main__":
    CollectorDaemon(default_log_level="debug").run()
