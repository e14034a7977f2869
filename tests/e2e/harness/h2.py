"""HTTP/2 by hand, over python3-h2: a client that says what it wants, and scripted origins.

Both keep what every stream saw, as it was: heads, body, whether it ended or was reset and with which code. The checks
of the library on what we send are off, so that hostile things go out; those on what comes in are on, so that the proxy
is judged.
"""

import contextlib
import socket
import struct
import threading
import traceback
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from .base import TIMEOUT, wait_for
from .client import dial

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 2, 7, 8, 11
MAX_STREAMS = h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS
INITIAL_WINDOW = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
HEADER_TABLE = h2.settings.SettingCodes.HEADER_TABLE_SIZE


def frame(kind, flags=0, stream=0, payload=b""):
    """The bytes of one frame."""
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def connection(client_side, settings=()):
    config = h2.config.H2Configuration(
        client_side=client_side,
        header_encoding="utf-8",
        validate_outbound_headers=False,
        normalize_outbound_headers=False,
    )
    made = h2.connection.H2Connection(config)
    made.local_settings = h2.settings.Settings(
        client=client_side,
        initial_values={
            h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1000,
            **({0x2: 0} if client_side else {}),
            **dict(settings),
        },
    )
    made.max_inbound_frame_size = made.local_settings.max_frame_size
    # The library takes and sends nothing after a GOAWAY of the other side; a graceful one lets streams go on.
    states, inputs = h2.connection.ConnectionState, h2.connection.ConnectionInputs
    machine = made.state_machine
    machine._transitions = {
        **machine._transitions,
        **{(s, inputs.RECV_GOAWAY): (None, s) for s in (states.IDLE, states.CLIENT_OPEN, states.SERVER_OPEN)},
    }
    made.clear_outbound_data_buffer = lambda: None
    return made


@dataclass
class Seen:
    """One stream, as it was received. `code`: of the RST_STREAM of the other side."""

    headers: list = field(default_factory=list)
    interim: list = field(default_factory=list)  # statuses of 1xx heads
    trailers: list = field(default_factory=list)
    body: bytearray = field(default_factory=bytearray)
    ended: bool = False
    code: int = None

    def header(self, name, default=None):
        return next((v for n, v in self.headers if n == name), default)

    @property
    def status(self):
        return int(self.header(":status", "0"))

    @property
    def path(self):
        return self.header(":path")

    @property
    def over(self):
        return self.ended or self.code is not None


