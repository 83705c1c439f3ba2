"""`/services/`"""

from __future__ import annotations

from django.urls import path

from services import heartbeat_views, sla_views

app_name = "services"
urlpatterns = [
    path("heartbeat/<int:pk>/", heartbeat_views.page, name="heartbeat"),
    path("sla/", sla_views.page, name="sla"),
    path("sla/export", sla_views.export, name="sla-export"),
]
