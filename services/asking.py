"""Asks what was claimed: one event loop in a thread of each worker process, made with the first batch.

Each check begins at its true deadline. How many are under way is bounded, for all together and for each host. Answers
are gathered for a moment and written together, by another thread, so that the loop never waits for the database.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, cast
from urllib.parse import urlsplit

import msgspec
from django.db import Error, InterfaceError, OperationalError, close_old_connections, connections
from django.utils import timezone

from core import clock
from core.one_per_process import OnePerProcess
from services import meters, polling, probes, recording
from services.models import Check
from services.models.watched import LEASE_MARGIN
from services.probes import Measurement
from services.recording import Observation
from services.status import Outcome

UNDER_WAY_MAX: Final = 500  # checks; each may be an open file
HOST_MAX: Final = 250  # of them for one host and port
GATHER: Final = 0.5  # seconds: fewer and larger writes cost less; nobody sees half a second
WRITE_MAX: Final = 500  # results in one transaction
RETRY: Final = 1.0  # seconds after the database failed
KEPT_MAX: Final = 20_000  # results that wait for it
FINISH: Final = 1.0  # seconds that those under way have at the end
STOP_MAX: Final = 6.0  # seconds for all of the end: the supervisor has little patience

log = logging.getLogger(__name__)


class Question(msgspec.Struct, eq=False):
    """A check that was claimed, with everything that a probe wants to know."""

    check: int
    kind: str
    target: str
    options: Mapping[str, Any]
    secrets: Mapping[str, Any]
    timeout: float
    slow_ms: int | None
    interval: float
    lease_end: int  # µs
    token: str
    due: int  # µs

    @property
    def begin_until(self) -> int:
        """Later, the lease would not last for the answer."""
        return self.lease_end - polling.micros(self.timeout + LEASE_MARGIN - polling.BEGIN_WITHIN)

    @property
    def host(self) -> str:
        return host_of(self.target)


@functools.lru_cache(maxsize=4_096)
def host_of(target: str) -> str:
    """What is counted together: "shop.example:443"."""
    if "//" not in target:
        return target
    try:
        return urlsplit(target).netloc.rpartition("@")[2]
    except ValueError:
        return target


def questions(token: str, due: Sequence[polling.Due]) -> list[Question]:
    """Those of a claim that are still ours."""
    rows = Check.objects.filter(pk__in=[pk for pk, _ in due], claim=token).values_list(
        "pk", "kind", "target", "options", "secrets", "timeout", "slow_ms", "interval", "due_at"
    )
    times = dict(due)
    return [
        Question(pk, kind, target, options, cast(Any, secrets), timeout, slow_ms, interval, lease_end, token, times[pk])
        for pk, kind, target, options, secrets, timeout, slow_ms, interval, lease_end in rows
    ]


Ask = Callable[[Question], Coroutine[Any, Any, Measurement]]
Write = Callable[[Sequence[Observation]], None]


class UnderWay(msgspec.Struct, eq=False):
    question: Question
    at: int  # µs: when it was asked
    task: asyncio.Task[Measurement]
    timer: asyncio.TimerHandle | None = None


class Asker:
    """`take` may be called from any thread; the rest happens in the loop's own."""

    def __init__(self, ask: Ask | None = None, write: Write | None = None) -> None:
        self._ask, self._write = ask or probes.ask, write or _write
        self._loop = asyncio.new_event_loop()
        self._writer = ThreadPoolExecutor(1, "results")
        self._waiting: dict[Question, asyncio.TimerHandle] = {}  # for their time
        self._queue: deque[Question] = deque()  # for a free place
        self._under_way: set[UnderWay] = set()
        self._hosts: Counter[str] = Counter()
        self._results: list[Observation] = []
        self._writing: asyncio.Task[None] | None = None
        self._stopped = False
        # A daemon: what it leaves unfinished at the end of the process comes back when its lease ends.
        self._thread = threading.Thread(target=self._loop.run_forever, name="asker", daemon=True)
        self._thread.start()

    def take(self, questions: Sequence[Question]) -> None:
        self._loop.call_soon_threadsafe(self._accept, questions)

    def stop(self) -> None:
        """Hands back what was not begun, gives the rest a moment, and writes what is known."""
        if not self._thread.is_alive():
            return
        with contextlib.suppress(TimeoutError):
            asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(STOP_MAX)
        self._writer.shutdown(wait=False)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- Begin -------------------------------------------------------------------------------------------------

    def _accept(self, questions: Sequence[Question]) -> None:
        if self._stopped:
            self._writer.submit(_release, questions)
            return
        now = clock.now()
        for question in questions:
            delay = max(question.due - now, 0) / clock.SECOND
            self._waiting[question] = self._loop.call_later(delay, self._its_time, question)

    def _its_time(self, question: Question) -> None:
        del self._waiting[question]
        if not self._begin(question):
            self._queue.append(question)

    def _begin(self, question: Question) -> bool:
        """False if there is no free place for it."""
        if len(self._under_way) >= UNDER_WAY_MAX or self._hosts[question.host] >= HOST_MAX:
            return False
        at = clock.now()
        if at > question.begin_until:
            return True  # too late: when its lease ends it is due again
        run = UnderWay(question, at, self._loop.create_task(self._ask(question)))
        run.timer = self._loop.call_later(question.timeout + polling.GRACE, self._give_up, run)
        self._under_way.add(run)
        self._hosts[question.host] += 1
        run.task.add_done_callback(functools.partial(self._answered, run))
        return True

    # --- End ---------------------------------------------------------------------------------------------------

    def _answered(self, run: UnderWay, task: asyncio.Task[Measurement]) -> None:
        if run not in self._under_way:
            return
        try:
            measurement = task.result()
        except asyncio.CancelledError:
            measurement = Measurement(Outcome.UNREACHABLE, "the check was cancelled")
        except Exception:
            log.exception("Check %d (%s) broke off", run.question.check, run.question.kind)
            measurement = Measurement(Outcome.UNREACHABLE, "the check broke off with an error of its own")
        self._end(run, measurement)

    def _give_up(self, run: UnderWay) -> None:
        run.task.cancel()
        # Behind the cancellation, so that its place is free when the next one begins.
        self._loop.call_soon(self._end, run, polling.no_answer(run.question.timeout))

    def _end(self, run: UnderWay, measurement: Measurement) -> None:
        if run not in self._under_way:
            return
        self._forget(run)
        question = run.question
        meters.CHECKS.add(1, question.kind, measurement.outcome.name.lower())
        meters.LATENESS.observe(max(run.at - question.due, 0) / clock.SECOND)
        following = polling.next_due(question.due, polling.micros(question.interval), run.at)
        self._results.append(Observation(question.check, run.at, measurement, question.token, following))
        if self._writing is None and not self._stopped:
            self._writing = self._loop.create_task(self._write_soon())
        self._begin_queued()

    def _forget(self, run: UnderWay) -> None:
        self._under_way.discard(run)
        host = run.question.host
        self._hosts[host] -= 1
        if not self._hosts[host]:
            del self._hosts[host]
        if run.timer:
            run.timer.cancel()

    def _begin_queued(self) -> None:
        for _ in range(len(self._queue)):
            if len(self._under_way) >= UNDER_WAY_MAX:
                return
            question = self._queue.popleft()
            if not self._begin(question):
                self._queue.append(question)

    # --- Write -------------------------------------------------------------------------------------------------

    async def _write_soon(self) -> None:
        """Until everything is written."""
        pause, failed = GATHER, False
        while self._results:
            await asyncio.sleep(pause)
            results, self._results = self._results[:WRITE_MAX], self._results[WRITE_MAX:]
            try:
                await self._loop.run_in_executor(self._writer, self._write, results)
            except Error as error:
                if not failed:
                    log.error("Results of checks wait: the database can't take them: %s", error)
                self._results = [*results, *self._results][-KEPT_MAX:]
                pause, failed = RETRY, True
            else:
                pause, failed = GATHER if len(self._results) < WRITE_MAX else 0, False
        self._writing = None

    async def _stop(self) -> None:
        self._stopped = True
        for handle in self._waiting.values():
            handle.cancel()
        left = [*self._waiting, *self._queue]
        self._waiting.clear()
        self._queue.clear()
        if self._under_way:
            await asyncio.wait([run.task for run in self._under_way], timeout=FINISH)
        for run in list(self._under_way):
            self._forget(run)
            run.task.cancel()
            left.append(run.question)
        await asyncio.sleep(0)  # they end
        if self._writing:
            self._writing.cancel()
        await polling.close_connections()
        # Behind what is being written just now.
        await self._loop.run_in_executor(self._writer, _finish, self._write, self._results, left)


