"""`LineListener` under a harness: real Unix sockets, virtual time."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.components.sockets import CERTIFICATE, KEY, Collector, connect
from zenactors import handles
from zenactors.components.sources.line_listener import LineListener
from zenactors.errors import ZenDaemonComponentException
from zenactors.testing import Crash, Harness

WHERE = "unix://lines.sock"


@pytest.fixture(autouse=True)
def directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    return tmp_path


class Listener(LineListener):
    """A listener whose options an event changes, as a reload does."""

    failed: Exception | None = None

    @handles("change")
    def cbk_event_change(self, daemon, args):
        try:
            self.reconfigure(daemon, {**self.options, **args})
        except Exception as cause:  # for the test
            self.failed = cause


class Scene:
    """A listener and a collector under a harness."""

    def __init__(self, harness: Harness, listener: Listener, collector: Collector) -> None:
        self.harness = harness
        self.listener = listener
        self.collector = collector

    @property
    def lines(self):
        self.harness.run_until_idle()
        return self.collector.lines

    @property
    def events(self):
        self.harness.run_until_idle()
        return self.collector.events

    def count(self, name: str) -> int:
        self.harness.run_until_idle()
        return int(self.listener.statistics_cur.get(name, 0))

    def release(self) -> None:
        self.harness.queue.schedule("release")
        self.harness.run_until_idle()

    def is_disconnected(self, client: socket.socket) -> bool:
        self.harness.run_until_idle()
        client.settimeout(0.0)
        try:
            return client.recv(1) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True


@contextlib.contextmanager
def scene(*listen: str, keeps=False, faults=(), limit=256, errors=0, **options):
    listener = Listener(listen=list(listen or [WHERE]), name="listener", **options)
    listener.max_unfinished = limit
    collector = Collector(keeps=keeps)
    with Harness([listener, collector], faults=faults) as harness:
        yield Scene(harness, listener, collector)
        if keeps:
            harness.queue.schedule("release")
            harness.run_until_idle()
    assert len([record for record in harness.logs if record.level == "ERROR"]) == errors


@contextlib.contextmanager
def clients(number: int, address: str = WHERE) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(connect(address)) for _ in range(number)]


# --- options --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"listen": []}, "at least one address"),
        ({"listen": "tcp://:1"}, r"write \['tcp://:1'\]"),
        ({"listen": ["5140"]}, "begins with one of tcp://, tls://, udp://, unix://, unixgram://"),
        ({"listen": ["http://:80"]}, "begins with one of"),
        ({"listen": ["tcp://localhost"]}, "a port from 0 to 65535"),
        ({"listen": ["tcp://:65536"]}, "a port from 0 to 65535"),
        ({"listen": ["tcp://:-1"]}, "a port from 0 to 65535"),
        ({"listen": ["tcp://::1:5140"]}, "in brackets"),
        ({"listen": ["unix://"]}, "a path is expected"),
        ({"listen": ["unix://a\0b"]}, "null character"),
        ({"listen": ["tls://:6514"]}, "tls_certificate is not given"),
        ({"tls_certificate": "x.pem"}, "nothing would be encrypted"),
        ({"tls_client_ca": "x.pem"}, "nothing would be encrypted"),
        ({"listen": ["tls://:1"], "tls_certificate": ""}, "a file in PEM format"),
        ({"framing": "lines"}, "framing is 'lines'"),
        ({"long_lines": "split"}, "long_lines is 'split'"),
        ({"unfinished_lines": "x"}, "unfinished_lines is 'x'"),
        ({"max_line_bytes": 0}, "max_line_bytes is 0"),
        ({"max_clients": 0}, "max_clients is 0"),
        ({"idle_timeout": 0}, "idle_timeout is 0"),
        ({"mode": 0o1777}, "permissions"),
        ({"mode": True}, "permissions"),
        ({"add_peer": 1}, "add_peer is 1"),
    ],
)
def test_wrong_options_are_refused_in_one_line(options, said):
    with pytest.raises(ValueError, match=said) as raised:
        LineListener(**{"listen": [WHERE], **options})
    assert "\n" not in str(raised.value)


def test_without_a_host_it_is_on_the_loopback_interface():
    with scene("tcp://:0", "udp://:0", "tcp://[::1]:0") as now:
        first, second, third = now.listener.listening
        assert first.startswith("tcp://127.0.0.1:")
        assert second.startswith("udp://127.0.0.1:")
        assert third.startswith("tcp://[::1]:")
        assert all(int(each.rpartition(":")[2]) for each in now.listener.listening)
        assert json.loads(json.dumps(now.listener.get_state()))["listening"] == [
            first,
            second,
            third,
        ]
        assert next(r.message for r in now.harness.logs if r.level == "INFO").endswith(first)


# --- lines ----------------------------------------------------------------------------------------


def test_what_has_come_since_the_last_look_is_one_event():
    with scene() as now, clients(3) as senders:
        for number, client in enumerate(senders):
            client.sendall(b"line %d\nanother\r\nhalf" % number)
        assert len(now.events) == 1
        assert sorted(now.lines) == [b"another"] * 3 + [b"line 0", b"line 1", b"line 2"]
        assert now.listener.get_state()["buffered_bytes"] == 3 * len(b"half")
        assert now.count("lines") == 6


def test_a_line_may_come_in_pieces():
    with scene() as now, clients(1) as [client]:
        for piece in (b"o", b"ne\nt", b"", b"wo", b"\n"):
            client.sendall(piece)
            now.harness.run_until_idle()
        assert now.lines == [b"one", b"two"]


@pytest.mark.parametrize(("option", "lines"), [("keep", [b"whole", b"half"]), ("drop", [b"whole"])])
def test_a_line_that_the_end_of_its_connection_has_cut(option, lines):
    with scene(unfinished_lines=option) as now:
        with clients(1) as [client]:
            client.sendall(b"whole\nhalf")
        assert now.lines == lines
        assert now.count("unfinished_lines") == 1


@pytest.mark.parametrize(("option", "lines"), [("truncate", [b"012", b"ok"]), ("skip", [b"ok"])])
def test_a_long_line_is_cut_or_left_out_and_counted(option, lines):
    with scene(max_line_bytes=3, long_lines=option) as now, clients(1) as [client]:
        client.sendall(b"0123")
        assert now.listener.get_state()["buffered_bytes"] <= 3
        client.sendall(b"456\nok\n")
        assert now.lines == lines
        assert now.count("long_lines") == 1


def test_counted_messages():
    with scene(framing="octet") as now, clients(1) as [client]:
        client.sendall(b"7 two\none3 abc")
        assert now.lines == [b"two\none", b"abc"]


def test_a_stream_without_counts_is_disconnected_and_what_came_before_is_kept():
    with scene(framing="octet") as now, clients(1) as [client]:
        client.sendall(b"3 abcnonsense")
        assert now.lines == [b"abc"]
        assert now.is_disconnected(client)
        assert now.count("bad_frames") == 1
        assert now.count("unfinished_lines") == 0


def test_records_have_the_peer():
    with scene("tcp://:0", "udp://:0", WHERE, add_peer=True) as now:
        addresses = now.listener.listening
        with contextlib.ExitStack() as stack:
            tcp, udp, unix = (stack.enter_context(connect(each)) for each in addresses)
            unix.sendall(b"\xff\n")
            assert now.lines == [{"line": "\ufffd", "peer": WHERE}]
            peers = []
            for client in (tcp, udp):
                host, port = client.getsockname()
                peers.append(f"{host}:{port}")
                client.sendall(b"x\n")
                assert now.harness.wait_until(lambda: len(now.collector.lines) == len(peers) + 1)
            assert [each["peer"] for each in now.lines[1:]] == peers


def test_datagrams():
    with scene("unixgram://d.sock", framing="auto", max_line_bytes=5) as now:
        with clients(1, "unixgram://d.sock") as [client]:
            for data in (b"one\n", b"", b"two\nlines", b"three"):
                client.send(data)
            assert now.lines == [b"one", b"two\nl", b"three"]
        assert now.count("datagrams") == 4
        assert now.count("long_lines") == 1


# --- limits ---------------------------------------------------------------------------------------


def test_too_many_clients_are_disconnected_and_logged_once():
    with scene(max_clients=2) as now, clients(5) as senders:
        now.harness.run_until_idle()
        assert [now.is_disconnected(each) for each in senders] == [False, False, True, True, True]
        assert now.count("refused") == 3
        warnings = [r.message for r in now.harness.logs if r.level == "WARNING"]
        assert len(warnings) == 1
        assert "as many as max_clients allows" in warnings[0]
        senders[0].close()
        now.harness.run_until_idle()
        with clients(1) as [another]:
            another.sendall(b"x\n")
            assert now.lines == [b"x"]


def test_a_silent_client_is_disconnected_and_one_that_sends_is_not():
    with scene(idle_timeout=10) as now, clients(2) as [silent, sends]:
        silent.sendall(b"half")
        for _ in range(4):
            sends.sendall(b"x")
            now.harness.advance(5)
        assert now.is_disconnected(silent)
        assert not now.is_disconnected(sends)
        assert now.count("timeouts") == 1
        assert now.lines == [b"half"]


def test_one_timer_is_enough_for_all_clients():
    with scene(idle_timeout=10) as now, clients(50) as senders:
        for client in senders:
            client.sendall(b"x")
            now.harness.advance(0.01)
        now.harness.advance(10.7)
        assert now.count("timeouts") == 50


def test_a_full_source_does_not_read_and_loses_nothing():
    sent = [b"%06d" % number for number in range(60_000)]
    data = b"\n".join(sent) + b"\n"
    with scene(keeps=True, limit=2) as now, clients(1) as [client]:
        client.settimeout(0.0)
        rest = memoryview(data)
        stalled = 0
        while rest:
            try:
                rest = rest[client.send(rest) :]
            except BlockingIOError:
                now.harness.run_until_idle()
                state = now.listener.get_state()
                assert state["unfinished_bytes"] < 1 << 20
                if state["full"]:
                    stalled += 1
                    now.release()
        while len(now.lines) < len(sent):
            now.release()
        assert now.lines == sent
        assert stalled > 2


def test_while_it_is_full_time_limits_stop():
    with scene(keeps=True, limit=1, idle_timeout=10) as now, clients(2) as [first, second]:
        second.sendall(b"half")
        first.sendall(b"x\n")
        now.harness.run_until_idle()
        assert now.listener.get_state()["full"]
        now.harness.advance(60)
        now.release()
        second.sendall(b"-whole\n")
        assert now.lines == [b"x", b"half-whole"]
        now.release()
        now.harness.advance(11)
        assert now.count("timeouts") == 2


def test_datagrams_wait_while_it_is_full():
    address = "unixgram://d.sock"
    with scene(address, keeps=True, limit=1) as now, clients(1, address) as [client]:
        client.send(b"one")
        assert now.lines == [b"one"]
        client.send(b"two")
        assert now.lines == [b"one"]
        now.release()
        assert now.lines == [b"one", b"two"]


def test_a_client_that_floods_does_not_keep_others_waiting():
    with scene() as now, clients(2) as [floods, quiet]:
        floods.settimeout(0.0)
        sent = 0
        with contextlib.suppress(BlockingIOError):
            while True:
                sent += floods.send(b"x\n" * 8192)
        assert sent > 2 * 65_536, "the system keeps too little for this test"
        quiet.sendall(b"hello\n")
        lines = now.lines
        assert len(lines) == sent // 2 + 1
        assert lines.index(b"hello") <= 65_536  # after at most two looks at the other one


# --- sockets --------------------------------------------------------------------------------------


def test_a_unix_socket_is_for_its_user_alone_and_is_removed_at_the_end():
    with scene():
        assert Path("lines.sock").stat().st_mode & 0o777 == 0o600
    assert not Path("lines.sock").exists()
    with scene(mode=0o666):
        assert Path("lines.sock").stat().st_mode & 0o777 == 0o666


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_the_socket_of_a_dead_process_is_replaced(kind):
    with connect_nothing(kind):
        pass
    assert Path("x.sock").exists()
    with scene(f"{kind}://x.sock") as now, clients(1, f"{kind}://x.sock") as [client]:
        client.sendall(b"x\n")
        assert now.lines == [b"x"]


def connect_nothing(kind: str) -> socket.socket:
    bound = socket.socket(
        socket.AF_UNIX, socket.SOCK_STREAM if kind == "unix" else socket.SOCK_DGRAM
    )
    bound.bind("x.sock")
    return bound


def fails(*listen: str, **options) -> str:
    listener = LineListener(listen=list(listen), **options)
    with pytest.raises(ZenDaemonComponentException) as raised, Harness([listener, Collector()]):
        pass
    assert "\n" not in str(raised.value)
    return str(raised.value)


@pytest.mark.parametrize("kind", ["unix", "unixgram"])
def test_the_socket_of_a_live_process_is_left_alone(kind):
    with connect_nothing(kind) as bound:
        if kind == "unix":
            bound.listen()
        assert "Address already in use. Stop the program" in fails(f"{kind}://x.sock")
        assert Path("x.sock").exists()


def test_another_file_is_left_alone():
    Path("x.sock").write_text("precious")
    assert "is no socket. Remove it" in fails("unix://x.sock")
    assert Path("x.sock").read_text() == "precious"


def test_a_file_that_has_taken_the_socket_s_place_is_left_alone():
    with scene():
        Path("lines.sock").rename("away.sock")
        Path("lines.sock").touch()
    assert Path("lines.sock").exists()


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("unix://none/x.sock", "Create its directory first"),
        (f"unix://{'x' * 200}", "Choose a shorter one"),
        ("tcp://192.0.2.1:0", "Choose an address of this machine"),
        ("tcp://no-such-host.invalid:1", "Cannot listen on tcp://no-such-host.invalid:1"),
    ],
)
def test_an_address_that_cannot_be_bound_is_one_line(address, said):
    assert said in fails(WHERE, address)
    assert not Path("lines.sock").exists()  # the first one is closed again


def test_a_port_in_use_is_one_line():
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"Cannot listen on tcp://127.0.0.1:{port}: Address already in use" in fails(
            f"tcp://:{port}"
        )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tls_certificate": "none.pem"}, "Cannot read tls_certificate"),
        ({"tls_certificate": CERTIFICATE, "tls_key": "none"}, "Cannot read tls_key"),
        ({"tls_certificate": CERTIFICATE}, "Give tls_certificate a certificate in PEM format"),
        (
            {"tls_certificate": CERTIFICATE, "tls_key": KEY, "tls_client_ca": KEY},
            "Cannot use tls_client_ca",
        ),
    ],
)
def test_certificates_that_cannot_be_used_are_one_line(options, said):
    assert said in fails("tls://:0", **options)


# --- reload, stop, restart ------------------------------------------------------------------------


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def change(now: Scene, **options) -> None:
    """Reload, in the listener's own thread."""
    now.harness.queue.schedule("change", options)
    now.harness.run_until_idle()
    failed, now.listener.failed = now.listener.failed, None
    if failed is not None:
        raise failed


