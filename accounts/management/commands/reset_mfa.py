"""`manage.py reset_mfa NAME`: for somebody who has lost the phone and the recovery codes."""

from __future__ import annotations

import logging
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.adapter import get_adapter
from allauth.usersessions.models import UserSession
from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction

log = logging.getLogger("accounts.sign_in")


class Command(BaseCommand):
    help = "Removes somebody's authenticator app, passkeys and recovery codes, and ends the sessions."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", help="as the person signs in")

    @transaction.atomic
    def handle(self, *args: Any, **options: Any) -> None:
        name = options["name"]
        user = User.objects.filter(username=name).first()
        if user is None:
            raise CommandError(f"There is no user {name!r}. Names are told apart by capitals, too.")
        removed, _ = Authenticator.objects.filter(user=user).delete()
        get_adapter().end_sessions(list(UserSession.objects.filter(user=user)))
        log.warning("The second factors of %s were removed on the command line", name, extra={"user": name})
        self.stdout.write(
            f"{name} has no second factor any more ({removed} removed) and is signed out. The password is still needed."
            if removed
            else f"{name} had no second factor. All sessions are ended."
        )
