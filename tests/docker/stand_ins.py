"""Images under the names that Dockerfile and docker-compose.yml use, where none can be pulled.

    python -m tests.docker.stand_ins        loads them into the engine of DOCKER_HOST

A stand-in has the programs of Debian and just enough of a beginning to be started as the real one is. The file system
below all of them is made once by debootstrap, and the packages of requirements.lock are fetched once, for an image that
builds without a network; both are kept in var/tests/images. PostgreSQL and Valkey are those of the other tests.
"""

from __future__ import annotations

import io
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from hashlib import blake2s
from pathlib import Path
from typing import Final

import docker

from monitor import valkey
from tests import servers

ROOT: Final = Path(__file__).parent.parent.parent
KEPT: Final = ROOT / "var" / "tests" / "images"
PYTHON: Final = "python:3.11-slim-bookworm"
BUILDER: Final = "python:3.11-bookworm"
POSTGRES: Final = "postgres:17"
VALKEY: Final = "valkey/valkey:8"
CADDY: Final = "caddy:2"
PACKAGES: Final = "python3-minimal,python3-venv,ca-certificates,media-types,caddy"
# What images do without, too; Caddy goes to an image of its own.
LEFT_OUT: Final = (
    "./usr/bin/caddy", "./usr/share/doc", "./usr/share/man", "./usr/share/info", "./usr/share/locale", "./var/cache",
    "./var/lib/apt/lists", "./var/log", "./dev", "./proc", "./sys",
)  # fmt: skip

POSTGRES_START: Final = """#!/bin/sh
# As the start of the real image: the first time, a database and its user with the password of a file.
set -eu
export PATH=/opt/postgres/bin:$PATH PGDATA=/var/lib/postgresql/data
if [ "$(id -u)" = 0 ]; then
    mkdir -p "$PGDATA" && chown -R 970:970 "$PGDATA" && chmod 700 "$PGDATA"
    exec setpriv --reuid=970 --regid=970 --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    initdb -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" -A scram-sha-256 -E UTF8 --locale=C.UTF-8 --no-sync
    echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
    postgres --single postgres <<SQL >/dev/null
CREATE DATABASE "$POSTGRES_DB"
SQL
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp "$@"
"""
# Only `ping`, for the health check.
VALKEY_CLI: Final = """#!/bin/bash
exec 3<>/dev/tcp/127.0.0.1/6379 && echo PING >&3 && read -r -t 2 answer <&3 && [[ $answer == +PONG* ]]
"""
VALKEY_START: Final = """#!/bin/sh
set -eu
cd /data
chown -R 970:970 .
exec setpriv --reuid=970 --regid=970 --clear-groups "$@" --protected-mode no
"""


def load(client: docker.DockerClient) -> None:
    """Brings into an engine what it doesn't have yet."""
    present = {tag for image in client.images.list() for tag in image.tags}
    for name, make in {PYTHON: _python, BUILDER: _builder, POSTGRES: _postgres, VALKEY: _valkey, CADDY: _caddy}.items():
        if name not in present:
            make(client, name)


def wheels() -> Path:
    """A directory with every package of requirements.lock."""
    lock = ROOT / "requirements.lock"
    place = KEPT / f"wheels-{_digest(lock.read_bytes())}"
    if not place.exists():
        with _new(place) as new:
            # The Python of the stand-in may be older than ours, and need what ours doesn't.
            wanted = new / "wanted.txt"
            wanted.write_text(re.sub(r" ; python_full_version < '3.11[^\\]*", " ", lock.read_text()))
            options = ["--quiet", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
            _run(sys.executable, "-m", "pip", "download", *options, "-r", wanted, "-d", new)
    return place


def base() -> Path:
    """A small Debian of this machine's release with Python and Caddy, as a tar file."""
    suite = platform.freedesktop_os_release()["VERSION_CODENAME"]
    made = KEPT / f"debian-{_digest(f'{suite} {PACKAGES} {LEFT_OUT}'.encode())}"
    if not made.exists():
        with _new(made) as new:
            _run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, new / "root")
            shutil.copy(new / "root/usr/bin/caddy", new / "caddy")
            # To the program itself, as in the real image: of a chain of links, ours takes the first.
            program = (new / "root/usr/bin/python3").readlink()
            for name in ("python", "python3"):
                (new / "root/usr/local/bin" / name).symlink_to(Path("/usr/bin") / program)
            excluded = [f"--exclude={path}" for path in LEFT_OUT]
            _run("tar", "-C", new / "root", "--anchored", *excluded, "-cf", new / "root.tar", ".")
            shutil.rmtree(new / "root")
    return made


# --- Each image ----------------------------------------------------------------------------------------------------


