"""`/incidents/`, `/silences/`, `/alerts/` and `/reports/`."""

from __future__ import annotations

from django.urls import path

from alerts import alert_views, incident_views, link_views, report_views, route_views, silence_views

app_name = "alerts"
urlpatterns = [
    path("incidents/", incident_views.page, name="incidents"),
    path("incidents/acknowledge/", incident_views.acknowledge_some, name="acknowledge-some"),
    path("incidents/<int:pk>/", incident_views.incident, name="incident"),
    path("incidents/<int:pk>/acknowledge/", incident_views.acknowledge, name="acknowledge"),
    path("incidents/<int:pk>/acknowledge/<str:token>/", link_views.acknowledge, name="acknowledge-link"),
    path("incidents/<int:pk>/unacknowledge/", incident_views.unacknowledge, name="unacknowledge"),
    path("incidents/<int:pk>/resolve/", incident_views.resolve, name="resolve"),
    path("incidents/<int:pk>/reopen/", incident_views.reopen, name="reopen"),
    path("incidents/<int:pk>/escalate/", incident_views.escalate, name="escalate"),
    path("incidents/<int:pk>/assign/", incident_views.assign, name="assign"),
    path("incidents/<int:pk>/comment/", incident_views.comment, name="comment"),
    path("incidents/<int:pk>/tick/", incident_views.tick, name="tick"),
    path("incidents/<int:pk>/silence/", incident_views.silence, name="silence"),
    path("alerts/", alert_views.page, name="alerts"),
    path("alerts/routes/", route_views.page, name="routes"),
    path("silences/", silence_views.page, name="silences"),
    path("silences/new/", silence_views.new, name="silence-new"),
    path("silences/preview/", silence_views.preview, name="silence-preview"),
    path("silences/<uuid:pk>/", silence_views.edit, name="silence-edit"),
    path("silences/<uuid:pk>/expire/", silence_views.expire, name="silence-expire"),
    path("reports/<str:cadence>/", report_views.page, name="reports"),
    path("reports/<str:cadence>/tick/", report_views.tick, name="report-tick"),
]
