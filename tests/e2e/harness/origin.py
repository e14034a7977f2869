"""Scripted origin servers: a thread per connection, every byte received is kept.

An origin is either on_request(connection, request), called for every well-formed request on
kept connections, or on_connection(connection), which does everything itself with raw bytes.
"""

import re
import socket
import struct
import threading
import traceback
from dataclasses import dataclass, field

from .base import TIMEOUT, wait_for

REQUEST_LINE = re.compile(r"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) (\S+) HTTP/1\.([01])")


class Gone(Exception):
    """The proxy closed or reset the connection. mid: inside a message."""

    def __init__(self, mid, was_reset=False):
        super().__init__("in a message" if mid else "between messages")
        self.mid = mid
        self.was_reset = was_reset


@dataclass
class Request:
    method: str
    target: str
    version: int
    headers: list  # (lower-case name, value) in order
    body: bytes = b""
    trailers: list = field(default_factory=list)
    framing: str = "none"  # none, length, chunked

    def all(self, name):
        return [v for n, v in self.headers if n == name.lower()]

    def header(self, name, default=None):
        values = self.all(name)
        assert len(values) < 2, f"{name} reached the origin {len(values)} times: {values}"
        return values[0] if values else default


def ok(body=b"ok", headers=(), status="200 OK"):
    """A plain answer with Content-Length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


class Gate:
    """Holds requests to /held until opened."""

    def __init__(self):
        self.event = threading.Event()

    def __call__(self, connection, request):
        if request.target.startswith("/held"):
            assert self.event.wait(TIMEOUT * 2)
        connection.send(ok(b"%d" % connection.number))

    def open(self):
        self.event.set()


class Connection:
    """One accepted connection, as its script sees it."""

    def __init__(self, origin, sock, number):
        self.origin = origin
        self.sock = sock
        self.number = number  # 1 for the first connection of the origin
        self.received = bytearray()  # everything, for ever
        self.at = 0  # how far the script has read
        self.sent = 0
        self.requests = []
        self.ended = threading.Event()  # the script has ended
        self.eof = threading.Event()  # the proxy sent FIN or RST
        self.was_reset = False

    def _more(self, mid):
        try:
            data = self.sock.recv(65536)
        except (ConnectionResetError, BrokenPipeError):
            self.was_reset = True
            data = b""
        except socket.timeout:
            raise Gone(mid) from None
        if not data:
            self.eof.set()
            raise Gone(mid, self.was_reset)
        self.received += data

    def read(self, n):
        """Exactly n bytes."""
        while len(self.received) - self.at < n:
            self._more(mid=True)
        data = bytes(self.received[self.at : self.at + n])
        self.at += n
        return data

    def read_until(self, mark):
        """Up to and with mark."""
        start = self.at
        while (found := self.received.find(mark, start)) < 0:
            start = max(self.at, len(self.received) - len(mark) + 1)
            self._more(mid=len(self.received) > self.at)
        data = bytes(self.received[self.at : found + len(mark)])
        self.at = found + len(mark)
        return data

    def read_head(self):
        """The head of one request, strictly parsed."""
        raw = self.read_until(b"\r\n\r\n")
        lines = raw[:-4].decode("latin-1").split("\r\n")
        m = REQUEST_LINE.fullmatch(lines[0])
        assert m, f"bad request line at the origin: {lines[0]!r}"
        headers = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            assert (
                colon and name and "\n" not in line and "\r" not in line and name == name.strip()
            ), f"bad field {line!r}"
            headers.append((name.lower(), value.strip(" \t")))
        request = Request(m[1], m[2], int(m[3]), headers)
        with self.origin.lock:
            self.requests.append(request)
            self.origin.requests.append(request)
            self.origin.heads += 1
        return request

    def read_body(self, request, on_data=None):
        """The body that belongs to a head, kept in request.body (or given to on_data)."""
        lengths, codings = request.all("content-length"), request.all("transfer-encoding")
        assert not (lengths and codings) and len(lengths) < 2, f"ambiguous framing {lengths} {codings}"
        keep = on_data or (lambda data: setattr(request, "body", request.body + data))
        if codings:
            assert codings == ["chunked"], codings
            request.framing = "chunked"
            while size := int(self.read_until(b"\r\n")[:-2], 16):
                self._pieces(size, keep)
                assert self.read(2) == b"\r\n"
            while line := self.read_until(b"\r\n")[:-2]:
                name, _, value = line.decode("latin-1").partition(":")
                request.trailers.append((name.lower(), value.strip()))
        elif lengths:
            request.framing = "length"
            self._pieces(int(lengths[0]), keep)
        return request

    def _pieces(self, size, keep):
        while size:
            if len(self.received) == self.at:
                self._more(mid=True)
            piece = bytes(self.received[self.at : self.at + size])
            self.at += len(piece)
            size -= len(piece)
            keep(piece)

    def forget(self):
        """Lets go of what was read (large bodies)."""
        del self.received[: self.at]
        self.at = 0

    def read_request(self):
        return self.read_body(self.read_head())

    def send(self, data):
        self.sock.sendall(data)
        self.sent += len(data)

    def send_torn(self, data, size=1):
        for at in range(0, len(data), size):
            self.sock.sendall(data[at : at + size])

    def send_large(self, size, block=b"x" * 65536):
        while size:
            n = min(size, len(block))
            self.sent += self.sock.send(block[:n])
            size -= n

    def finish(self):
        self.sock.shutdown(socket.SHUT_WR)

    def close(self):
        self.sock.close()

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_eof(self):
        """Reads on until the proxy closes; what comes is kept in received."""
        try:
            while True:
                self._more(mid=False)
        except Gone:
            pass


class Origin:
    """Listens on a loopback port of its own. Use with `with` or close()."""

    def __init__(self, on_request=None, on_connection=None, tls=None, address=("127.0.0.1", 0), rcvbuf=None):
        assert not (on_request and on_connection)
        self.on_request = on_request or (lambda c, r: c.send(ok()))
        self.on_connection = on_connection or self._serve
        self.tls = tls
        self.lock = threading.Lock()
        self.connections = []
        self.requests = []
        self.heads = 0
        self.errors = []
        self.open = 0
        self.open_max = 0
        self.closing = False
        self.listener = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if rcvbuf:
            self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        self.listener.bind(address)
        self.listener.listen(1024)
        self.threads = []
        self.acceptor = threading.Thread(target=self._accept, daemon=True)
        self.acceptor.start()

    @property
    def address(self):
        host, port = self.listener.getsockname()[:2]
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    @property
    def received(self):
        """All bytes of all connections."""
        with self.lock:
            return b"".join(bytes(c.received) for c in self.connections)

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(TIMEOUT * 3)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                connection = Connection(self, sock, len(self.connections) + 1)
                self.connections.append(connection)
                self.open += 1
                self.open_max = max(self.open_max, self.open)
            thread = threading.Thread(target=self._run, args=(connection,), daemon=True)
            thread.start()
            self.threads.append(thread)  # started: close() joins it

    def _run(self, connection):
        try:
            if self.tls:
                connection.sock = self.tls.wrap_socket(connection.sock, server_side=True)
            self.on_connection(connection)
        except (Gone, OSError):
            pass  # the proxy left, or the test closed us
        except Exception:  # noqa: BLE001 - shown by close()
            if not self.closing:
                self.errors.append(traceback.format_exc())
        finally:
            connection.ended.set()
            with self.lock:
                self.open -= 1
            connection.sock.close()

    def _serve(self, connection):
        while connection.sock.fileno() >= 0:
            request = connection.read_request()
            self.on_request(connection, request)

    def wait_heads(self, n):
        wait_for(lambda: self.heads >= n, what=f"{n} requests at the origin, saw {self.heads}")

    def wait_connections(self, n):
        wait_for(lambda: len(self.connections) >= n, what=f"{n} connections at the origin")

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        self.close(check=kind is None)

    def close(self, check=True):
        """Ends the listener and every connection; check: errors of the scripts fail the test."""
        self.closing = True
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        with self.lock:
            connections = list(self.connections)
        for connection in connections:
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self.acceptor.join(TIMEOUT)
        for thread in self.threads:
            thread.join(TIMEOUT)
        if check:
            assert not self.errors, "\n".join(self.errors)
