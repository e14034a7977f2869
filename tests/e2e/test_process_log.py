"""The process log and the standard descriptors: nobody reads them, they are full, or they were closed before we
began."""

import contextlib
import os
import signal
import subprocess
import urllib.error
import urllib.request

import pytest

from harness.base import TIMEOUT, binary, wait_for
from harness.client import Client
from harness.metrics import Metrics
from harness.proxy import LISTENING, config


class Run:
    """A sluice whose stdout and stderr are what the test says. Ends by SIGTERM, with 0."""

    def __init__(self, directory, text, **streams):
        self.path = str(directory / "sluice.toml")
        self.write(text)
        self.process = subprocess.Popen([binary(), "run", "--config", self.path], stdin=subprocess.DEVNULL, **streams)

    def write(self, text):
        with open(self.path, "w", encoding="utf-8") as f:
            f.write(text)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        try:
            if kind is None:
                self.process.send_signal(signal.SIGTERM)
                assert self.process.wait(TIMEOUT * 2) == 0
        finally:
            self.process.kill()
            self.process.wait(TIMEOUT)


def pipe():
    """(reader, writer); the writer blocks, as a process expects of its stderr."""
    reader, writer = os.pipe()
    return reader, writer


def read_addresses(reader, names):
    """Of the listeners, from the log."""
    text, found = "", {}
    while not set(names) <= set(found):
        piece = os.read(reader, 65536)
        assert piece, text
        text += piece.decode()
        found = dict(LISTENING.findall(text))
    return found


