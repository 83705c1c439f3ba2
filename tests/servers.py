"""A real Valkey and a real PostgreSQL for the tests: one set for a whole run, in temporary directories.

The addresses are fixed when the settings are read (`reserve`), the servers start when pytest is configured. Workers
of pytest-xdist inherit the addresses through the environment and start nothing.
"""

from __future__ import annotations

import atexit
import contextlib
import io
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg

from monitor import valkey
from monitor.supervisor import die_with_parent

# More than one test process may use: each has a database number of its own.
VALKEY_DATABASES = 64
NO_POSTGRES = (
    "PostgreSQL's server programs are not here: run scripts/test-system as root, or install your system's "
    "package `postgresql`, or set SKIP_POSTGRES=1 to go without the tests that need it."
)


# For tests only: a power cut may take everything.
UNSYNCED: Final = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "100"}


class ServerError(Exception):
    """A server can't be started. The text is a sentence for whoever runs the tests."""


def wanted(name: str) -> bool:
    """False if the person said SKIP_POSTGRES=1, SKIP_BROWSER=1 and so on."""
    return os.environ.get(f"SKIP_{name.upper()}", "") in {"", "0"}


@dataclass
class Server:
    """One server process that is stopped by `signum`, with all that it wrote."""

    process: subprocess.Popen[bytes]
    directory: Path
    signum: signal.Signals = signal.SIGTERM

    @property
    def pid(self) -> int:
        return self.process.pid

    def end(self) -> None:
        """What it wrote stays."""
        self.process.send_signal(self.signum)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        self.end()
        shutil.rmtree(self.directory, ignore_errors=True)


# --- Valkey --------------------------------------------------------------------------------------------------------


def start_valkey(directory: Path, unix_socket: Path, port: int) -> Server:
    """As `manage.py up` starts it, only with more databases."""
    directory.mkdir(parents=True, exist_ok=True)
    command = [*valkey.command(directory, unix_socket, port), "--databases", str(VALKEY_DATABASES)]
    server = start(command, directory)
    await_ready(server, "Valkey", lambda: _pongs(unix_socket))
    return server


def _pongs(unix_socket: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(unix_socket))
        client.sendall(b"PING\r\n")
        return client.recv(16).startswith(b"+PONG")


@contextlib.contextmanager
def valkey_server() -> Iterator[tuple[str, Server]]:
    """A Valkey of one test's own, to be stopped or killed at will. Yields its URL and the server."""
    directory = Path(tempfile.mkdtemp(prefix="pharos-valkey-"))
    unix_socket = directory / "valkey.sock"
    server = start_valkey(directory, unix_socket, valkey.free_port())
    try:
        yield f"unix://{unix_socket}?db=0", server
    finally:
        server.stop()


# --- PostgreSQL ----------------------------------------------------------------------------------------------------


def postgres_bin() -> Path | None:
    """Where initdb and postgres are: Debian keeps them out of PATH."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    places = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    return max(places, key=lambda path: int(path.parent.name), default=None)


def postgres_user() -> str | None:
    """PostgreSQL refuses to run as root: somebody else then, else None for ourselves."""
    if os.getuid() != 0:
        return None
    names = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def start_postgres(directory: Path, port: int, options: Mapping[str, str] = UNSYNCED) -> Server:
    """Anybody on this machine may connect. Data and socket are in `directory`; data that is there is used."""
    programs = postgres_bin()
    if programs is None:
        raise ServerError(NO_POSTGRES)
    data, user = directory / "data", postgres_user()
    if user:
        shutil.chown(directory, user, group_of(user))
    if not data.exists():
        _initdb(programs, data, user)
    flags = [word for name, value in options.items() for word in ("-c", f"{name}={value}")]
    command: list[str | Path] = [
        programs / "postgres",
        "-D",
        data,
        "-h",
        "127.0.0.1",
        "-p",
        str(port),
        "-k",
        directory,
        *flags,
    ]
    server = start(command, directory, user=user, signum=signal.SIGINT)
    await_ready(server, "PostgreSQL", lambda: _accepts(directory, port))
    return server


def _initdb(programs: Path, data: Path, user: str | None) -> None:
    command: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
    ]
    made = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        cwd=data.parent,
        user=user,
        group=group_of(user),
        extra_groups=[] if user else None,
    )
    if made.returncode:
        raise ServerError(f"initdb failed: {made.stderr.strip()}")


def _accepts(directory: Path, port: int) -> bool:
    with contextlib.suppress(psycopg.OperationalError):
        psycopg.connect(host=str(directory), port=port, user="postgres", dbname="postgres").close()
        return True
    return False


def group_of(user: str | None) -> int | None:
    return pwd.getpwnam(user).pw_gid if user else None


@contextlib.contextmanager
def postgres_server() -> Iterator[tuple[str, Server]]:
    """A PostgreSQL of one test's own, to be stopped or killed at will. Yields its URL and the server."""
    directory = Path(tempfile.mkdtemp(prefix="pharos-postgres-"))
    port = valkey.free_port()
    server = start_postgres(directory, port)
    try:
        yield f"postgres://postgres@127.0.0.1:{port}/postgres", server
    finally:
        server.stop()


