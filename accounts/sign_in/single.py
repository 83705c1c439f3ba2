"""Single sign-on by either protocol: who may come in, and the roles that the provider gives."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, Final

from allauth.core.exceptions import ImmediateHttpResponse
from allauth.socialaccount.adapter import DefaultSocialAccountAdapter
from django.conf import settings
from django.contrib.auth.models import Group, User
from django.http import HttpRequest
from django.urls import reverse
from django.utils.translation import gettext

from accounts.sign_in.adapters import turned_away

log = logging.getLogger("accounts.sign_in")

# As allauth stores it with each account. There is one provider.
PROVIDER: Final = "sso"
UID_MAX: Final = 191


class ProviderError(Exception):
    """The provider did not answer, or not as its protocol wants it; the text says how."""


class SingleSignOn(DefaultSocialAccountAdapter):
    """People are matched by the provider's subject, never by an address: see docs/adr/0017-sign-in.md."""

    def is_open_for_signup(self, request: HttpRequest, sociallogin: Any) -> bool:
        return True  # pre_social_login has turned away who has no role

    def pre_social_login(self, request: HttpRequest, sociallogin: Any) -> None:
        if sociallogin.state.get("process") == "connect":
            return  # somebody who is in already joins the accounts; roles come with the next sign-in
        roles = granted(sociallogin.account.extra_data)
        user = sociallogin.user if sociallogin.is_existing else None
        if user:
            synchronise(user, roles)
        if not roles and not _has_rights_of_its_own(user):
            sentence = gettext("%(provider)s gives you no role in Pharos. Ask whoever looks after it there.")
            name = user.get_username() if user else sociallogin.user.get_username()
            answer = turned_away(request, name, sentence % {"provider": settings.SSO_NAME})
            raise ImmediateHttpResponse(answer)

    def save_user(self, request: HttpRequest, sociallogin: Any, form: Any = None) -> Any:
        user = super().save_user(request, sociallogin, form)
        synchronise(user, granted(sociallogin.account.extra_data))
        return user

    def get_connect_redirect_url(self, request: HttpRequest, socialaccount: Any) -> str:
        return reverse("account")

    def on_authentication_error(
        self, request: HttpRequest, provider: Any, error: Any = None, exception: Any = None, extra_context: Any = None
    ) -> None:
        said = str(exception or request.GET.get("error_description") or request.GET.get("error") or error)[:300]
        log.warning("Sign-in with %s failed: %s", settings.SSO_NAME, said, extra={"provider": settings.SSO_NAME})
        sentence = gettext("Signing in with %(provider)s did not work. Try again; the log says why.")
        sentence %= {"provider": settings.SSO_NAME}
        raise ImmediateHttpResponse(turned_away(request, f"somebody at {settings.SSO_NAME}", sentence))


def _has_rights_of_its_own(user: User | None) -> bool:
    """Given in Pharos. Without a mapping of roles all are, and somebody new may come in to be given one."""
    if not settings.SSO_ROLES:
        return True
    return user is not None and (user.is_superuser or user.groups.exists())


def granted(said: Mapping[str, Any]) -> frozenset[str]:
    """The roles that the provider gives, by what it said: OpenID Connect's claims are in `id_token` and `userinfo`,
    SAML's in `attributes`; each is a dict."""
    values = {value for part in ("userinfo", "id_token", "attributes") for value in claimed(said.get(part) or {})}
    # Keycloak writes the path of a group: "/ops".
    roles = {settings.SSO_ROLES[name] for value in values if (name := value.lstrip("/")) in settings.SSO_ROLES}
    return frozenset(roles or filter(None, [settings.SSO_DEFAULT_ROLE]))


def claimed(claims: Mapping[str, Any], path: str | None = None) -> Iterable[str]:
    """The values of the claim: a list or one text, under its whole name or down a dotted path."""
    path = path or settings.SSO_ROLES_CLAIM
    found: Any = claims.get(path)
    if found is None:
        found = claims
        for step in path.split("."):
            found = found.get(step) if isinstance(found, Mapping) else None
    if isinstance(found, str):
        return [found]
    return [value for value in found if isinstance(value, str)] if isinstance(found, list) else []


def synchronise(user: User, roles: frozenset[str]) -> None:
    """Gives `roles`, and takes those away that the provider could give and doesn't. Other groups are left alone."""
    theirs = {*settings.SSO_ROLES.values(), *filter(None, [settings.SSO_DEFAULT_ROLE])}
    had = set(user.groups.filter(name__in=theirs).values_list("name", flat=True))
    user.groups.remove(*Group.objects.filter(name__in=had - roles))
    user.groups.add(*(Group.objects.get_or_create(name=name)[0] for name in roles - had))
    if had != roles:
        name, said = user.get_username(), ", ".join(sorted(roles)) or "none"
        log.info("%s has the roles of the provider: %s", name, said, extra={"user": name, "roles": sorted(roles)})