# --- In the writer's thread ------------------------------------------------------------------------------------------


def _write(results: Sequence[Observation]) -> None:
    """Raises django.db.Error if the database is not there: it shall be tried again."""
    close_old_connections()
    try:
        recording.record(results, timezone.now())
    except (OperationalError, InterfaceError):
        raise
    except Exception:  # noqa: BLE001 - whatever it is, it shall not stop the others
        for each in results:
            _write_one(each)


def _write_one(result: Observation) -> None:
    try:
        recording.record([result], timezone.now())
    except (OperationalError, InterfaceError):
        raise
    except Exception:
        log.exception("A result of check %d can't be written", result.check)


def _finish(write: Write, results: Sequence[Observation], left: Sequence[Question]) -> None:
    try:
        if results:
            write(results)
        _release(left)
    except Error as error:
        log.warning("%d results of checks are lost, the database can't take them: %s", len(results), error)
    finally:
        connections.close_all()


def _release(left: Sequence[Question]) -> None:
    polling.release([(each.check, each.token, each.due) for each in left])


# --- The one of this process -----------------------------------------------------------------------------------------

_asker = OnePerProcess(Asker)
stop = _asker.stop


def ask(token: str, due: Sequence[polling.Due]) -> None:
    """Returns at once."""
    _asker.get().take(questions(token, due))
