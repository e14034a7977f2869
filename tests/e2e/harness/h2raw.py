"""A raw HTTP/2 client on python3-h2: what it sends is under the test's control, what comes is kept per stream."""

import socket
import struct

import h2.config
import h2.connection
import h2.events

from .base import TIMEOUT


class Heard:
    """What came on one stream."""

    def __init__(self):
        self.headers, self.trailers, self.body = {}, {}, b""
        self.ended, self.reset = False, None

    @property
    def over(self):
        return self.ended or self.reset is not None


class RawClient:
    def __init__(self, address):
        host, port = address.rsplit(":", 1)
        self.sock = socket.create_connection((host, int(port)), TIMEOUT)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.heard = {}
        self.flush()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.sock.close()

    def flush(self):
        self.sock.sendall(self.h2.data_to_send())

    def call(self, path, fields=(), message=None, end=True, method="POST"):
        """Begins a call of gRPC; the message gets its frame. Returns the stream's number."""
        stream = self.h2.get_next_available_stream_id()
        self.heard[stream] = Heard()
        self.h2.send_headers(
            stream,
            [
                (":method", method),
                (":scheme", "http"),
                (":authority", "a.test"),
                (":path", path),
                ("content-type", "application/grpc"),
                ("te", "trailers"),
                *fields,
            ],
            end_stream=message is None and end,
        )
        if message is not None:
            self.h2.send_data(stream, b"\0" + struct.pack(">I", len(message)) + message, end_stream=end)
        self.flush()
        return stream

    def reset(self, stream, code=8):
        self.h2.reset_stream(stream, code)
        self.flush()

    def abort(self):
        """The connection ends with a RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait(self, stream, condition=lambda heard: heard.over):
        """Reads until the condition holds for what was heard of the stream."""
        heard = self.heard[stream]
        while not condition(heard):
            data = self.sock.recv(65536)
            assert data, "the connection ended"
            for event in self.h2.receive_data(data):
                self.take(event)
            self.flush()
        return heard

    def take(self, event):
        heard = self.heard.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ResponseReceived):
            heard.headers = dict(event.headers)
        elif isinstance(event, h2.events.TrailersReceived):
            heard.trailers = dict(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            heard.body += event.data
            if event.flow_controlled_length:
                self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            heard.ended = True
        elif isinstance(event, h2.events.StreamReset):
            heard.reset = int(event.error_code)  # NO_ERROR after an answer that has ended before its request