class Half:
    """What client and origin connections share: a socket, an H2Connection, streams, bodies that wait for windows."""

    def __init__(self, sock, client_side, settings=(), auto_credit=True):
        self.sock = sock
        self.h2 = connection(client_side, settings)
        self.lock = threading.RLock()
        self.streams = {}
        self.goaways = []  # (last stream, code) as they came
        self.pings = 0
        self.acks = 0
        self.settings_seen = False
        self.closed = False  # the other side ended the connection
        self.was_reset = False
        self.auto_credit = auto_credit
        self.pending = {}  # stream -> [bytes, end, trailers]
        with self.lock:
            self.h2.initiate_connection()
            self.flush()

    def flush(self):
        data = self.h2.data_to_send()
        if data:
            self.sock.sendall(data)

    def send_raw(self, data):
        with self.lock:
            self.flush()
            self.sock.sendall(data)

    def seen(self, stream):
        return self.streams.setdefault(stream, Seen())

    # --- sending ---------------------------------------------------------------------------------
    def send_body(self, stream, data=b"", end=True, trailers=()):
        """Goes out as the windows allow."""
        with self.lock:
            waiting = self.pending.setdefault(stream, [b"", False, ()])
            waiting[0] += data
            waiting[1], waiting[2] = end, trailers
            self._push(stream)
            self.flush()

    def _push(self, stream):
        if stream not in self.pending:
            return
        waiting = self.pending[stream]
        try:
            while waiting[0]:
                n = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size, len(waiting[0]))
                if n <= 0:
                    return
                last = n == len(waiting[0]) and waiting[1] and not waiting[2]
                self.h2.send_data(stream, waiting[0][:n], end_stream=last)
                waiting[0] = waiting[0][n:]
                if last:
                    del self.pending[stream]
                    return
            if waiting[1]:
                del self.pending[stream]
                if waiting[2]:
                    self.h2.send_headers(stream, list(waiting[2]), end_stream=True)
                else:
                    self.h2.end_stream(stream)
        except h2.exceptions.ProtocolError:  # reset meanwhile
            self.pending.pop(stream, None)

    def rst(self, stream, code=CANCEL):
        with self.lock, contextlib.suppress(h2.exceptions.ProtocolError):
            self.h2.reset_stream(stream, code)
            self.flush()

    def goaway(self, last=None, code=NO_ERROR):
        with self.lock:
            self.sock.sendall(
                frame(
                    GOAWAY, 0, 0, struct.pack(">II", self.h2.highest_inbound_stream_id if last is None else last, code)
                )
            )

    def credit(self, stream, n):
        with self.lock, contextlib.suppress(h2.exceptions.ProtocolError, h2.exceptions.StreamClosedError):
            self.h2.acknowledge_received_data(n, stream)
            self.flush()

    # --- receiving -------------------------------------------------------------------------------
    def pump(self):
        """Takes what one read gives. False: the connection has ended."""
        try:
            data = self.sock.recv(1 << 16)
        except socket.timeout:
            raise
        except OSError:
            data, self.was_reset = b"", True
        if not data:
            self.closed = True
            return False
        with self.lock:
            for event in self.h2.receive_data(data):
                self.handle(event)
            with contextlib.suppress(OSError):
                self.flush()
        return True

    def handle(self, event):
        e = h2.events
        if isinstance(event, (e.ResponseReceived, e.RequestReceived)):
            self.seen(event.stream_id).headers = list(event.headers)
        elif isinstance(event, e.InformationalResponseReceived):
            self.seen(event.stream_id).interim.append(int(dict(event.headers)[":status"]))
        elif isinstance(event, e.TrailersReceived):
            self.seen(event.stream_id).trailers = list(event.headers)
        elif isinstance(event, e.DataReceived):
            self.seen(event.stream_id).body += event.data
            if self.auto_credit and event.flow_controlled_length:
                with contextlib.suppress(h2.exceptions.ProtocolError):
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, e.StreamEnded):
            self.seen(event.stream_id).ended = True
        elif isinstance(event, e.StreamReset):
            self.seen(event.stream_id).code = int(event.error_code)
        elif isinstance(event, e.ConnectionTerminated):
            self.goaways.append((event.last_stream_id, int(event.error_code)))
        elif isinstance(event, e.PingReceived):
            self.pings += 1
        elif isinstance(event, e.PingAckReceived):
            self.acks += 1
        elif isinstance(event, e.RemoteSettingsChanged):
            self.settings_seen = True
            for stream in list(self.pending):
                self._push(stream)
        elif isinstance(event, e.WindowUpdated):
            for stream in [event.stream_id] if event.stream_id else list(self.pending):
                self._push(stream)

    def until(self, condition, what=""):
        """Reads until condition() holds."""
        while not condition():
            try:
                alive = self.pump()
            except socket.timeout:
                raise AssertionError(f"never came: {what or condition}") from None
            if not alive and not condition():
                raise AssertionError(
                    f"the connection ended ({'reset' if self.was_reset else 'FIN'}, {self.goaways}) before: "
                    f"{what or condition}"
                )

    def close(self):
        self.sock.close()

    def reset(self):
        """By RST, from any thread: the one that reads wakes up, and closes."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.shutdown(socket.SHUT_RD)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class H2Client(Half):
    """A client connection. tls: an ssl.SSLContext with ALPN h2."""

    def __init__(
        self,
        address,
        *,
        tls=None,
        server_name="a.test",
        settings=(),
        auto_credit=True,
        timeout=None,
        rcvbuf=None,
        ready=True,
    ):
        sock = dial(address, timeout, rcvbuf)
        self.scheme = "https" if tls else "http"
        if tls:
            sock = tls.wrap_socket(sock, server_hostname=server_name)
            assert sock.selected_alpn_protocol() == "h2", sock.selected_alpn_protocol()
        super().__init__(sock, True, settings, auto_credit)
        if ready:
            self.until(lambda: self.settings_seen, "SETTINGS")

    def start(self, path="/", method="GET", headers=(), body=None, end=True, authority="a.test"):
        """Begins a request and returns its stream."""
        with self.lock:
            stream = self.h2.get_next_available_stream_id()
            self.seen(stream)
            head = [(":method", method), (":scheme", self.scheme), (":authority", authority), (":path", path), *headers]
            self.h2.send_headers(stream, head, end_stream=body is None and end)
            if body is not None:
                self.send_body(stream, body, end)
            self.flush()
            return stream

    def finish(self, *streams):
        """Reads until these are over; the first one's Seen."""
        for stream in streams:
            self.until(
                lambda s=stream: self.streams[s].over,
                f"the end of stream {stream}: {self.streams[stream].status} {len(self.streams[stream].body)}",
            )
        return self.streams[streams[0]]

    def request(self, path="/", method="GET", headers=(), body=None, authority="a.test"):
        return self.finish(self.start(path, method, headers, body, authority=authority))

    def ended(self):
        """Reads until the proxy ends the connection."""
        while not self.closed and self.pump():
            pass
        return True