def test_a_reload_keeps_sockets_and_connections():
    with scene(WHERE, "tcp://:0") as now, clients(1) as [client]:
        client.sendall(b"ha")
        now.harness.run_until_idle()
        before = now.listener.listening
        change(now, idle_timeout=5.0, max_clients=1)
        assert now.listener.listening == before
        client.sendall(b"lf\n")
        assert now.lines == [b"half"]
        with clients(1) as [another]:
            assert now.is_disconnected(another)
        now.harness.advance(6)
        assert now.is_disconnected(client)


def test_a_reload_opens_and_closes_sockets():
    with scene(WHERE, "unixgram://d.sock") as now, clients(1) as [client]:
        now.harness.run_until_idle()
        change(now, listen=["unix://new.sock", "unixgram://new-d.sock"])
        assert names() == ["new-d.sock", "new.sock"]
        with clients(1, "unix://new.sock") as [another]:
            another.sendall(b"new\n")
            assert now.lines == [b"new"]
        client.sendall(b"old\n")
        assert now.lines == [b"new", b"old"]


@pytest.mark.parametrize(
    "options", [{"listen": ["unix://new.sock", "unix://none/x.sock"]}, {"max_clients": 0}]
)
def test_a_reload_that_fails_changes_nothing(options):
    with scene() as now, clients(1) as [client]:
        now.harness.run_until_idle()
        with pytest.raises((ValueError, ZenDaemonComponentException)):
            change(now, **options)
        assert names() == ["lines.sock"]
        assert now.listener.listening == [WHERE]
        client.sendall(b"x\n")
        assert now.lines == [b"x"]


