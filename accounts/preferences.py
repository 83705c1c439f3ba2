"""What a user has chosen for themselves: the time zone that pages show."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.contrib.auth.signals import user_logged_in
from django.db import models
from django.dispatch import receiver
from django.http import HttpRequest

from core import timezone


class Preferences(models.Model):
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, models.CASCADE, primary_key=True, related_name="preferences", editable=False
    )
    time_zone = models.CharField(max_length=64, blank=True)  # as IANA names it; "": as the browser says
    first_steps = models.BooleanField(default=False, editable=False)  # is to be led to that page, once

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return f"preferences of {self.user}"


def choose_zone(request: HttpRequest, name: str) -> None:
    """`name` is "" for what the browser says. Other browsers take it when their user signs in again."""
    assert isinstance(request.user, User)
    Preferences.objects.update_or_create(user=request.user, defaults={"time_zone": name})
    timezone.choose(request, name)


FIRST_STEPS = "first_steps"  # in the session: the start page leads there


@receiver(user_logged_in)
def _take_along(request: HttpRequest | None, user: Any, **_: Any) -> None:
    if request is None:
        return
    found = Preferences.objects.filter(user=user).first()
    timezone.choose(request, found.time_zone if found else "")
    if found and found.first_steps:
        Preferences.objects.filter(user=user).update(first_steps=False)
        request.session[FIRST_STEPS] = True
