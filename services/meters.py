"""What the room counts, for /metrics; docs/operations.md says what each number means."""

from __future__ import annotations

from typing import Final

from core.meters import Counter, Histogram

CHECKS: Final = Counter("pharos_checks", "Checks that were asked, by what came of them.", "kind", "outcome")
LATENESS: Final = Histogram("pharos_check_lateness_seconds", "How much later than their time checks were asked.")
