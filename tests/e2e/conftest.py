"""Fixtures: everything a test starts through them is ended and checked after it."""

import contextlib
import os
import signal
import sys

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from harness.base import TIMEOUT, Timeout  # noqa: E402
from harness.certs import Authority  # noqa: E402
from harness.nginx import Nginx  # noqa: E402
from harness.origin import Gate, Origin  # noqa: E402
from harness.proxy import Sluice  # noqa: E402

TEST_LIMIT_S = int(TIMEOUT * 12)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_protocol(item):
    """No test runs for ever: the alarm is an exception in the test itself, so fixtures still clean up."""

    def expired(*_):
        raise Timeout(f"{item.nodeid} ran longer than {TEST_LIMIT_S} s")

    before = signal.signal(signal.SIGALRM, expired)
    signal.alarm(TEST_LIMIT_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


class Starter:
    """Starts proxies, origins and backends of one scope and ends them in reverse order."""

    def __init__(self, stack, factory):
        self.stack = stack
        self.factory = factory
        self.count = 0

    def directory(self):
        self.count += 1
        return self.factory.mktemp("run")

    def origin(self, on_request=None, **options):
        return self.stack.enter_context(Origin(on_request, **options))

    def h2_origin(self, on_request=None, **options):
        from harness.h2 import H2Origin  # only these tests need python3-h2

        return self.stack.enter_context(H2Origin(on_request, **options))

    def sluice(self, text, **options):
        directory = self.directory()
        return self.stack.enter_context(Sluice(text, directory, **options))

    def nginx(self, name="nginx", extra="", files=()):
        backend = Nginx(self.directory(), name, extra)
        for file, data in dict(files).items():
            backend.file(file, data)
        return self.stack.enter_context(backend)

    def authority(self, name="ca"):
        return Authority(self.directory(), name)


@pytest.fixture
def start(tmp_path_factory):
    """The starter of one test."""
    with contextlib.ExitStack() as stack:
        yield Starter(stack, tmp_path_factory)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """The starter of one file: one process for a whole table of cases."""
    with contextlib.ExitStack() as stack:
        yield Starter(stack, tmp_path_factory)


@pytest.fixture
def gate():
    """A script for an origin that holds requests to /held until it is opened, at the latest at the test's end."""
    held = Gate()
    yield held
    held.open()
