"""`/silences/` and `/alerts/`."""

from __future__ import annotations

from django.urls import path

from alerts import route_views, silence_views

app_name = "alerts"
urlpatterns = [
    path("alerts/routes/", route_views.page, name="routes"),
    path("silences/", silence_views.page, name="silences"),
    path("silences/new/", silence_views.new, name="silence-new"),
    path("silences/preview/", silence_views.preview, name="silence-preview"),
    path("silences/<uuid:pk>/", silence_views.edit, name="silence-edit"),
    path("silences/<uuid:pk>/expire/", silence_views.expire, name="silence-expire"),
]
