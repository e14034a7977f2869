"""What others see of a request: metrics, access log, forwarded fields."""

import gzip
import ipaddress
import os
import re
import shutil
import signal
import subprocess
import urllib.request

import pytest
from prometheus_client.openmetrics import parser

from harness.base import TIMEOUT, refused_address, wait_for
from harness.client import Client, Closed, build
from harness.origin import ok
from harness.proxy import config

# In their order; those behind a "?" are left out where there is nothing to say.
SCHEMA_2 = """v time start request_id ?trace_id ?span_id conn conn_request client client_port listener ?tls ?sni ?alpn
    route method host path ?query protocol status ?grpc_status ?told ended ?ended_by ?during ?reason ?detail ?limited_by
    ?fallback total_us client_request_us queue_us connect_us upstream_head_us upstream_body_us client_write_us proxy_us
    ?tls_us first_byte_us upstream endpoint upstream_port reused attempts ?tries bytes_in bytes_out ?user_agent
    ?referer""".split()
KEYS = [key for key in SCHEMA_2 if not key.startswith("?")]
PHASES = KEYS[KEYS.index("total_us") + 1 : KEYS.index("first_byte_us")]


def in_order(line):
    """Its keys are those of the schema, in its order."""
    order = [key.lstrip("?") for key in SCHEMA_2]
    return sorted(line, key=order.index) == list(line)


@pytest.fixture(scope="module")
def pair(shared):
    origin = shared.origin()
    return shared.sluice(config(origin.address)), origin


# Metrics
def promtool(text):
    return subprocess.run(
        ["promtool", "check", "metrics"], input=text.encode(), capture_output=True, timeout=TIMEOUT, check=False
    )


@pytest.mark.skipif(not shutil.which("promtool"), reason="promtool is not installed")
def test_promtool_takes_the_metrics(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, refused_address(), health='kind = "tcp"\ninterval = "100ms"'))
    for path in ("/", "/x?y"):
        assert sluice.request(path=path).status == 200
    sluice.request("B\"AD", "/")
    sluice.request(path="/{", host="a b")
    done = promtool(sluice.metrics().text)
    assert done.returncode == 0 and not done.stderr + done.stdout, (done.stdout + done.stderr).decode()


