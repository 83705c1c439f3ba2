"""What the logs room keeps in a database. Blocks and commits belong to the block store (`logs.store.blocks`)."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _


class LogBlock(models.Model):
    """Some thousand lines as compressed columns (`logs.store.codec`). Written once, never changed."""

    # The newest commit that has lines in the block; `commits` has the number for each line of a merged block.
    commit = models.BigIntegerField()
    first = models.BigIntegerField()  # µs since the epoch, oldest line
    last = models.BigIntegerField()
    lines = models.PositiveIntegerField()
    size = models.PositiveIntegerField()  # bytes of the columns
    level_mask = models.SmallIntegerField()  # bit n: a line of level n is in it
    base = models.BigIntegerField()
    header = models.BinaryField()
    times = models.BinaryField()
    sequences = models.BinaryField()
    commits = models.BinaryField()
    labels = models.BinaryField()
    ids = models.BinaryField()
    texts = models.BinaryField()
    metadata = models.BinaryField()

    class Meta:
        default_permissions = ()
        permissions = [("read_records", _("Can read logs"))]
        indexes = [
            # A search reads headers newest first within a time range; one towards newer lines, oldest first.
            models.Index(fields=["last", "first"], name="block_by_last"),
            models.Index(fields=["first", "last"], name="block_by_first"),
            # Live viewers ask for what was committed after the last they saw.
            models.Index(fields=["commit"], name="block_by_commit"),
        ]

    def __str__(self) -> str:
        return f"{self.lines:,} lines"


class LogCommit(models.Model):
    """One append: its number, and which stream entries it stored, so that a second delivery changes nothing."""

    committed_at = models.DateTimeField(default=timezone.now)
    lines = models.PositiveIntegerField()
    # Milliseconds of the oldest and newest entry id; `entries` has them all, packed.
    oldest_entry = models.BigIntegerField()
    newest_entry = models.BigIntegerField()
    entries = models.BinaryField()

    class Meta:
        default_permissions = ()
        indexes = [
            # "Was this entry stored before?" asks for the commits whose entries surround it.
            models.Index(fields=["newest_entry", "oldest_entry"], name="commit_by_entry"),
            models.Index(fields=["committed_at"], name="commit_by_time"),
        ]

    def __str__(self) -> str:
        return f"commit {self.pk}"


class DeadLetter(models.Model):
    """A stream entry that could not be read, kept as it came with the reason. It can be sent again."""

    stream = models.CharField(max_length=200)
    entry_id = models.CharField(max_length=50)
    reason = models.CharField(max_length=500)
    payload = models.JSONField(help_text=_("The entry's fields as text; bytes that are no UTF-8 are escaped."))
    received_at = models.DateTimeField(default=timezone.now)
    replayed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-pk"]
        constraints = [
            # The entry may come again when the ingester dies between writing this row and acknowledging.
            models.UniqueConstraint(fields=["stream", "entry_id"], name="dead_letter_once"),
        ]

    def __str__(self) -> str:
        return f"{self.stream} {self.entry_id}"