def _python(client: docker.DockerClient, name: str) -> None:
    repository, _, tag = name.partition(":")
    client.api.import_image_from_file(str(base() / "root.tar"), repository=repository, tag=tag)


def _builder(client: docker.DockerClient, name: str) -> None:
    files = {f"wheels/{path.name}": path for path in sorted(wheels().glob("*.whl"))}
    strip = Path(servers.program("strip") or "")
    files["usr/bin/strip"] = strip
    files |= {f"opt/libraries/{path.name}": path for path in _libraries(strip)}
    steps = ["RUN echo /opt/libraries >/etc/ld.so.conf.d/strip.conf && ldconfig"]
    _build(client, name, steps, files, {"etc/pip.conf": "[global]\nno-index = true\nfind-links = /wheels\n"})


def _postgres(client: docker.DockerClient, name: str) -> None:
    programs = servers.postgres_bin()
    assert programs, servers.NO_POSTGRES
    version = programs.parent
    share = Path("/usr/share/postgresql") / version.name
    libraries = [path for path in _libraries(programs / "postgres") if path.name.startswith("lib")]
    files = {f"opt/postgres/bin/{each}": programs / each for each in ("postgres", "initdb", "pg_isready")}
    files |= {f"opt/postgres/lib/{path.name}": path for path in version.glob("lib/*.so") if "llvm" not in path.name}
    files |= {f"{path}".lstrip("/"): path for path in share.rglob("*") if path.is_file()}
    libraries += _libraries(programs / "initdb")
    files |= {f"opt/libraries/{path.name}": path for path in libraries}
    steps = [
        "RUN groupadd --gid 970 postgres && useradd --uid 970 --gid 970 postgres",
        f"RUN mkdir -p {version.parent} && ln -s /opt/postgres {version}",
        "RUN echo /opt/libraries >/etc/ld.so.conf.d/postgres.conf && ldconfig",
        "VOLUME /var/lib/postgresql/data",
        "ENV PATH=/opt/postgres/bin:$PATH",
        'ENTRYPOINT ["/start"]',
    ]
    _build(client, name, steps, files, {"start": POSTGRES_START})


def _valkey(client: docker.DockerClient, name: str) -> None:
    steps = ["RUN mkdir /data", "VOLUME /data", 'ENTRYPOINT ["/start"]', 'CMD ["valkey-server"]']
    files = {"usr/local/bin/valkey-server": valkey.binary()}
    _build(client, name, steps, files, {"start": VALKEY_START, "usr/local/bin/valkey-cli": VALKEY_CLI})


def _caddy(client: docker.DockerClient, name: str) -> None:
    steps = [
        "ENV XDG_CONFIG_HOME=/config XDG_DATA_HOME=/data",
        'CMD ["caddy", "run", "--config", "/etc/caddy/Caddyfile", "--adapter", "caddyfile"]',
    ]
    _build(client, name, steps, {"usr/bin/caddy": base() / "caddy"}, {})


def _build(
    client: docker.DockerClient, name: str, steps: list[str], files: dict[str, Path], scripts: dict[str, str]
) -> None:
    """Files and programs on top of the Debian, then the steps of a Dockerfile."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as archive:
        for path, source in files.items():
            archive.add(source.resolve(), f"files/{path}", recursive=False)
        for path, text in scripts.items():
            _add(archive, f"files/{path}", text, 0o755)
        _add(archive, "Dockerfile", "\n".join([f"FROM {PYTHON}", "COPY files /", *steps, ""]), 0o644)
    context.seek(0)
    client.images.build(fileobj=context, custom_context=True, tag=name, rm=True)


def _add(archive: tarfile.TarFile, path: str, text: str, mode: int) -> None:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mode = len(text.encode()), mode
    archive.addfile(entry, io.BytesIO(text.encode()))


def _libraries(program: Path) -> list[Path]:
    """What a program is linked with, under the names that it asks for."""
    listed = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
    words = [line.split() for line in listed.splitlines() if "=> /" in line]
    # The C library is the base's own.
    return [Path(line[2]) for line in words if not line[0].startswith(("libc.", "libm.", "libdl.", "libpthread."))]


# --- What is kept --------------------------------------------------------------------------------------------------


class _new:  # noqa: N801 - read as a verb
    """A directory that is there whole or not at all."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __enter__(self) -> Path:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        self.path = Path(tempfile.mkdtemp(prefix="new-", dir=self.place.parent))
        return self.path

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.path.rename(self.place)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def _digest(content: bytes) -> str:
    return blake2s(content, digest_size=6).hexdigest()


def _run(*words: str | Path) -> None:
    done = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=600)
    if done.returncode:
        raise servers.ServerError(f"{words[0]} failed: {done.stdout[-2_000:]}")


if __name__ == "__main__":
    load(docker.DockerClient(base_url=os.environ["DOCKER_HOST"], timeout=600))