# --- Docker --------------------------------------------------------------------------------------------------------

NO_DOCKER = (
    "A Docker engine can't be started here: run scripts/test-system and the tests as root, or install your system's "
    "packages `docker.io` and `busybox-static`, or set SKIP_DOCKER=1 to go without the tests that need it."
)
IMAGE = "busybox:local"


def can_docker() -> bool:
    return os.getuid() == 0 and all(shutil.which(name) for name in ("dockerd", "busybox"))


def start_docker(directory: Path, *sockets: Path, options: Sequence[str | Path] = ()) -> Server:
    """An engine that shares nothing with one that runs here already; containers have no network. It keeps its data."""
    command: list[str | Path] = [
        "dockerd", "--data-root", directory / "data", "--exec-root", directory / "exec",
        "--pidfile", directory / "docker.pid", "--bridge", "none", "--iptables=false", "--ip6tables=false",
        "--shutdown-timeout", "1", *options,
    ]  # fmt: skip
    for path in sockets:
        command += ["-H", f"unix://{path}"]
    server = start(command, directory)
    await_ready(server, "Docker", lambda: _serves(sockets[-1]))
    return server


def _serves(unix_socket: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(2)
        client.connect(str(unix_socket))
        client.sendall(b"GET /_ping HTTP/1.0\r\n\r\n")
        return b" 200 " in client.recv(64)


def busybox_image() -> bytes:
    """A tar with busybox and a link for each of its programs."""
    busybox = shutil.which("busybox")
    assert busybox
    names = subprocess.run([busybox, "--list"], capture_output=True, text=True, check=True).stdout.split()
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(Path(busybox).resolve(), "bin/busybox")
        for name in {*names} - {"busybox"}:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(link)
    return packed.getvalue()


# --- Any server ----------------------------------------------------------------------------------------------------


def start(
    command: Sequence[str | Path],
    directory: Path,
    *,
    user: str | None = None,
    signum: signal.Signals = signal.SIGTERM,
) -> Server:
    """Its output goes to a file in `directory`. It ends with us even when we are killed (on Linux)."""
    with (directory / "output.log").open("wb") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=directory,
            start_new_session=True,
            user=user,
            group=group_of(user),
            extra_groups=[] if user else None,
            preexec_fn=die_with_parent(signum),
        )
    return Server(process, directory, signum)


def await_ready(server: Server, name: str, ready: Callable[[], bool], patience: float = 60.0) -> None:
    deadline = time.monotonic() + patience
    while True:
        with contextlib.suppress(OSError):
            if ready():
                return
        if server.process.poll() is not None or time.monotonic() > deadline:
            output = (server.directory / "output.log").read_text(errors="replace")[-2000:]
            server.stop()
            raise ServerError(f"{name} did not start: {output or 'it said nothing.'}")
        time.sleep(0.02)


# --- Programs of the system -----------------------------------------------------------------------------------------


def program(name: str) -> str | None:
    """The path of a program, which may be one for root only."""
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


def missing(name: str) -> str:
    """What to do without it."""
    return (
        f"There is no {name} here: run scripts/test-system as root, or install your system's package `{name}`, "
        f"or set SKIP_{name.upper()}=1 to go without the tests that need it."
    )


