"""A check that hangs or breaks holds up no other; without a database, for there may be none."""

from __future__ import annotations

import threading
import time

import pytest

from monitor import doctor
from monitor.doctor.findings import OK, PROBLEM, Finding, ok


def test_one_that_hangs_holds_up_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    done = threading.Event()

    def hangs() -> Finding:
        done.wait(60)
        return ok("Late.")

    def breaks() -> Finding:
        raise RuntimeError("a mistake")

    monkeypatch.setattr(doctor, "CHECKS", {name: f"machine.{name}" for name in ("hangs", "breaks", "fine")})
    for name, function in {"hangs": hangs, "breaks": breaks, "fine": lambda: ok("Well.")}.items():
        monkeypatch.setattr(f"monitor.doctor.machine.{name}", function, raising=False)
    hung, broken, fine = [doctor.Run(name) for name in doctor.CHECKS]
    patience = time.monotonic() + 60
    assert fine.result(patience).level == OK
    assert broken.result(patience).said == "The check itself failed: RuntimeError: a mistake."
    late = hung.result(time.monotonic())
    done.set()
    assert (late.level, late.said) == (PROBLEM, "It did not answer within 10 seconds.")
