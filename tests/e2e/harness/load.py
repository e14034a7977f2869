"""Load at a steady pace that counts what clients would complain about: failures and refusals."""

import threading
import time

from .client import Client, Closed


class Load:
    """`threads` clients that send `rate` requests a second in all until stopped.

    Each keeps its connection for `per_connection` requests, then opens a new one, so that refused
    connections show. A failure is anything but an answer with status 200, or one of `expected`
    ("503 no_endpoint"): those stand in `turned_away`.
    """

    def __init__(
        self,
        address,
        rate=200,
        threads=4,
        per_connection=10,
        tls=None,
        server_name=None,
        path="/load",
        host="a.test",
        expected=(),
    ):
        self.address, self.tls, self.server_name = address, tls, server_name
        self.pause = threads / rate
        self.per_connection = per_connection
        self.path, self.host, self.expected = path, host, expected
        self.stopping = threading.Event()
        self.failed = []
        self.refused = []
        self.served = 0
        self.turned_away = []  # (sent, answered), monotonic
        self.served_since = []  # the same of answers 200, from the first one turned away on
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self._run, args=(i,), daemon=True) for i in range(threads)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.stop()

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join(60)

    def _open(self):
        try:
            return Client(self.address, tls=self.tls, server_name=self.server_name)
        except OSError as error:
            self.refused.append(repr(error))
            return None

    def _run(self, number):
        client, left = None, 0
        due = time.monotonic() + self.pause * number / len(self.threads)
        while not self.stopping.wait(max(0, due - time.monotonic())):
            due = max(due + self.pause, time.monotonic() - 1)
            if client is None:
                client, left = self._open(), self.per_connection
                if client is None:
                    continue
            try:
                sent = time.monotonic()
                answer = client.request(path=self.path, host=self.host)
                left -= 1
                self._count(answer, (sent, time.monotonic()))
                done = answer.closes or left == 0
            except (OSError, Closed, AssertionError) as error:
                self.failed.append(repr(error))
                done = True
            if done:
                client.close()
                client = None
        if client:
            client.close()

    def _count(self, answer, times):
        word = f"{answer.status} {answer.reason}"
        with self.lock:
            if answer.status == 200:
                self.served += 1
                if self.turned_away:
                    self.served_since.append(times)
            elif word in self.expected:
                self.turned_away.append(times)
            else:
                self.failed.append(word)

    def turned_away_late(self):
        """Requests turned away though, when they were sent, the times of being turned away were over: a 200 had come.

        That 200 is one that was itself asked for after somebody had been turned away: one that merely crossed the
        first refusal is of the time before.
        """
        first = min(answered for _, answered in self.turned_away)
        over = min(answered for sent, answered in self.served_since if sent > first)
        return [sent for sent, _ in self.turned_away if sent > over]

    def check(self):
        assert not self.failed and not self.refused, (
            f"{len(self.failed)} failed {self.failed[:5]}, {len(self.refused)} refused {self.refused[:5]}, "
            f"{self.served} served"
        )
