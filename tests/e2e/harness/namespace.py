"""A network of one's own, where packets may get lost."""

import concurrent.futures
import ctypes
import subprocess

import pytest

CLONE_NEWNET = 0x40000000


def ip(*words):
    subprocess.run(["ip", *words], check=True, timeout=20)


def in_namespace(body):
    """Runs body in a thread whose network is its own, with a loopback; what it starts has it too. Skips without the
    right to make one."""
    libc = ctypes.CDLL(None, use_errno=True)
    ended = []

    def run():
        if libc.unshare(CLONE_NEWNET) != 0:
            return
        ip("link", "set", "lo", "up")
        ended.append(body())

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        pool.submit(run).result()
    if not ended:
        pytest.skip("no right to make a network namespace")
    return ended[0]


class BlackHole:
    """192.0.2.0/24 in this namespace: whatever goes there is lost, SYNs too, until a host is placed there."""

    def __init__(self):
        ip("link", "add", "near", "type", "veth", "peer", "name", "far")
        ip("addr", "add", "192.0.2.1/24", "dev", "near")
        for end in ("near", "far"):
            ip("link", "set", end, "up")

    @staticmethod
    def lose(address):
        """What goes to the address is sent to a host that is not there."""
        ip("neigh", "replace", address, "lladdr", "02:00:00:00:00:99", "dev", "near", "nud", "permanent")

    @staticmethod
    def place(address):
        """The address is ours from now on."""
        ip("addr", "add", f"{address}/32", "dev", "lo")
