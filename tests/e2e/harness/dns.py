"""Name servers on loopback whose records a test changes: a real dnsmasq, and a scripted one for what dnsmasq never
does."""

import contextlib
import getpass
import os
import signal
import socket
import struct
import subprocess
import threading
import time

from .base import TIMEOUT, free_address, wait_for

A, CNAME, AAAA, SRV = 1, 5, 28, 33
NOERROR, SERVFAIL, NXDOMAIN, REFUSED = 0, 2, 3, 5


def encode_name(name):
    return b"".join(bytes([len(p)]) + p.encode() for p in name.rstrip(".").split(".") if p) + b"\0"


def query(name, kind, number=7):
    return struct.pack("!6H", number, 0x0100, 1, 0, 0, 0) + encode_name(name) + struct.pack("!2H", kind, 1)


class Dnsmasq:
    """Authoritative for *.test. Addresses change without a restart, services and aliases with one."""

    def __init__(self, directory, ttl=1):
        self.directory = str(directory)
        self.host, self.port = free_address()
        self.ttl = ttl
        self.hosts = {}
        self.services = []  # (service, target, port, priority, weight)
        self.aliases = []  # (alias, target)
        self.hosts_path = os.path.join(self.directory, "hosts")
        self.log_path = os.path.join(self.directory, "dnsmasq.log")
        self.process = None
        self.changed_at = None  # monotonic time of the last change

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def _write(self):
        with open(self.hosts_path + ".new", "w", encoding="ascii") as f:
            for name, addresses in self.hosts.items():
                f.writelines(f"{address} {name}\n" for address in addresses)
        os.replace(self.hosts_path + ".new", self.hosts_path)

    def set(self, name, *addresses):
        """The addresses of a name from now on; none: no such name."""
        if addresses:
            self.hosts[name] = addresses
        else:
            self.hosts.pop(name, None)
        self._write()
        if self.process:
            self.process.send_signal(signal.SIGHUP)
            self.changed_at = time.monotonic()
            wait_for(lambda: self._answers(name, addresses), what=f"dnsmasq serves {name} {addresses[:3]}")

    def _answers(self, name, addresses):
        with socket.create_connection((self.host, self.port), timeout=TIMEOUT) as s:
            q = query(name, A)
            s.sendall(struct.pack("!H", len(q)) + q)
            size = struct.unpack("!H", s.recv(2, socket.MSG_WAITALL))[0]
            answer = s.recv(size, socket.MSG_WAITALL)
        return struct.unpack("!H", answer[6:8])[0] == len(addresses) and all(
            socket.inet_aton(a) in answer for a in addresses
        )

    def set_services(self, service, *records):
        """SRV records (target, port, priority, weight)."""
        self.services = [(service, *r) for r in records]
        if self.process:
            self.restart()

    def start(self):
        self._write()
        command = [
            "dnsmasq",
            "--keep-in-foreground",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--local=/test/",
            f"--port={self.port}",
            f"--listen-address={self.host}",
            "--bind-interfaces",
            f"--addn-hosts={self.hosts_path}",
            f"--local-ttl={self.ttl}",
            f"--pid-file={self.directory}/pid",
            f"--user={getpass.getuser()}",
            "--log-queries",
            f"--log-facility={self.log_path}",
        ]
        command += [f"--srv-host={s},{t},{port},{priority},{weight}" for s, t, port, priority, weight in self.services]
        command += [f"--cname={alias},{target},{self.ttl}" for alias, target in self.aliases]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.changed_at = time.monotonic()
        wait_for(self._up, what="dnsmasq accepts")
        return self

    def _up(self):
        assert self.process.poll() is None, (
            open(self.log_path, encoding="utf-8").read() if os.path.exists(self.log_path) else "dnsmasq ended"
        )
        with socket.socket() as s:
            return s.connect_ex((self.host, self.port)) == 0

    def stop(self):
        if self.process:
            self.process.terminate()
            self.process.wait(TIMEOUT)
            self.process = None

    def restart(self):
        self.stop()
        self.start()

    def queries(self, name, kind="A"):
        """How often the name was asked for."""
        try:
            with open(self.log_path, encoding="utf-8") as f:
                return sum(1 for line in f if f"query[{kind}] {name} " in line)
        except FileNotFoundError:
            return 0

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.stop()


class ScriptedDns:
    """Answers A questions over UDP as told: addresses, an error code, slowly, or not at all."""

    def __init__(self, ttl=1):
        self.ttl = ttl
        self.addresses = {}
        self.code = NOERROR
        self.delay = 0.0
        self.silent = False
        self.asked = []  # (monotonic time, name, type)
        self.told = []  # (monotonic time, name, addresses), of answers with addresses
        self.free = threading.Event()  # cleared: answers are held back
        self.free.set()
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.closing = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)

    @property
    def address(self):
        return "%s:%d" % self.sock.getsockname()

    def set(self, name, *addresses):
        self.addresses[name] = addresses

    @contextlib.contextmanager
    def held(self, name):
        """Inside it a lookup of the name's addresses is under way, and no answer leaves; what is set meanwhile is what
        it will tell."""

        def lookups():
            return sum(1 for _, asked, kind in self.asked if (asked, kind) == (name, A))

        self.free.clear()
        before = lookups()
        wait_for(lambda: lookups() > before, what=f"a lookup of {name}")
        try:
            yield
        finally:
            self.free.set()

    def _run(self):
        while not self.closing.is_set():
            try:
                data, peer = self.sock.recvfrom(4096)
            except OSError:
                return
            if not data:
                return  # shut down
            threading.Thread(target=self._answer, args=(data, peer), daemon=True).start()

    def _answer(self, data, peer):
        end = data.index(b"\0", 12) + 5
        question, labels, at = data[12:end], [], 12
        while data[at]:
            labels.append(data[at + 1 : at + 1 + data[at]].decode())
            at += 1 + data[at]
        name, kind = ".".join(labels).lower(), struct.unpack("!H", question[-4:-2])[0]
        self.asked.append((time.monotonic(), name, kind))
        if self.silent or self.closing.wait(self.delay):
            return
        self.free.wait(TIMEOUT)
        known = self.addresses.get(name)
        code = self.code or (NXDOMAIN if known is None else NOERROR)
        records = [] if code or kind != A else known
        answer = data[:2] + struct.pack("!5H", 0x8400 | code, 1, len(records), 0, 0) + question
        for address in records:
            answer += b"\xc0\x0c" + struct.pack("!2HIH", A, 1, self.ttl, 4) + socket.inet_aton(address)
        if records:
            self.told.append((time.monotonic(), name, records))
        try:
            self.sock.sendto(answer, peer)
        except OSError:
            pass  # the asker, or the test, has gone

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.closing.set()
        try:
            self.sock.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.sock.close()
        self.thread.join(TIMEOUT)
