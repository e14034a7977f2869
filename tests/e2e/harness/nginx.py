"""A real backend: one nginx process on an address of its own, killed and started at will."""

import os
import signal
import socket
import subprocess

from .base import TIMEOUT, free_address, wait_for

CONF = """
daemon off; master_process off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/error.log warn;
events {{ worker_connections 2048; }}
http {{
  access_log off; default_type text/plain; keepalive_requests 1000000000; keepalive_timeout 300s;
  client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
  uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
  server {{
    listen {host}:{port} backlog=1024 reuseport sndbuf=64k;
    root {dir}/www;
    location = / {{ return 200 "{name}"; }}
    {extra}
  }}
}}
"""


class Nginx:
    """Answers `/` with its name; files of `www` otherwise."""

    def __init__(self, directory, name="nginx", extra=""):
        self.directory = os.path.join(str(directory), name)
        os.makedirs(os.path.join(self.directory, "www"), exist_ok=True)
        self.host, self.port = free_address()
        self.conf = os.path.join(self.directory, "nginx.conf")
        with open(self.conf, "w", encoding="ascii") as f:
            f.write(CONF.format(dir=self.directory, host=self.host, port=self.port, name=name, extra=extra))
        self.process = None

    @property
    def address(self):
        return f"{self.host}:{self.port}"

    def file(self, name, data):
        with open(os.path.join(self.directory, "www", name), "wb") as f:
            f.write(data)

    def start(self):
        self.process = subprocess.Popen(
            ["nginx", "-p", self.directory, "-c", self.conf, "-e", os.path.join(self.directory, "error.log")],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_for(self._up, what="nginx accepts")
        return self

    def _up(self):
        assert self.process.poll() is None, open(os.path.join(self.directory, "error.log"), encoding="utf-8").read()
        with socket.socket() as s:
            return s.connect_ex((self.host, self.port)) == 0

    def kill(self):
        """As a crash: no answer, no goodbye."""
        if self.process:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait(TIMEOUT)
            self.process = None

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.kill()
