"""Every key that a reload takes, with values that no client feels. The first one of each is what it is at the marks.

Entries are tables of the configuration: `listener.main.tls` is [listener.tls] of the listener that is called main here.
Keys that must change together stand as one, "cert+key", with tuples of values. None: the key is not there. Values are
TOML; @...@ is put in by the world. What a client would feel (PROXY headers, another protocol, no such route) changes on
`side`, which has no traffic. That no key of the schema is missing is looked at when the run begins (missing()).
"""

import re

TIMES = {
    "handshake_timeout": ['"10s"', '"8s"'],
    "header_timeout": ['"10s"', '"5s"', '"20s"'],
    "half_close_grace": ['"1s"', '"2s"'],
    "body_timeout": ['"30s"', '"10s"'],
    "write_timeout": ['"30s"', '"10s"'],
    "min_rate": ["240", "0", "100"],
    "idle_timeout": ['"75s"', '"3s"', '"20s"'],
    "max_requests": ["10000", "10", "200"],
    "max_age": ['"0s"', '"2s"', '"20s"'],
    "max_request_line": ['"16KiB"', '"4KiB"'],
    "max_header_bytes": ['"64KiB"', '"8KiB"'],
    "max_header_count": ["100", "50"],
    "max_streams": ["128", "16"],
    "stream_window": ['"256KiB"', '"64KiB"'],
    "connection_buffer": ['"4MiB"', '"1MiB"'],
    "max_resets": ["200", "100"],
    "underscore_headers": ['"drop"', '"reject"', '"pass"'],
    "trusted_proxies": ["[]", '["127.0.0.0/8"]'],
    "max_connections_per_client": ["0", "10000"],
    "error_pages": ["{}", '{ 404 = "@PAGE@" }'],
    "forwarded_by": ['"x-forwarded-for"', '"forwarded"'],
}
POOL = {
    "max_connections": ["128", "32"],
    "min_idle": ["0", "1", "2"],
    "acquire_timeout": ['"10s"', '"5s"'],
    "max_waiting": ["1024", "256"],
    "max_client_share": ["50", "100", "80"],
    "queue_target": ['"5ms"', '"0ms"', '"1ms"'],
    "queue_interval": ['"100ms"', '"20ms"'],
    "connect_timeout": ['"5s"', '"3s"'],
    "idle_timeout": ['"50s"', '"500ms"', '"5s"'],
    "max_lifetime": ['"10m"', '"1s"', '"10s"'],
    "max_requests": ["0", "20"],
    "max_in_flight": ["0", "64", "256"],  # above what the WebSockets hold
    "max_tunnels": ["4096", "512"],
    "keepalive": ['"30s"', '"1s"', '"0s"'],
    "user_timeout": ['"60s"', '"2s"'],
}
HEALTH = {
    "kind": ['"http"', '"tcp"'],
    "path": ['"/healthz"', '"/alive"'],
    "host": ['""', '"health.test"'],
    "expect": ['"200-399"', '"200"'],
    "interval": ['"300ms"', '"100ms"', '"1s"'],
    "timeout": ['"2s"', '"1s"'],
    "healthy_after": ["1", "2"],
    "unhealthy_after": ["2", "1", "3"],
}
RETRY = {
    "attempts": ["3", "4"],
    "on": [
        '["connect", "reset", "refused_stream"]',
        '["connect", "reset", "refused_stream", "503"]',
        '["connect", "reset", "gateway_error"]',
    ],
    "budget": ["0.5", "0.2"],
    "per_try_timeout": ['"0s"', '"10s"'],
    "backoff": ['"25ms"', '"0s"'],
}
OUTLIER = {
    "enabled": ["true", "false"],
    "consecutive_failures": ["5", "1", "20"],
    "ejection": ['"30s"', '"1s"'],
    "max_ejection": ['"5m"', '"1m"'],
    "max_ejected_percent": ["50", "0", "100"],
    "success_rate": ["false", "true"],
}
CIRCUIT = {"max_requests": ["0", "100000"], "adaptive": ["false", "true"]}
SPREAD = {
    "host": ['"preserve"', '"app.internal"'],
    "balance": ['"p2c"', '"p2c_ewma"', '"round_robin"', '"least_requests"', '"ring_hash"'],
    "hash_on": ['"client_ip"', '"path"', '"query:key"', '"cookie:session"', '"header:x-key"'],
    "slow_start": ['"0s"', '"1s"'],
    "panic_threshold": ["50", "0", "100"],
    "server_limit": ["0", "1000"],
    "source_addresses": ["[]", '["127.0.0.1"]', '["127.0.0.1", "127.0.0.2"]'],
}
ROUTE = {
    "methods": ["[]", '["GET", "POST"]'],
    "strip_prefix": ['""', '"/@PREFIX@"'],
    "request_headers": ["{}", '{ set = { "x-set" = "1" }, remove = ["x-a"] }'],
    "response_headers": ["{}", '{ add = { "x-add" = "2" } }'],
    "timeout": ['"30s"', '"20s"', '"0s"'],
    "stream_idle_timeout": ['"5m"', '"1m"'],
    "wait_budget": ['"0s"', '"10s"'],
    "slow_after": ['"1s"', '"0s"', '"10s"'],
    "max_stream_duration": ['"0s"', '"1h"'],
    "access_log": ["true", "false"],
    "priority": ['"normal"', '"high"', '"low"'],
    "fallback": [None, '{ respond = { status = 503, body = "later" } }'],
    "error_pages": ["{}", '{ 5xx = "@PAGE@" }'],
    "max_body": ['"0"', '"1MiB"'],
    "rate_limit": [
        None,
        '{ requests = 10000, per = "1s", key = "client_ip" }',
        '{ requests = 1, per = "1s", dry_run = true }',
    ],
    "concurrency_limit": [None, '{ requests = 1000 }', '{ requests = 1, dry_run = true }'],
    "allow": [None, '["127.0.0.0/8"]'],
    "deny": ["[]", '["10.0.0.0/8"]'],
}

