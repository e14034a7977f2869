"""gRPC peers on python3-grpcio without generated code: messages are bytes, methods are generic handlers.

Run as a program (`python3 grpcs.py NAME`) it is a server that prints its port and can be killed.
"""

import os
import pathlib
import subprocess
import sys
import threading
from concurrent import futures

import grpc

if __name__ == "__main__":
    sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from harness.base import TIMEOUT  # noqa: E402

SERVICE = "/test.Service/"
HEALTH = "/grpc.health.v1.Health/Check"
SERVING, NOT_SERVING = b"\x08\x01", b"\x08\x02"
NO_LIMIT = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class Service(grpc.GenericRpcHandler):
    """The methods of the tests; what happened is counted by words in seen()."""

    def __init__(self, name="server"):
        self.name = name.encode()
        self.lock = threading.Lock()
        self.counts = {}
        self.metadata = []
        self.remaining = []  # time_remaining() of each Echo
        self.health = {"": SERVING}
        self.asked = []
        self.gate = threading.Event()  # Held waits for it
        self.mood = None  # what Mood says instead of an answer: (code, trailing metadata)
        one, many = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
        self.handlers = {HEALTH: one(self.check)}
        for method, handler in {
            "Echo": one(self.echo),
            "Name": one(lambda request, context: self.name),
            "Fail": one(self.fail),
            "Mood": one(self.say_mood),
            "Hang": one(self.hang),
            "Held": one(self.held),
            "Numbers": many(self.numbers),
            "Tick": many(self.tick),
            "Collect": grpc.stream_unary_rpc_method_handler(lambda requests, context: b"".join(requests)),
            "Chat": grpc.stream_stream_rpc_method_handler(self.chat),
            "Enough": grpc.stream_stream_rpc_method_handler(self.enough),
        }.items():
            self.handlers[SERVICE + method] = handler

    def service(self, details):
        return self.handlers.get(details.method)

    def seen(self, what):
        with self.lock:
            return self.counts.get(what, 0)

    def note(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def begin(self, context, end="over"):
        """Notes the beginning of a call and, by the word `end`, its end, however it comes; returns an event of that
        end.

        (A generator would not do: once its call is over it is not resumed.)
        """
        over = threading.Event()

        def ended():
            self.note(end)
            over.set()

        if not context.add_callback(ended):
            ended()
        self.note("begun")
        return over

    def check(self, request, context):
        service = request[2:].decode() if request else ""
        with self.lock:
            self.asked.append((service, dict(context.invocation_metadata())))
        if service not in self.health:
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return self.health[service]

    def echo(self, request, context):
        sent = [(k, v) for k, v in context.invocation_metadata()]
        with self.lock:
            self.metadata.append(sent)
            self.remaining.append(context.time_remaining())
        context.send_initial_metadata([(k, v) for k, v in sent if k.startswith("x-test")])
        context.set_trailing_metadata([("y-last", "1"), ("y-last-bin", b"\x00\xff\x80")])
        return request

    def fail(self, request, context):
        context.set_trailing_metadata([("y-why-bin", b"\x01\x02")])
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "näh: 100 % no")

    def say_mood(self, request, context):
        self.note("mood")
        if self.mood is None:
            return self.name
        code, metadata = self.mood
        context.set_trailing_metadata(metadata)
        context.abort(code, "not now")

    def hang(self, request, context):
        """Never answers of itself."""
        self.begin(context, "hung up").wait(TIMEOUT * 2)
        return b""

    def held(self, request, context):
        self.begin(context)
        self.gate.wait(TIMEOUT * 2)
        return request

    def numbers(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def tick(self, request, context):
        """One message, then silence until the call is over."""
        over = self.begin(context, "hung up")
        yield b"tick"
        over.wait(TIMEOUT * 2)

    def chat(self, requests, context):
        self.begin(context)
        yield b"hello"  # before anything came
        for request in requests:
            yield b"re: " + request
        yield b"bye"

    def enough(self, requests, context):
        """Ends before its client does."""
        yield next(requests)


class Server:
    """A grpcio server in this process, on a port of its own unless `address` names one."""

    def __init__(self, name="server", credentials=None, address="127.0.0.1:0", threads=64):
        self.service = Service(name)
        self.server = grpc.server(
            futures.ThreadPoolExecutor(threads), handlers=[self.service], options=NO_LIMIT + [("grpc.so_reuseport", 0)]
        )
        add = self.server.add_secure_port if credentials else self.server.add_insecure_port
        self.port = add(address, *([credentials] if credentials else []))
        self.address = f"{address.rpartition(':')[0]}:{self.port}"
        self.server.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.service.gate.set()
        self.server.stop(0).wait(TIMEOUT)


class ServerProcess:
    """The same in a process of its own, to be killed."""

    def __init__(self, name):
        self.process = subprocess.Popen(
            [sys.executable, "-B", __file__, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.address = f"127.0.0.1:{int(self.process.stdout.readline())}"

    def kill(self):
        self.process.kill()
        self.process.wait(TIMEOUT)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.kill()
        self.process.stdin.close()
        self.process.stdout.close()


class Stub:
    """A client with a connection of its own."""

    def __init__(self, address, authority=None):
        options = NO_LIMIT + [
            ("grpc.use_local_subchannel_pool", 1),
            ("grpc.enable_http_proxy", 0),
            ("grpc.enable_retries", 0),
        ]
        if authority:
            with open(authority.cert, "rb") as f:
                self.channel = grpc.secure_channel(address, grpc.ssl_channel_credentials(f.read()), options)
        else:
            self.channel = grpc.insecure_channel(address, options)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.channel.close()

    # `timeout` only keeps a test from hanging; it travels as grpc-timeout.
    def unary(self, method, request=b"", timeout=TIMEOUT, **options):
        return self.channel.unary_unary(SERVICE + method).with_call(request, timeout=timeout, **options)

    def start(self, method, request=b"", **options):
        return self.channel.unary_unary(SERVICE + method).future(request, **options)

    def collect(self, requests, **options):
        return self.channel.stream_unary(SERVICE + "Collect")(requests, timeout=TIMEOUT, **options)

    def stream(self, method, request=b"", **options):
        return self.channel.unary_stream(SERVICE + method)(request, **options)

    def chat(self, requests, method="Chat", **options):
        return self.channel.stream_stream(SERVICE + method)(requests, **options)


def failure(call):
    """The RpcError of a call that must fail."""
    try:
        call()
    except grpc.RpcError as error:
        return error
    raise AssertionError("the call did not fail")


class Requests:
    """An iterator of requests that the test feeds; it ends with close()."""

    def __init__(self):
        self.items, self.lock = [], threading.Condition()
        self.closed = False

    def put(self, item):
        with self.lock:
            self.items.append(item)
            self.lock.notify()

    def close(self):
        with self.lock:
            self.closed = True
            self.lock.notify()

    def __iter__(self):
        return self

    def __next__(self):
        with self.lock:
            self.lock.wait_for(lambda: self.items or self.closed)
            if self.items:
                return self.items.pop(0)
        raise StopIteration


def main():
    with Server(sys.argv[1]) as server:
        print(server.port, flush=True)
        sys.stdin.read()  # until the test is gone
    os._exit(0)


if __name__ == "__main__":
    main()
