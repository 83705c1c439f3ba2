"""Samples are thinned after a day and forgotten after a month."""

from __future__ import annotations

from datetime import timedelta

import pytest

from core import clock
from services import containers, samples
from services.models import Container, ContainerEvent, ContainerSample
from tests.services.docker_hosts import NOW, event, inspected, labels_of, write

NOW_US = clock.micros(NOW)


@pytest.fixture
def container(db: None) -> Container:
    write(inspected("orders", labels_of(service="orders")))
    return Container.objects.get()


def sample(container: Container, ago: int, cpu: float | None, span: int = 10) -> None:
    """`ago` in µs."""
    ContainerSample.objects.create(
        container=container, at=NOW_US - ago, span=span, cpu_percent=cpu, memory_bytes=101, network_rx=None
    )


def kept() -> list[tuple[int, int, float | None]]:
    """Seconds ago, span, CPU."""
    rows = ContainerSample.objects.order_by("at", "pk").values_list("at", "span", "cpu_percent")
    return [((NOW_US - at) // clock.SECOND, span, cpu) for at, span, cpu in rows]


def test_five_minutes_become_one_row(container: Container) -> None:
    day = 86_400
    for number in range(60):
        sample(container, (day + 600 - number * 10) * clock.SECOND, float(number % 30) if number != 5 else None)
    samples.keep_house(NOW_US, 10)
    first, second = kept()
    assert (first[:2], second[:2]) == ((day + 600, 300), (day + 300, 300))
    assert first[2] == pytest.approx((sum(range(30)) - 5) / 29), "None is no zero"
    row = ContainerSample.objects.earliest("at")
    assert (row.memory_bytes, row.network_rx) == (101, None)

    samples.keep_house(NOW_US, 10)
    assert kept() == [first, second]


def test_the_last_day_stays_as_it_is_and_half_a_slot_waits(container: Container) -> None:
    for ago in (0, clock.HOUR, clock.DAY - clock.SECOND, clock.DAY + 2 * clock.SECOND):
        sample(container, ago, 1.0)
    samples.keep_house(NOW_US + 100 * clock.SECOND, 10)
    assert [span for _, span, _ in kept()] == [300, 10, 10, 10]


def test_what_is_older_than_a_month_goes(container: Container) -> None:
    sample(container, 31 * clock.DAY, 1.0, span=300)
    sample(container, 29 * clock.DAY, 2.0, span=300)
    for days in (31, 29):
        ContainerEvent.objects.create(container=container, at=NOW - timedelta(days=days), kind="start")
        Container.objects.create(
            host=container.host, container_id=f"gone {days}", name="gone", state="removed", state_since=NOW,
            removed_at=NOW - timedelta(days=days),
        )  # fmt: skip
    samples.keep_house(NOW_US, 10)
    assert [cpu for _, _, cpu in kept()] == [2.0]
    assert ContainerEvent.objects.count() == 1
    assert set(Container.objects.values_list("container_id", flat=True)) == {container.container_id, "gone 29"}


def test_what_stood_for_a_deleted_service_goes(container: Container) -> None:
    write(gone=[container.container_id])
    samples.keep_house(NOW_US, 10)
    container.refresh_from_db()
    assert container.removed_at is None
    assert container.service
    container.service.delete()
    samples.keep_house(NOW_US, 10)
    container.refresh_from_db()
    assert container.removed_at == NOW


def test_without_time_nothing_is_done(container: Container) -> None:
    sample(container, 31 * clock.DAY, 1.0)
    assert samples.keep_house(NOW_US, -1) == 0
    assert len(kept()) == 1


def test_replicas_that_get_one_image_are_one_deploy(db: None) -> None:
    old = [inspected(f"o-{number}", labels_of(service="orders")) for number in range(2)]
    write(*old)
    for number, minutes in ((0, 1), (1, 2), (0, 60)):
        image = "shop:2" if minutes < 60 else "shop:3"
        new = inspected(f"o-{number}", labels_of(service="orders"), at=NOW + timedelta(minutes=minutes), image=image)
        write(new, gone=[old[number].id], events=[event(new, "start", minutes * 60)])
        old[number] = new
    service = Container.objects.filter(removed_at=None).values_list("service", flat=True)[0]
    assert service
    found = containers.deploys(service, NOW, NOW + timedelta(days=1))
    assert [(at - NOW, detail) for at, detail in found] == [
        (timedelta(minutes=1), "image shop:1 → shop:2"),
        (timedelta(minutes=60), "image shop:2 → shop:3"),
    ]
    assert containers.deploys(service, NOW + timedelta(minutes=5), NOW + timedelta(minutes=30)) == []
