"""`/services/`: the list, a page for each service, heartbeats, the SLA report."""

from __future__ import annotations

from django.urls import path

from services import heartbeat_views, sla_views, views

app_name = "services"
urlpatterns = [
    path("", views.page, name="list"),
    path("more/", views.more, name="more"),
    path("<int:pk>/", views.detail, name="detail"),
    path("<int:pk>/chart/", views.chart, name="chart"),
    path("<int:pk>/check/", views.check_now, name="check-now"),
    path("<int:pk>/pause/", views.pause, name="pause"),
    path("<int:pk>/resume/", views.resume, name="resume"),
    path("heartbeat/<int:pk>/", heartbeat_views.page, name="heartbeat"),
    path("sla/", sla_views.page, name="sla"),
    path("sla/export", sla_views.export, name="sla-export"),
]
