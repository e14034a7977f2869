"""The configuration as people meet it: messages, exit codes, explain, and what no file may do (crash it)."""

import json
import os
import random
import re
import socket

import pytest

from harness.base import ROOT, sanitized
from harness.proxy import SANITIZER, command, config

GOOD = """\
[[listener]]
name = "main"
address = "127.0.0.1:0"

[[upstream]]
name = "app"
endpoints = ["127.0.0.1:3000"]
  [upstream.pool]
  idle_timeout = "7s"

[[route]]
name = "api"
hosts = ["a.test"]
path_prefix = "/api"
methods = ["GET"]
upstream = "app"
timeout = "9s"

[[route]]
name = "rest"
path_prefix = "/rest"
upstream = "app"
"""


@pytest.fixture
def check(tmp_path):
    def run(text, *args, name="sluice.toml"):
        path = tmp_path / name
        if isinstance(text, bytes):
            path.write_bytes(text)
        else:
            path.write_text(text.replace("@DIR@", str(tmp_path)))
        done = command("check", *args, path, cwd=tmp_path)
        assert not SANITIZER.search(done.stderr), done.stderr
        assert done.returncode in (0, 2), (done.returncode, done.stdout, done.stderr)
        done.path = str(path)
        done.all = done.stdout + done.stderr
        return done

    return run


def errors(done):
    """[(line, column, message)] of a check."""
    found = re.findall(r"^" + re.escape(done.path) + r":(\d+):(\d+): error: (.*)$", done.all, re.M)
    return [(int(line), int(column), message) for line, column, message in found]


def test_good_file(check):
    done = check(GOOD)
    assert (done.returncode, errors(done)) == (0, [])


def test_smallest_useful_file(check):
    assert (
        check(
            '[[listener]]\naddress = "127.0.0.1:8080"\n\n[[upstream]]\nname = "app"\nendpoints = ["127.0.0.1:3000"]\n\n'
            '[[route]]\nupstream = "app"\n'
        ).returncode
        == 0
    )


@pytest.mark.parametrize("name", ["sluice.toml", "full.toml", "quickstart.toml"])
def test_files_of_the_repository(name):
    path = ROOT / "config" / name
    text = path.read_text(encoding="utf-8")
    missing = [f for f in re.findall(r'(?:cert|key) = "([^"]+)"', text) if not (path.parent / f).exists()]
    done = command("check", path, cwd=ROOT)
    if missing:  # its certificate is made by scripts/quickstart
        assert all(
            any(os.path.basename(m) in line for m in missing)
            for line in (done.stdout + done.stderr).splitlines()
            if "error:" in line
        )
    else:
        assert done.returncode == 0, done.stdout + done.stderr


