"""An engine behind SSH: each connection is a child `ssh … docker system dial-stdio` that speaks through a socket.

(The package `docker` has a way of its own over SSH. It needs paramiko even when it only starts the program ssh.)
"""

from __future__ import annotations

import shutil
import socket
import subprocess
from typing import Any, Final

import requests.adapters
import urllib3
from urllib3.connection import HTTPConnection

CONNECT_TIMEOUT: Final = 5  # seconds


class SSHAdapter(requests.adapters.HTTPAdapter):
    """Sends every request of a session to the engine of `user@host`."""

    def __init__(self, destination: str, port: int | None) -> None:
        program = shutil.which("ssh")
        if program is None:
            raise FileNotFoundError("there is no program ssh here: install your system's package openssh-client")
        # Nobody is there to type a password. Who the host is, is known from known_hosts.
        options = ["-T", "-oBatchMode=yes", f"-oConnectTimeout={CONNECT_TIMEOUT}", "-oServerAliveInterval=15"]
        command = [program, *options, *([f"-p{port}"] if port else [])]
        self._pool = _Pool([*command, "--", destination, "docker system dial-stdio"])
        super().__init__()

    def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> urllib3.HTTPConnectionPool:
        return self._pool

    def request_url(self, request: requests.PreparedRequest, proxies: Any) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _Pool(urllib3.HTTPConnectionPool):
    def __init__(self, command: list[str]) -> None:
        super().__init__("localhost", maxsize=8)
        self._command = command

    def _new_conn(self) -> _Connection:
        return _Connection(self._command)


class _Connection(HTTPConnection):
    def __init__(self, command: list[str]) -> None:
        super().__init__("localhost")
        self._command = command
        self._child: subprocess.Popen[bytes] | None = None

    def connect(self) -> None:
        ours, theirs = socket.socketpair()
        ours.settimeout(self.timeout if isinstance(self.timeout, int | float) else CONNECT_TIMEOUT)
        with theirs:
            self._child = subprocess.Popen(  # noqa: S603 - the destination was checked, and stands behind "--"
                self._command,
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        self.sock = ours

    def close(self) -> None:
        super().close()
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
