"""How the tables of hostile requests and answers are run: one process, one case after another.

A case is judged by everything the specification promises for it: the answer, the closed
connection, what the origin saw, the two counters and exactly one line of the access log.
"""

import contextlib
import itertools
from dataclasses import dataclass

REASON = {
    400: "bad_request",
    413: "body_too_large",
    414: "uri_too_long",
    431: "headers_too_large",
    501: "not_implemented",
    505: "version",
    405: "method_not_allowed",
    417: "expectation",
    408: "request_timeout",
}
_marks = itertools.count(1)


@dataclass(frozen=True)
class Bad:
    """A request that must be refused: raw bytes -> status and detail (one word or several allowed)."""

    name: str
    raw: bytes
    detail: tuple = ()
    status: tuple = (400,)
    head_may_pass: bool = False  # the origin may see the head, never a whole message

    def __str__(self):
        return self.name


def bad(name, raw, detail="", status=400, head_may_pass=False):
    words = tuple(detail.split("|")) if detail else ()
    return Bad(name, raw, words, status if isinstance(status, tuple) else (status,), head_may_pass)


class Ledger:
    """What a process counted and logged between two marks."""

    def __init__(self, sluice, listener="main"):
        self.sluice = sluice
        self.listener = listener
        self.before = sluice.metrics()
        self.start = self.mark()

    def mark(self):
        """A good request on a new connection: the process goes on, and its line fences the log."""
        path = f"/mark-{next(_marks)}"
        answer = self.sluice.request(path=path, listener=self.listener)
        assert answer.status == 200, f"the next good request got {answer.status} {answer.reason}"
        return path

    def lines(self):
        """Log lines between the first mark and a new one."""
        end = self.mark()
        self.sluice.wait_log_path(end)
        log = self.sluice.access_log()
        paths = [line["path"] for line in log]
        return log[paths.index(self.start) + 1 : paths.index(end)]

    def grew(self, name, **labels):
        return self.sluice.metric(name, **labels) - self.before.sum(name, **labels)


def refuse(sluice, origin, case, listener="main"):
    """Sends case.raw and checks all that a refusal owes."""
    ledger = Ledger(sluice, listener)
    heads = origin.heads
    bodies = len(complete_requests(origin))
    with sluice.client(listener) as client:
        # The proxy may refuse before everything is sent: then the rest runs into a closed socket.
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            client.send(case.raw)
        answer = client.response()
        assert answer.status in case.status, (answer.status, answer.reason, answer.headers)
        assert answer.closes, answer.headers
        assert answer.reason == REASON[answer.status], answer.headers
        assert client.ended()
    reason = REASON[answer.status]
    if not case.head_may_pass:
        assert origin.heads == heads, f"the origin saw {origin.requests[heads:]}"
    assert len(complete_requests(origin)) == bodies, "the origin got a whole message"
    lines = ledger.lines()
    assert len(lines) == 1, lines
    assert (lines[0]["status"], lines[0]["reason"]) == (answer.status, reason), lines[0]
    assert ledger.grew("sluice_local_replies_total", reason=reason) == 1
    if case.detail:
        assert lines[0]["detail"] in case.detail, lines[0]
        assert ledger.grew("sluice_protocol_errors_total", side="downstream", detail=lines[0]["detail"]) == 1
    return answer


def complete_requests(origin):
    """Whole requests that reached the origin, the marks left out."""
    return [r for r in list(origin.requests) if getattr(r, "complete", False) and not r.target.startswith("/mark-")]


def recording(connection, request):
    """on_request of the origins used here: keeps what came whole, answers ok."""
    request.complete = True
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
