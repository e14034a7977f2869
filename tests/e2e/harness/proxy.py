"""The binary under test: configuration in a directory of its own, port 0, ready, stopped, checked.

A Sluice that is stopped has exited 0 within its drain deadline and no sanitizer has spoken;
both are asserted for every test.
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import urllib.error
import urllib.request

from .base import TIMEOUT, binary, wait_for
from .client import Client, dial
from .metrics import Metrics

LISTENING = re.compile(r'listening\b.*?\blistener="?([^"\s]+)"?\s+address="?([^"\s]+)"?')
SANITIZER = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:|LeakSanitizer|CHECK failed")

PREAMBLE = """
[runtime]
workers = {workers}
[drain]
deregister_wait = "{deregister_wait}"
deadline = "{deadline}"
[admin]
address = "127.0.0.1:0"
[access_log]
output = "@DIR@/access.log"
"""


class Line(dict):
    """A line of the access log. What has no value was left out, and reads as what stands for none."""

    NONE = {"reused": False, "attempts": 0, "tls_us": 0, "first_byte_us": 0, "upstream_port": 0, "status": 0}

    def __missing__(self, key):
        return self.NONE.get(key, "")


def preamble(workers=1, deregister_wait="0s", deadline="5s"):
    """The part every test configuration shares. @DIR@ stands for the directory of the process."""
    return PREAMBLE.format(workers=workers, deregister_wait=deregister_wait, deadline=deadline)


def config(
    *endpoints,
    listener="",
    tls="",
    upstream="",
    pool="",
    health="",
    retry="",
    outlier="",
    upstream_tls="",
    before="",
    route="",
    extra="",
    protocols=("http/1.1",),
    workers=1,
    deregister_wait="0s",
    deadline="5s",
):
    """One listener `main`, one upstream `app` with these endpoints, routes of `before`, one route to app, then extra.

    The arguments named after a table are lines put into it; the sub-tables appear only if asked for.
    """
    parts = [
        preamble(workers, deregister_wait, deadline),
        '[[listener]]\nname = "main"\naddress = "127.0.0.1:0"',
        f"protocols = {list(protocols)}".replace("'", '"'),
        listener,
    ]
    if tls:
        parts += ["[listener.tls]", tls]
    if endpoints:
        listed = ", ".join(e if e.startswith("{") else f'"{e}"' for e in endpoints)
        parts += [f'[[upstream]]\nname = "app"\nendpoints = [{listed}]', upstream]
        tables = {"pool": pool, "tls": upstream_tls, "health": health, "retry": retry, "outlier": outlier}
        for name, lines in tables.items():
            if lines:
                parts += [f"[upstream.{name}]", lines]
        parts += [before, '[[route]]\nname = "app"\nupstream = "app"', route]
    parts.append(extra)
    return "\n".join(parts) + "\n"


def command(*args, timeout=None, cwd=None):
    """Runs the binary to its end: check, explain, version, or a run that must fail to start."""
    return subprocess.run(
        [binary(), *map(str, args)],
        capture_output=True,
        text=True,
        cwd=cwd,
        errors="replace",
        timeout=timeout or TIMEOUT,
        stdin=subprocess.DEVNULL,
    )


def threads_of(pid):
    """What each thread of a process that hangs is doing: name, state, CPU ticks, system call; with gdb, its stack."""
    rows = []
    for task in sorted(os.listdir(f"/proc/{pid}/task"), key=int):
        where = f"/proc/{pid}/task/{task}/"
        with contextlib.suppress(OSError):
            with open(where + "stat", encoding="utf-8") as f:
                name, rest = f.read().split("(", 1)[1].rsplit(")", 1)
            fields = rest.split()
            with open(where + "syscall", encoding="utf-8") as f:
                call = f.read().strip()
            rows.append(f"{task} {name}: state {fields[0]}, ticks {fields[11]}+{fields[12]}, call {call}")
    if shutil.which("gdb"):
        run = subprocess.run(
            ["gdb", "-q", "-batch", "-p", str(pid), "-ex", "thread apply all bt 25"],
            capture_output=True,
            text=True,
            errors="replace",
            stdin=subprocess.DEVNULL,
            check=False,
        )
        rows.append(run.stdout[-12000:])
    return "\n".join(rows)


class Sluice:
    """A running sluice. Use with `with`, or start() and stop()."""

    def __init__(self, text, directory, ready=True, env=None, open_files=None):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.config_path = os.path.join(self.directory, "sluice.toml")
        self.write_config(text)
        self.stderr_path = os.path.join(self.directory, "stderr.log")
        self.log_path = os.path.join(self.directory, "access.log")
        self.await_ready = ready
        self.env = {
            **os.environ,
            "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "detect_leaks=1:abort_on_error=0"),
            **(env or {}),
        }
        self.open_files = open_files  # a limit of its own
        self.process = None
        self.addresses = {}

    def expand(self, text):
        return text.replace("@DIR@", self.directory)

    def write_config(self, text):
        """Replaces the file in one step, as an editor or a config manager does."""
        with open(self.config_path + ".new", "w", encoding="utf-8") as f:
            f.write(self.expand(text))
        os.replace(self.config_path + ".new", self.config_path)

    # --- life ---------------------------------------------------------------------------------
    def start(self):
        with open(self.stderr_path, "wb") as err, open(os.path.join(self.directory, "stdout.log"), "wb") as out:
            limit = ["prlimit", f"--nofile={self.open_files}:{self.open_files}"] if self.open_files else []
            self.process = subprocess.Popen(
                [*limit, binary(), "run", "--config", self.config_path],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.env,
                cwd=self.directory,
            )
        try:
            wait_for(self._listening, what="every listener logs its address")
            if self.await_ready:
                wait_for(lambda: self.readyz()[0] == 200, what="/readyz is 200")
        except BaseException:
            self.kill()
            raise
        return self

    def _listening(self):
        if self.process.poll() is not None:
            raise AssertionError(f"sluice ended with {self.process.returncode} at start:\n{self.stderr()[-4000:]}")
        found = {}
        for name, address in LISTENING.findall(self.stderr()):
            found.setdefault(name, [])
            if address not in found[name]:
                found[name].append(address)
        self.addresses = found
        with open(self.config_path, encoding="utf-8") as f:
            text = f.read()
        wanted = text.count("[[listener]]") + (0 if re.search(r'\[admin\]\s*address = ""', text) else 1)
        return len(found) >= wanted

    @property
    def pid(self):
        return self.process.pid

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        """Ends the process without asking; for clean-up after a failure."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait(TIMEOUT)

    def wait_exit(self, timeout=None):
        """Waits for the exit, returns its code, asserts that no sanitizer spoke."""
        try:
            code = self.process.wait(TIMEOUT * 2 if timeout is None else timeout)
        except subprocess.TimeoutExpired:
            threads = threads_of(self.process.pid)
            self.kill()
            raise AssertionError(f"sluice did not exit:\n{self.stderr()[-3000:]}\nits threads:\n{threads}") from None
        spoken = SANITIZER.search(self.stderr())
        assert not spoken, self.stderr()[max(0, spoken.start() - 200) : spoken.start() + 6000]
        return code

    def stop(self):
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(signal.SIGTERM)
        code = self.wait_exit()
        assert code == 0, f"exit code {code}:\n{self.stderr()[-4000:]}"

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if kind is None:
            self.stop()
        else:
            self.kill()

    # --- where -------------------------------------------------------------------------------
    def address(self, listener="main"):
        return self.addresses[listener][0]

    def client(self, listener="main", **options):
        return Client(self.address(listener), **options)

    def request(self, method="GET", path="/", headers=(), body=None, listener="main", host="a.test", **options):
        """One request on a connection of its own."""
        with self.client(listener, **options) as c:
            return c.request(method, path, headers, body, host)

    def refuses(self, listener="main"):
        """True if a new connection is refused."""
        try:
            dial(self.address(listener)).close()
        except OSError:
            return True
        return False

    # --- admin -------------------------------------------------------------------------------
    def admin(self, path, method="GET", headers=None):
        """(status, body text) of the admin listener."""
        request = urllib.request.Request(
            f"http://{self.address('admin')}{path}",
            method=method,
            headers=headers or {},
            data=b"" if method == "POST" else None,
        )
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as answer:
            return answer.code, answer.read().decode(errors="replace")

    def readyz(self):
        try:
            return self.admin("/readyz")
        except OSError as error:
            return 0, str(error)

    def metrics(self):
        status, text = self.admin("/metrics")
        assert status == 200, status
        return Metrics(text)

    def status(self):
        """As it is now, not as a snapshot of up to a second ago says it."""
        code, text = self.admin("/status?now")
        assert code == 200, code
        return json.loads(text)

    def json(self, path):
        """A page of the admin listener that has a form as JSON."""
        code, text = self.admin(path, headers={"accept": "application/json"})[:2]
        assert code == 200, (code, text)
        return json.loads(text)

    def metric(self, name, /, **labels):
        return self.metrics().sum(name, **labels)

    def wait_metric(self, expected, name, /, **labels):
        """Waits until the sum of the series equals expected (a number or a condition)."""
        test = expected if callable(expected) else lambda v: v == expected
        last = []

        def met():
            last[:] = [self.metric(name, **labels)]
            return test(last[0])

        try:
            wait_for(met)
        except AssertionError:
            raise AssertionError(f"{name}{labels} is {last}, wanted {expected}") from None
        return last[0]

    def reload(self, text=None, by="signal", outcome="ok"):
        """Publishes a configuration and waits until the reload is counted. outcome: "ok" or "failed"."""
        if text is not None:
            self.write_config(text)
        before = self.metrics()
        if by == "signal":
            self.signal(signal.SIGHUP)
            answer = None
        else:
            answer = self.admin("/reload", method="POST")
        failed = before.sum("sluice_config_reloads_total", outcome="failed")
        total = before.sum("sluice_config_reloads_total")
        self.wait_metric(lambda v: v > total, "sluice_config_reloads_total")
        now_failed = self.metric("sluice_config_reloads_total", outcome="failed")
        assert (now_failed > failed) == (outcome == "failed"), self.stderr()[-3000:]
        return answer

    # --- logs --------------------------------------------------------------------------------
    def stderr(self):
        try:
            with open(self.stderr_path, encoding="utf-8", errors="replace") as f:
                return f.read()
        except FileNotFoundError:
            return ""

    def wait_stderr(self, text):
        wait_for(lambda: text in self.stderr(), what=f"{text!r} on stderr")

    def access_log(self):
        """Every complete line so far, parsed."""
        try:
            with open(self.log_path, encoding="utf-8") as f:
                lines = f.read().split("\n")
        except FileNotFoundError:
            return []
        return [Line(json.loads(line)) for line in lines[:-1]]

    def wait_log(self, condition, count=1):
        """Waits for `count` lines that meet the condition and returns them."""
        return wait_for(
            lambda: (lambda found: found if len(found) >= count else None)(
                [line for line in self.access_log() if condition(line)]
            ),
            what="line in the access log",
        )

    def wait_log_path(self, path, count=1):
        return self.wait_log(lambda line: line["path"] == path and not line["told"], count)

    # --- the process -------------------------------------------------------------------------
    def cpu(self):
        """Seconds of CPU, user's and system's, of all threads."""
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            fields = f.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def rss(self):
        """Resident bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS:"))