def test_a_broken_certificate_at_sighup_is_reported_and_the_old_one_stays(tmp_path):
    certificate = tmp_path / "c.pem"
    certificate.write_bytes(b"".join(Path(each).read_bytes() for each in (CERTIFICATE, KEY)))
    listener = LineListener(listen=["tls://:0"], tls_certificate=str(certificate))
    with Harness([listener, Collector()]) as harness:
        certificate.write_text("nonsense")
        harness.queue.schedule("signal_hup")
        harness.run_until_idle()
        (error,) = [record.message for record in harness.logs if record.level == "ERROR"]
        assert error.endswith("The old ones are used on")
        assert listener.listening
        assert not harness.dead_letters()


def test_a_stop_hands_on_what_has_come():
    with scene() as now, clients(1) as [client]:
        client.sendall(b"whole\nhalf")
        now.harness.run_until_idle()
        now.harness.stop()
        assert now.collector.lines == [b"whole", b"half"]
        assert not Path("lines.sock").exists()
        assert now.listener.get_state()["clients"] == 0


def test_it_ends_when_its_last_client_has_left_if_it_should():
    listener, collector = LineListener(listen=[WHERE, "unixgram://d.sock"]), Collector()
    with Harness([listener, collector], exit_when_idle=True) as harness:
        harness.advance(60)
        assert listener.listening
        with clients(2) as senders:
            senders[0].sendall(b"x\n")
            harness.run_until_idle()
            senders[0].close()
            harness.run_until_idle()
            assert listener.listening
        harness.run_until_idle()
        assert listener.listening == []
        assert collector.lines == [b"x"]
        before = harness.now
        harness.run(3600)
        assert harness.now == before, "something keeps the daemon alive"


