"""Providers of single sign-on: programs of Node, in processes of their own."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from tests import servers


@contextmanager
def provider(script: str, *arguments: str) -> Iterator[str]:
    """Its address. `script` is a file of this directory; it ends when nobody can write to it any more."""
    path = settings.BASE_DIR / "tests" / "accounts" / script
    command = ["node", str(path), str(servers.NODE_MODULES), *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        yield process.stdout.readline().strip()
        process.stdin.close()
        process.wait(10)