CASES = [
    # (replace this, by this, the text at which the caret points, words of the message, suggestion)
    ('name = "main"', 'nmae = "main"', "nmae", "nmae", "name"),
    ("idle_timeout =", "idel_timeout =", "idel_timeout", "idel_timeout", "idle_timeout"),
    ("[[upstream]]", "[[upstraem]]", "upstraem", "upstraem", "upstream"),
    ("[upstream.pool]", "[upstream.poll]", "poll", "poll", "pool"),
    ('upstream = "app"\ntimeout', 'upstream = "ap"\ntimeout', '"ap"', "ap", "app"),
    ('idle_timeout = "7s"', 'idle_timeout = 7', "7", "", None),
    ('idle_timeout = "7s"', 'idle_timeout = "7"', '"7"', "unit|duration", None),
    ('idle_timeout = "7s"', 'idle_timeout = "-7s"', '"-7s"', "", None),
    ('idle_timeout = "7s"', 'idle_timeout = "7 parsecs"', '"7 parsecs"', "", None),
    ('idle_timeout = "7s"', "max_connections = 0", "0", "", None),
    ('idle_timeout = "7s"', "max_connections = -1", "-1", "", None),
    ('idle_timeout = "7s"', 'max_connections = "128"', '"128"', "", None),
    ('address = "127.0.0.1:0"', 'address = "127.0.0.1"', '"127.0.0.1"', "port", None),
    ('address = "127.0.0.1:0"', 'address = "127.0.0.1:99999"', '"127.0.0.1:99999"', "port", None),
    ('address = "127.0.0.1:0"', 'address = 8080', "8080", "", None),
    ('endpoints = ["127.0.0.1:3000"]', 'endpoints = []', "[]", "", None),
    ('endpoints = ["127.0.0.1:3000"]', 'endpoints = ["127.0.0.1:3000", 5]', "5", "", None),
    ('methods = ["GET"]', 'methods = ["G T"]', '"G T"', "", None),
    ('methods = ["GET"]', 'path_regex = "^/v["', '"^/v["', "", None),
    ('methods = ["GET"]', 'allow = []', "[]", "allow", None),
    ('methods = ["GET"]', 'allow = ["10.0.0.0/33"]', '"10.0.0.0/33"', "", None),
    ('methods = ["GET"]', 'redirect = { to = "/x" }', "", "upstream|redirect", None),
    ('methods = ["GET"]', 'path = "/x"', "", "path", None),
    ('methods = ["GET"]', 'path_prefx = "/x"', "path_prefx", "path_prefx", "path_prefix"),
    ('name = "rest"', 'name = "api"', '"api"', "api", None),
    ('name = "app"', 'name = "app"\nbalance = "p3c"', '"p3c"', "p3c", "p2c"),
    ('name = "main"', 'name = "main"\nunderscore_headers = "rejct"', '"rejct"', "rejct", "reject"),
    ('name = "main"', 'name = "main"\nprotocols = ["http/1.2"]', '"http/1.2"', "http/1.2", "http/1.1"),
    ('name = "main"', 'name = "main"\ntrusted_proxies = ["10.0.0.0/8", "ten"]', '"ten"', "", None),
    ('name = "main"', 'name = "main"\nmax_header_bytes = "64KB"', '"64KB"', "", None),
    ('path_prefix = "/api"', 'path_prefix = "api"', '"api"', "/", None),
    ('hosts = ["a.test"]', 'hosts = ["a.*.test"]', '"a.*.test"', "", None),
    ('hosts = ["a.test"]', 'listeners = ["mian"]', '"mian"', "mian", "main"),
]


@pytest.mark.parametrize("old,new,at,words,suggestion", CASES, ids=[c[1].replace("\n", " ")[:50] or "x" for c in CASES])
def test_messages(check, old, new, at, words, suggestion):
    """File, line, column, the source line, a caret under the fault, and what was meant."""
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    done = check(text)
    assert done.returncode == 2, done.all
    found = errors(done)
    assert found, done.all
    lines = text.split("\n")
    offset = GOOD.index(old) + (new.index(at) if at else 0)
    expected = text.count("\n", 0, offset) + 1
    if at:
        match = [(line, column, message) for line, column, message in found if line == expected]
        assert match, (expected, done.all)
        line, column, message = match[0]
        start = lines[line - 1].index(at) + 1
        assert start <= column <= start + len(at), (column, start, done.all)
    else:
        line, column, message = found[0]
    assert re.search(words, message) or re.search(words, done.all), done.all
    shown = [i for i, out in enumerate(done.all.split("\n")) if lines[line - 1].strip() == out.strip() != ""]
    assert shown, done.all
    after = done.all.split("\n")[shown[0] + 1]
    assert "^" in after, done.all
    source = done.all.split("\n")[shown[0]]
    assert after.index("^") - source.index(lines[line - 1].strip()) == column - 1 - (
        len(lines[line - 1]) - len(lines[line - 1].lstrip())
    ), done.all
    if suggestion:
        assert re.search(r"did you mean\W+" + re.escape(suggestion) + r"\b", done.all), done.all


def test_all_errors_are_shown(check):
    text = GOOD.replace('name = "main"', 'nmae = "main"').replace("idle_timeout", "idel_timeout").replace('"9s"', '"9"')
    assert len(errors(check(text))) >= 3


def test_a_syntax_error_is_the_only_one(check):
    done = check(GOOD.replace('name = "main"', 'name = "main').replace("idle_timeout", "idel_timeout"))
    assert len(errors(done)) == 1 and errors(done)[0][0] == 2, done.all


