"""The supervisor, run as the program that `manage.py up` turns into, over small shell scripts."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from monitor import supervisor
from monitor.supervisor import Process, Supervisor

PROGRAM = [sys.executable, "-I", "-S", supervisor.__file__]
FOREVER = "while :; do sleep 0.05; done"
# Says when it was told to end, so that the order can be seen.
POLITE = f"trap 'echo bye; exit 0' TERM; echo up; {FOREVER}"
DEAF = f"trap '' TERM; echo up; {FOREVER}"
QUICK = {"pause": 0.05, "pause_max": 0.2, "poll": 0.02, "grace": 5}
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")


class Run:
    """A supervisor at work and what it has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.said: list[str] = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout
        self.said.extend(iter(self.process.stdout.readline, ""))

    @property
    def text(self) -> str:
        return "".join(self.said)

    def until(self, pattern: str, times: int = 1) -> str:
        """Waits until `pattern` was said so often, and returns the last of these."""
        found: list[str] = []
        await_true(lambda: len(found := re.findall(pattern, self.text)) >= times, lambda: self.text)
        found = re.findall(pattern, self.text)
        return str(found[times - 1])

    def signal(self, signum: signal.Signals) -> None:
        self.process.send_signal(signum)

    def end(self) -> int:
        """Waits for its end; the exit code."""
        code = self.process.wait(20)
        self.reader.join(5)
        return code


