"""The addresses of an Alertmanager."""

from __future__ import annotations

from django.urls import path

from alerts.alertmanager import api

app_name = "alertmanager"
urlpatterns = [
    path("api/v2/alerts", api.alerts, name="alerts"),
    path("api/v2/alerts/groups", api.groups, name="groups"),
    path("api/v2/silences", api.silence_list, name="silences"),
    path("api/v2/silence/<uuid:pk>", api.silence, name="silence"),
    path("api/v2/receivers", api.receivers, name="receivers"),
    path("api/v2/status", api.status, name="status"),
    path("-/ready", api.ready, name="ready"),
    path("-/healthy", api.healthy, name="healthy"),
]
