"""Daemons of pyzenkit's interface in the harness: order, statuses and signals in virtual time."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from zenactors.pyzenkit import jsonconf
from zenactors.pyzenkit.baseapp import DemoBaseApp, ZenAppSetupException
from zenactors.pyzenkit.zendaemon import (
    MAX_STOP_ATTEMPTS,
    QueueEmptyException,
    ZenDaemon,
    ZenDaemonComponent,
    ZenDaemonComponentException,
    ZenDaemonStopException,
)
from zenactors.testing import Harness


@pytest.fixture(autouse=True)
def no_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["driven.py"])


class Acting(ZenDaemonComponent):
    """Do one thing, and note what happens."""

    def __init__(self, act: Callable[[Any], Any] | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.act = act
        self.noted: list[Any] = []

    def get_events(self) -> list[Any]:
        return [
            {"event": each, "callback": self.cbk_event, "prepend": False}
            for each in ("start", "act", "note", "stop", "log_statistics")
        ]

    def cbk_event(self, daemon: Any, args: Any = None) -> Any:
        self.noted.append((args, self.clock.monotonic()))
        if self.act is not None and args == "act":
            return self.act(daemon)
        return (daemon.FLAG_CONTINUE, args)


def daemon_of(*components: Any, **options: Any) -> ZenDaemon:
    return ZenDaemon(name="driven.py", components=list(components), **options)


def run(act: Callable[[Any], Any] | None = None, **options: Any) -> tuple[Acting, int | None]:
    component = Acting(act)
    daemon = daemon_of(component, **{"schedule_after": [], **options})
    with Harness(daemon.native) as harness:
        status = harness.run()
        harness.dead_letters()
    return component, status


def fail(cause: BaseException) -> Any:
    raise cause


@pytest.mark.parametrize(
    ("act", "expected"),
    [
        (lambda _: fail(ValueError("bad")), 1),
        (lambda _: fail(ZenDaemonComponentException("bad")), 1),
        (lambda _: fail(SystemExit(7)), 1),
        (lambda _: None, 1),
        (lambda d: (d.FLAG_CONTINUE, 1, 2), 1),
        (lambda d: (d.queue.schedule("unhandled"), (d.FLAG_CONTINUE, 0))[1], 1),
        (lambda d: (d.error("bad", retc=5), (d.FLAG_CONTINUE, 0))[1], 5),
        (lambda _: fail(ZenDaemonStopException("enough")), 0),
        (lambda d: (d.set_done(), (d.FLAG_CONTINUE, 0))[1], 0),
        (lambda d: (d.queue.schedule("terminate"), (d.FLAG_CONTINUE, 0))[1], 0),
        (lambda _: (2, None), 0),
        (lambda d: [d.FLAG_CONTINUE, None], 0),
    ],
)
def test_the_status_is_pyzenkits(act: Callable[[Any], Any], expected: int) -> None:
    assert run(act, schedule=[("act", "act")])[1] == expected


def test_start_happens_only_if_it_is_scheduled() -> None:
    assert len(run()[0].noted) == 1
    assert run(schedule=[("note", 1)])[0].noted[0][0] == 1


def test_neither_an_empty_queue_nor_set_done_sends_stop() -> None:
    component, _ = run(
        lambda d: (d.set_done(), (d.FLAG_CONTINUE, "done"))[1], schedule=[("act", "act")]
    )
    assert [args for args, _ in component.noted] == ["act"]


def test_initial_events_come_in_pyzenkits_order() -> None:
    component, status = run(
        schedule=[("note", "schedule"), ("note",)],
        schedule_next=[("note", "next"), ("note", "very next")],
        schedule_at=[(1, "note", "at")],
        schedule_after=[(30, "note", "after")],
    )
    begin = component.noted[0][1]
    assert status == 0
    assert [(args, moment - begin) for args, moment in component.noted] == [
        ("at", 0),
        ("very next", 0),
        ("next", 0),
        ("schedule", 0),
        (None, 0),
        ("after", 30),
    ]


@pytest.mark.parametrize("number", [1, MAX_STOP_ATTEMPTS])
@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_its_own_statistics_keep_it_running_until_a_signal(sign: int, number: int) -> None:
    component = Acting()
    with Harness(daemon_of(component).native) as harness:
        assert harness.run(10_000.0) is None
        for _ in range(number):
            harness.signal(sign)
        assert harness.run() == 0
    assert len(component.noted) > 30  # statistics, every 300 s


def test_signals_that_nothing_handles_are_ignored() -> None:
    # pyzenkit ends with status 1 at SIGUSR1, and SIGALRM kills it.
    with Harness(daemon_of(Acting()).native) as harness:
        for sign in (signal.SIGUSR1, signal.SIGALRM, signal.SIGHUP):
            harness.signal(sign)
        assert harness.run(100.0) is None
        harness.signal(signal.SIGINT)
        assert harness.run() == 0


def test_a_scheduled_stop_is_followed_by_terminate() -> None:
    def again(daemon: Any) -> Any:
        daemon.queue.schedule_after(1.0, "act", "act")
        return (daemon.FLAG_CONTINUE, None)

    daemon = daemon_of(Acting(again), schedule=[("act", "act"), ("stop",)])
    with Harness(daemon.native) as harness:
        assert harness.run(29.0) is None
        assert harness.run(5.0) == 0


def test_zenactors_own_methods_are_there_for_components() -> None:
    seen: list[Any] = []

    class Reading(Acting):
        def setup(self, daemon: Any) -> None:
            daemon.io.call_later(5.0, lambda daemon: seen.append(daemon.is_done()))

    daemon = daemon_of(Reading(), schedule_after=[])
    with Harness(daemon.native) as harness:
        assert harness.run() == 0
    assert seen == [False]
    with pytest.raises(AttributeError, match="no attribute '_nonsense'"):
        daemon._nonsense  # noqa: B018 - the attribute is what is tested


def test_a_callback_that_comes_too_late_is_an_error() -> None:
    class Late(ZenDaemon):
        def _sub_stage_setup(self) -> None:
            super()._sub_stage_setup()
            with pytest.raises(RuntimeError, match="too late"):
                self._init_event_callback("note", self.cbk_event_start)

    with Harness(Late(name="late", schedule_after=[]).native) as harness:
        assert harness.run() == 0


def test_callbacks_cannot_be_changed_while_they_are_used() -> None:
    def change(daemon: Any) -> Any:
        with pytest.raises(RuntimeError, match="too late"):
            daemon.callbacks["new"] = []
        with pytest.raises(RuntimeError, match="too late"):
            daemon.callbacks["note"].append(print)
        with pytest.raises(RuntimeError, match="too late"):
            daemon.callbacks.setdefault("new", []).append(print)
        copied = copy.copy(daemon.callbacks)
        copied["new"] = [*copy.copy(copied["note"]), print]
        assert "new" not in daemon.callbacks
        assert json.loads(json.dumps(daemon.callbacks, default=str))["note"]
        return (daemon.FLAG_CONTINUE, None)

    assert run(change, schedule=[("act", "act")])[1] == 0


def test_a_callback_sees_in_the_queue_what_it_has_scheduled() -> None:
    seen: list[Any] = []

    def fill(daemon: Any) -> Any:
        for ask in (daemon.queue.when, daemon.queue.wait):
            with pytest.raises(IndexError):
                ask()
        daemon.queue.schedule("note", "taken")
        seen.append(daemon.queue.next())
        for _ in range(3):
            daemon.queue.schedule("note", daemon.queue.count())
        daemon.queue.schedule_after(60.0, "note", "later")
        seen.append(daemon.queue.count())
        seen.append(daemon.queue.wait())
        return (daemon.FLAG_CONTINUE, "filled")

    component, status = run(fill, schedule=[("act", "act")])
    assert status == 0
    assert seen == [("note", "taken"), 4, 0]
    assert [args for args, _ in component.noted] == ["act", 0, 1, 2, "later"]


def test_the_requests_to_stop_are_counted() -> None:
    seen: list[Any] = []

    def stop(daemon: Any) -> Any:
        seen.append((daemon.is_done(), daemon.flag_loop_done))
        daemon.set_done()
        daemon.flag_loop_done += 1
        seen.append((daemon.is_done(), daemon.flag_loop_done))
        daemon.flag_loop_done = 0
        seen.append((daemon.is_done(), daemon.flag_loop_done))
        return (daemon.FLAG_CONTINUE, None)

    assert run(stop, schedule=[("act", "act")])[1] == 0
    assert seen == [(False, 0), (True, 2), (True, 2)]


def test_a_request_to_stop_during_the_setup_is_forgotten() -> None:
    class Hasty(Acting):
        def setup(self, daemon: Any) -> None:
            daemon.set_done()
            assert daemon.is_done()

    component = Hasty()
    later = [(60.0, "note", "later")]
    with Harness(daemon_of(component, schedule_after=later).native) as harness:
        assert harness.run() == 0
    assert [args for args, _ in component.noted] == [None, "later"]


def test_a_daemon_may_take_its_own_attributes() -> None:
    class Taken(ZenDaemon):
        signal_handlers = 1

        def __init__(self, **kwargs: Any) -> None:
            self._host = "localhost"
            super().__init__(**kwargs)
            self.behind = self.native
            self.native = 2

        def serve(self, port: int) -> None:
            raise AssertionError("not a hook of pyzenkit")

        def _own_file(self) -> None:
            raise AssertionError("not a hook of pyzenkit")

        def _add_handler(self) -> None:
            raise AssertionError("not a hook of pyzenkit")

    daemon = Taken(name="taken", components=[Acting()], default_log_file=os.devnull)
    daemon._configure_postprocess()
    daemon._stage_setup_logging()
    for handler in list(daemon.logger.handlers):
        daemon.logger.removeHandler(handler)
        handler.close()
    daemon.behind.close(0)
    daemon = Taken(name="taken", components=[Acting()])
    with Harness(daemon.behind) as harness:
        harness.signal(signal.SIGINT)
        assert harness.run() == 0
    assert (daemon._host, daemon.native, daemon.signal_handlers) == ("localhost", 2, 1)


def test_a_component_counts_whatever_its_attributes_are_called() -> None:
    component = Acting()
    vars(component).update(clock="noon", _counting=0, _clock="noon")
    component.inc_statistic("things", 2)
    assert component.get_statistics()["things"]["inc"] == 2


class Property(Acting):
    name = property(lambda _: "mine")
    event_map = property(lambda _: 3)


class Threaded(Acting, threading.Thread):
    def __init__(self) -> None:
        Acting.__init__(self)
        threading.Thread.__init__(self, name="mine")


class Constant(Acting):
    name = "mine"


class Uninitialized(Acting):
    def __init__(self) -> None:
        self.act, self.noted = None, []
        self.statistics_cur, self.statistics_prev, self.statistics_ts = {}, {}, 0.0


@pytest.mark.parametrize("cls", [Property, Threaded, Constant, Uninitialized])
def test_a_component_has_no_attributes_but_its_statistics(cls: type[Any]) -> None:
    component = cls()
    component.inc_statistic("things")
    assert component.get_statistics()["things"]["cnt"] == 1
    assert getattr(component, "name", "mine") == "mine"
    with Harness(daemon_of(component, schedule_after=[]).native) as harness:
        assert harness.run() == 0
    assert len(component.noted) == 1


def test_a_component_that_is_listed_twice_gets_its_events_twice() -> None:
    component = Acting()
    with Harness(daemon_of(component, component, schedule_after=[]).native) as harness:
        assert harness.run() == 0
    assert len(component.noted) == 2


def test_an_event_with_an_empty_list_of_callbacks_is_ignored() -> None:
    daemon = daemon_of(Acting(), schedule=[("nothing", 1)], schedule_after=[])
    daemon.callbacks["nothing"] = []
    with Harness(daemon.native) as harness:
        assert harness.run() == 0


def test_an_overridden_wait_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    class Waiting(ZenDaemon):
        def wait(self, period: float) -> None:
            raise AssertionError("the event loop waits by itself")

    for cls in (Waiting, ZenDaemon):
        caplog.clear()
        with Harness(cls(name="waiting", schedule_after=[]).native) as harness:
            assert harness.run() == 0
        assert ("overridden wait" in caplog.text) == (cls is Waiting)


def test_a_component_may_take_its_own_attributes() -> None:
    class Taken(Acting):
        def __init__(self, **kwargs: Any) -> None:
            vars(self).update(name=7, event=kwargs, log=kwargs)
            super().__init__(**kwargs)

        def teardown(self) -> None:  # type: ignore[override]
            raise AssertionError("not a hook of pyzenkit")

    component = Taken(clock="noon", event_map=3, name="x")
    with Harness(daemon_of(component, schedule_after=[]).native) as harness:
        assert harness.run() == 0
    assert vars(component)["name"] == 7
    assert vars(component)["event"] == {"clock": "noon", "event_map": 3, "name": "x"}


def test_the_queue_can_be_read_before_the_start() -> None:
    daemon = daemon_of(Acting(), schedule=[("act", 1), ("note", 2)], schedule_after=[])
    assert daemon.queue.count() == 2
    assert daemon.queue.next() == ("act", 1)
    assert daemon.queue.wait() == 0
    assert daemon.queue.next() == ("note", 2)
    with pytest.raises(QueueEmptyException):
        daemon.queue.next()


def test_user_and_group_are_name_and_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["driven.py", "--user", "0", "--group", "root"])
    daemon = daemon_of(Acting(), schedule_after=[])
    daemon._configure_merge()
    daemon._configure_postprocess()
    assert daemon.config["user"] == daemon.config["group"] == ["root", 0]
    assert daemon.c("umask") == 0o002
    daemon.config["user"] = "no-such-user"
    with pytest.raises(ZenAppSetupException, match="no-such-user"):
        daemon._configure_postprocess()


def test_as_a_plugin_it_stays_in_its_process(tmp_path: Path) -> None:
    setups: list[int] = []

    class Plugged(Acting):
        def setup(self, daemon: Any) -> None:
            setups.append(os.getpid())

    silent = {"default_config_file": None, "default_config_dir": None}
    daemon = daemon_of(Plugged(), path_log=str(tmp_path), **silent)
    daemon.plugin()
    daemon.native.close(0)
    for handler in list(daemon.logger.handlers):
        daemon.logger.removeHandler(handler)
        handler.close()
    assert setups == [os.getpid()]


def test_json_files_have_comments_and_are_written_whole(tmp_path: Path) -> None:
    file = tmp_path / "x.json.conf"
    file.write_text('# one\n{"a": 1,\n  // two\n "b": null}')
    assert jsonconf.json_load(str(file)) == {"a": 1, "b": None}
    assert jsonconf.config_load_dir(str(tmp_path)) == {"a": 1}
    assert jsonconf.config_load(str(tmp_path / "none"), silent=True) == {}
    odd = tmp_path / "odd"
    odd.write_text('{"a": "one\u2028two\x85three"}', encoding="utf-8")
    assert jsonconf.json_load(str(odd)) == {"a": "one\u2028two\x85three"}
    with pytest.raises(TypeError):
        ZenDaemon.json_save(str(file), {("a", "tuple"): 1})
    assert "# one" in file.read_text()
    schema = {"properties": {"a": {"type": "string", "description": "a text"}}}
    with pytest.raises(jsonconf.JSONSchemaException, match="a text") as raised:
        jsonconf.config_load(str(file), schema)
    assert len(raised.value.errlist) == 1


def test_the_demonstration_greets(capsys: pytest.CaptureFixture[str]) -> None:
    silent = {"config_file": None, "config_dir": None, "log_file": None, "verbosity": 1}
    app = DemoBaseApp("demo")
    app.config.update(silent)
    with pytest.raises(SystemExit) as raised:
        app.run()
    assert raised.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_one_import_brings_the_modules_that_pyzenkits_brings() -> None:
    program = (
        "import zenactors.pyzenkit.zendaemon\n"
        "p = zenactors.pyzenkit\n"
        "print(p.__version__, p.baseapp.LOGGER, p.daemonizer.read_pid, p.jsonconf, p.utils)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