def scraped(sluice, **headers):
    """(headers, body) of GET /metrics, as they were sent."""
    request = urllib.request.Request(f"http://{sluice.address('admin')}/metrics", headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        return answer.headers, answer.read()


def test_openmetrics_by_accept_says_the_same(start):
    """What Prometheus asks for; read by the parser that its makers publish."""
    sluice = start.sluice(config(start.origin().address, refused_address(), health='kind = "tcp"'))
    for path in ("/", "/x?y"):
        assert sluice.request(path=path).status == 200
    accept = "application/openmetrics-text;version=1.0.0;q=0.8,text/plain;version=0.0.4;q=0.5"
    headers, body = scraped(sluice, Accept=accept)
    assert headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert "accept" in headers["vary"]
    families = {f.name: f for f in parser.text_string_to_metric_families(body.decode())}
    requests = families["sluice_requests"]
    assert requests.type == "counter" and sum(s.value for s in requests.samples) == 2
    durations = families["sluice_request_duration_seconds"]
    assert durations.type == "histogram"
    traces = {s.exemplar.labels["trace_id"] for s in durations.samples if s.exemplar}
    assert traces
    sluice.wait_log(lambda line: line["trace_id"] in traces, len(traces))
    plain = scraped(sluice)[1].decode()
    # The same series, but for counters' family names.
    names = {s.name for f in families.values() for s in f.samples}
    assert names == {line.split("{")[0].split(" ")[0] for line in plain.splitlines() if not line.startswith("#")}


@pytest.mark.parametrize("path", ["/metrics", "/config"])
def test_pages_are_packed_for_who_takes_it(pair, path):
    sluice, _ = pair
    url = f"http://{sluice.address('admin')}{path}"

    def answer(encodings):
        request = urllib.request.Request(url, headers={"Accept-Encoding": encodings})
        with urllib.request.urlopen(request, timeout=TIMEOUT) as reply:
            return reply.headers.get("content-encoding"), reply.read()

    encoding, packed = answer("gzip")
    plain = answer("gzip;q=0")
    assert encoding == "gzip" and plain[0] is None
    assert len(packed) < len(plain[1])
    assert gzip.decompress(packed)[:20] == plain[1][:20]


def test_every_metric_of_the_contract_that_a_request_feeds(pair):
    sluice, _ = pair
    assert sluice.request(path="/metrics-feed").status == 200
    names = sluice.metrics().names()
    plain = """downstream_connections downstream_connections_total requests_total requests_in_flight
        upstream_requests_total upstream_connections upstream_connections_opened_total
        upstream_pool_waiting upstream_pool_max_connections upstream_endpoint_healthy upstream_endpoint_in_flight
        requests_shed_total worker_busy_seconds_total worker_run_delay_seconds_total
        drain_phase config_last_reload_success build_info log_dropped_total process_resident_memory_bytes
        process_cpu_seconds_total process_open_fds process_start_time_seconds""".split()
    histograms = (
        "request_duration_seconds upstream_request_duration_seconds upstream_connect_seconds "
        "upstream_pool_wait_seconds worker_turn_seconds control_turn_seconds"
    ).split()
    wanted = {n if n.startswith("process_") else "sluice_" + n for n in plain} | {
        f"sluice_{n}_{end}" for n in histograms for end in ("bucket", "sum", "count")
    }
    assert wanted <= names, sorted(wanted - names)


def test_counts_are_exact(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address, workers=2))
    for _ in range(10):
        with sluice.client() as client:
            for _ in range(5):
                assert client.request().status == 200
            assert client.request("POST", body=b"x").status == 200
    labels = dict(listener="main", route="app", code="200")
    sluice.wait_metric(60, "sluice_request_duration_seconds_count", route="app")
    sluice.wait_metric(50, "sluice_requests_total", method="GET", **labels)
    sluice.wait_metric(10, "sluice_requests_total", method="POST", **labels)
    assert sluice.metric("sluice_upstream_requests_total", upstream="app") == 60
    sluice.wait_metric(0, "sluice_downstream_connections", listener="main")
    assert sluice.metric("sluice_downstream_connections_total", listener="main") == 10
    assert sluice.metric("sluice_requests_in_flight") == 0
    metrics = sluice.metrics()
    assert (
        metrics.sum("sluice_upstream_requests_total", reused="false")
        == metrics.sum("sluice_upstream_connections_opened_total")
        == len(origin.connections)
    )
    assert metrics.sum("sluice_upstream_connect_seconds_count") == len(origin.connections)


def test_methods_cannot_blow_up_the_label_set(pair):
    sluice, _ = pair
    with sluice.client() as client:
        for i in range(100):
            assert client.request(f"METHOD{i}").status == 200
    assert len({dict(pairs)["method"] for pairs in sluice.metrics().series("sluice_requests_total")}) < 20


def test_histograms_are_cumulative(pair):
    sluice, _ = pair
    sluice.request()
    metrics = sluice.metrics()
    buckets = sorted(
        (float(dict(p)["le"].replace("+Inf", "inf")), v)
        for p, v in metrics.series("sluice_request_duration_seconds_bucket", route="app").items()
    )
    values = [v for _, v in buckets]
    assert values == sorted(values) and values[-1] == metrics.sum("sluice_request_duration_seconds_count", route="app")
    assert buckets[0][0] <= 0.001 and buckets[-2][0] >= 10


