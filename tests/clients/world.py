"""What stands behind and around a client under test: nginx and a Go server as origins, files, certificates, and a
sluice of its own for each client.

The judge is the proxy's own count: a client whose connection was ended by GOAWAY comes back on a second one, and a
stream that was reset is an answer that is not 200.
"""

import gzip
import hashlib
import os
import random
import subprocess

from harness.certs import Authority, certificate_lines
from harness.nginx import Nginx
from harness.proxy import Sluice, preamble

GZIP_BYTES = 25_000_000
NGINX = """
    client_max_body_size 0;
    location = /small { return 200 "small"; }
    location = /gzip { default_type text/plain; add_header Content-Encoding gzip; try_files /gzip.bin =404; }
"""
CONFIG = """
[[listener]]
name = "tls"
address = "127.0.0.1:0"
max_requests = 1000000000
[listener.tls]
{certificates}
[[listener]]
name = "clear"
address = "127.0.0.1:0"
max_requests = 1000000000
[[upstream]]
name = "nginx"
endpoints = ["{nginx}"]
"""
LAST_ROUTE = """
[[route]]
upstream = "nginx"
timeout = "300s"
"""
GO_CONFIG = """
[[upstream]]
name = "go"
endpoints = ["{go}"]
[[upstream]]
name = "go-h2"
endpoints = ["{go_h2}"]
protocol = "h2"
[upstream.tls]
ca = "{ca}"
server_name = "localhost"
[[upstream]]
name = "grpc"
endpoints = ["{grpc}"]
protocol = "h2"
[[route]]
path_prefix = "/go"
strip_prefix = "/go"
upstream = "go"
timeout = "300s"
[[route]]
path_prefix = "/go-h2"
strip_prefix = "/go-h2"
upstream = "go-h2"
timeout = "300s"
[[route]]
path_prefix = "/sluice.Echo"
upstream = "grpc"
timeout = "0s"
"""


class World:
    def __init__(self, directory, go_binary, stack):
        self.directory, self.stack, self.count = str(directory), stack, 0
        self.ca = Authority(os.path.join(self.directory, "ca"))
        self.pair = self.ca.issue("localhost", "127.0.0.1")
        self.nginx = stack.enter_context(Nginx(self.directory, extra=NGINX))
        self.text = CONFIG.format(certificates=certificate_lines(self.pair), nginx=self.nginx.address)
        self.gzip_sum, self.gzip_path = self.make_gzip()
        self.go_binary = go_binary
        if go_binary:
            self.start_go()

    def make_gzip(self):
        """Lines of noise, packed: what a download of logs or of a table is like. Gives the sum of what is inside."""
        noise = random.Random(1)
        plain = b"".join(noise.randbytes(40).hex().encode() + b"\n" for _ in range(GZIP_BYTES * 2 // 81))
        self.nginx.file("gzip.bin", gzip.compress(plain, 1))
        path = os.path.join(self.nginx.directory, "www", "gzip.bin")
        return hashlib.sha256(plain).hexdigest(), path

    def large(self, size):
        """A file of so many zeros, which takes no room."""
        path = os.path.join(self.nginx.directory, "www", "large.bin")
        with open(path, "ab") as f:
            f.truncate(size)

    def start_go(self):
        process = subprocess.Popen(
            [self.go_binary, "origin", *self.pair], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
        )

        def end():
            process.kill()
            process.wait()
            process.stdout.close()

        self.stack.callback(end)
        clear, h2, grpc = process.stdout.readline().split()
        self.text += GO_CONFIG.format(go=clear, go_h2=h2, grpc=grpc, ca=self.ca.cert)

    def sluice(self, more=""):
        """more: routes beside the others."""
        self.count += 1
        return Sluice(
            preamble(deadline="10s") + self.text + more + LAST_ROUTE, os.path.join(self.directory, f"run{self.count}")
        )

    def environment(self, **more):
        """For clients: the CA in every way they ask for it."""
        return {**os.environ, "SSL_CERT_FILE": self.ca.cert, "NODE_EXTRA_CA_CERTS": self.ca.cert, **more}


def faults(sluice, listener, connections):
    """What the proxy counted against the client, or for it to be sorry about."""
    metrics, found = sluice.metrics(), []
    made = metrics.sum("sluice_downstream_connections_total", listener=listener)
    if made > connections:
        found.append(f"{made:g} connections instead of {connections}")
    for name in (
        "sluice_protocol_errors_total",
        "sluice_local_replies_total",
        "sluice_upstream_errors_total",
        "sluice_upstream_retries_total",
    ):
        found += [f"{name} {dict(labels)} {value:g}" for labels, value in metrics.series(name).items() if value]
    found += [
        f"{value:g} answers {dict(labels)}"
        for labels, value in metrics.series("sluice_requests_total").items()
        if value and dict(labels)["code"] not in ("200", "101")
    ]
    return found


def port_of(address):
    return address.rsplit(":", 1)[1]
