"""`manage.py up`: everything that Pharos needs, in one terminal.

It prepares what has to be there, then turns into monitor/supervisor.py by exec: same process, same number, same
lock, but without Django in its memory.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

from django.conf import settings
from django.core.management.base import BaseCommand
from django.db import connections

from logs.sources.streams import LISTEN_WANTED
from monitor import bootstrap, prepare, supervisor, valkey

# The processes of a predecessor that was killed need a moment to let go of the port and of the Valkey's files.
PATIENCE = 3.0
Plan = list[dict[str, Any]]


class StartError(Exception):
    """The text is a sentence for the operator."""


class Command(BaseCommand):
    help = "Starts Pharos: prepares the databases, then runs all its processes until Ctrl-C."
    requires_system_checks: Any = ("pharos",)

    def handle(self, *args: Any, **options: Any) -> None:
        # Here is the code for the processes, and here relative paths in variables begin.
        os.chdir(settings.BASE_DIR)
        try:
            self.start()
        except (StartError, prepare.PrepareError, valkey.ValkeyError) as error:
            sys.exit(f"pharos: {error}")
        except OSError as error:
            sys.exit(f"pharos: {error.filename or 'The system says'}: {error.strerror or error}.")
        except KeyboardInterrupt:
            sys.exit(130)

    def start(self) -> NoReturn:
        lock = take_lock(settings.DATA_DIR / "up.lock")
        await_port(settings.HOST, settings.PORT)
        if settings.EMBEDDED_REDIS:
            await_valkey_end()
        self.prepare()
        made = bootstrap.first_start()
        # As late as can be: another start may be looking for a port, too.
        redis_port = valkey.free_port(settings.VALKEY_PORT) if settings.EMBEDDED_REDIS else None
        self.say("Starting …")
        become_supervisor(
            {
                "banner": bootstrap.banner(made, redis_port),
                "instead": bootstrap.credentials(made),
                "processes": self.processes(redis_port),
            },
            lock,
        )

    def prepare(self) -> None:
        prepare.migrate(self.say)
        prepare.collect_static(self.say)

    def processes(self, redis_port: int | None) -> Plan:
        return processes(redis_port)

    def say(self, line: str) -> None:
        self.stdout.write(line)
        self.stdout.flush()


def take_lock(path: Path) -> int:
    """One `up` for one data directory. The lock lives as long as the open file: it ends with us, however we end."""
    lock = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.read(lock, 20).decode().strip() or "unknown"
        raise StartError(f"It already runs with the data directory {path.parent}, as process {pid}.") from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def await_port(host: str, port: int) -> None:
    """Returns when the web server can have its port."""
    deadline = time.monotonic() + PATIENCE
    while error := bind_error(host, port):
        if error.errno != errno.EADDRINUSE:
            raise StartError(
                f"The web server can't listen on {host} port {port} ({error.strerror}); "
                "set PHAROS_HOST and PHAROS_PORT to an address of this machine and a port that you may use."
            )
        if time.monotonic() > deadline:
            raise StartError(f"Port {port} on {host} is taken by another program; set PHAROS_PORT to a free one.")
        time.sleep(0.2)


def bind_error(host: str, port: int) -> OSError | None:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        return error
    return None


def await_valkey_end() -> None:
    """Returns when no Valkey of an earlier start writes to the files of the private Valkey."""
    deadline = time.monotonic() + PATIENCE
    while valkey.answers(settings.VALKEY_SOCKET):
        if time.monotonic() > deadline:
            raise StartError(
                f"A Valkey of an earlier start still answers on {settings.VALKEY_SOCKET}; stop it and start again."
            )
        time.sleep(0.2)
    (settings.DATA_DIR / "valkey").mkdir(mode=0o700, exist_ok=True)


def processes(redis_port: int | None) -> Plan:
    """In order of start. The rest waits for the web server: the login page comes first."""
    host, port = settings.HOST, settings.PORT
    celery = ("-m", "celery", "-q", "-A", "monitor")
    web = ("-m", "monitor.web", "-b", host, "-p", str(port))
    plan = [
        process("web", *web, *DAPHNE, ready=("http", bootstrap.own_host(), port)),
        process("ingest", "manage.py", "ingest"),
        process("listen", "manage.py", "listen", when=str(settings.DATA_DIR / LISTEN_WANTED)),
        process("worker", *celery, "worker", *WORKER),
        process("beat", *celery, "beat", *BEAT),
    ]
    env = environment(redis_port)
    if redis_port:
        unix_socket = settings.VALKEY_SOCKET
        command = valkey.command(settings.DATA_DIR / "valkey", unix_socket, redis_port)
        plan.insert(0, {"name": "valkey", "command": command, "ready": ("ping", str(unix_socket))})
    # PHAROS_PROCESS is the service under which a process lists its own log lines.
    return [{**each, "env": {**env, "PHAROS_PROCESS": f"pharos-{each['name']}"}} for each in plan]


# One line per request is ours (logs.middleware), so -v 0 silences Daphne's. There is no --http-timeout: it would
# cut the event streams, too. A live page may stay open for days.
DAPHNE = ("-v", "0", "--no-server-name", "--websocket_timeout", "-1", "monitor.asgi:application")
# A single worker has nobody to gossip with.
WORKER = (
    *("--pool", "threads", "--concurrency", "4", "-l", "WARNING"),
    *("--without-gossip", "--without-mingle", "--without-heartbeat"),
)
BEAT = ("-S", "monitor.beat:Clock", "-l", "WARNING", "--pidfile=")


def process(
    name: str, *arguments: str, ready: tuple[Any, ...] | None = None, when: str | None = None
) -> dict[str, Any]:
    return {"name": name, "command": [sys.executable, *arguments], "ready": ready, "when": when}


def environment(redis_port: int | None) -> dict[str, str]:
    """What all processes must agree on, and what keeps them small and their output in time."""
    env = {
        "DJANGO_SETTINGS_MODULE": os.environ["DJANGO_SETTINGS_MODULE"],
        "PHAROS_DATA_DIR": str(settings.DATA_DIR),
        "PYTHONUNBUFFERED": "1",
        # Celery would load every page for them; this command has run those that matter.
        "CELERY_SKIP_CHECKS": "1",
        # glibc gives each thread a heap of its own otherwise, which costs tens of megabytes and brings nothing.
        "MALLOC_ARENA_MAX": os.environ.get("MALLOC_ARENA_MAX", "2"),
    }
    if redis_port:
        env["PHAROS_REDIS_PORT"] = str(redis_port)
    if os.getuid() == 0:
        # Celery advises against root at each start; in a container there is often nobody else.
        env["PYTHONWARNINGS"] = "ignore:You're running the worker with superuser privileges"
    return env


def become_supervisor(plan: dict[str, Any], lock: int) -> NoReturn:
    """The plan holds a password: it goes through a file without a name, not through the arguments."""
    connections.close_all()
    # Until the supervisor listens for signals, they wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, supervisor.SIGNALS)
    with tempfile.TemporaryFile("w+") as file:
        json.dump(plan, file)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        os.set_inheritable(file.fileno(), True)
        os.set_inheritable(lock, True)
        sys.stdout.flush()
        program = [sys.executable, "-I", "-S", supervisor.__file__, str(file.fileno())]
        os.execv(sys.executable, program)  # noqa: S606 - no shell is wanted