class H2Connection(Half):
    """One accepted connection of an H2Origin."""

    def __init__(self, origin, sock, number, settings):
        self.origin, self.number = origin, number
        self.open_now = self.open_max = 0
        super().__init__(sock, False, settings, origin.auto_credit)

    def handle(self, event):
        if isinstance(event, h2.events.RequestReceived):
            with self.origin.lock:
                self.origin.requests.append((self.number, dict(event.headers).get(":path")))
            self.open_now += 1
            self.open_max = max(self.open_max, self.open_now)
        super().handle(event)
        if isinstance(event, h2.events.RequestReceived) and self.origin.on_head:
            self.origin.on_head(self, event.stream_id, self.streams[event.stream_id])
        if isinstance(event, h2.events.StreamEnded) and self.origin.on_request:
            self.origin.on_request(self, event.stream_id, self.streams[event.stream_id])

    def respond(self, stream, status=200, body=b"ok", headers=(), end=True, trailers=()):
        with self.lock:
            try:
                self.h2.send_headers(
                    stream, [(":status", str(status)), *headers], end_stream=end and not body and not trailers
                )
            except h2.exceptions.ProtocolError:  # reset meanwhile
                return
            if end:
                self.open_now -= 1
            if body or trailers:
                self.send_body(stream, body, end, trailers)
            self.flush()


class H2Origin:
    """Listens on a loopback port of its own. on_head(connection, stream, seen) and on_request(...) run at the reading
    thread."""

    def __init__(
        self, on_request=None, on_head=None, tls=None, settings=(), auto_credit=True, address=("127.0.0.1", 0)
    ):
        self.on_request = on_request if on_request or on_head else (lambda c, s, _: c.respond(s))
        self.on_head, self.tls, self.settings, self.auto_credit = on_head, tls, settings, auto_credit
        self.lock = threading.Lock()
        self.connections, self.requests, self.errors, self.threads = [], [], [], []
        self.closing = False
        self.listener = socket.create_server(address, backlog=1024)
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    @property
    def address(self):
        return "%s:%d" % self.listener.getsockname()[:2]

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT * 3)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._run, args=(sock,), daemon=True)
            thread.start()
            self.threads.append(thread)  # started: close() joins it

    def _run(self, sock):
        try:
            if self.tls:
                sock = self.tls.wrap_socket(sock, server_side=True)
            with self.lock:
                made = H2Connection(self, sock, len(self.connections) + 1, self.settings)
                self.connections.append(made)
            while made.pump():
                pass
        except (OSError, h2.exceptions.NoSuchStreamError):
            pass
        except Exception:  # noqa: BLE001 - shown by close()
            if not self.closing:
                self.errors.append(traceback.format_exc())
        finally:
            sock.close()

    def wait_requests(self, n):
        wait_for(lambda: len(self.requests) >= n, what=f"{n} requests at the origin")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    def close(self, check=True):
        self.closing = True
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for made in list(self.connections):
            with contextlib.suppress(OSError):
                made.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(TIMEOUT)
        if check:
            assert not self.errors, "\n".join(self.errors)
