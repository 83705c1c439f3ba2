"""The OpenID Connect provider. Imported at the first sign-in through it: `requests` takes 6 MB."""

from __future__ import annotations

from hashlib import blake2s
from typing import Any

from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.oauth2.client import OAuth2Error
from allauth.socialaccount.providers.oauth2.views import OAuth2CallbackView, OAuth2LoginView
from allauth.socialaccount.providers.openid_connect.provider import OpenIDConnectProvider
from allauth.socialaccount.providers.openid_connect.views import OpenIDConnectOAuth2Adapter
from allauth.utils import build_absolute_uri
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from requests import RequestException

from accounts.sign_in.single import PROVIDER, UID_MAX, ProviderError


class Connection(OpenIDConnectOAuth2Adapter):
    def get_callback_url(self, request: HttpRequest, app: Any) -> str:
        return str(build_absolute_uri(request, reverse("sso-callback")))

    def complete_login(self, request: HttpRequest, app: Any, token: Any, **kwargs: Any) -> Any:
        login = super().complete_login(request, app, token, **kwargs)
        said = login.account.extra_data
        subjects = {part["sub"] for name in ("id_token", "userinfo") if (part := said.get(name))}
        if len(subjects) != 1:
            # OpenID Connect Core 5.3.2: what is said of somebody else must not be used.
            raise OAuth2Error("the identity token and the user information are of two people")
        return login


class Provider(OpenIDConnectProvider):
    oauth2_adapter_class = Connection

    def extract_uid(self, data: Any) -> str:
        """A subject is unique at its issuer: after a change of the provider "42" is somebody else."""
        issuer = blake2s(self.app.settings["server_url"].encode(), digest_size=4).hexdigest()
        uid = f"{issuer}:{super().extract_uid(data)}"
        if len(uid) > UID_MAX:
            raise OAuth2Error(f"the subject must have at most {UID_MAX - 9} characters")
        return uid


registry.register(Provider)


def start(request: HttpRequest) -> HttpResponse:
    """Raises ProviderError."""
    return _dispatch(OAuth2LoginView, request)


def callback(request: HttpRequest) -> HttpResponse:
    """Raises ProviderError."""
    return _dispatch(OAuth2CallbackView, request)


def _dispatch(view: Any, request: HttpRequest) -> HttpResponse:
    try:
        answer: HttpResponse = view.adapter_view(Connection(request, PROVIDER))(request)
    except RequestException as error:
        raise ProviderError(str(error)) from error
    except (KeyError, ValueError) as error:
        raise ProviderError(f"its configuration or an answer of it can't be read ({error!r})") from error
    return answer
