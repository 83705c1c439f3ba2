"""`manage.py loaddata`, as Django has it: rows that it writes are no changes of the audit trail, but that it ran is."""

from __future__ import annotations

from collections.abc import Sequence

from auditlog.models import LogEntry
from django.core.management.commands import loaddata

from accounts.trail import recording


class Command(loaddata.Command):
    def loaddata(self, fixture_labels: Sequence[str]) -> None:
        """Within its transaction."""
        super().loaddata(fixture_labels)
        if self.loaded_object_count and self.using == "default":
            files = ", ".join(fixture_labels)
            recording.event("data_loaded", LogEntry, "data", files=files, rows=self.loaded_object_count)
