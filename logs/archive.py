"""Days of lines written to the archive, and restored from it. What lies there and how is `logs.objects`.

A day that is old enough is written once. Lines that come for it later are added as further objects: nothing that a
manifest names is written again, so no attempt can harm what an earlier one has finished. `ArchivedDay` has a row for
each day; work is asked for by a state of the row, and `run` does all that is due, one process at a time. It may be
killed anywhere: the next run goes on.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date, timedelta
from typing import Any, Final

import redis
from django.conf import settings
from django.db.models import QuerySet, Sum
from django.template.defaultfilters import filesizeformat

from accounts.trail import recording
from core import clock
from logs import objects, stream
from logs.models import ArchivedDay
from logs.objects import Contents, DamagedObjectError, Manifest, Piece, Storage, StorageError
from logs.store import BaseLogStore
from logs.store.base import Span
from logs.store.codec import Block, DamagedError
from logs.store.shelf import Moved

RESTORED_FOR: Final = timedelta(days=7)
GRACE: Final = 3 * clock.HOUR  # a day that is later than this is spoken of
LEASE: Final = "pharos:archive"
LEASE_SECONDS: Final = 600  # longer than any one call to the storage takes
REDIS_SECONDS: Final = 5.0
IMPORTED: Final = 32  # blocks stored in one transaction
TRIES: Final = 3  # to read a day that upkeep is changing
NAMED: Final = 5  # restored days in sentences

Hold = Callable[[], object]
State = ArchivedDay.State

log = logging.getLogger("logs.archive")


# --- What there is to do -------------------------------------------------------------------------------------------


def run(store: BaseLogStore, *, write: bool = True) -> int:
    """Does what is due: removes, restores, and unless `write` is false archives. Says how many days were written."""
    with _lease() as hold:
        if hold is None:
            log.info("The archive is being worked on by another process, which does what is due")
            return 0
        written = 0
        try:
            _remove_expired(store)
            if settings.LOG_ARCHIVE_URL:
                storage = Storage(settings.LOG_ARCHIVE_URL)
                _discover(storage)
                _restore_asked(storage, store, hold)
                for row in _due(store, clock.now()) if write else ():
                    written += _write(storage, store, row, hold)
                    _restore_asked(storage, store, hold)
            _remove_expired(store)
        except StorageError as error:
            log.error("The archive can't be used, tried again within the hour: %s", error)
            _fail(_due(store, clock.now()) if write else (), str(error))
        except redis.RedisError as error:
            log.warning("The archive's lease is lost, the next run goes on: %s", error)
        return written


@contextmanager
def _lease() -> Iterator[Hold | None]:
    """What is to be called now and then to keep it; None if another process has it."""
    with stream.connect(REDIS_SECONDS) as client:
        lock = client.lock(LEASE, timeout=LEASE_SECONDS)
        if not lock.acquire(blocking=False):
            yield None
            return
        try:
            yield lock.reacquire
        finally:
            with suppress(redis.RedisError):
                lock.release()


def _due(store: BaseLogStore, now: int) -> list[ArchivedDay]:
    """The days to be written, the oldest first: those that are missing, and those that have late lines."""
    number = store.last_commit()
    before = _cutoff(now)
    late = set(_late(store, before, number))
    archived = set(_archived().values_list("day", flat=True))
    for day in map(_date, store.days(before)):
        if day not in archived:
            ArchivedDay.objects.get_or_create(day=day)
            late.add(day)
    return list(ArchivedDay.objects.filter(day__in=late).order_by("day"))


def _late(store: BaseLogStore, before: int, number: int) -> Iterator[date]:
    """The archived days with lines that aren't in the archive. Of the others it notes that they have none so far."""
    rows = list(_archived())
    days = store.late_days(before, min((row.commit for row in rows), default=number))
    for row in rows:
        if row.span[0] in days and store.count_blocks(row.span, after=row.commit):
            ArchivedDay.objects.filter(pk=row.pk, state=State.ARCHIVED).update(state=State.STALE)
            yield row.day
        else:
            row.commit = number
    in_order = [row for row in rows if row.commit == number]
    ArchivedDay.objects.bulk_update(in_order, ["commit"], batch_size=500)
    # Of an attempt whose late lines retention has deleted meanwhile.
    stuck = [row.pk for row in in_order if row.state in {State.STALE, State.WRITING, State.FAILED}]
    ArchivedDay.objects.filter(pk__in=stuck).update(state=State.ARCHIVED, error="")


def _archived() -> QuerySet[ArchivedDay]:
    return ArchivedDay.objects.exclude(archived_at=None)


def _cutoff(now: int) -> int:
    """The midnight before which days are old enough."""
    return _midnight(now - settings.LOG_ARCHIVE_AFTER_DAYS * clock.DAY)


def _midnight(time: int) -> int:
    return time - time % clock.DAY


def _date(time: int) -> date:
    return clock.moment(time).date()


def _fail(rows: Iterable[ArchivedDay], error: str) -> None:
    for row in rows:
        _update(row, state=State.RESTORED if _is_restored(row) else State.FAILED, error=error)