def fill(writer):
    """Until it takes no byte. By a description of its own, as O_NONBLOCK would be everybody's."""
    again = os.open(f"/proc/self/fd/{writer}", os.O_WRONLY | os.O_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(again, b"x" * 4096)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(again, b"x")
    os.close(again)


def admin(address, path, method="GET"):
    try:
        with urllib.request.urlopen(
            urllib.request.Request(f"http://{address}{path}", method=method, data=b"" if method == "POST" else None),
            timeout=TIMEOUT,
        ) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as answer:
        return answer.code, answer.read().decode()


@pytest.mark.parametrize("which", ["stderr", "both"])
def test_nobody_reads_stderr_or_stdout(start, which):
    """Requests, probes, metrics, reloads and the stop go on; what was lost is counted, and told when somebody reads
    again."""
    origin = start.origin()
    text = config(origin.address, extra='[log]\nlevel = "debug"').replace('"@DIR@/access.log"', '"stdout"')
    reader, writer = pipe()
    out = writer if which == "both" else subprocess.DEVNULL
    with Run(start.directory(), text, stdout=out, stderr=writer) as run:
        addresses = read_addresses(reader, ("main", "admin"))
        wait_for(lambda: admin(addresses["admin"], "/readyz")[0] == 200)
        fill(writer)
        run.write(
            text + "[[route]]\n" + "".join(f"nonsense{i} = 1\n" for i in range(300))
        )  # each reload logs what is wrong with it
        for _ in range(200):
            assert admin(addresses["admin"], "/reload", "POST")[0] == 400
            with Client(addresses["main"]) as client:
                assert client.request().status == 200
            if Metrics(admin(addresses["admin"], "/metrics")[1]).sum("sluice_log_dropped_total", log="process") > 0:
                break
        else:
            raise AssertionError("no line was dropped")
        run.write(text)
        assert admin(addresses["admin"], "/reload", "POST")[0] == 200
        assert admin(addresses["admin"], "/readyz")[0] == 200
        said = (
            b"" if which == "stderr" else b" lines of this log were lost"
        )  # "both": the stop meets two pipes that take nothing
        while b" lines of this log were lost" not in said:
            said += os.read(reader, 65536)
    os.close(reader)
    os.close(writer)


def test_the_reader_of_stderr_is_gone(start):
    origin = start.origin()
    reader, writer = pipe()
    text = config(origin.address).replace('"@DIR@/access.log"', '"stdout"')
    with Run(start.directory(), text, stdout=writer, stderr=writer) as run:
        addresses = read_addresses(reader, ("main", "admin"))
        os.close(reader)
        os.close(writer)
        run.write(text + "nonsense = 1\n")
        for _ in range(3):
            assert admin(addresses["admin"], "/reload", "POST")[0] == 400
            with Client(addresses["main"]) as client:
                assert client.request().status == 200
        wait_for(
            lambda: Metrics(admin(addresses["admin"], "/metrics")[1]).sum("sluice_log_dropped_total", log="process") > 0
        )


def test_errors_of_the_start_are_seen(start):
    """All of them, before the exit, also in a pipe."""
    path = start.directory() / "sluice.toml"
    path.write_text("".join(f"nonsense{i} = 1\n" for i in range(50)), encoding="utf-8")
    run = subprocess.run(
        [binary(), "run", "--config", str(path)],
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=False,
    )
    assert run.returncode == 2 and all(f"nonsense{i}" in run.stderr for i in range(50))


def test_an_error_of_the_start_that_nobody_reads(start):
    path = start.directory() / "sluice.toml"
    path.write_text("nonsense = 1\n", encoding="utf-8")
    reader, writer = pipe()
    fill(writer)
    run = subprocess.run(
        [binary(), "run", "--config", str(path)],
        stdout=writer,
        stderr=writer,
        stdin=subprocess.DEVNULL,
        timeout=TIMEOUT,
        check=False,
    )
    assert run.returncode == 2
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_unix_sockets_have_their_mode_whatever_the_umask(start, umask):
    """Of a listener, by default and as asked, and of the admin; a reload takes another one."""
    origin = start.origin()
    directory = start.directory()
    text = (
        config(origin.address)
        .replace("@DIR@", str(directory))
        .replace('[admin]\naddress = "127.0.0.1:0"', f'[admin]\naddress = "unix:{directory}/admin"\nunix_mode = "0600"')
    )
    text = text.replace('address = "127.0.0.1:0"', f'address = "unix:{directory}/plain"')
    asked = '[[listener]]\naddress = "unix:{}/asked"\nunix_mode = "{}"\n'
    path = directory / "sluice.toml"
    path.write_text(text + asked.format(directory, "0666"), encoding="utf-8")

    def modes():
        try:
            return {name: os.stat(directory / name).st_mode & 0o7777 for name in ("admin", "plain", "asked")}
        except FileNotFoundError:
            return {}

    process = subprocess.Popen(
        [binary(), "run", "--config", str(path)],
        umask=umask,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for(
            lambda: modes() == {"admin": 0o600, "plain": 0o660, "asked": 0o666}, what="the sockets have their modes"
        )
        with Client(f"unix:{directory}/asked") as client:
            wait_for(lambda: client.request().status == 200)
        path.write_text(text + asked.format(directory, "0620"), encoding="utf-8")
        process.send_signal(signal.SIGHUP)
        wait_for(lambda: modes() == {"admin": 0o600, "plain": 0o660, "asked": 0o620}, what="the reload took the mode")
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait(TIMEOUT)


@pytest.mark.parametrize("closed", [(0, 1, 2), (1, 2), (2,), (0,)])
def test_descriptors_closed_at_the_start(start, closed):
    """They are opened on /dev/null first, so that no socket gets their numbers and no log line goes to a client."""
    origin = start.origin()
    directory = start.directory()
    text = (
        config(origin.address)
        .replace('"@DIR@/access.log"', '"stdout"')
        .replace('[admin]\naddress = "127.0.0.1:0"', '[admin]\naddress = ""')
    )
    text = text.replace('address = "127.0.0.1:0"', f'address = "unix:{directory}/s"')
    path = directory / "sluice.toml"
    path.write_text(text, encoding="utf-8")
    command = " ".join(
        [f'exec "{binary()}" run --config "{path}"', *(f"{fd}{'<' if fd == 0 else '>'}&-" for fd in closed)]
    )
    process = subprocess.Popen(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:

        def answers():
            try:
                with Client(f"unix:{directory}/s") as client:
                    return client.request().status == 200
            except OSError:
                return False

        wait_for(answers)
        for fd in closed:
            assert os.readlink(f"/proc/{process.pid}/fd/{fd}") == "/dev/null"
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT) == 0
    finally:
        process.kill()
        process.wait(TIMEOUT)
