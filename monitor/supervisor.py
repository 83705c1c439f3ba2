"""Starts a few processes, keeps them running and ends them together. Standard library only, no Django: this
stays in memory for as long as Pharos runs.

    Supervisor([Process("valkey", [...], ready=ping), Process("web", [...])]).run()

Processes are started in order. One with a `ready` check holds back those after it until it is ready, and is stopped
only when they have ended. One with `when` runs only while that file is there. Run as a program (`python -I -S
monitor/supervisor.py FD`) it reads a plan as JSON from the file descriptor FD; `manage.py up` turns into this program
(monitor/management/commands/up.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Any

Ready = Callable[[], Awaitable[bool]]
Say = Callable[[str], object]

LINE_MAX = 64 << 10
COLOURS = (36, 33, 32, 35, 34, 31)
PR_SET_PDEATHSIG = 1
SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Lines are written by strangers: they must not move the cursor or set the title of the reader's terminal.
CONTROLS = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if code != ord("\t")}


class StartError(Exception):
    """A process can't be started, or ended before it was ready. The text is a sentence for the operator."""


@dataclass
class Process:
    """`env` is added to our own environment. `ready` is asked again and again until it answers True. `when` is the path
    of a file: the process is started when it is there, and stopped when it is gone. It can't have `ready`, too."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: Ready | None = None
    when: str | None = None
    running: asyncio.subprocess.Process | None = field(default=None, init=False, repr=False)
    reader: asyncio.Task[None] | None = field(default=None, init=False, repr=False)

    @property
    def alive(self) -> bool:
        return self.running is not None and self.running.returncode is None


@dataclass(frozen=True)
class Times:
    """Seconds. The pause before a restart doubles with each death, and begins anew after a life of `healthy`."""

    pause: float = 0.5
    pause_max: float = 30.0
    healthy: float = 60.0
    grace: float = 10.0
    grace_least: float = 3.0
    poll: float = 0.05
    look: float = 1.0  # between two looks for the files of `when`
    patience: float = 5.0


def say_line(line: str) -> None:
    try:
        print(line, flush=True)  # noqa: T201 - this is what the operator reads
    except OSError:
        # A terminal that was closed, or a pipe that nobody reads any more, is no reason to stop.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


class Supervisor:
    def __init__(
        self,
        processes: Sequence[Process],
        say: Say = say_line,
        *,
        banner: str = "",
        instead: str = "",
        colour: bool = False,
        times: Times | None = None,
    ) -> None:
        """`banner` is said once everything is started and ready, `instead` if it doesn't come to that."""
        self.processes = list(processes)
        self.say = say
        self.banner, self.instead = banner, instead
        self.times = times or Times()
        self.prefixes = prefixes([process.name for process in processes], colour=colour)
        self.stopping = asyncio.Event()
        self.hurry = asyncio.Event()
        self.before_exec = die_with_parent()

    def run(self) -> int:
        """Until SIGINT or SIGTERM. The exit code: 0, or 1 if a process could not be started."""
        wait_without_threads()
        return asyncio.run(self.main())

    async def main(self) -> int:
        self._listen()
        keepers: list[asyncio.Task[None]] = []
        try:
            await self._unless_stopped(self._start(keepers))
            await self.stopping.wait()
        except StartError as error:
            self.say(str(error))
            return 1
        finally:
            # No keeper may start again what is being stopped.
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)
            await self._stop()
            if self.instead:
                self.say(self.instead)
        return 0

    # --- Start -------------------------------------------------------------------------------------------------

    async def _start(self, keepers: list[asyncio.Task[None]]) -> None:
        for process in self.processes:
            if process.when:
                keepers.append(asyncio.create_task(self._keep_while_wanted(process, process.when)))
                continue
            await self._spawn(process)
            if process.ready:
                await self._until_ready(process, process.ready)
            keepers.append(asyncio.create_task(self._keep(process)))
        if self.banner:
            self.say(self.banner)
        self.instead = ""

    async def _spawn(self, process: Process) -> None:
        # A pipe of our own: asyncio's keep `wait` waiting for as long as a child of the child has them open.
        reading, writing = os.pipe()
        try:
            process.running = await asyncio.create_subprocess_exec(
                *process.command,
                env={**os.environ, **process.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=self.before_exec,
            )
        except OSError as error:
            os.close(reading)
            reason = error.strerror or error
            raise StartError(f"{process.name} can't be started: {process.command[0]}: {reason}.") from error
        finally:
            os.close(writing)
        process.reader = asyncio.create_task(self._pass_on(process.name, reading))

    async def _until_ready(self, process: Process, ready: Ready) -> None:
        told_at = monotonic() + self.times.patience
        while not await ready():
            if not process.alive:
                raise StartError(f"{process.name} {await self._ended(process)} before it was ready.")
            if monotonic() >= told_at:
                self.say(f"Waiting for {process.name} to be ready …")
                told_at = float("inf")
            await asyncio.sleep(self.times.poll)

    async def _pass_on(self, name: str, pipe: int) -> None:
        stream = asyncio.StreamReader()
        protocol = asyncio.StreamReaderProtocol(stream)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.connect_read_pipe(lambda: protocol, os.fdopen(pipe, "rb", buffering=0))
        with contextlib.closing(transport):
            async for line in lines(stream):
                self.say(self.prefixes[name] + line.decode(errors="replace").rstrip("\r").translate(CONTROLS))

    # --- Keep --------------------------------------------------------------------------------------------------

    async def _keep(self, process: Process) -> None:
        """Starts `process` again whenever it has ended."""
        pause = self.times.pause
        while True:
            began = monotonic()
            how = await self._ended(process)
            if monotonic() - began >= self.times.healthy:
                pause = self.times.pause
            pause = await self._restart(process, how, pause)

    async def _keep_while_wanted(self, process: Process, file: str) -> None:
        while True:
            await self._until(lambda: os.access(file, os.F_OK))
            self.say(f"Starting {process.name} …")
            keeper = asyncio.create_task(self._start_and_keep(process))
            try:
                await self._until(lambda: not os.access(file, os.F_OK))
            finally:
                keeper.cancel()
                await asyncio.gather(keeper, return_exceptions=True)
            await self._stop_group([process], self.times.grace)
            self.say(f"Stopped {process.name}.")

    async def _start_and_keep(self, process: Process) -> None:
        try:
            await self._spawn(process)
        except StartError as error:
            await self._restart(process, _reason(process, error), self.times.pause)
        await self._keep(process)

    async def _until(self, condition: Callable[[], bool]) -> None:
        while True:
            if condition():
                return
            await asyncio.sleep(self.times.look)

    async def _restart(self, process: Process, how: str, pause: float) -> float:
        while True:
            self.say(f"{process.name} {how}. It is started again in {pause:g} s.")
            await asyncio.sleep(pause)
            pause = min(pause * 2, self.times.pause_max)
            try:
                await self._spawn(process)
            except StartError as error:
                how = _reason(process, error)
            else:
                return pause

    async def _ended(self, process: Process) -> str:
        """Waits for the end, lets the last lines out, and says how it ended."""
        assert process.running
        assert process.reader
        code = await process.running.wait()
        # What it left behind in its group would hold its port and its files.
        kill_group(process.running.pid)
        process.running = None  # its number may soon be another's
        await asyncio.wait([process.reader], timeout=1)
        process.reader.cancel()
        return how_it_ended(code)

    # --- Stop --------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGINT, self.stop)
        loop.add_signal_handler(signal.SIGTERM, self.stop)
        # nohup ignores SIGHUP on our behalf: leave it so. A closing terminal may send several, which is no hurry.
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
            loop.add_signal_handler(signal.SIGHUP, self.stopping.set)
        # Whoever became this program by exec has held them back until now.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)

    def stop(self) -> None:
        """The first call asks the processes to end, the second kills them."""
        (self.hurry if self.stopping.is_set() else self.stopping).set()

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        task, stopped = asyncio.create_task(work), asyncio.create_task(self.stopping.wait())
        await asyncio.wait([task, stopped], return_when=asyncio.FIRST_COMPLETED)
        for each in (task, stopped):
            each.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def _stop(self) -> None:
        """In reverse order of start. `grace` is the time for all together, `grace_least` for those who come last."""
        names = [process.name for process in reversed(self.processes) if process.alive]
        if names:
            self.say(f"Stopping {', '.join(names)} …")
        deadline = monotonic() + self.times.grace
        for group in self._stages():
            await self._stop_group(group, max(deadline - monotonic(), self.times.grace_least))
        readers = [process.reader for process in self.processes if process.reader]
        if readers:
            await asyncio.wait(readers, timeout=1)
        if names:
            self.say(f"Stopped {', '.join(names)}.")

    def _stages(self) -> Iterator[list[Process]]:
        """Who is stopped together: a process that others were held back for comes after them."""
        stage: list[Process] = []
        for process in reversed(self.processes):
            if process.ready:
                yield stage
                stage = []
            stage.append(process)
            if process.ready:
                yield stage
                stage = []
        yield stage

    async def _stop_group(self, group: Sequence[Process], grace: float) -> None:
        alive = [(process.name, process.running) for process in group if process.running]
        for _, running in alive:
            with contextlib.suppress(ProcessLookupError):
                running.terminate()
        await self._until_ended([running for _, running in alive], grace)
        for name, running in alive:
            if running.returncode is None and not self.hurry.is_set():
                self.say(f"{name} did not end within {grace:.2g} s and is killed.")
            kill_group(running.pid)
            await running.wait()
        for process in group:
            process.running = None  # its number may soon be another's

    async def _until_ended(self, running: Sequence[asyncio.subprocess.Process], grace: float) -> None:
        ended: asyncio.Future[Any] = asyncio.gather(*(each.wait() for each in running))
        hurry = asyncio.create_task(self.hurry.wait())
        await asyncio.wait([ended, hurry], timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        for each in (ended, hurry):
            each.cancel()
        await asyncio.gather(ended, hurry, return_exceptions=True)


# --- Processes and signals -----------------------------------------------------------------------------------------


def wait_without_threads() -> None:
    """Python 3.11 waits for each child in a thread of its own, unless it is told that Linux has something better."""
    if sys.version_info < (3, 12) and sys.platform == "linux":
        with contextlib.suppress(OSError):
            os.close(os.pidfd_open(os.getpid()))
            asyncio.set_child_watcher(asyncio.PidfdChildWatcher())


def die_with_parent(signum: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """What a child runs before its exec, so that it gets `signum` when we die, even by kill -9. Linux only.

    Two traps. The signal comes when the *thread* that forked ends: start processes in the main thread. And Python
    code between fork and exec is safe only while no other thread can hold a lock: see `wait_without_threads`, and
    everything used in there is loaded beforehand.
    """
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def before_exec() -> None:
        prctl(PR_SET_PDEATHSIG, int(signum), 0, 0, 0)
        if os.getppid() != parent:  # it died before prctl was called
            os._exit(1)

    return before_exec


def kill_group(pid: int) -> None:
    """Each process leads a group of its own; the group outlives its leader while it has members."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _reason(process: Process, error: StartError) -> str:
    return str(error).removeprefix(f"{process.name} ").removesuffix(".")


def how_it_ended(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"


# --- Lines ---------------------------------------------------------------------------------------------------------


def prefixes(names: Sequence[str], *, colour: bool) -> dict[str, str]:
    width = max(map(len, names), default=0)
    plain = {name: f"{name:<{width}} | " for name in names}
    if not colour:
        return plain
    return {
        name: f"\x1b[{COLOURS[place % len(COLOURS)]}m{prefix}\x1b[0m"
        for place, (name, prefix) in enumerate(plain.items())
    }


async def lines(stream: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """A line without an end is cut at LINE_MAX, so that nobody can fill our memory."""
    rest = b""
    while chunk := await stream.read(LINE_MAX):
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line
        if len(rest) >= LINE_MAX:
            yield rest
            rest = b""
    if rest:
        yield rest


# --- Ready? --------------------------------------------------------------------------------------------------------


async def answers_ping(path: str) -> bool:
    """Does the Redis server on this unix socket answer, and has it finished loading?"""
    return (await ask(asyncio.open_unix_connection(path), b"PING\r\n")).startswith(b"+PONG")


async def answers_http(host: str, port: int, path: str = "/health/live") -> bool:
    """Does the web server on this port answer at all?"""
    request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    return (await ask(asyncio.open_connection(host, port), request)).startswith(b"HTTP/")


async def ask(
    connect: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]], question: bytes
) -> bytes:
    """The first bytes of the answer, or nothing."""
    try:
        async with asyncio.timeout(5):
            reader, writer = await connect
            try:
                writer.write(question)
                return await reader.read(100)
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return b""


def ready_check(kind: str, *where: Any) -> Ready | None:
    checks: dict[str, Callable[..., Awaitable[bool]]] = {"ping": answers_ping, "http": answers_http}
    return partial(checks[kind], *where) if kind else None


def main(plan: Mapping[str, Any]) -> int:
    """`plan`: {"processes": [{"name", "command", "env", "ready", "when"}, …], "banner", "instead", "times"}, where
    "ready" is null, ["ping", path of a unix socket] or ["http", host, port], and "when" null or the path of a file."""
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    processes = [
        Process(
            each["name"],
            each["command"],
            each.get("env", {}),
            ready_check(*each.get("ready") or [""]),
            each.get("when"),
        )
        for each in plan["processes"]
    ]
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    texts = {name: plan.get(name, "") for name in ("banner", "instead")}
    return Supervisor(processes, colour=colour, times=Times(**plan.get("times", {})), **texts).run()


if __name__ == "__main__":
    with os.fdopen(int(sys.argv[1])) as file:
        read = json.load(file)
    sys.exit(main(read))
