"""Every address but those of `logs.edge.WAYS`: see monitor/asgi.py."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from core.pages import LoginPage
from logs import api
from monitor import health, overview
from services import container_api

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("status/", overview.status, name="status"),
    path("logs/", include("logs.urls")),
    path("services/", include("services.urls")),
    path("login/", LoginPage.as_view(), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
    path("admin/", admin.site.urls),
    path("api/logs", api.search, name="api-logs"),
    path("api/logs/", api.search),
    path("api/logs/histogram", api.histogram, name="api-histogram"),
    path("api/logs/values", api.values, name="api-values"),
    path("api/logs/export", api.export, name="api-export"),
    path("api/logs/stream", api.stream, name="api-stream"),
    path("api/logs/<str:record_id>", api.record, name="api-record"),
    path("api/logs/<str:record_id>/context", api.context, name="api-context"),
    path("", include("services.pings")),
    path("api/containers", container_api.containers, name="api-containers"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("ready", health.takes_lines, name="ready"),
]
