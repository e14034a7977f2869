"""httpx as a client: HTTP/1.1 or HTTP/2, one connection, one large answer or many small ones. Exits 0 only if all of it
is right."""

import sys

import httpx


def main():
    version, what, url, ca, size, count = (
        sys.argv[1],
        sys.argv[2],
        sys.argv[3],
        sys.argv[4],
        int(sys.argv[5]),
        int(sys.argv[6]),
    )
    with httpx.Client(http2=version == "2", verify=ca, timeout=60, trust_env=False) as client:
        if what == "large":
            got = 0
            with client.stream("GET", f"{url}/large.bin") as response:
                assert response.status_code == 200, response
                assert response.http_version == ("HTTP/2" if version == "2" else "HTTP/1.1"), response.http_version
                for piece in response.iter_raw():
                    got += len(piece)
            assert got == size, f"{got} bytes came"
        else:
            for _ in range(count):
                response = client.get(f"{url}/small")
                assert response.status_code == 200 and response.text == "small", response


if __name__ == "__main__":
    main()