NO_ALERTMANAGER: Final = (
    "There is no Alertmanager here: run scripts/test-system as root, or install your system's package "
    "`prometheus-alertmanager`, or set SKIP_ALERTMANAGER=1 to go without the tests that need it."
)


def start_alertmanager(directory: Path) -> tuple[str, Server]:
    """With the `alertmanager.yml` in the directory. Its URL, without a slash at its end."""
    port = valkey.free_port()
    command = [
        "prometheus-alertmanager", "--config.file=alertmanager.yml", "--storage.path=data", "--cluster.listen-address=",
        f"--web.listen-address=127.0.0.1:{port}",
    ]  # fmt: skip
    server = start(command, directory)
    await_ready(server, "Alertmanager", lambda: _answers(port, "/-/ready"))
    return f"http://127.0.0.1:{port}", server


def _answers(port: int, path: str) -> bool:
    with socket.create_connection(("127.0.0.1", port), timeout=2) as client:
        client.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        return b" 200 " in client.recv(64)


# --- The browser ---------------------------------------------------------------------------------------------------

NO_BROWSER = (
    "There is no Chromium here: run scripts/test-system as root, or install your system's package `chromium`, "
    "or set SKIP_BROWSER=1 to go without the tests that need it."
)


def browser() -> str | None:
    """The path of a Chromium that the system has."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


# --- Node ----------------------------------------------------------------------------------------------------------

NO_NODE: Final = (
    "The Node packages that send lines are not here: run scripts/test-node (it needs Node.js 20 or newer and npm), "
    "or set SKIP_NODE=1 to go without the tests that need them."
)
NODE_MODULES: Final = Path(__file__).parent.parent / "var" / "tests" / "node" / "node_modules"


def node() -> bool:
    """Whether Node.js is here, with the packages of scripts/test-node."""
    return shutil.which("node") is not None and (NODE_MODULES.parent / ".installed").exists()


# --- The set of a whole run ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Places:
    """Where the servers of this run are, the same for every process that takes part in it."""

    directory: Path
    valkey_port: int
    postgres_port: int

    @property
    def valkey_socket(self) -> Path:
        return self.directory / "valkey" / "valkey.sock"

    @property
    def postgres_directory(self) -> Path:
        return self.directory / "postgres"


def reserve() -> Places:
    """Chooses the places, once for a run; nothing is started."""
    if "PHAROS_TEST_DIR" not in os.environ:
        directory = tempfile.mkdtemp(prefix="pharos-tests-")
        # PostgreSQL runs as somebody else, who must be able to pass.
        Path(directory).chmod(0o711)
        os.environ["PHAROS_TEST_DIR"] = directory
        os.environ["PHAROS_TEST_VALKEY_PORT"] = str(valkey.free_port())
        os.environ["PHAROS_TEST_POSTGRES_PORT"] = str(valkey.free_port())
        os.environ["PHAROS_TEST_OWNER"] = str(os.getpid())
        # pytest may end before it is configured.
        atexit.register(stop_all)
    return Places(
        Path(os.environ["PHAROS_TEST_DIR"]),
        int(os.environ["PHAROS_TEST_VALKEY_PORT"]),
        int(os.environ["PHAROS_TEST_POSTGRES_PORT"]),
    )


_running: list[Server] = []


def start_all() -> None:
    """In the process that reserved the places; for workers and for a pytest within a test they run already."""
    places = reserve()
    if os.environ["PHAROS_TEST_OWNER"] != str(os.getpid()):
        return
    places.valkey_socket.parent.mkdir()
    _running.append(start_valkey(places.valkey_socket.parent, places.valkey_socket, places.valkey_port))
    if wanted("postgres") and postgres_bin():
        places.postgres_directory.mkdir()
        _running.append(start_postgres(places.postgres_directory, places.postgres_port))


def stop_all() -> None:
    while _running:
        _running.pop().stop()
    if os.environ.get("PHAROS_TEST_OWNER") == str(os.getpid()):
        shutil.rmtree(os.environ["PHAROS_TEST_DIR"], ignore_errors=True)