# Access log
def test_access_log_line(start):
    ports = []

    def answer(connection, _):
        ports.append(connection.sock.getpeername()[1])
        connection.send(ok(b"answer"))

    origin = start.origin(answer)
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.request(
            "POST", "/p?q=1", {"User-Agent": "tester/1", "Referer": "http://r.test/"}, b"12345", host="a.test:81"
        )
        client.request("GET", "/second")
    first, second = sluice.wait_log(lambda line: True, 2)
    for line in (first, second):
        assert in_order(line) and set(KEYS) <= set(line), list(line)
    for key in ("time", "start"):
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", first[key])
    assert first["start"] <= first["time"] <= second["time"]
    expected = {
        "listener": "main",
        "route": "app",
        "method": "POST",
        "path": "/p",
        "query": "q=1",
        "protocol": "HTTP/1.1",
        "status": 200,
        "upstream": "app",
        "endpoint": origin.address,
        "attempts": 1,
        "reused": False,
        "user_agent": "tester/1",
        "referer": "http://r.test/",
        "v": 2,
        "conn_request": 1,
    }
    assert {k: first[k] for k in expected} == expected
    assert second["conn"] == first["conn"] > 0 and second["conn_request"] == 2
    assert first["client_port"] == second["client_port"] > 0
    assert first["upstream_port"] == second["upstream_port"] == ports[0]
    for absent in ("tls", "sni", "alpn", "reason", "detail", "limited_by", "tries", "grpc_status", "told"):
        assert absent not in first
    assert ipaddress.ip_address(
        first["client"].rsplit(":", 1)[0] if first["client"].count(":") == 1 else first["client"]
    ) == ipaddress.ip_address("127.0.0.1")
    assert first["host"] in ("a.test", "a.test:81") and not first["reason"] and not first["detail"]
    assert first["bytes_in"] >= 5 and first["bytes_out"] >= 6
    assert first["connect_us"] > 0 and 0 < first["first_byte_us"] <= first["total_us"]
    assert second["reused"] is True and second["connect_us"] == 0
    for line in (first, second):
        assert sum(line[phase] for phase in PHASES) == line["total_us"] and line["ended"] == "complete"
    assert first["request_id"] and first["request_id"] != second["request_id"]
    assert re.fullmatch(r"[0-9a-f]{32}", first["trace_id"])
    assert origin.requests[0].header("x-request-id") == first["request_id"]


def test_a_head_that_was_let_go_is_logged_as_any_other(start):
    """A large one is not kept for the log: what its line takes is."""
    origin = start.origin(lambda c, r: c.send(ok(b"answer")))
    sluice = start.sluice(config(origin.address))
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = {"User-Agent": "tester/1" + "u" * 1100, "Referer": "http://r.test/", "Traceparent": trace}
    for pad in ("small", "p" * 20_000):
        with sluice.client() as client:
            assert (
                client.request("PATCH", "/p?" + "q" * 9000, {**fields, "X-Pad": pad}, b"12345", host="a.test:81").body
                == b"answer"
            )
    small, large = sluice.wait_log(lambda line: True, 2)
    different = {"time", "start", "request_id", "reused", "conn", "client_port"}
    for same in {key.lstrip("?") for key in SCHEMA_2} - different:
        if not same.endswith("_us"):
            assert small[same] == large[same], same
    assert large["method"] == "PATCH" and large["host"] == "a.test:81" and large["trace_id"] == trace.split("-")[1]
    assert (
        large["query"].endswith("q...") and large["user_agent"].endswith("...") and large["referer"] == "http://r.test/"
    )
    assert len(large["request_id"]) == len(small["request_id"]) > 0


def test_lines_cannot_be_broken(start):
    """Bytes of a client never start a line or a key of their own."""
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    with sluice.client() as client:
        client.send(b'GET /"x\\?"a"\\b{} HTTP/1.1\r\nHost: a.test\r\n\r\n')
        client.response()
    with sluice.client() as client:
        client.send(
            b'GET /?"\\ HTTP/1.1\r\nHost: a.test\r\nUser-Agent: \xff\xfe\xc3("\\\t\r\nReferer: ",\"status\":999\r\n\r\n'
        )
        assert client.response().status == 200
    with sluice.client() as client:
        client.send(b'GET /\x01\x1b[31m\n{"status":1}\r\nHost: a.test\r\n\r\n')
        assert client.response().status == 400
    lines = sluice.wait_log(lambda line: True, 3)
    assert len(lines) == 3 and all(in_order(line) for line in lines)
    assert not {"upstream", "endpoint", "attempts", "request_id"} & set(lines[2])
    assert (lines[2]["ended"], lines[2]["ended_by"], lines[2]["during"]) == ("refused", "client", "request_head")
    assert lines[1]["query"] == '"\\' and lines[1]["status"] == 200 and lines[1]["referer"] == '","status":999'
    with open(sluice.log_path, "rb") as f:
        raw = f.read()
    assert raw.count(b"\n") == 3 and not re.search(rb"[\x00-\x09\x0b-\x1f\x7f]", raw)


