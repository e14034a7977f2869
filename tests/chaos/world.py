"""The configuration under chaos: listeners and upstreams of the canary that stay as they are, and the others, of which
a reload may change anything."""

BASE = """
[runtime]
workers = 2
max_memory = "@MEMORY@"
[drain]
deregister_wait = "0s"
deadline = "10s"
[admin]
address = "127.0.0.1:0"
[access_log]
output = "@DIR@/access.log"
"""

CALM = """
[[listener]]
name = "calm"
address = "{calm}"
[[listener]]
name = "calm-tls"
address = "{calm_tls}"
[listener.tls]
certificates = [{{ cert = "{cert}", key = "{key}" }}]
"""

CALM_UPSTREAM = """
[[upstream]]
name = "calm-{name}"
endpoints = {endpoints}
{lines}
[upstream.pool]
acquire_timeout = "60s"
connect_timeout = "30s"
max_connections = 512
[[route]]
name = "calm-{name}"
hosts = ["canary.test"]
path_prefix = "/{name}"
upstream = "calm-{name}"
timeout = "60s"
"""

LISTENER = """
[[listener]]
name = "{name}"
address = "{address}"
proxy_protocol = "{proxy_protocol}"
trusted_proxies = {trusted}
header_timeout = "{header_timeout}"
body_timeout = "{body_timeout}"
write_timeout = "{write_timeout}"
idle_timeout = "{idle_timeout}"
handshake_timeout = "2s"
max_requests = {max_requests}
max_header_bytes = "{max_header_bytes}"
max_header_count = {max_header_count}
max_streams = {max_streams}
stream_window = "{stream_window}"
connection_buffer = "{connection_buffer}"
max_resets = {max_resets}
underscore_headers = "{underscore}"
min_rate = {min_rate}
half_close_grace = "{half_close_grace}"
forwarded_by = "{forwarded_by}"
"""

UPSTREAM = """
[[upstream]]
name = "{name}"
endpoints = {endpoints}
protocol = "{protocol}"
balance = "{balance}"
[upstream.pool]
max_connections = {max_connections}
min_idle = {min_idle}
acquire_timeout = "{acquire_timeout}"
max_waiting = {max_waiting}
connect_timeout = "1s"
idle_timeout = "{idle_timeout}"
max_lifetime = "{max_lifetime}"
max_requests = {max_requests}
[upstream.retry]
attempts = {attempts}
on = {retry_on}
per_try_timeout = "{per_try_timeout}"
"""

ROUTE = """
[[route]]
name = "{name}"
hosts = {hosts}
{match}
upstream = "{upstream}"
timeout = "{timeout}"
stream_idle_timeout = "{stream_idle_timeout}"
max_body = "{max_body}"
{edits}
"""

# name -> (what it is at the start and the end, what a reload may make of it)
LISTENER_KNOBS = {
    "header_timeout": ("2s", ["200ms", "5s"]),
    "body_timeout": ("2s", ["300ms", "5s"]),
    "write_timeout": ("2s", ["300ms", "5s"]),
    "idle_timeout": ("3s", ["100ms", "10s"]),
    "max_requests": (10000, [1, 2, 20]),
    "max_header_bytes": ("64KiB", ["4KiB", "16KiB"]),
    "max_header_count": (100, [10, 50]),
    "max_streams": (128, [1, 4]),
    "stream_window": ("256KiB", ["64KiB", "1MiB"]),
    "connection_buffer": ("4MiB", ["1MiB"]),
    "max_resets": (200, [10, 2000]),
    "underscore": ("drop", ["reject", "pass"]),
    "min_rate": (240, [0, 100000]),
    "half_close_grace": ("1s", ["1ms", "50ms", "5s"]),
    "forwarded_by": ("x-forwarded-for", ["forwarded"]),
    "trusted": ("[]", ['["127.0.0.0/8"]']),
}
UPSTREAM_KNOBS = {
    "balance": ("p2c", ["round_robin", "least_requests"]),
    "max_connections": (32, [1, 2, 100]),
    "min_idle": (0, [0, 1]),
    "acquire_timeout": ("1s", ["20ms", "3s"]),
    "max_waiting": (256, [0, 1, 1000]),
    "idle_timeout": ("2s", ["50ms", "20s"]),
    "max_lifetime": ("10m", ["100ms", "1s"]),
    "max_requests": (0, [1, 5]),
    "attempts": (2, [1, 5]),
    "retry_on": ('["connect", "reset", "refused_stream"]', ["[]", '["connect", "reset", "refused_stream", "503"]']),
    "per_try_timeout": ("0s", ["50ms", "1s"]),
}
ROUTE_KNOBS = {
    "timeout": ("3s", ["100ms", "10s"]),
    "stream_idle_timeout": ("3s", ["200ms", "10s"]),
    "max_body": ("0", ["1KiB", "100KiB"]),
    "edits": (
        "",
        [
            'request_headers = { set = { "x-set" = "1" }, remove = ["x-a"] }',
            'response_headers = { add = { "x-add" = "2" }, remove = ["etag", "x-b"] }',
            'upgrade = []',
            'deny = ["127.0.0.0/8"]',
            'wait_budget = "10ms"',
        ],
    ),
}
HEALTH = '[upstream.health]\npath = "/healthz"\ninterval = "{interval}"\ntimeout = "500ms"\nkind = "{kind}"\n'
FIXED = """
[[route]]
name = "limited"
path = "/limited"
redirect = { to = "https://{host}{path}", status = 308 }
[[route]]
name = "fixed"
path_prefix = "/fixed"
respond = { status = 200, body = "fixed" }
"""