def _update(row: ArchivedDay, **values: Any) -> None:
    """Changes a row, unless somebody has asked for it to be restored meanwhile: that stays as it is."""
    for name, value in values.items():
        setattr(row, name, value)
    if "state" in values:
        ArchivedDay.objects.filter(pk=row.pk).exclude(state=State.RESTORING).update(state=values.pop("state"))
    ArchivedDay.objects.filter(pk=row.pk).update(**values)


def _is_restored(row: ArchivedDay) -> bool:
    return row.restored_at is not None


# --- Writing -------------------------------------------------------------------------------------------------------


def _discover(storage: Storage) -> None:
    """Rows for days that the archive has and we don't know: of a database that was lost, for instance."""
    known = set(ArchivedDay.objects.values_list("day", flat=True))
    for day in storage.days():
        if day in known:
            continue
        try:
            manifest = storage.manifest(day)
        except DamagedObjectError as error:
            log.error("A day in the archive can't be read: %s", error)
            continue
        if manifest is not None:
            # Its commits may be another database's (ours begins at 0): what we have of that day is written once more.
            found = {"state": State.ARCHIVED, "archived_at": clock.moment(clock.now()), "location": storage.url}
            ArchivedDay.objects.create(day=day, **found, **_figures(manifest))
            log.info("Found %s in the archive: %s lines", day, f"{manifest.lines:,}")


def _write(storage: Storage, store: BaseLogStore, row: ArchivedDay, hold: Hold) -> bool:
    """Archives a day, or adds its late lines. Raises StorageError."""
    for _ in range(TRIES):
        try:
            manifest = _try_to_write(storage, store, row, hold)
        except Moved:
            continue
        except DamagedObjectError as damaged:
            log.error("%s can't be archived: %s", row.day, damaged)
            _fail([row], str(damaged))
            return False
        else:
            state = State.RESTORED if _is_restored(row) else State.ARCHIVED
            archived_at = clock.moment(clock.now())
            figures = _figures(manifest)
            commit = manifest.commit
            _update(row, state=state, archived_at=archived_at, location=storage.url, error="", commit=commit, **figures)
            said = {"day": str(row.day), "lines": manifest.lines, "bytes": manifest.bytes}
            log.info("Archived %s: %s lines in all", row.day, f"{manifest.lines:,}", extra=said)
            return True
    error = f"The blocks of {row.day} were being merged each time they were read"
    log.warning("%s: it is archived within the hour", error)
    _fail([row], error)
    return False


def _try_to_write(storage: Storage, store: BaseLogStore, row: ArchivedDay, hold: Hold) -> Manifest:
    manifest = storage.manifest(row.day)
    upto = store.last_commit()
    after = _written_upto(row, manifest, upto)
    blocks_all = store.count_blocks(row.span, after=after)
    # With the attempt: should we be killed once its manifest is written, the next attempt knows it for ours.
    _update(row, state=State.WRITING, commit=after, attempt=uuid.uuid4().hex, blocks_done=0, blocks_all=blocks_all)
    parts: list[tuple[Piece, Contents]] = []
    first = manifest.next_number if manifest else 0
    blocks = store.export_blocks(row.span, after=after, upto=upto)
    for number, (data, contents) in enumerate(objects.pack(blocks), first):
        hold()
        parts.append((storage.put_piece(row.day, number, data, contents), contents))
        _update(row, blocks_done=row.blocks_done + contents.blocks)
    hold()
    made = objects.manifest_of(row.day, parts, commit=upto, attempt=row.attempt, before=manifest)
    storage.put_manifest(made)
    return made


def _written_upto(row: ArchivedDay, manifest: Manifest | None, newest: int) -> int:
    """The commit up to which the lines of a day are in the archive; 0 if the commits are another database's."""
    if manifest is None:
        return 0
    commit = manifest.commit if manifest.attempt == row.attempt else row.commit
    return commit if commit <= newest else 0


def _figures(manifest: Manifest) -> dict[str, Any]:
    return {"lines": manifest.lines, "bytes": manifest.bytes, "services": manifest.services}


# --- Restoring -----------------------------------------------------------------------------------------------------


def ask_to_restore(days: Iterable[date]) -> int:
    """Has `run` make the lines of archived days searchable for a week; says how many days that are."""
    until = clock.moment(clock.now()) + RESTORED_FOR
    asked = {"state": State.RESTORING, "restored_until": until, "blocks_done": 0, "blocks_all": 0, "error": ""}
    wanted = list(days)
    found = _archived().filter(day__in=wanted).update(**asked)
    if found:
        recording.event("archive_restore", ArchivedDay, _shown(wanted))
    return found


def ask_to_remove(days: Iterable[date]) -> int:
    """Has `run` remove the restored lines of days; says of how many days. What was there anyway stays."""
    wanted = list(days)
    rows = ArchivedDay.objects.filter(day__in=wanted).exclude(restored_until=None)
    rows.filter(state=State.RESTORING).update(state=State.ARCHIVED)
    found = rows.update(restored_until=clock.moment(clock.now()))
    if found:
        recording.event("archive_forget", ArchivedDay, _shown(wanted))
    return found