def test_json(check):
    done = check(GOOD.replace("idle_timeout", "idel_timeout"), "--json")
    assert done.returncode == 2
    (problem,) = json.loads(done.stdout)
    assert set(problem) == {"file", "line", "column", "severity", "message", "suggestion"}
    assert (problem["file"], problem["line"], problem["column"], problem["severity"], problem["suggestion"]) == (
        done.path,
        9,
        3,
        "error",
        "idle_timeout",
    )
    assert json.loads(check(GOOD, "--json").stdout) == []


def test_json_of_strange_text(check):
    done = check('[[listener]]\naddress = "127.0.0.1:0"\n"a\\"b\\u0001\\u20ac" = 1\n', "--json")
    assert any("\u20ac" in json.dumps(p, ensure_ascii=False) for p in json.loads(done.stdout))


@pytest.mark.parametrize("route", ['path_prefix = "/api/v1"', 'path = "/api"', 'path_prefix = "/api"'])
def test_routes_that_can_never_be_reached_are_named(check, route):
    done = check(
        f'[[listener]]\naddress = "127.0.0.1:0"\n[[upstream]]\nname = "app"\nendpoints = ["127.0.0.1:1"]\n[[route]]\n'
        f'name = "wide"\npath_prefix = "/api"\nupstream = "app"\n'
        f'[[route]]\nname = "never"\n{route}\nupstream = "app"\n'
    )
    assert "never" in done.all and re.search(r":\d+:\d+: (warning|error): .*(reach|never)", done.all), done.all


def test_host_that_differs_from_the_server_name_warns(check):
    done = check(
        GOOD.replace(
            '  [upstream.pool]', 'host = "one.test"\n  [upstream.tls]\n  server_name = "two.test"\n  [upstream.pool]'
        )
    )
    assert done.returncode == 0 and re.search(r"warning:.*", done.all) and "two.test" in done.all, done.all


