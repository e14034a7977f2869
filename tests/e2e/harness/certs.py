"""Test certificates, made by the openssl command (P-256 unless RSA is asked for)."""

import functools
import os
import ssl
import subprocess
import time

from .base import TIMEOUT


def openssl(*args, data=None, check=True, timeout=None):
    return subprocess.run(["openssl", *args], input=data, capture_output=True, check=check, timeout=timeout or TIMEOUT)


def strict(context):
    """A connection that ends without close_notify is an error, which Python hides by default."""
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context


class Authority:
    """A CA in a directory; issue() gives (certificate file with chain, key file)."""

    def __init__(self, directory, name="ca"):
        self.directory = str(directory)
        os.makedirs(self.directory, exist_ok=True)
        self.cert, self.key = self.path(f"{name}.pem"), self.path(f"{name}.key")
        self.serial = 0
        openssl(
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "30",
            "-addext",
            "keyUsage=critical,keyCertSign,cRLSign",  # Python 3.13 asks for all that RFC 5280 does
            "-subj",
            f"/CN={name}",
            "-keyout",
            self.key,
            "-out",
            self.cert,
        )

    def path(self, name):
        return os.path.join(self.directory, name)

    def issue(self, *names, kind="ec", label=None, expired=False, lived=None):
        """A certificate for these names; addresses among them become IP entries. lived: so many of its ten days."""
        label = label or f"{names[0].replace('*', 'any')}-{kind}"
        cert, key, request, ext = (self.path(f"{label}.{end}") for end in ("pem", "key", "csr", "ext"))
        new = ["-newkey", "rsa:2048"] if kind == "rsa" else ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-new", *new, "-nodes", "-subj", f"/CN={names[0]}", "-keyout", key, "-out", request)
        entries = ",".join(("IP:" if n.replace(".", "").isdigit() or ":" in n else "DNS:") + n for n in names)
        with open(ext, "w", encoding="ascii") as f:
            f.write(f"subjectAltName={entries}\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")
        self.serial += 1
        if expired:
            self._sign(request, ext, cert, "20200101000000Z", "20200201000000Z")
        elif lived is not None:
            began = time.time() - lived * 86_400
            between = (time.strftime("%Y%m%d%H%M%SZ", time.gmtime(t)) for t in (began, began + 10 * 86_400))
            self._sign(request, ext, cert, *between)
        else:
            openssl(
                "x509",
                "-req",
                "-in",
                request,
                "-CA",
                self.cert,
                "-CAkey",
                self.key,
                "-days",
                "20",
                "-set_serial",
                str(1000 + self.serial),
                "-extfile",
                ext,
                "-out",
                cert,
            )
        return cert, key

    def _sign(self, request, ext, cert, begins, ends):
        index, serial, conf = (self.path(f"dated{self.serial}.{end}") for end in ("index", "serial", "cnf"))
        open(index, "w", encoding="ascii").close()
        with open(serial, "w", encoding="ascii") as f:
            f.write("%04x\n" % (2000 + self.serial))
        with open(conf, "w", encoding="ascii") as f:
            f.write(
                f"[ca]\ndefault_ca=c\n[c]\ndatabase={index}\nserial={serial}\nnew_certs_dir={self.directory}\n"
                f"default_md=sha256\npolicy=p\nunique_subject=no\n[p]\ncommonName=supplied\n"
            )
        openssl(
            "ca",
            "-batch",
            "-notext",
            "-config",
            conf,
            "-in",
            request,
            "-cert",
            self.cert,
            "-keyfile",
            self.key,
            "-startdate",
            begins,
            "-enddate",
            ends,
            "-extfile",
            ext,
            "-out",
            cert,
        )

    def client_context(self, alpn=(), minimum=None, maximum=None):
        """A client that trusts this CA."""
        context = strict(ssl.create_default_context(cafile=self.cert))
        if alpn:
            context.set_alpn_protocols(list(alpn))
        if minimum:
            context.minimum_version = minimum
        if maximum:
            context.maximum_version = maximum
        return context


def server_context(cert, key, client_ca=None):
    """For a TLS origin."""
    context = strict(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.load_cert_chain(cert, key)
    if client_ca:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context


@functools.lru_cache(maxsize=None)
def blind_context():
    """A client that verifies nothing (for handshakes where the name does not matter)."""
    context = strict(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def certificate_lines(*pairs):
    """The `certificates = [...]` line of [listener.tls]."""
    return "certificates = [" + ", ".join(f'{{ cert = "{c}", key = "{k}" }}' for c, k in pairs) + "]"
