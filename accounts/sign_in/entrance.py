"""The sign-in page, and the way through a provider. Second steps are in `accounts.sign_in.pages`."""

from __future__ import annotations

import logging
import time
from importlib import import_module
from typing import Any, Final

from allauth.account.forms import LoginForm
from allauth.account.views import LoginView
from allauth.decorators import rate_limit
from django import forms
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST, require_safe
from unfold.widgets import BASE_INPUT_CLASSES

from accounts.sign_in.adapters import turned_away
from core.pages import shell

log = logging.getLogger("accounts.sign_in")

# Where the session says that its user wants to join the account with the provider's, and until when (Unix time).
JOINING: Final = "sso_joining_until"


class InOurShell:
    """A view of allauth's with our template, in our look."""

    title: Any
    request: HttpRequest

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        found = super().get_context_data(**kwargs)  # type: ignore[misc]
        found.pop("object", None)  # unfold takes it for one of the admin's, and links to its list
        for value in found.values():
            if isinstance(value, forms.BaseForm):
                _dress(value)
        return shell(self.request, str(self.title), **found) | {"site_url": ""}  # there is no site to return to


def _dress(form: forms.BaseForm) -> None:
    for field in form.fields.values():
        if not isinstance(field.widget, forms.CheckboxInput | forms.HiddenInput):
            field.widget.attrs["class"] = " ".join(BASE_INPUT_CLASSES)
            field.widget.attrs.pop("placeholder", None)  # it says what the label says


class SignInForm(LoginForm):
    def add_prefix(self, field_name: str) -> str:
        # As Django and browsers know it.
        return str(super().add_prefix("username" if field_name == "login" else field_name))


class SignIn(InOurShell, LoginView):
    """`/login/`"""

    title = _("Log in")
    form_class = SignInForm
    template_name = "registration/login.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        single = bool(settings.SSO)
        # With single sign-on alone the form is one click away: for the day when the provider is down.
        emergency = settings.SSO_ONLY and not (self.request.method == "POST" or "password" in self.request.GET)
        return super().get_context_data(**kwargs) | {
            "single": settings.SSO_NAME if single else "",
            "sso_url": self.passthrough_next_url(reverse("sso")),
            "by_password": not emergency,
        }


def too_many(request: HttpRequest) -> HttpResponse:
    """429 of the pages whose limit is allauth's; all of these count for a minute."""
    title = gettext("Too many attempts")
    answer = render(request, "accounts/too_many.html", shell(request, title, site_url=""), status=429)
    answer["Retry-After"] = "60"
    return answer


@require_safe
@never_cache
def single_sign_on(request: HttpRequest) -> HttpResponse:
    """`/login/sso/`: off to the provider. To join an account only for who has just asked for it on our page."""
    if not settings.SSO:
        raise Http404
    joining = request.GET.get("process", "login") != "login"
    if joining and time.time() > request.session.pop(JOINING, 0):
        return redirect("account-sso")
    return _with_provider(request, "start")


@require_safe
@never_cache
def sso_callback(request: HttpRequest) -> HttpResponse:
    """`/login/sso/callback/`: back from the provider."""
    if not settings.SSO:
        raise Http404
    return _with_provider(request, "callback")


@csrf_exempt  # it is the provider that sends it: its signature, and the request that it answers, are asked for instead
@require_POST
@never_cache
@rate_limit(action="login")  # type: ignore[untyped-decorator]
def sso_answer(request: HttpRequest) -> HttpResponse:
    """`/login/sso/answer/`: the form in which SAML brings what the provider says."""
    if settings.SSO != "saml":
        raise Http404
    return _with_provider(request, "receive")


@require_safe
def sso_metadata(request: HttpRequest) -> HttpResponse:
    """`/login/sso/metadata/`: what a SAML provider must know of us."""
    if settings.SSO != "saml":
        raise Http404
    from accounts.sign_in.saml.metadata import ours_as_xml

    return HttpResponse(ours_as_xml(), content_type="application/samlmetadata+xml")


def _with_provider(request: HttpRequest, verb: str) -> HttpResponse:
    # Megabytes that nobody needs without single sign-on.
    provider = import_module("accounts.sign_in." + ("saml.provider" if settings.SSO == "saml" else "openid"))
    try:
        answer: HttpResponse = getattr(provider, verb)(request)
    except provider.ProviderError as error:
        log.warning("Sign-in with %s failed: %s", settings.SSO_NAME, error, extra={"provider": settings.SSO_NAME})
        sentence = gettext("%(provider)s does not answer as it should. Try again; the log says why.")
        return turned_away(request, f"somebody at {settings.SSO_NAME}", sentence % {"provider": settings.SSO_NAME})
    return answer