def test_strict_makes_a_warning_bad(check):
    """The values of GOOD go together; a route that may take longer than the drain does not."""
    assert check(GOOD, "--strict").returncode == 0
    odd = GOOD.replace('timeout = "9s"', 'timeout = "2m"')
    loose, strict = check(odd), check(odd, "--strict")
    assert (loose.returncode, strict.returncode) == (0, 2), strict.all
    page = re.search(r":17:11: warning: drain.deadline .* see docs/configuration.md#(\S+)", strict.all)
    assert page, strict.all
    headings = re.findall(r"^##+ (.*)$", (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8"), re.M)
    assert page[1] in {re.sub(r"[^a-z0-9 -]", "", h.lower()).replace(" ", "-") for h in headings}
    assert check(odd, "--strict", "--json").returncode == 2 and len(json.loads(check(odd, "--json").stdout)) == 1


# Every key of the schema is known: accepted or "not available yet", never unknown and never ignored.
SCHEMA = {
    "[runtime]": ['workers = "auto"', "workers = 2", "max_connections = 65536", 'warm_timeout = "10s"', "replicas = 3"],
    "[drain]": ['deregister_wait = "5s"', 'deadline = "25s"'],
    "[admin]": ['address = "127.0.0.1:9901"', 'address = ""', 'unix_mode = "0600"'],
    "[log]": ['level = "info"', 'level = "debug"', 'format = "text"', 'format = "json"'],
    "[access_log]": [
        'output = "stdout"',
        'output = "off"',
        'output = "/tmp/x.log"',
        'format = "json"',
        'format = "common"',
        "fields = []",
        'fields = ["time", "path"]',
        'headers = ["x-tenant", "response:age"]',
        'redact_query = ["token"]',
        'only = "slow_or_failed"',
        "sample = 0.01",
        'names = "otel"',
        'names = "ecs"',
        'long_every = "10m"',
    ],
    "[dns]": [
        "servers = []",
        'timeout = "2s"',
        "attempts = 2",
        'min_ttl = "1s"',
        'max_ttl = "5m"',
        'negative_ttl_max = "30s"',
        'stale_max = "1h"',
        'nx_hold = "30s"',
        "required_at_start = false",
    ],
    "[[listener]]\naddress = \"127.0.0.1:0\"": [
        'name = "x"',
        'unix_mode = "0660"',
        'protocols = ["http/1.1"]',
        'protocols = ["h2", "http/1.1"]',
        'proxy_protocol = "off"',
        'proxy_protocol = "required"',
        'trusted_proxies = ["10.0.0.0/8", "::1/128"]',
        'forwarded_by = "x-forwarded-for"',
        'forwarded_by = "forwarded"',
        'handshake_timeout = "10s"',
        'header_timeout = "10s"',
        'half_close_grace = "1s"',
        'body_timeout = "30s"',
        'write_timeout = "30s"',
        "min_rate = 240",
        'idle_timeout = "75s"',
        'underscore_headers = "drop"',
        "max_requests = 10000",
        'max_age = "1h"',
        'max_request_line = "16KiB"',
        'max_header_bytes = "64KiB"',
        "max_header_count = 100",
        "max_streams = 128",
        'stream_window = "256KiB"',
        'connection_buffer = "4MiB"',
        "max_resets = 200",
    ],
    "[[upstream]]\nname = \"x\"\nendpoints = [\"127.0.0.1:1\"]": [
        'protocol = "http/1.1"',
        'protocol = "h2"',
        'protocol = "auto"\ntls = {}',
        'host = "preserve"',
        'host = "endpoint"',
        'host = "x.test"',
        'balance = "p2c"',
        'balance = "round_robin"',
        'balance = "least_requests"',
        'balance = "ring_hash"',
        'balance = "p2c_ewma"',
        'balance = "ring_hash"\nhash_on = "path"',
        'balance = "ring_hash"\nhash_on = "cookie:session"',
        'slow_start = "0s"',
        'slow_start = "10s"',
        "panic_threshold = 50",
        "server_limit = 100",
        "source_addresses = []",
        'proxy_protocol = "v1"',
        'proxy_protocol = "v2"',
        "[upstream.pool]\nmax_connections = 128",
        "[upstream.pool]\nmin_idle = 0",
        '[upstream.pool]\nacquire_timeout = "1s"',
        "[upstream.pool]\nmax_waiting = 1024",
        '[upstream.pool]\nconnect_timeout = "1s"',
        '[upstream.pool]\nidle_timeout = "50s"',
        '[upstream.pool]\nmax_lifetime = "10m"',
        '[upstream.pool]\nmax_lifetime = "0s"',
        "[upstream.pool]\nmax_requests = 0",
        "[upstream.pool]\nmax_tunnels = 4096",
        "[upstream.tls]\nverify = true",
        '[upstream.tls]\nserver_name = "x.test"',
        "[upstream.tls]\nverify = false",
        '[upstream.health]\nkind = "http"',
        '[upstream.health]\nkind = "tcp"',
        'protocol = "h2"\n[upstream.health]\nkind = "grpc"',
        '[upstream.health]\npath = "/healthz"',
        '[upstream.health]\nhost = ""',
        '[upstream.health]\nservice = ""',
        '[upstream.health]\nexpect = "200-399"',
        '[upstream.health]\ninterval = "5s"',
        '[upstream.health]\ntimeout = "1s"',
        "[upstream.health]\nhealthy_after = 2",
        "[upstream.health]\nunhealthy_after = 3",
        "[upstream.outlier]\nenabled = true",
        "[upstream.outlier]\nconsecutive_failures = 5",
        '[upstream.outlier]\nejection = "30s"',
        '[upstream.outlier]\nmax_ejection = "5m"',
        "[upstream.outlier]\nmax_ejected_percent = 50",
        "[upstream.retry]\nattempts = 2",
        '[upstream.retry]\non = ["connect", "reset"]',
        '[upstream.retry]\non = ["refused_stream"]',
        "[upstream.retry]\nbudget = 0.2",
        '[upstream.retry]\nper_try_timeout = "0s"',
        "[upstream.circuit]\nmax_requests = 0",
        "[upstream.circuit]\nmax_requests = 10",
    ],
    "[[upstream]]\nname = \"x\"": ['dns = "app.internal:8080"', 'srv = "_http._tcp.app.internal"'],
    "[[route]]\nupstream = \"app\"": [
        'name = "x"',
        "listeners = []",
        'hosts = ["example.com", "*.example.com"]',
        'methods = ["GET"]',
        'headers = { "x-canary" = "1" }',
        'path_prefix = "/x"\nstrip_prefix = "/x"',
        'path_prefix = "/x"\nrewrite_prefix = "/y"',
        'request_headers = { set = { "a" = "b" }, add = { "c" = "d" }, remove = ["e"] }',
        'response_headers = { set = {}, add = {}, remove = [] }',
        'timeout = "30s"',
        'stream_idle_timeout = "5m"',
        'upgrade = ["websocket"]',
        "upgrade = []",
        'wait_budget = "0s"',
        'max_body = "0"',
        'max_body = "8MiB"',
        "replayable = false",
        "replayable = true",
        'allow = ["10.0.0.0/8"]',
        'deny = ["10.0.0.0/8"]',
        'rate_limit = { requests = 100, per = "1s", burst = 200, key = "client_ip" }',
    ],
}
KEYS = [(table, key) for table, keys in SCHEMA.items() for key in keys]


def with_key(table, key):
    lead = "" if table.startswith("[[") else f"{table}\n{key}\n"
    tail = f"{table}\n{key}\n" if table.startswith("[[") else ""
    return (
        lead + '[[listener]]\nname = "base"\naddress = "127.0.0.1:0"\n[[upstream]]\nname = "app"\n'
        'endpoints = ["127.0.0.1:3000"]\n' + tail + '[[route]]\nname = "last"\nupstream = "app"\n'
    )


@pytest.mark.parametrize("table,key", KEYS, ids=[f"{t.splitlines()[0]}-{k}".replace("\n", " ")[:70] for t, k in KEYS])
def test_every_key_of_the_schema_is_known(check, table, key):
    done = check(with_key(table, key))
    for line, _, message in errors(done):
        assert "not available yet" in message, done.all
    assert done.returncode == (2 if errors(done) else 0)


@pytest.mark.parametrize(
    "key",
    [
        "early_data = false",
        'min_version = "1.2"',
        'min_version = "1.3"',
        'client_ca = ""',
        'client_auth = "off"',
        'ticket_keys = ""',
        'ticket_lifetime = "12h"',
        "early_data = true",
        'client_auth = "optional"',
    ],
)
def test_every_key_of_listener_tls_is_known(check, shared, key):
    cert, private = certificate(shared)
    done = check(
        f'[[listener]]\naddress = "127.0.0.1:0"\n[listener.tls]\ncertificates = [{{ cert = "{cert}", key = '
        f'"{private}" }}]\n{key}\n[[route]]\nrespond = {{ status = 200 }}\n'
    )
    for _, _, message in errors(done):
        assert "not available yet" in message or "client_ca" in message, done.all


_certificate = []


def certificate(shared):
    if not _certificate:
        _certificate.append(shared.authority().issue("a.test"))
    return _certificate[0]


def test_defaults_never_name_what_is_not_built(check):
    """A file that leaves a key out never gets "not available yet" for its default."""
    assert "not available yet" not in check(GOOD).all


# explain
@pytest.fixture
def good_path(tmp_path):
    path = tmp_path / "sluice.toml"
    path.write_text(GOOD)
    return path


def test_explain_url(good_path):
    done = command("explain", good_path, "--url", "http://a.test/api/x?y=1", "--method", "GET", "--header", "X: y")
    assert done.returncode == 0, done.stderr
    for word in ("main", "api", "app", "9s", "12"):
        assert word in done.stdout, (word, done.stdout)


def test_explain_says_no_route(good_path):
    done = command("explain", good_path, "--url", "http://b.test/other")
    assert done.returncode == 0 and "404" in done.stdout and "no_route" in done.stdout
    done = command("explain", good_path, "--url", "http://a.test/api", "--method", "DELETE")
    assert done.returncode == 0 and "no_route" in done.stdout


def test_explain_key(good_path):
    done = command("explain", good_path, "--key", "upstream.app.pool.idle_timeout")
    assert done.returncode == 0 and "7s" in done.stdout and re.search(r"\b9\b", done.stdout), done.stdout
    done = command("explain", good_path, "--key", "upstream.app.pool.connect_timeout")
    assert done.returncode == 0 and "1s" in done.stdout and "default" in done.stdout
    done = command("explain", good_path, "--key", "upstream.app.pool.idel_timeout")
    assert done.returncode == 2 and "idle_timeout" in done.stdout + done.stderr


# Command line
def test_version():
    done = command("version")
    assert done.returncode == 0
    for word in ("sluice", "libuv", "llhttp", "BoringSSL"):
        assert word.lower() in done.stdout.lower(), done.stdout
    assert re.search(r"g\+\+|gcc|clang", done.stdout, re.I)


@pytest.mark.parametrize(
    "args", [("--help",), ("run", "--help"), ("check", "--help"), ("explain", "--help"), ("version", "--help")]
)
def test_help(args):
    done = command(*args)
    assert done.returncode == 0 and len(done.stdout) > 40


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("nonsense",),
        ("run",),
        ("check",),
        ("explain",),
        ("run", "--config"),
        ("run", "--conf", "x"),
        ("check", "a", "b"),
        ("--nonsense",),
        ("check", "--nonsense", "x"),
        ("version", "extra"),
    ],
)
def test_usage_errors(args):
    done = command(*args)
    assert done.returncode == 2 and done.stderr, (done.returncode, done.stdout)


