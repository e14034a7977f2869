"""error_pages on real sockets: files as bodies of failures, read by curl, and read again by a reload."""

import os
import subprocess

import pytest

from harness.base import refused_address
from harness.proxy import command, config

CURL = {"h1": ["--http1.1"], "h2": ["--http2-prior-knowledge"]}


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def curl(sluice, client, path="/", *more):
    url = f"http://{sluice.address()}{path}"
    out = subprocess.run(
        ["curl", "-sS", "-i", "--max-time", "20", *CURL[client], *more, url], capture_output=True, text=True, check=True
    ).stdout
    head, _, body = out.partition("\n\n")
    return head.lower(), body


@pytest.mark.parametrize("client", CURL)
def test_pages_by_curl_and_a_reload_reads_them_again(start, tmp_path, client):
    page = write(tmp_path, "down.html", "<h1>down</h1>")
    write(tmp_path, "gone.json", '{"gone": true}' * 4000)
    listener = f'error_pages = {{ 404 = "{tmp_path}/gone.json" }}'
    text = config(
        refused_address(),
        listener=listener,
        route=f'path_prefix = "/app"\nerror_pages = {{ 5xx = "{page}" }}',
        protocols=("h2", "http/1.1"),
    )
    sluice = start.sluice(text)
    head, body = curl(sluice, client, "/app")
    assert " 502" in head.splitlines()[0] and body == "<h1>down</h1>"
    assert "content-type: text/html; charset=utf-8" in head and "cache-control: no-store" in head
    assert "x-sluice-reason: connect_failed" in head
    head, body = curl(sluice, client, "/other")
    assert " 404" in head.splitlines()[0] and body == '{"gone": true}' * 4000
    head, body = curl(sluice, client, "/app", "--head")
    assert "content-length: 13" in head and body == ""

    write(tmp_path, "down.html", "new")
    status, words = sluice.admin("/reload", method="POST")
    assert status == 200 and "error pages were read again" in words
    assert curl(sluice, client, "/app")[1] == "new"

    os.unlink(page)
    status, words = sluice.admin("/reload", method="POST")
    assert status != 200 and f"{page}: cannot open the file: No such file or directory" in words
    assert "error_pages = {" in words and "^~~" in words
    assert curl(sluice, client, "/app")[1] == "new"


def test_check_tells_where(tmp_path):
    file = write(
        tmp_path,
        "c.toml",
        '[[listener]]\naddress = "127.0.0.1:8080"\nerror_pages = { 404 = "big.txt" }\n[[route]]\nrespond = {}\n',
    )
    write(tmp_path, "big.txt", "x" * 65537)
    done = command("check", file)
    assert done.returncode != 0
    assert f"{file}:3:23: error: {tmp_path}/big.txt: larger than 64 KiB" in done.stdout + done.stderr
    write(tmp_path, "big.txt", "x" * 65536)
    assert command("check", file).returncode == 0
