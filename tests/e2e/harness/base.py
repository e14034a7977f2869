"""What every part of the harness shares: where the binary is, how long to wait, how to wait.

Waiting is always for a condition, never for a time: a slow machine makes a test slow, not red.
"""

import functools
import mmap
import os
import pathlib
import random
import socket
import time

ROOT = pathlib.Path(__file__).resolve().parents[3]
BUILDS = ("dev", "release", "asan", "tsan")


@functools.lru_cache(maxsize=None)
def binary() -> str:
    """SLUICE_BIN, else the newest build of the tree."""
    named = os.environ.get("SLUICE_BIN")
    if named:
        return os.path.abspath(named)
    found = [
        p
        for b in BUILDS
        for p in (ROOT / "build" / b / "sluice", ROOT / "build" / b / "proxy" / "sluice")
        if p.is_file() and os.access(p, os.X_OK)
    ]
    if not found:
        raise FileNotFoundError("no sluice binary: build one or set SLUICE_BIN")
    return str(max(found, key=lambda p: p.stat().st_mtime))


@functools.lru_cache(maxsize=None)
def sanitized() -> bool:
    """True for an asan or tsan build: memory and speed say little there."""
    with open(binary(), "rb") as f, mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_READ) as m:
        return m.find(b"__asan_init") >= 0 or m.find(b"__tsan_init") >= 0


def scale() -> float:
    """Share of the full amount of work (SLUICE_E2E_SCALE); a tenth under sanitizers unless said."""
    named = os.environ.get("SLUICE_E2E_SCALE")
    return float(named) if named else (0.1 if sanitized() else 1.0)


@functools.lru_cache(maxsize=None)
def slowness() -> float:
    """How much longer an honest exchange may take here: under a sanitizer, on a busy machine."""
    return float(os.environ.get("SLUICE_E2E_SLOWNESS", "3" if sanitized() else "1"))


def limit(seconds) -> str:
    """A time limit for a configuration which an honest exchange of the same test must not run into by being slow:
    `1500ms`."""
    return f"{int(seconds * slowness() * 1000)}ms"


# The longest any single wait may take before the test fails. An upper bound, not an expectation.
TIMEOUT = float(os.environ.get("SLUICE_E2E_TIMEOUT", "20"))

# Of a headless Chromium that does nothing but what a test asks for.
BROWSER_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--disable-dev-shm-usage",
    "--no-proxy-server",
    "--ignore-certificate-errors",
    "--mute-audio",
]


class Timeout(AssertionError):
    """A condition did not come true in time."""


def wait_for(condition, timeout=None, what=""):
    """Polls until condition() is true and returns its value."""
    limit = TIMEOUT if timeout is None else timeout
    end = time.monotonic() + limit
    pause = 0.002
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout(f"not within {limit:g} s: {what or getattr(condition, '__name__', condition)}")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.05)


def free_address() -> tuple:
    """A loopback address whose port nobody holds and nobody is given by chance.

    For servers that cannot say which port they got (nginx) or that must come back on the same one.
    The address is not 127.0.0.1 and the port lies below the ephemeral range, so no outgoing
    connection of anybody takes it while its server is down.
    """
    for _ in range(1000):
        host = f"127.{random.randint(1, 254)}.{random.randint(0, 254)}.{random.randint(2, 254)}"
        port = random.randint(10000, 30000)
        with socket.socket() as s:
            try:
                s.bind((host, port))
            except OSError:
                continue
        return host, port
    raise RuntimeError("no free loopback address")


def refused_address() -> str:
    """HOST:PORT where a connection is refused."""
    host, port = free_address()
    return f"{host}:{port}"