@pytest.mark.parametrize("kind", ["missing", "folder", "unreadable", "huge", "fifo", "socket", "empty-name"])
@pytest.mark.parametrize("verb", [("check",), ("run", "--config")])
def test_files_that_cannot_be_read(tmp_path, kind, verb):
    path = tmp_path / "x.toml"
    if kind == "folder":
        path.mkdir()
    elif kind == "unreadable":
        path.symlink_to(path)  # a loop: unreadable for root, too
    elif kind == "huge":
        with open(path, "wb") as f:
            f.truncate((64 << 20) + 1)
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    done = command(*verb, "" if kind == "empty-name" else path)
    assert done.returncode == 2 and done.stderr + done.stdout
    assert kind == "empty-name" or "x.toml" in done.stderr + done.stdout


def test_run_with_a_bad_file_says_why(tmp_path):
    path = tmp_path / "x.toml"
    path.write_text(GOOD.replace("idle_timeout", "idel_timeout"))
    done = command("run", "--config", path)
    assert done.returncode == 2 and "idel_timeout" in done.stderr and "idle_timeout" in done.stderr


def test_a_port_that_is_taken_is_a_run_time_failure(start, tmp_path):
    sluice = start.sluice(config(extra="[[route]]\nrespond = { status = 200 }"))
    path = tmp_path / "x.toml"
    path.write_text(
        f'[admin]\naddress = ""\n[[listener]]\naddress = "{sluice.address()}"\n[[route]]\n'
        f'respond = {{ status = 200 }}\n'
    )
    done = command("run", "--config", path)
    assert done.returncode == 1 and sluice.address() in done.stderr, done.stderr
    assert sluice.request().status == 200  # and takes no traffic from the first


