"""A small S3: what `obstore` asks of one. A package for it would bring forty others, and could not be told to fail."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

MODIFIED = "2026-11-21T10:30:45.000Z"


class Bucket:
    """`url` for AWS_ENDPOINT_URL, `objects` by key (the bucket's name is the first folder)."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []  # "PUT logs/2026-11-20/000.pharos"
        self.broken = False  # answers 500 to whatever comes
        self.url = ""


class Handler(BaseHTTPRequestHandler):
    bucket: Bucket
    protocol_version = "HTTP/1.1"

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        key = unquote(parts.path.strip("/"))
        self.bucket.requests.append(f"{self.command} {key}")
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if self.bucket.broken:
            return self.answer(500)
        if not self.headers.get("Authorization", "").startswith("AWS4-HMAC-SHA256 Credential=key/"):
            return self.answer(403)
        if "list-type" in query:
            return self.answer(200, self.listing(key, query.get("prefix", ""), query.get("delimiter", "")))
        if parts.query == "delete":
            deleted = re.findall(r"<Key>(.*?)</Key>", body.decode())
            for name in deleted:
                self.bucket.objects.pop(f"{key}/{name}", None)
            each = "".join(f"<Deleted><Key>{name}</Key></Deleted>" for name in deleted)
            return self.answer(200, f"<DeleteResult>{each}</DeleteResult>".encode())
        if self.command == "PUT":
            self.bucket.objects[key] = body
            return self.answer(200)
        if key not in self.bucket.objects:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        return self.answer(200, self.bucket.objects[key])

    do_GET = do_PUT = do_POST = handle_any  # noqa: N815 - the names that http.server asks for

    def listing(self, bucket: str, prefix: str, delimiter: str) -> bytes:
        found, folders = [], set()
        for key, data in sorted(self.bucket.objects.items()):
            name = key.removeprefix(f"{bucket}/")
            if not name.startswith(prefix):
                continue
            folder, cut, _ = name.removeprefix(prefix).partition(delimiter) if delimiter else (name, "", "")
            if cut:
                folders.add(f"{prefix}{folder}{cut}")
            else:
                found.append(
                    f"<Contents><Key>{escape(name)}</Key><LastModified>{MODIFIED}</LastModified>"
                    f"<ETag>x</ETag><Size>{len(data)}</Size></Contents>"
                )
        found += [f"<CommonPrefixes><Prefix>{escape(folder)}</Prefix></CommonPrefixes>" for folder in sorted(folders)]
        return f"<ListBucketResult><IsTruncated>false</IsTruncated>{''.join(found)}</ListBucketResult>".encode()

    def answer(self, status: int, body: bytes = b"") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"x"')
        self.send_header("Last-Modified", "Sat, 21 Nov 2026 10:30:45 GMT")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server has it
        pass


@contextmanager
def s3() -> Iterator[Bucket]:
    """A server on a port of its own, for as long as the block lasts."""
    bucket = Bucket()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OurHandler", (Handler,), {"bucket": bucket}))
    server.daemon_threads = True
    bucket.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield bucket
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
