"""Processes of the store's tests, made to be killed: `python -m tests.logs.store_worker DATABASE NAME`.

DATABASE is an alias and NAME the test database behind it. Each line that it reads begins a process, which does what
the line says and then waits for its death:

    append FIRST COUNT  appends batches from number FIRST on, and prints "number commit lines" once each is stored
    maintain            maintains for ever, and prints how many blocks were written if any were
    hold                prints whether it got the lease, and keeps it

"dying COUNT" before it: it kills itself after so many statements to the database.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

import django
from django.db import connections

from core import clock
from logs.store import Incoming, lease
from monitor.supervisor import die_with_parent
from tests.logs.corpus import START, corpus, entries

IDLE: Final = 0.005  # seconds between two rounds of upkeep
LINES: Final = 30  # of a batch, in three entries
DEAD: Final = "dead"


class Worker:
    """One process after the other, as a test sees them. What runs at the end of the block is killed."""

    def __init__(self, database: str) -> None:
        name = connections[database].settings_dict["NAME"]
        self._stem = subprocess.Popen(
            [sys.executable, "-m", __name__, database, str(name)],
            env=os.environ | {"DJANGO_SETTINGS_MODULE": "tests.settings"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            preexec_fn=die_with_parent(signal.SIGKILL),
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with self._stem:  # closes the pipes, and waits
            self._stem.kill()

    def begin(self, *command: object) -> None:
        assert self._stem.stdin
        print(*command, file=self._stem.stdin, flush=True)
        self._pid = int(self.line())

    def line(self) -> str:
        """The next line that it prints; it is waited for."""
        line = self._line()
        assert line != DEAD, "the process ended by itself"
        return line

    def kill(self) -> list[str]:
        os.kill(self._pid, signal.SIGKILL)
        return self.last_words()

    def last_words(self) -> list[str]:
        """The lines that it printed before it died and nobody has read."""
        return list(iter(self._line, DEAD))

    def _line(self) -> str:
        assert self._stem.stdout
        line = self._stem.stdout.readline()
        assert line, "the process that makes others ended by itself"
        return line.rstrip()


def main(database: str, name: str) -> None:
    django.setup()
    connections[database].settings_dict["NAME"] = name
    bind = die_with_parent(signal.SIGKILL)
    for line in sys.stdin:
        pid = os.fork()
        if not pid:
            if bind:
                bind()
            say(os.getpid())
            work, *arguments = line.split()
            if work == "dying":
                connections[database].execute_wrappers.append(Dying(int(arguments[0])))
                work, *arguments = arguments[1:]
            WORKS[work](database, *map(int, arguments))
            signal.pause()
        os.waitpid(pid, 0)
        say(DEAD)


class Dying:
    """Wraps the execution of statements: the process is killed after so many."""

    def __init__(self, left: int) -> None:
        self.left = left

    def __call__(self, execute: Callable[..., object], *arguments: object) -> object:
        answer = execute(*arguments)
        self.left -= 1
        if not self.left:
            os.kill(os.getpid(), signal.SIGKILL)
        return answer


def say(*words: object) -> None:
    """To the test. In one piece, for it may be the last: `print` without a buffer writes the end of a line apart."""
    os.write(sys.stdout.fileno(), (" ".join(map(str, words)) + "\n").encode())


@cache
def batch(number: int) -> list[Incoming]:
    """The batch of this number, the same in every process."""
    return entries(corpus(LINES, seed=number, start=START + number * clock.MINUTE), first=number * 3, size=LINES // 3)


def append(database: str, first: int, count: int) -> None:
    from logs.store.blocks import BlockStore  # models need Django to be set up

    store = BlockStore(database)
    for number in range(first, first + count):
        commit = store.append(batch(number))
        say(number, commit.number, commit.lines)


def maintain(database: str) -> None:
    from logs.store.blocks import BlockStore

    store = BlockStore(database)
    while True:
        say(store.maintain(budget=60))  # also when there was nothing to do: whoever waits for it goes on
        time.sleep(IDLE)


def hold(database: str) -> None:
    with lease.held(database) as mine:
        say(mine)
        signal.pause()


WORKS: Final[Mapping[str, Callable[..., None]]] = {"append": append, "maintain": maintain, "hold": hold}

if __name__ == "__main__":
    main(*sys.argv[1:])