def knobs(table, dice, wildness):
    """A value each: the usual one, or with this probability another."""
    return {
        name: dice.one(*others) if dice and dice.chance(wildness) else usual for name, (usual, others) in table.items()
    }


def toml_list(items):
    return "[" + ", ".join(f'"{i}"' for i in items) + "]"


class World:
    """What there is: addresses of listeners, origins of each upstream. text(dice) is a configuration of it."""

    def __init__(self, listeners, certificate, calm_origins, calm_ca, origins, origin_ca):
        self.listeners, self.certificate, self.calm_origins, self.calm_ca = (
            listeners,
            certificate,
            calm_origins,
            calm_ca,
        )
        self.origins, self.origin_ca = origins, origin_ca  # upstream name -> (protocol, [addresses], tls?)

    def calm(self, dice, wildness):
        parts = [
            CALM.format(
                calm=self.listeners["calm"],
                calm_tls=self.listeners["calm-tls"],
                cert=self.certificate[0],
                key=self.certificate[1],
            )
        ]
        for name, endpoints, lines in (
            ("h1", self.calm_origins["h1"], ""),
            ("h2", self.calm_origins["h2"], 'protocol = "h2"'),
            (
                "h2-tls",
                [self.calm_origins["h2_tls"]],
                f'protocol = "auto"\n[upstream.tls]\nca = "{self.calm_ca}"\nserver_name = "canary.origin"',
            ),
        ):
            if dice and dice.chance(wildness):  # endpoints come and go under the canary too
                endpoints = [dice.one(*endpoints)]
            parts.append(CALM_UPSTREAM.format(name=name, endpoints=toml_list(endpoints), lines=lines))
        return "".join(parts)

    def listener(self, name, dice, wildness):
        text = LISTENER.format(
            name=name,
            address=self.listeners[name],
            proxy_protocol="required" if "proxied" in name else "off",
            **knobs(LISTENER_KNOBS, dice, wildness),
        )
        if name.endswith("tls"):
            text += (
                f'[listener.tls]\ncertificates = [{{ cert = "{self.certificate[0]}", key = "{self.certificate[1]}" '
                f'}}]\nmin_version = "{dice.one("1.2", "1.3") if dice else "1.3"}"\n'
            )
        return text

    def upstream(self, name, dice, wildness):
        protocol, addresses, tls = self.origins[name]
        chosen = (
            addresses
            if not dice or not dice.chance(wildness)
            else [a for a in addresses if dice.chance(0.5)] or addresses[:1]
        )
        text = UPSTREAM.format(
            name=name, endpoints=toml_list(chosen), protocol=protocol, **knobs(UPSTREAM_KNOBS, dice, wildness)
        )
        if tls:
            text += f'[upstream.tls]\nca = "{self.origin_ca}"\nserver_name = "chaos.origin"\n'
        if dice and dice.chance(wildness * 0.5):
            text += HEALTH.format(
                interval=dice.one("100ms", "1s"), kind=dice.one("http", "tcp", "grpc" if protocol == "h2" else "tcp")
            )
        return text

    def routes(self, dice, wildness):
        order = list(self.origins)
        if dice:
            dice.random.shuffle(order)
        parts = [FIXED if not dice or not dice.chance(wildness) else ""]
        for name in order:
            if dice and dice.chance(wildness * 0.3):
                continue
            match = (
                dice.one("", 'path_prefix = "/a"', 'path_regex = "^/[a-z]*"') if dice and dice.chance(wildness) else ""
            )
            parts.append(
                ROUTE.format(
                    name=name,
                    hosts=toml_list([f"{name}.test"]),
                    match=match,
                    upstream=name,
                    **knobs(ROUTE_KNOBS, dice, wildness),
                )
            )
        parts.append(
            ROUTE.format(
                name="any",
                hosts="[]",
                match="",
                upstream=dice.one(*order) if dice else order[0],
                **knobs(ROUTE_KNOBS, dice, wildness),
            )
        )
        return "".join(parts)

    def text(self, dice=None):
        """The usual one; with dice, one that differs in much or in little."""
        wildness = dice.one(0, 0.05, 0.3, 0.7) if dice else 0
        rough = [name for name in self.listeners if not name.startswith("calm")]
        memory = (
            dice.one("auto", "1GiB", "2GiB", "16GiB") if dice and dice.chance(wildness) else "auto"
        )  # none that the canary would feel
        return (
            BASE.replace("@MEMORY@", memory)
            + self.calm(dice, wildness)
            + "".join(self.listener(name, dice, wildness) for name in rough)
            + "".join(self.upstream(name, dice, wildness) for name in self.origins)
            + self.routes(dice, wildness)
        )