ENTRIES = {
    "runtime": {
        "max_connections": ["65536", "1000", "500"],
        "max_memory": ['"auto"', '"1GiB"'],
        "replicas+replicas_dns": [("1", None), ("3", None), (None, '"app.test"')],
        "max_lateness": ['"250ms"', '"0s"', '"2s"'],
    },
    "drain": {"deregister_wait": ['"0s"', '"1s"'], "deadline": ['"5s"', '"10s"']},
    "admin": {"hosts": ["[]", '["sluice.test"]']},
    "access_log": {
        "format": ['"json"', '"common"'],
        "fields": ["[]", '["time", "route", "status"]'],
        "headers": ["[]", '["x-a", "response:etag"]'],
        "redact_query": ["[]", '["token"]'],
        "only": ['"all"', '"slow_or_failed"'],
        "sample": ["1", "0.5"],
        "names": ['"sluice"', '"otel"', '"ecs"'],
        "long_every": ['"10m"', '"1s"', '"0s"'],
    },
    "log": {"level": ['"info"', '"warn"', '"error"', '"debug"'], "format": ['"text"', '"json"']},
    "dns": {
        "servers": ['["@DNS1@"]', '["@DNS2@"]', '["@DNS1@", "@DNS2@"]'],
        "timeout": ['"2s"', '"1s"'],
        "attempts": ["2", "3"],
        "min_ttl": ['"1s"', '"2s"'],
        "max_ttl": ['"5m"', '"1m"'],
        "negative_ttl_max": ['"30s"', '"5s"'],
        "stale_max": ['"1h"', '"10m"'],
        "nx_hold": ['"30s"', '"10s"'],
    },
    "listener.main": {
        "name": ['"main"', '"front"'],
        "address": ['["@MAIN@"]', '["@MAIN@", "unix:@DIR@/main"]'],
        "unix_mode": ['"0660"', '"0600"'],
        "protocols": ['["h2", "http/1.1"]', '["http/1.1", "h2"]'],
        "health_path": ['""', '"/balancer"'],
        "access_log": ["true", "false"],
        **TIMES,
    },
    "listener.tls": {"name": ['"tls"', '"secure"'], "address": ['["@TLS@"]'], **TIMES},
    "listener.tls.tls": {
        "certificates": ["[@PAIR1@]", "[@PAIR2@]", "[@PAIR1@, @PAIR2@]"],
        "min_version": ['"1.3"', '"1.2"'],
        "client_ca+client_auth": [('""', '"off"'), ('"@CA@"', '"optional"')],
        "ticket_keys": ['""', '"@TICKETS@"'],
        "ticket_lifetime": ['"12h"', '"1h"'],
    },
    "listener.side": {
        "name": ['"side"'],
        "address": ['["unix:@DIR@/side"]', '["unix:@DIR@/aside"]'],
        "protocols": ['["http/1.1"]', '["h2"]'],
        "proxy_protocol": ['"off"', '"required"'],
    },
    "upstream.fixed": {
        "name": ['"fixed"', '"stable"'],
        "endpoints": ["[@E1@, @E2@, @E3@]", "[@E1@, @E2@, @E3@, @E4@]", "[@E2@, @E3@, @E4@]"],
        **SPREAD,
    },
    "upstream.fixed.pool": POOL,
    "upstream.fixed.health": HEALTH,
    "upstream.fixed.retry": RETRY,
    "upstream.fixed.outlier": OUTLIER,
    "upstream.fixed.circuit": CIRCUIT,
    "upstream.named": {"name": ['"named"', '"found"'], "dns": ['"app.test:@PORT@"'], **SPREAD},
    "upstream.named.pool": POOL,
    "upstream.named.health": HEALTH,
    "upstream.named.retry": RETRY,
    "upstream.named.circuit": CIRCUIT,
    "upstream.steady": {"name": ['"steady"', '"constant"'], "endpoints": ["[@STEADY@]"], **SPREAD},
    "upstream.steady.pool": POOL,
    "upstream.steady.pool_class": {
        "name": ['"most"', '"bulk"'],
        "max_connections": ['"50%"', '"100%"', "40"],
        "routes": ['["@ROUTE:steady@"]', '["@ROUTE:steady@", "@ROUTE:rewritten@"]'],
    },
    "upstream.side": {
        "name": ['"side"', '"beside"'],
        "endpoints+dns+srv": [
            ("[@STEADY@]", '""', '""'),
            (None, '"side.test:@PORT@"', '""'),
            (None, '""', '"_http._tcp.side.test"'),
        ],
        "protocol": ['"h2"', '"auto"'],
        "proxy_protocol": ['"off"', '"v1"', '"v2"'],
    },
    "upstream.side.tls": {
        "server_name": ['""', '"side.test"'],
        "ca": ['""', '"@CA@"'],
        "verify": ["true", "false"],
        "cert+key": [('""', '""'), ('"@CERT@"', '"@KEY@"')],
    },
    "upstream.side.health": {
        "kind": ['"http"', '"grpc"'],
        "service": ['""', '"a.Service"'],
        "interval": ['"1s"', '"2s"'],
    },
    "route.fixed": {
        "name": ['"fixed"', '"stable"'],
        "path_prefix": ['"/fixed"'],
        "upstream": ['"@UP:fixed@"'],
        **ROUTE,
    },
    "route.named": {"name": ['"named"', '"found"'], "path_prefix": ['"/named"'], "upstream": ['"@UP:named@"'], **ROUTE},
    "route.steady": {
        "name": ['"steady"', '"constant"'],
        "path_prefix": ['"/steady"'],
        "upstream": ['"@UP:steady@"'],
        **ROUTE,
        "upgrade": ['["websocket"]', '["websocket", "other"]'],
    },
    "route.side": {
        "name": ['"side"', '"beside"'],
        "listeners": ["[]", '["side"]'],
        "hosts": ['["side.test"]', '["side.test", "*.side.test"]'],
        "path+path_prefix+path_regex": [
            (None,) * 3,
            ('"/x"', None, None),
            (None, '"/x"', None),
            (None, None, '"^/x+"'),
        ],
        "methods": ["[]", '["PUT"]'],
        "headers": ["{}", '{ "x-a" = "1" }'],
        "upstream+split+redirect+respond": [
            ('"@UP:side@"', None, None, None),
            (None, '[{ upstream = "@UP:side@", weight = 1 }, { upstream = "@UP:steady@", weight = 2 }]', None, None),
            (None, None, '{ to = "https://{host}{path}", status = 308 }', None),
            (None, None, None, '{ status = 200, body = "side" }'),
        ],
    },
    "route.rewritten": {
        "name": ['"rewritten"'],
        "hosts": ['["side.test"]'],
        "path_prefix": ['"/old"'],
        "upstream": ['"@UP:steady@"'],
        "rewrite_prefix": ['"/new"', '"/newer"'],
    },
}


def section(entry):
    """[upstream.pool] for "upstream.fixed.pool"."""
    parts = entry.split(".")
    return parts[0] if len(parts) < 3 else f"{parts[0]}.{parts[2]}"


def is_array(entry):
    """Of tables: [[upstream]], and what stands in one as [[upstream.pool_class]]."""
    return entry.count(".") == 1 or entry.endswith(".pool_class")


def of_schema(full_toml):
    """(section, key) of all that a reload takes, out of config/full.toml, which the schema writes."""
    found, table, words = set(), "", ""
    for line in full_toml.splitlines():
        line = line.strip()
        header = re.fullmatch(r"#?\[+([\w.]+)\]+", line)
        key = re.match(r"#?(\w+) = ", line)
        if header:
            table, words = header[1], ""
        elif key:
            if "A change takes a restart" not in words and "Not available yet" not in words:
                found.add((table, key[1]))
            words = ""
        else:
            words = " ".join((words, line.lstrip("# ")))
    return found


def missing(full_toml):
    """Keys of the schema that no reload of a run would change."""
    tried = {
        (section(entry), key)
        for entry, keys in ENTRIES.items()
        for together, values in keys.items()
        if len(values) > 1
        for key in together.split("+")
    }
    return of_schema(full_toml) - tried
