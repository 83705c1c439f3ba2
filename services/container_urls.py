"""`/containers/`"""

from __future__ import annotations

from django.urls import path

from services import container_views as views

app_name = "containers"
urlpatterns = [
    path("", views.listing, name="list"),
    path("found/", views.found, name="found"),
    path("<int:pk>/", views.detail, name="detail"),
]
