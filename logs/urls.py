"""`/logs/`: the page, its fragments, and a page for each line."""

from __future__ import annotations

from django.urls import path, register_converter

from logs import api, connect, usage, views
from logs.store.base import Position


class PositionConverter:
    """A record's id, "1700000000000000-1234567", as its position."""

    regex = r"\d{1,19}-\d{1,19}"

    def to_python(self, value: str) -> Position:
        timestamp, sequence = map(int, value.split("-"))
        if max(timestamp, sequence) >= 1 << 63:
            raise ValueError("beyond what a store can hold")
        return timestamp, sequence

    def to_url(self, value: Position | str) -> str:
        return value if isinstance(value, str) else f"{value[0]}-{value[1]}"


register_converter(PositionConverter, "position")

app_name = "logs"
urlpatterns = [
    path("", views.page, name="page"),
    path("older/", views.older, name="older"),
    path("chart/", views.chart, name="chart"),
    path("services/", views.services, name="services"),
    path("values/", views.values, name="values"),
    path("export", api.export, name="export"),
    path("saved/", views.save, name="save"),
    path("saved/<int:pk>/remove/", views.remove, name="remove"),
    path("user/", views.user, name="user"),
    path("usage/", usage.page, name="usage"),
    path("connect/", connect.page, name="connect"),
    path("connect/key/", connect.make_key, name="make_key"),
    path("connect/<slug:slug>/", connect.page, name="connect"),
    path("connect/<slug:slug>/waiting/", connect.waiting, name="waiting"),
    path("<position:position>/", views.row, name="row"),
]