def test_a_crash_in_a_callback_loses_no_line():
    faults = [Crash(point="timer", component="listener", nth=2)]  # the first accepts
    with scene(faults=faults, errors=1) as now, clients(1) as [client]:
        now.harness.run_until_idle()
        client.sendall(b"x\n")
        assert now.lines == [b"x"]
        assert len(now.harness.hook_failures()) == 1


def test_a_sink_that_fails_makes_room():
    crash = Crash(component="collector", event="lines", nth=1)
    with scene(limit=1, faults=[crash], errors=1) as now:
        with clients(1) as [client]:
            client.sendall(b"one\n")
            now.harness.run_until_idle()
            client.sendall(b"two\n")
            assert now.lines == [b"two"]
        assert [letter.args for letter in now.harness.dead_letters()] == [[b"one"]]


# --- out of descriptors ---------------------------------------------------------------------------


class Exhausted:
    """A socket whose `accept` has no descriptor left, `times` times."""

    def __init__(self, inner: socket.socket, error: int, times: int) -> None:
        self._inner = inner
        self._error = error
        self.times = times

    def accept(self):
        if self.times > 0:
            self.times -= 1
            raise OSError(self._error, os.strerror(self._error))
        return self._inner.accept()

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("error", [errno.EMFILE, errno.ENOBUFS, errno.EPERM])
def test_without_descriptors_it_backs_off_and_accepts_again(error):
    with scene(errors=1) as now:
        (bound,) = now.listener._bound.values()
        exhausted = Exhausted(bound.socket, error, 6)
        bound.socket = exhausted
        with clients(1) as [client]:
            now.harness.run_until_idle()
            tried = 6 - exhausted.times
            assert tried <= 2, "it does not back off"
            now.harness.advance(30)
            client.sendall(b"x\n")
            assert now.lines == [b"x"]
        errors = [record.message for record in now.harness.logs if record.level == "ERROR"]
        assert len(errors) == 1
        assert errors[0].startswith("Cannot accept a connection: ")
        assert now.count("accept_errors") >= 3
