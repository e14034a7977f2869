"""Origins that die and come back: plain HTTP/1.1 that answers "ok", and echoes what comes after an upgrade."""

import contextlib
import re
import socket
import struct
import threading

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Origin:
    def __init__(self, host, port=0):
        self.host, self.port = host, port
        self.lock = threading.Lock()
        self.connections = set()
        self.listener = None
        self.live()

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def live(self):
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.listener.bind((self.host, self.port))
        self.listener.listen(512)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self.listener,), daemon=True).start()

    def die(self):
        """As a process that is killed: connects are refused, what is open is reset."""
        with self.lock:
            listener, self.listener = self.listener, None
            listener.shutdown(socket.SHUT_RDWR)
            listener.close()
            for sock in self.connections:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                with contextlib.suppress(OSError):  # its peer has reset it
                    sock.shutdown(socket.SHUT_RD)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self.lock:
                if self.listener is not listener:  # accepted while it died
                    sock.close()
                    return
                self.connections.add(sock)
            threading.Thread(target=self._run, args=(sock,), daemon=True).start()

    def _run(self, sock):
        try:
            self._serve(sock)
        except OSError:
            pass
        finally:
            with self.lock:
                self.connections.discard(sock)
                sock.close()

    def _serve(self, sock):
        buffer = b""
        while True:
            while (end := buffer.find(b"\r\n\r\n")) < 0:
                if not (data := sock.recv(65536)):
                    return
                buffer += data
            head, buffer = buffer[: end + 4], buffer[end + 4 :]
            if b"pgrade: websocket" in head:
                sock.sendall(SWITCH + buffer)
                while data := sock.recv(65536):
                    sock.sendall(data)
                return
            length = LENGTH.search(head)
            rest = int(length[1]) if length else 0
            while len(buffer) < rest:
                if not (data := sock.recv(65536)):
                    return
                buffer += data
            buffer = buffer[rest:]
            sock.sendall(OK)
