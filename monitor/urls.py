"""Every address but those of `logs.edge.WAYS`: see monitor/asgi.py."""

from django.apps import apps
from django.contrib import admin
from django.urls import include, path

from accounts.trail import views as trail
from alerts import incident_api
from logs import api
from monitor import doctor_page, first_steps, health, metrics, overview, service_lines, time_zone
from services import api as services_api
from services import container_api

# Here, and not with the apps: processes without pages need neither the screens nor the memory that they take.
admin.autodiscover()
# django-allauth's lists are for its own look; what people need of them is on their account's page.
for _app in ("account", "mfa", "socialaccount", "usersessions"):
    admin.site.unregister(
        [model for model in apps.get_app_config(_app).get_models() if admin.site.is_registered(model)]
    )

handler429 = "accounts.sign_in.entrance.too_many"

handler403 = "core.pages.refused"
urlpatterns = [
    path("", overview.overview, name="overview"),
    path("status/", overview.status, name="status"),
    path("first-steps/", first_steps.page, name="first-steps"),
    path("first-steps/begun/", first_steps.begun, name="first-steps-begun"),
    path("first-steps/waiting/", first_steps.waiting, name="first-steps-waiting"),
    path("account/time-zone/", time_zone.page, name="time-zone"),
    path("logs/", include("logs.urls")),
    path("services/", include("services.urls")),
    path("services/<int:pk>/lines/", service_lines.lines, name="service-lines"),
    path("containers/", include("services.container_urls")),
    path("", include("alerts.urls")),
    path("", include("alerts.alertmanager.urls")),
    path("", include("accounts.sign_in.urls")),
    path("admin/", admin.site.urls),
    path("trail/", trail.page, name="trail"),
    path("trail/export", trail.exported, name="trail-export"),
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
    path("api/services", services_api.services, name="api-services"),
    path("api/services/", services_api.services),
    path("api/services/status", services_api.status, name="api-services-status"),
    path("monitoring/services/status", services_api.status),
    path("api/services/<int:pk>", services_api.service, name="api-service"),
    path("api/services/<int:pk>/results", services_api.results, name="api-service-results"),
    path("api/services/<int:pk>/check", services_api.check_now, name="api-service-check"),
    path("api/services/<int:pk>/pause", services_api.pause, name="api-service-pause"),
    path("api/services/<int:pk>/resume", services_api.resume, name="api-service-resume"),
    path("api/incidents", incident_api.incidents, name="api-incidents"),
    path("api/incidents/", incident_api.incidents),
    path("api/incidents/times", incident_api.times, name="api-incident-times"),
    path("api/incidents/<int:pk>", incident_api.incident, name="api-incident"),
    path("api/incidents/<int:pk>/evidence", incident_api.evidence, name="api-incident-evidence"),
    path("api/incidents/<int:pk>/<str:verb>", incident_api.act, name="api-incident-act"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("ready", health.takes_lines, name="ready"),
    path("doctor/", doctor_page.page, name="doctor"),
    path("doctor/guide/", doctor_page.guide, name="doctor-guide"),
    path("metrics", metrics.page, name="metrics"),
]