# Robustness
@pytest.mark.parametrize("prefix", [b"\xef\xbb\xbf"])
def test_byte_order_mark(check, prefix):
    assert check(prefix + GOOD.encode()).returncode == 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "#",
        "=",
        "[",
        "[[",
        "]",
        "a",
        "a=",
        "a.",
        '"',
        "'''",
        '"""',
        "[a",
        "[[listener]]\n[listener]\n",
        "x = 1\nx = 2\n",
        "a = " + "[" * 100000,
        "a = " + "{a=" * 5000,
        ".".join("a" * 100000) + " = 1",
        "[" + ".".join("a" * 100000) + "]",
        "a = " + "[" * 63 + "]" * 63,
        "[[listener]]\naddress = []\n",
        "listener = 1\nroute = 2\nupstream = 3\n",
        "[listener]\n[route]\n",
        "[[runtime]]\n",
        'route = [1, "a", []]\n',
        "[[listener]]\naddress = { a = 1 }\n",
        "[[upstream]]\nendpoints = [[[]]]\n",
        "a = 1979-05-27T07:32:00Z\n",
        "a = 1e999999\n",
        "a = 99999999999999999999999\n",
        "a = nan\n",
        'a = "\\uD800"\n',
        "\r",
        "\0",
        "a = 1 # \0\n",
        "[runtime]\nworkers = 1000000\n",
        "[runtime]\nworkers = -1\n",
        "[runtime]\nworkers = 0\n",
        '[[listener]]\naddress = "' + "a" * 100000 + '"\n',
        '[[route]]\npath_regex = "' + "(" * 10000 + '"\n',
        '[[route]]\npath_regex = "(a{1000}){1000}"\nrespond = { status = 200 }\n',
    ],
    ids=lambda t: repr(t)[:30],
)
def test_garbage_is_an_error_and_never_a_crash(check, text):
    check(text)


