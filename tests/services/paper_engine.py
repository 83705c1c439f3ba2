"""An engine of paper: what no real engine does at will. It answers as it is told to, also not at all."""

from __future__ import annotations

import datetime as dt
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

Answer = tuple[int, bytes]


class PaperEngine:
    """`answers` by path; what is not in it is 404. While `silent` is set nothing is answered."""

    def __init__(self) -> None:
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, str]] = []  # method, path with its query
        self.silent = threading.Event()
        self._over = threading.Event()

    def say(self, path: str, answer: Any, status: int = 200) -> None:
        self.answers[path] = status, answer if isinstance(answer, bytes) else json.dumps(answer).encode()

    def hang_up(self) -> None:
        """On those that wait for an answer."""
        self._over.set()

    @contextmanager
    def serve(self, context: ssl.SSLContext | None = None) -> Iterator[str]:
        paper = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                paper.asked.append((self.command, self.path))
                if paper.silent.is_set():
                    paper._over.wait(20)
                    return
                status, body = paper.answers.get(urlsplit(self.path).path, (404, b'{"message": "no such container"}'))
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: Any) -> None:
                pass  # who has no certificate

        server = Server(("127.0.0.1", 0), Handler)
        if context:
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        try:
            yield f"tcp://127.0.0.1:{server.server_address[1]}"
        finally:
            self.hang_up()
            server.shutdown()
            server.server_close()


class Authority:
    """Makes certificates."""

    def __init__(self) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "paper authority")])
        self.pem = self._sign(self._name, self._key, x509.BasicConstraints(ca=True, path_length=None))

    def issue(self, name: str) -> tuple[str, str]:
        """Certificate and key, as PEM, for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        pem = self._sign(subject, key, x509.BasicConstraints(ca=False, path_length=None))
        plain = serialization.NoEncryption()
        encoded = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
        return pem, encoded.decode()

    def server(self, directory: Path) -> ssl.SSLContext:
        """For an engine that asks its clients for a certificate."""
        certificate, key = self.issue("engine")
        (directory / "cert.pem").write_text(certificate)
        (directory / "key.pem").write_text(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(directory / "cert.pem", directory / "key.pem")
        context.load_verify_locations(cadata=self.pem)
        context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _sign(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, basic: x509.BasicConstraints) -> str:
        now = dt.datetime.now(dt.UTC)
        local = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        ours = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(hours=1))
            .not_valid_after(now + dt.timedelta(hours=1))
            .add_extension(basic, critical=True)
            .add_extension(local, critical=False)
            .add_extension(ours, critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        return made.public_bytes(serialization.Encoding.PEM).decode()