def test_how_a_request_ended_and_what_was_tried(start):
    def answer(connection, request):
        if request.target == "/half":
            connection.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
            connection.close()
        else:
            connection.send(ok(b"whole"))

    origin, dead = start.origin(answer), refused_address()
    sluice = start.sluice(config(dead, origin.address, outlier="enabled = false"))
    for _ in range(8):  # which endpoint is first is a matter of chance
        with sluice.client() as client:
            assert client.request("GET", "/whole").status == 200
    with sluice.client() as client:
        with pytest.raises(Closed):
            client.request("GET", "/half")
    (half,) = sluice.wait_log(lambda line: line["path"] == "/half", 1)
    told = half["status"], half["ended"], half["ended_by"], half["during"], half["endpoint"]
    assert told == (200, "cut", "upstream", "response_body", origin.address)
    assert sum(half[phase] for phase in PHASES) == half["total_us"]
    assert sluice.metric("sluice_responses_cut_total", route="app", by="upstream", reason=half["reason"]) == 1
    tried = [line for line in sluice.wait_log(lambda line: True, 9) if "tries" in line]
    for line in tried:
        assert line["attempts"] == 2 and line["endpoint"] == origin.address
        assert [(t["endpoint"], t["reason"]) for t in line["tries"]] == [(dead, "connect_failed")]
    assert tried


def test_common_format(start):
    origin = start.origin()
    text = config(origin.address).replace('[access_log]', '[access_log]\nformat = "common"')
    sluice = start.sluice(text)
    sluice.request(path="/x?y", headers={"User-Agent": 'a"b', "Referer": "http://r.test/"})
    line = wait_for(lambda: open(sluice.log_path, encoding="utf-8").read(), what="a line")
    assert re.fullmatch(
        r'127\.0\.0\.1 - - \[\d\d/[A-Z][a-z][a-z]/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\] "GET /x\?y HTTP/1\.1" 200 \d+ '
        r'"http://r\.test/" "a(\\"|\\x22)b" \d+ --\n',
        line,
    ), line


def test_log_to_stdout_and_off(start):
    origin = start.origin()
    for output in ("stdout", "off"):
        sluice = start.sluice(config(origin.address).replace('output = "@DIR@/access.log"', f'output = "{output}"'))
        assert sluice.request(path="/where").status == 200
        sluice.stop()
        with open(f"{sluice.directory}/stdout.log", encoding="utf-8") as f:
            assert f.read().count("/where") == (1 if output == "stdout" else 0)


