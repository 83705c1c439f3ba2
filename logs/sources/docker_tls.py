"""Engines that speak TLS: their certificates are those of the Docker host with the same address."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

Certificates = Mapping[str, str]  # "ca", "cert" and "key", as PEM; empty: no TLS


def _none(address: str) -> Certificates:
    return {}


# By the address of an engine; may raise OSError. Docker hosts are another room's: `monitor.apps` says where they are.
of_address: Callable[[str], Certificates] = _none


def context(certificates: Certificates) -> ssl.SSLContext:
    made = ssl.create_default_context(cadata=certificates["ca"])
    if certificates.get("cert"):
        with TemporaryDirectory(prefix="pharos-tls-") as directory:  # OpenSSL wants files
            cert, key = (Path(directory) / name for name in ("cert", "key"))
            for path in (cert, key):
                path.touch(mode=0o600)
                path.write_text(certificates[path.name])
            made.load_cert_chain(cert, key)
    return made