def test_bytes_that_are_no_text(check):
    rng = random.Random(7)
    for size in (1, 10, 1000, 100000):
        check(bytes(rng.randrange(256) for _ in range(size)))


def test_mutations_of_a_good_file(check):
    """Random damage: exit 0 or 2, never a crash. The seed is in the message of a failure."""
    words = [
        "[",
        "]",
        "[[",
        "]]",
        '"',
        "=",
        "\n",
        "{",
        "}",
        ",",
        "0",
        "-1",
        "app",
        "\0",
        "\xff",
        "#",
        ".",
        "listener",
        "upstream",
        "route",
        "'",
        "\\",
    ]
    for seed in range(15 if sanitized() else 60):
        rng = random.Random(seed)
        text = GOOD
        for _ in range(rng.randint(1, 6)):
            at = rng.randrange(len(text))
            text = text[:at] + rng.choice(words + [""]) + text[at + rng.choice((0, 1, 5, 30)) :]
        try:
            check(text)
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {text!r}") from error


def test_check_does_not_bind_or_connect(start, check):
    """A check on the machine where the proxy runs must not disturb it."""
    sluice = start.sluice(config(extra="[[route]]\nrespond = { status = 200 }"))
    assert (
        check(f'[[listener]]\naddress = "{sluice.address()}"\n[[route]]\nrespond = {{ status = 200 }}\n').returncode
        == 0
    )


@pytest.mark.parametrize("where", ["certificate", "key", "client_ca", "ticket_keys", "ca", "access log"])
@pytest.mark.parametrize("verb", [("check",), ("run", "--config")])
def test_a_fifo_is_no_file_of_a_configuration(start, tmp_path, where, verb):
    """Nobody writes to it: whoever opened it would wait for ever."""
    if where == "access log" and verb[0] == "check":
        pytest.skip("check opens no log")
    authority = start.authority()
    cert, key = authority.issue("a.test")
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    cert, key = (fifo if where == "certificate" else cert), (fifo if where == "key" else key)
    more = f'{where} = "{fifo}"\n' if where in ("client_ca", "ticket_keys") else ""
    more += 'client_auth = "optional"\n' if where == "client_ca" else ""
    path = tmp_path / "x.toml"
    path.write_text(
        (f'[access_log]\noutput = "{fifo}"\n' if where == "access log" else "")
        + f'[admin]\naddress = ""\n[[listener]]\naddress = "127.0.0.1:0"\n[listener.tls]\n'
        f'certificates = [{{ cert = "{cert}", key = "{key}" }}]\n{more}'
        + '[[upstream]]\nname = "app"\nendpoints = ["127.0.0.1:1"]\n'
        + (f'[upstream.tls]\nca = "{fifo}"\n' if where == "ca" else "")
        + '[[route]]\nupstream = "app"\n'
    )
    done = command(*verb, path)
    assert done.returncode != 0 and "fifo" in (done.stderr + done.stdout).lower(), done


@pytest.mark.parametrize("device", ["/dev/null", "/dev/zero"])
def test_a_device_is_no_endless_file(device):
    assert command("check", device).returncode == 2