def test_log_files_are_reopened(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    assert sluice.request(path="/one").status == 200
    sluice.wait_log_path("/one")
    os.rename(sluice.log_path, sluice.log_path + ".1")
    sluice.signal(signal.SIGUSR1)
    wait_for(lambda: os.path.exists(sluice.log_path), what="a new file")
    assert sluice.request(path="/two").status == 200
    sluice.wait_log_path("/two")
    with open(sluice.log_path + ".1", encoding="utf-8") as f:
        assert "/two" not in f.read()


def test_a_full_disk_or_pipe_never_stalls_traffic(start):
    """Nobody reads the pipe the log is written to: lines are dropped and counted, requests go on."""
    origin = start.origin()
    directory = start.directory()
    fifo = directory / "log.fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        sluice = start.sluice(config(origin.address).replace("@DIR@/access.log", str(fifo)))
        path = "/" + "a" * 4000

        def flooded():
            with sluice.client() as client:
                for _ in range(100):
                    client.send(build(path=path))
                    assert client.response().status == 200
            return sluice.metric("sluice_log_dropped_total") > 0

        wait_for(flooded, TIMEOUT * 3, "dropped lines are counted")
    finally:
        os.close(reader)  # frees the writer: it may end now


# Forwarded fields
def test_fields_made_for_the_upstream(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    spoofed = [
        (n, "6.6.6.6")
        for n in (
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Real-IP",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
        )
    ] + [("Forwarded", "for=6.6.6.6")]
    for headers in ([], spoofed):
        assert sluice.request(headers=headers, host="a.test:8080").status == 200
        request = origin.requests[-1]
        assert request.header("x-forwarded-for") == "127.0.0.1"
        assert request.header("x-forwarded-proto") == "http"
        assert request.header("x-forwarded-host") == "a.test:8080"
        pairs = dict(p.strip().split("=", 1) for p in request.header("forwarded").split(";"))
        assert (
            pairs["for"].strip('"').split(":")[0] == "127.0.0.1"
            and pairs["proto"] == "http"
            and pairs["host"].strip('"') == "a.test:8080"
        )
        assert re.fullmatch(r"1\.1 \S+", request.header("via"))
        assert not any("6.6.6.6" in v for _, v in request.headers), request.headers
        assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}", request.header("traceparent"))


def test_hop_by_hop_fields_end_here(start):
    origin = start.origin()
    sluice = start.sluice(config(origin.address))
    answer = sluice.request(
        headers=[
            (
                "Connection",
                "X-Foo, keep-alive, Host, Content-Length, Transfer-Encoding, X-Forwarded-For, Authorization, Cookie",
            ),
            ("X-Foo", "1"),
            ("Keep-Alive", "timeout=5"),
            ("Proxy-Connection", "keep-alive"),
            ("TE", "gzip, trailers"),
            ("Authorization", "Basic x"),
            ("Cookie", "a=b"),
            ("Connection", "close, X-Bar"),
            ("X-Bar", "2"),
            ("X-Stay", "3"),
        ]
    )
    assert answer.status == 200
    request = origin.requests[0]
    for name in ("x-foo", "x-bar", "keep-alive", "proxy-connection"):
        assert not request.all(name), name
    for name, value in (
        ("host", "a.test"),
        ("authorization", "Basic x"),
        ("cookie", "a=b"),
        ("x-stay", "3"),
        ("x-forwarded-for", "127.0.0.1"),
    ):
        assert request.header(name) == value
    assert request.header("te") in (None, "trailers")


@pytest.mark.parametrize(
    "value",
    [
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "cc-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
    ],
)
def test_valid_traceparent_is_passed_on(pair, value):
    sluice, origin = pair
    sluice.request(path="/traced", headers={"traceparent": value, "tracestate": "a=b"})
    assert origin.requests[-1].header("traceparent") == value and origin.requests[-1].header("tracestate") == "a=b"
    assert sluice.wait_log_path("/traced")[-1]["trace_id"] == "4bf92f3577b34da6a3ce929d0e0e4736"


@pytest.mark.parametrize(
    "value",
    [
        "",
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-extra",
    ],
)
def test_invalid_traceparent_is_made_anew(pair, value):
    sluice, origin = pair
    sluice.request(headers={"traceparent": value})
    made = origin.requests[-1].header("traceparent")
    assert made != value and re.fullmatch(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", made)


def test_loops_are_cut(start):
    """A proxy whose upstream is itself answers 508, not with a storm."""
    addresses = []
    origin = start.origin(on_connection=lambda c: relay(c, addresses))
    sluice = start.sluice(config(origin.address))
    addresses.append(sluice.address())
    answer = sluice.request(path="/loop")
    assert answer.status == 508 and answer.reason == "loop"
    assert len(sluice.wait_log_path("/loop", 11)) == 11


def relay(connection, addresses):
    """Sends what comes back into the proxy, as a misconfigured balancer would."""
    request = connection.read_head()
    with Client(addresses[0]) as client:
        client.send(
            f"{request.method} {request.target} HTTP/1.1\r\n".encode()
            + "".join(f"{n}: {v}\r\n" for n, v in request.headers).encode()
            + b"\r\n"
        )
        answer = client.response()
    connection.send(ok(answer.body, ["x-sluice-reason: loop"] if answer.status == 508 else [], f"{answer.status} X"))
    connection.wait_eof()


def test_a_reload_changes_the_lines(start):
    """What is redacted, which keys, which requests: all but where it is written."""
    text = config(start.origin().address)
    sluice = start.sluice(text)
    sluice.request(path="/a?token=secret")
    sluice.wait_log_path("/a")
    log = '[access_log]\nfields = ["path", "query"]\nheaders = ["x-tenant"]\nredact_query = ["token"]'
    sluice.reload(text.replace("[access_log]", log))
    sluice.request(path="/b?token=secret", headers={"X-Tenant": "t1"})
    assert sluice.wait_log_path("/b") == [{"path": "/b", "query": "token=***", "request.x-tenant": "t1"}]
    sluice.reload(text.replace("[access_log]", '[access_log]\nonly = "slow_or_failed"'))
    sluice.request(path="/c")
    with sluice.client() as client:
        client.request("GET", "/d", {"Expect": "nothing-known"})
    sluice.wait_log_path("/d")
    assert not [line for line in sluice.access_log() if line["path"] == "/c"]