def _shown(days: Sequence[date]) -> str:
    few = ", ".join(str(day) for day in sorted(days)[:5])
    return f"{few} and {len(days) - 5} more days" if len(days) > 5 else few


def restored(now: int) -> list[Span]:
    """The days whose lines stay, whatever their age."""
    return [row.span for row in ArchivedDay.objects.filter(restored_until__gt=clock.moment(now))]


def _remove_expired(store: BaseLogStore) -> None:
    for row in ArchivedDay.objects.filter(restored_until__lte=clock.moment(clock.now())):
        lines = store.delete_restored(row.span)
        ArchivedDay.objects.filter(pk=row.pk, state__in=[State.RESTORED, State.RESTORING]).update(state=State.ARCHIVED)
        ArchivedDay.objects.filter(pk=row.pk, restored_until=row.restored_until).update(
            restored_at=None, restored_until=None
        )
        log.info("Removed the %s restored lines of %s", f"{lines:,}", row.day)


def _restore_asked(storage: Storage, store: BaseLogStore, hold: Hold) -> None:
    for row in ArchivedDay.objects.filter(state=State.RESTORING):
        try:
            _restore(storage, store, row, hold)
        except StorageError as error:
            ArchivedDay.objects.filter(pk=row.pk).update(error=str(error))
            raise


def _restore(storage: Storage, store: BaseLogStore, row: ArchivedDay, hold: Hold) -> None:
    """Stores the lines of a day that aren't there. An object that is damaged is named, and costs only its own lines."""
    wrong: list[str] = []
    try:
        manifest = storage.manifest(row.day)
        if manifest is None:
            wrong.append(f"{storage.url}/{row.day}/{objects.MANIFEST} is not there")
    except DamagedObjectError as error:
        manifest = None
        wrong.append(str(error))
    lines = done = 0
    for piece in manifest.objects if manifest else ():
        hold()
        try:
            blocks = storage.blocks(row.day, piece)
        except DamagedObjectError as error:
            wrong.append(str(error))
            continue
        for begin in range(0, len(blocks), IMPORTED):
            some = blocks[begin : begin + IMPORTED]
            hold()
            lines += _import(store, some, f"{storage.url}/{row.day}/{piece.name}", wrong)
            done += len(some)
            progress = {"blocks_done": done, "blocks_all": manifest.blocks if manifest else 0}
            if not ArchivedDay.objects.filter(pk=row.pk, state=State.RESTORING).update(**progress):
                return  # nobody wants it any more
    for sentence in wrong:
        log.error("Restoring %s: %s", row.day, sentence)
    asked = ArchivedDay.objects.filter(pk=row.pk, state=State.RESTORING)
    asked.update(state=State.RESTORED, restored_at=clock.moment(clock.now()), error="\n".join(wrong))
    log.info("Restored %s: %s lines that were not there", row.day, f"{lines:,}")


def _import(store: BaseLogStore, blocks: list[Block], where: str, wrong: list[str]) -> int:
    """Stores blocks, one by one if need be to find the one that is damaged: it was so when it was archived."""
    try:
        return store.import_blocks(blocks)
    except DamagedError as error:
        if len(blocks) > 1:
            return sum(_import(store, [block], where, wrong) for block in blocks)
        wrong.append(f"A block of {where} is damaged: {error}")
        return 0


# --- What others want to know --------------------------------------------------------------------------------------


def first_missing(store: BaseLogStore, now: int) -> int | None:
    """Midnight of the oldest day with lines that is not in the archive, be it old enough or not."""
    archived = set(_archived().values_list("day", flat=True))
    return next((day for day in store.days(now) if _date(day) not in archived), None)


def overdue(day: int, now: int) -> str:
    """A sentence about a day that should be in the archive and isn't; "" if it isn't old enough."""
    after = settings.LOG_ARCHIVE_AFTER_DAYS
    if day + clock.DAY + after * clock.DAY + GRACE > now:
        return ""
    row = ArchivedDay.objects.filter(day=_date(day)).first()
    why = f" ({row.error})" if row and row.error else ""
    return f"{_date(day)} should be in the archive and isn't{why}: from there on no line is deleted by age."


def sentences(store: BaseLogStore, now: int) -> list[str]:
    """How the archive is, for the usage page."""
    found = []
    if settings.LOG_ARCHIVE_URL:
        sums = _archived().aggregate(lines=Sum("lines"), bytes=Sum("bytes"))
        size = filesizeformat(sums["bytes"] or 0).replace("\xa0", " ")
        url, after = settings.LOG_ARCHIVE_URL, settings.LOG_ARCHIVE_AFTER_DAYS
        found.append(
            f"Days are archived to {url} when they are older than {after} days. "
            f"There: {_archived().count():,} days, {sums['lines'] or 0:,} lines, {size}."
        )
        missing = first_missing(store, now)
        found += filter(None, [overdue(missing, now) if missing is not None else ""])
    rows = ArchivedDay.objects.filter(state=State.RESTORED, restored_until__gt=clock.moment(now))
    found += [f"{row.day} is restored until {row.restored_until:%Y-%m-%d %H:%M} UTC." for row in rows[:NAMED]]
    return found
