"""Does the web server of this container answer? Exit code 0 or 1, for a health check. Standard library only: it is
started every few seconds."""

from __future__ import annotations

import http.client
import os
import sys


def main() -> int:
    port = int(os.environ.get("PHAROS_PORT") or 8000)
    # Django answers only to names that it has been told.
    name = (os.environ.get("PHAROS_ALLOWED_HOSTS") or "127.0.0.1").split(",")[0].strip().lstrip("*.") or "127.0.0.1"
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=8)
    try:
        connection.request("GET", "/health/live", headers={"Host": name})
        status = connection.getresponse().status
    except OSError as error:
        sys.stderr.write(f"The web server on port {port} doesn't answer: {error}\n")
        return 1
    if status >= 400:
        sys.stderr.write(f"The web server on port {port} answers {status}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
