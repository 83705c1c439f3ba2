"""What Pharos measures of itself."""

from __future__ import annotations

from typing import get_args

import pytest
import redis
from django.test import override_settings
from django.utils import timezone

from alerts import evaluating, own_values
from alerts.conditions import ConditionError, pharos_value
from alerts.facts import Facts
from alerts.models import Alert, AlertRule
from core import clock, reporting
from core.reporting import Reporter
from logs import stream
from logs.models import DeadLetter
from tests.alerts import made

pytestmark = pytest.mark.django_db(databases=["default", "logs"])


def measured(value: str) -> list[tuple[dict[str, str], float]]:
    config = pharos_value.Config(value)  # type: ignore[arg-type]
    found = pharos_value.measure(config, Facts(timezone.now()), most=10)
    assert all(each.detail for each in found.samples)
    return [(each.labels, each.value) for each in found.samples]


def test_each_value_can_be_chosen_and_is_described() -> None:
    assert set(get_args(pharos_value.Value)) == set(own_values.VALUES) == set(pharos_value.SAID)


def test_lines_that_wait(redis_client: redis.Redis) -> None:
    redis_client.xadd("pharos:logs", {"message": "old"}, id="1700000000000-0")
    ((labels, value),) = measured("ingest_wait")
    assert labels == {"stream": "pharos:logs"}
    assert value > 1e6


def test_a_kind_of_process_that_is_gone(redis_client: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    Reporter("ingest").report(redis_client)
    assert measured("process_missing") == []
    monkeypatch.setattr(reporting, "ALIVE_FOR", -1.0)
    ((labels, _),) = measured("process_missing")
    assert labels == {"process": "ingest"}


def test_the_tick_and_what_is_counted(redis_client: redis.Redis) -> None:
    assert measured("tick_age") == []
    redis_client.set(stream.TICKED, clock.now() - 60 * clock.SECOND)
    assert measured("tick_age")[0][1] >= 60
    DeadLetter.objects.create(stream="pharos:logs", entry_id="1-0", reason="no", payload={})
    assert measured("dead_letters") == [({}, 1.0)]
    assert measured("checks_overdue") == [({}, 0.0)]
    assert 0 < measured("disk_free")[0][1] < 100


def test_a_channel_that_fails() -> None:
    channel = made.channel()
    assert measured("channel_failing") == []
    channel.failing_since = timezone.now()
    channel.save(update_fields=["failing_since"])
    assert measured("channel_failing")[0][0] == {"channel": str(channel)}


def test_without_redis_it_can_not_be_measured() -> None:
    with override_settings(REDIS_URL="redis://127.0.0.1:1/0"):
        for value in ("ingest_wait", "tick_age", "process_missing"):
            with pytest.raises(ConditionError, match="Redis is away"):
                measured(value)


def test_a_rule_on_it_fires(redis_client: redis.Redis) -> None:
    DeadLetter.objects.create(stream="pharos:logs", entry_id="1-0", reason="no", payload={})
    rule = AlertRule.objects.create(
        name="Letters", kind="pharos_value", config={"value": "dead_letters"}, operator=">",
        thresholds=[{"severity": "low", "value": 0}],
    )  # fmt: skip
    rule.full_clean()
    evaluating.evaluate([rule], timezone.now())
    assert Alert.objects.get().annotations["detail"] == "1 dead letter"