def await_true(condition: Callable[[], object], explain: Callable[[], str] = str, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, explain()
        time.sleep(0.01)


@contextmanager
def running(*processes: dict[str, Any], times: dict[str, float] | None = None, **plan: str) -> Iterator[Run]:
    with tempfile.TemporaryFile("w+") as file:
        json.dump({"processes": processes, "times": {**QUICK, **(times or {})}, **plan}, file)
        file.flush()
        os.lseek(file.fileno(), 0, os.SEEK_SET)
        popen = subprocess.Popen(
            [*PROGRAM, str(file.fileno())],
            pass_fds=[file.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
    run = Run(popen)
    try:
        yield run
    finally:
        for signum in (signal.SIGTERM, signal.SIGTERM):
            if popen.poll() is None:
                popen.send_signal(signum)
        popen.wait(20)
        run.reader.join(5)
        assert popen.stdout
        popen.stdout.close()


def shell(name: str, script: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "command": ["sh", "-c", script], **more}


def pid_said_by(run: Run, name: str, times: int = 1) -> int:
    return int(run.until(rf"{name} *\| pid (\d+)", times))


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # Whose parent was killed is a zombie until the init process, if there is a good one, has noticed.
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and " Z " in status.read_text()


# --- Lines ---------------------------------------------------------------------------------------------------------


def test_lines_of_both_outputs_carry_the_name_of_their_process() -> None:
    with running(shell("web", f"echo out; echo err >&2; {FOREVER}"), shell("worker", f"echo hi; {FOREVER}")) as run:
        run.until("web    | out\n")
        run.until("web    | err\n")
        run.until("worker | hi\n")


def test_a_line_can_not_steer_the_terminal() -> None:
    with running(shell("web", f"printf 'a\\033[2Jb\\tc\\007\\r\\n'; {FOREVER}")) as run:
        assert run.until(r"web \| (.*)\n") == "a\\x1b[2Jb\tc\\x07"


def test_a_line_without_an_end_is_cut() -> None:
    with running(shell("web", f"head -c 300000 /dev/zero | tr '\\0' x; echo; echo after; {FOREVER}")) as run:
        run.until("after")
        parts = re.findall(r"\| (x+)\n", run.text)

    assert sum(map(len, parts)) == 300_000
    assert max(map(len, parts)) <= 3 * supervisor.LINE_MAX


def test_bytes_that_are_no_text_are_passed_on_all_the_same() -> None:
    with running(shell("web", f"printf 'a\\377b\\n'; {FOREVER}")) as run:
        run.until("web \\| a\N{REPLACEMENT CHARACTER}b\n")


def test_prefixes_are_as_wide_as_the_longest_name_and_coloured_only_when_asked() -> None:
    assert supervisor.prefixes(["web", "worker"], colour=False) == {"web": "web    | ", "worker": "worker | "}
    assert supervisor.prefixes(["web"], colour=True) == {"web": "\x1b[36mweb | \x1b[0m"}


def test_it_goes_on_when_nobody_reads_it_any_more(tmp_path: Path) -> None:
    sign = tmp_path / "sign"
    script = f"trap 'touch {sign}; exit 0' TERM; while :; do echo x; sleep 0.02; done"
    reading, writing = os.pipe()
    with subprocess.Popen([*PROGRAM, "0"], stdin=subprocess.PIPE, stdout=writing, text=True) as process:
        os.close(writing)
        assert process.stdin
        json.dump({"processes": [shell("web", script)]}, process.stdin)
        process.stdin.close()
        assert os.read(reading, 1)
        os.close(reading)
        time.sleep(0.3)
        assert process.poll() is None
        process.terminate()
        assert process.wait(10) == 0

    assert sign.exists()


# --- Environment ---------------------------------------------------------------------------------------------------


def test_the_environment_of_a_process_is_ours_and_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FROM_US", "one")
    with running(shell("web", f'echo "$FROM_US $ITS_OWN"; {FOREVER}', env={"ITS_OWN": "two"})) as run:
        run.until("web \\| one two\n")


# --- Restart -------------------------------------------------------------------------------------------------------


def test_a_process_that_dies_is_started_again_with_a_growing_pause() -> None:
    with running(shell("worker", "exit 3")) as run:
        run.until("started again in", times=5)
        said = re.findall(r"worker ended with exit code 3\. It is started again in (\S+) s\.\n", run.text)

    assert said[:5] == ["0.05", "0.1", "0.2", "0.2", "0.2"]


def test_the_pause_is_kept_before_the_next_start() -> None:
    with running(shell("worker", "date +%s.%N; exit 1"), times={"pause": 0.4, "pause_max": 0.4}) as run:
        run.until(r"worker \| ", times=3)
        starts = [float(moment) for moment in re.findall(r"worker \| (\S+)\n", run.text)]

    assert starts[1] - starts[0] >= 0.4
    assert starts[2] - starts[1] >= 0.4


def test_the_pause_begins_anew_after_a_healthy_life() -> None:
    script = "sleep 0.3; exit 1"
    with running(shell("worker", script), times={"healthy": 0.2}) as run:
        run.until("started again in", times=3)
        assert re.findall(r"again in (\S+) s", run.text)[:3] == ["0.05", "0.05", "0.05"]


def test_a_killed_process_is_named_with_its_signal_and_comes_back() -> None:
    with running(shell("web", f"echo pid $$; {FOREVER}")) as run:
        first = pid_said_by(run, "web")
        os.kill(first, signal.SIGKILL)
        run.until(r"web was ended by SIGKILL\. It is started again in 0\.05 s\.\n")

        assert pid_said_by(run, "web", times=2) != first


def test_what_a_dead_process_left_behind_is_killed_before_it_is_started_again() -> None:
    with running(shell("web", f"sh -c 'echo pid $$; {FOREVER}' & wait $!; exit 1")) as run:
        child = pid_said_by(run, "web")
        os.kill(os.getpgid(child), signal.SIGKILL)
        pid_said_by(run, "web", times=2)

        await_true(lambda: gone(child))


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (0, "ended with exit code 0"),
        (7, "ended with exit code 7"),
        (-9, "was ended by SIGKILL"),
        (-63, "was ended by signal 63"),
    ],
)
def test_how_it_ended_is_said_by_code_or_by_signal(code: int, sentence: str) -> None:
    assert supervisor.how_it_ended(code) == sentence


# --- Starts that fail ----------------------------------------------------------------------------------------------


def test_a_command_that_is_not_there_is_one_sentence_and_no_loop() -> None:
    with running(shell("valkey", POLITE), {"name": "web", "command": ["/no/such/program"]}) as run:
        assert run.end() == 1

    assert run.text.count("web can't be started: /no/such/program: No such file or directory.\n") == 1
    assert "Traceback" not in run.text
    assert "Stopped valkey." in run.text


def test_a_command_that_vanishes_later_is_tried_again_with_the_pause(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\nrm $0; exit 1\n")
    program.chmod(0o755)
    with running({"name": "web", "command": [str(program)]}) as run:
        run.until(r"web can't be started: \S+: No such file or directory\. It is started again in 0\.2 s\.\n")


def test_a_process_that_ends_before_it_is_ready_ends_the_start(tmp_path: Path) -> None:
    failing = shell("valkey", "echo no disk; exit 5", ready=["ping", str(tmp_path / "socket")])
    with running(failing, shell("web", POLITE), banner="Running.", instead="Keep this.") as run:
        assert run.end() == 1

    assert "valkey | no disk\n" in run.text
    assert "valkey ended with exit code 5 before it was ready.\n" in run.text
    assert "web" not in run.text
    assert "Running." not in run.text
    assert run.text.endswith("Keep this.\n")


# --- Ready ---------------------------------------------------------------------------------------------------------


@contextmanager
def answering(unix_socket: Path, *answers: bytes) -> Iterator[None]:
    """A server that gives one of `answers` to each client, the last one again and again."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(unix_socket))
        server.listen()

        def serve() -> None:
            left = list(answers)
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(100)
                    client.sendall(left.pop(0) if len(left) > 1 else left[0])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join(5)


def test_the_next_one_waits_until_the_first_has_loaded_and_then_the_banner_is_said(tmp_path: Path) -> None:
    path = tmp_path / "s"
    loading = b"-LOADING Valkey is loading the dataset in memory\r\n"
    with (
        answering(path, loading, loading, b"+PONG\r\n"),
        running(
            shell("valkey", POLITE, ready=["ping", str(path)]), shell("web", POLITE), banner="Running.", instead="Not."
        ) as run,
    ):
        run.until("Running.\n")
        run.until(r"web +\| up")
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    assert "Not." not in run.text


def test_a_long_wait_is_said_once(tmp_path: Path) -> None:
    with running(shell("valkey", POLITE, ready=["ping", str(tmp_path / "s")]), times={"patience": 0.1}) as run:
        run.until("Waiting for valkey to be ready …\n")
        time.sleep(0.3)

    assert run.text.count("Waiting for valkey") == 1


def test_it_can_be_stopped_while_it_waits(tmp_path: Path) -> None:
    with running(shell("valkey", POLITE, ready=["ping", str(tmp_path / "s")]), shell("web", POLITE)) as run:
        run.until(r"valkey \| up")
        run.signal(signal.SIGINT)
        assert run.end() == 0

    assert "Stopped valkey." in run.text
    assert "web" not in run.text


async def test_a_web_server_is_ready_when_it_answers_anything() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        port = server.getsockname()[1]
        assert not await supervisor.answers_http("127.0.0.1", port)
        server.listen()

        def answer() -> None:
            with server.accept()[0] as client:
                client.recv(1000)
                client.sendall(b"HTTP/1.1 404 Not Found\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        assert await supervisor.answers_http("127.0.0.1", port)
        thread.join(5)


# --- Stop ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_every_process_and_says_so(signum: signal.Signals) -> None:
    with running(shell("web", POLITE), shell("worker", POLITE)) as run:
        run.until("worker | up")
        run.until(r"web +\| up")
        run.signal(signum)

        assert run.end() == 0
    assert "Stopping worker, web …\n" in run.text
    assert run.text.endswith("Stopped worker, web.\n")
    assert "started again" not in run.text


def test_the_one_that_others_waited_for_is_stopped_when_they_have_ended(tmp_path: Path) -> None:
    slow = "trap 'sleep 0.3; echo bye; exit 0' TERM; echo up; while :; do sleep 0.05; done"
    path = tmp_path / "s"
    with (
        answering(path, b"+PONG\r\n"),
        running(shell("valkey", POLITE, ready=["ping", str(path)]), shell("web", slow), shell("worker", slow)) as run,
    ):
        run.until("up\n", times=3)
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    byes = re.findall(r"(\w+) +\| bye", run.text)
    assert sorted(byes[:2]) == ["web", "worker"]
    assert byes[2] == "valkey"


def test_one_that_does_not_listen_is_killed_after_the_grace_with_its_children() -> None:
    script = f"trap '' TERM; sh -c 'echo pid $$; {FOREVER}' & {FOREVER}"
    with running(shell("worker", script), times={"grace": 0.3, "grace_least": 0.1}) as run:
        child = pid_said_by(run, "worker")
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    assert "worker did not end within 0.3 s and is killed.\n" in run.text
    await_true(lambda: gone(child))


def test_a_second_ctrl_c_kills_at_once() -> None:
    with running(shell("worker", DEAF), times={"grace": 60}) as run:
        run.until("up")
        run.signal(signal.SIGINT)
        run.until("Stopping worker")
        began = time.monotonic()
        run.signal(signal.SIGINT)
        assert run.end() == 0

    assert time.monotonic() - began < 5


def test_a_process_that_waits_for_its_restart_is_not_started_while_all_stop() -> None:
    with running(shell("web", POLITE), shell("worker", "exit 1"), times={"pause": 0.5}) as run:
        run.until("worker ended")
        run.until(r"web +\| up")
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    assert "Stopped web.\n" in run.text


@linux_only
def test_nothing_stays_when_the_supervisor_itself_is_killed() -> None:
    with running(shell("web", f"echo pid $$; {FOREVER}"), shell("worker", f"echo pid $$; {FOREVER}")) as run:
        pids = [pid_said_by(run, "web"), pid_said_by(run, "worker")]
        run.signal(signal.SIGKILL)
        run.process.wait(5)

        await_true(lambda: all(gone(pid) for pid in pids))


def test_signals_that_were_held_back_before_the_exec_are_heard() -> None:
    block = (
        "import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [15]); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", block, *PROGRAM, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin
        assert process.stdout
        json.dump({"processes": [shell("web", POLITE)], "times": QUICK}, process.stdin)
        process.stdin.close()
        assert "up" in process.stdout.readline()
        process.terminate()
        assert "Stopped web." in process.stdout.read()
        assert process.wait(10) == 0


# --- Only while it is wanted ---------------------------------------------------------------------------------------


def test_one_that_is_wanted_later_is_started_then_and_stopped_when_it_is_wanted_no_more(tmp_path: Path) -> None:
    wanted = tmp_path / "wanted"
    with running(shell("web", POLITE), shell("listen", POLITE, when=str(wanted)), times={"look": 0.02}) as run:
        run.until(r"web +\| up")
        assert "listen" not in run.text.replace("listen | ", "")
        for times in (1, 2):
            wanted.touch()
            run.until(r"listen \| up", times)
            wanted.unlink()
            run.until(r"listen \| bye", times)
            run.until(r"Stopped listen\.", times)
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    assert "listen ended" not in run.text
    assert run.text.endswith("Stopped web.\n")


def test_while_it_is_wanted_it_is_kept_like_the_others_and_ends_with_them(tmp_path: Path) -> None:
    wanted = tmp_path / "wanted"
    wanted.touch()
    script = f"trap 'echo bye; exit 0' TERM; echo pid $$; {FOREVER}"
    with running(shell("listen", script, when=str(wanted)), times={"look": 0.02}) as run:
        os.kill(pid_said_by(run, "listen"), signal.SIGKILL)
        run.until(r"listen was ended by SIGKILL\. It is started again in 0\.05 s\.")
        pid = pid_said_by(run, "listen", 2)
        run.signal(signal.SIGTERM)
        assert run.end() == 0

    assert run.text.endswith("Stopped listen.\n")
    assert gone(pid)


def test_one_that_is_wanted_and_can_not_be_started_is_tried_again_until_it_is_not_wanted(tmp_path: Path) -> None:
    wanted, program = tmp_path / "wanted", tmp_path / "program"
    wanted.touch()
    lost = {"name": "listen", "command": [str(program)], "when": str(wanted)}
    with running(shell("web", POLITE), lost, times={"look": 0.02}) as run:
        run.until(r"listen can't be started: .*: No such file or directory\. It is started again in", times=3)
        wanted.unlink()
        run.until(r"Stopped listen\.")
        run.signal(signal.SIGTERM)
        assert run.end() == 0


# --- Size ----------------------------------------------------------------------------------------------------------


@linux_only
def test_it_stays_small() -> None:
    with running(shell("web", POLITE), shell("worker", POLITE)) as run:
        run.until("up\n", times=2)
        status = Path(f"/proc/{run.process.pid}/status").read_text()

    kilobytes = int(re.findall(r"VmRSS:\s+(\d+) kB", status)[0])
    assert kilobytes < 25_000


@linux_only
def test_it_needs_no_threads() -> None:
    with running(shell("web", POLITE), shell("worker", POLITE)) as run:
        run.until("up\n", times=2)
        threads = list(Path(f"/proc/{run.process.pid}/task").iterdir())

    assert len(threads) == 1


def test_who_is_stopped_together() -> None:
    async def ready() -> bool:
        return True

    a, c = Process("a", ["a"], ready=ready), Process("c", ["c"], ready=ready)
    b, d, e = Process("b", ["b"]), Process("d", ["d"]), Process("e", ["e"])

    stages = [[process.name for process in stage] for stage in Supervisor([a, b, c, d, e])._stages() if stage]

    assert stages == [["e", "d"], ["c"], ["b"], ["a"]]
