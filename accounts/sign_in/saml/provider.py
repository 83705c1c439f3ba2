"""The SAML provider, as allauth and the pages of sign-in know one."""

from __future__ import annotations

import secrets
import zlib
from base64 import b64encode
from datetime import UTC, datetime
from hashlib import blake2s
from typing import Any, Final
from urllib.parse import urlencode
from xml.sax.saxutils import escape, quoteattr

import msgspec
from allauth.socialaccount.adapter import get_adapter
from allauth.socialaccount.helpers import complete_social_login
from allauth.socialaccount.providers import registry
from allauth.socialaccount.providers.base import Provider as AllauthProvider
from allauth.socialaccount.providers.base import ProviderAccount
from allauth.socialaccount.sessions import LoginSession
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from accounts.sign_in.saml import metadata
from accounts.sign_in.saml.answers import AnswerRefusedError, Said, read
from accounts.sign_in.saml.documents import NAMES, POST, DocumentError
from accounts.sign_in.saml.metadata import IdentityProvider, ServiceProvider
from accounts.sign_in.single import PROVIDER, UID_MAX, ProviderError
from core.outbound import OutboundError

# Between the answer and the page that it leads to, in a session of its own.
ANSWER: Final = "sso_answer"
ANSWER_SECONDS: Final = 60
EMAIL_ADDRESS: Final = "urn:oasis:names:tc:SAML:1.1:nameid-format:emailAddress"
# What of a person is taken over, and the attributes that it is looked for in.
FIELDS: Final = {
    "username": (
        "username", "preferred_username", "uid", "urn:oid:0.9.2342.19200300.100.1.1",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/name",
    ),
    "email": (
        "email", "mail", "urn:oid:0.9.2342.19200300.100.1.3", "urn:oid:1.2.840.113549.1.9.1",
        "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
    ),
    "first_name": (
        "firstName", "givenName", "urn:oid:2.5.4.42", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/givenname",
    ),
    "last_name": (
        "lastName", "surname", "sn", "urn:oid:2.5.4.4", "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/surname",
    ),
}  # fmt: skip


class Provider(AllauthProvider):
    id = "saml"
    name = "SAML"
    account_class = ProviderAccount
    supports_redirect = True

    def redirect(
        self, request: HttpRequest, process: str, next_url: str | None = None, data: Any = None, **kwargs: Any
    ) -> HttpResponse:
        them, us, number = metadata.provider(), metadata.ours(), f"_{secrets.token_hex(20)}"
        self.stash_redirect_state(request, process, next_url, data, state_id=number, **kwargs)
        return redirect(asked(them, us, number, datetime.now(UTC)))

    def extract_uid(self, data: Said) -> str:
        """A NameID is unique at its issuer: after a change of the provider "42" is somebody else."""
        uid = f"{blake2s(data.issuer.encode(), digest_size=4).hexdigest()}:{data.subject}"
        if len(uid) > UID_MAX:
            raise AnswerRefusedError(f"the NameID must have at most {UID_MAX - 9} characters")
        return uid

    def extract_extra_data(self, data: Said) -> dict[str, Any]:
        return {"attributes": data.attributes}

    def extract_common_fields(self, data: Said) -> dict[str, str]:
        found = {
            field: values[0]
            for field, names in FIELDS.items()
            if (values := next((data.attributes[name] for name in names if data.attributes.get(name)), None))
        }
        if data.subject_format == EMAIL_ADDRESS:
            found.setdefault("email", data.subject)
        return found


registry.register(Provider)


def start(request: HttpRequest) -> HttpResponse:
    """Off to the provider. Raises ProviderError."""
    try:
        answer: HttpResponse = get_adapter().get_provider(request, PROVIDER).redirect_from_request(request)
    except (OutboundError, DocumentError) as error:
        raise ProviderError(str(error)) from error
    return answer


def receive(request: HttpRequest) -> HttpResponse:
    """The provider's form. It comes from another site and so without our session: what is found right is kept for a
    minute under a cookie of its own, and read by `callback`, which has the session. Raises ProviderError."""
    try:
        them = metadata.provider()
        said = read(request.POST.get("SAMLResponse", ""), them, metadata.ours(), datetime.now(UTC))
    except (OutboundError, DocumentError) as error:
        raise ProviderError(str(error)) from error
    answer = redirect("sso-callback")
    kept = LoginSession(request, ANSWER, ANSWER)
    kept.store[ANSWER] = msgspec.to_builtins(said)
    kept.store.set_expiry(ANSWER_SECONDS)
    kept.save(answer)
    answer.cookies[ANSWER]["httponly"] = True
    return answer


def callback(request: HttpRequest) -> HttpResponse:
    """Back from the provider, in the browser that was sent there. Raises ProviderError."""
    kept = LoginSession(request, ANSWER, ANSWER)
    found = kept.store.get(ANSWER)
    kept.delete()
    if not found:
        raise ProviderError("there is no answer, or it is older than a minute")
    said = msgspec.convert(found, Said)
    provider = get_adapter().get_provider(request, PROVIDER)
    try:
        login = provider.sociallogin_from_response(request, said)
        # Once: the same answer a second time, or in another browser, finds nothing.
        login.state = provider.unstash_redirect_state(request, said.in_response_to)
    except DocumentError as error:
        raise ProviderError(str(error)) from error
    except PermissionDenied:
        raise ProviderError("this browser has not asked for this answer, or has used it already") from None
    answer: HttpResponse = complete_social_login(request, login)
    answer.delete_cookie(ANSWER, path=request.path)
    return answer


def asked(them: IdentityProvider, us: ServiceProvider, number: str, now: datetime) -> str:
    """The address that sends somebody to the provider."""
    document = (
        f'<samlp:AuthnRequest xmlns:samlp="{NAMES["protocol"]}" xmlns:saml="{NAMES["assertion"]}" ID="{number}"'
        f' Version="2.0" IssueInstant="{now:%Y-%m-%dT%H:%M:%SZ}" Destination={quoteattr(them.sign_in_url)}'
        f' ProtocolBinding="{POST}" AssertionConsumerServiceURL={quoteattr(us.answers_url)}>'
        f"<saml:Issuer>{escape(us.entity_id)}</saml:Issuer></samlp:AuthnRequest>"
    )
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    packed = packer.compress(document.encode()) + packer.flush()
    sign = "&" if "?" in them.sign_in_url else "?"
    return f"{them.sign_in_url}{sign}{urlencode({'SAMLRequest': b64encode(packed).decode()})}"
