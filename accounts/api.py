"""What the API's addresses share: who may ask, and how an answer and a refusal look."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, Final

import msgspec
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.views.decorators.csrf import csrf_exempt

from accounts import acting, key_use, keys, visibility
from accounts.models import Scope
from core.parameters import ParameterError

View = Callable[..., HttpResponseBase]
READING: Final = ("GET", "HEAD")


def json_response(data: object, status: int = 200) -> HttpResponse:
    return HttpResponse(msgspec.json.encode(data), content_type="application/json", status=status)


def refusal(request: HttpRequest, user: Any, permission: str, to_do: str) -> HttpResponse | None:
    """The answer for somebody who may not read; None for somebody who may. `to_do` is what they wanted: "read logs"."""
    if plain := _given(request):
        return _key_refusal(request, plain, Scope.READ)
    if user.has_perm(permission):
        return None
    if not user.is_authenticated:
        return _unauthorized("expected a session or an API key: Authorization: Bearer <key>")
    return json_response({"error": f"your account lacks the permission to {to_do}"}, 403)


def key_given(request: HttpRequest) -> bool:
    return bool(_given(request))


def _given(request: HttpRequest) -> str:
    return keys.given(request.headers.get("authorization", ""), {"x-api-key": request.headers.get("x-api-key", "")})


def key_name(request: HttpRequest) -> str:
    """The name of the key that it brings; "" without one."""
    access = access_of(request)
    return access.name if access else ""


def access_of(request: HttpRequest) -> keys.Access | None:
    """What the key that it brings allows; None without a valid one."""
    return keys.find(plain, _client(request)) if (plain := _given(request)) else None


def _client(request: HttpRequest) -> str:
    return str(request.META.get("REMOTE_ADDR") or "")


def _key_refusal(request: HttpRequest, plain: str, scope: Scope) -> HttpResponse | None:
    access, address = keys.find(plain, _client(request)), acting.known_address(_client(request))
    if access is None:
        key_use.refused(plain, address)
        return _unauthorized(keys.why_refused(plain))
    key_use.used(access.key_id, access.name, address)
    acting.with_key(access.name)
    if not access.allows(scope):
        key_use.refused(plain, address, f"lacks the scope {scope.value}")
        return json_response({"error": f"the key {access.name!r} lacks the scope {scope.value}"}, 403)
    if access.services and scope != Scope.INGEST:
        match = request.resolver_match
        if match is None or not visibility.is_filtered(match):
            return json_response({"error": f"this shows all services, and the key {access.name!r} is for some"}, 403)
    visibility.show_to_key(access)
    return None


def _unauthorized(message: str) -> HttpResponse:
    response = json_response({"error": message}, 401)
    response["WWW-Authenticate"] = 'Bearer realm="Pharos"'
    return response


def for_readers(permission: str, to_do: str) -> Callable[[View], View]:
    """Lets in a key that reads and a user with `permission`, and turns a ParameterError into a 400 that says where and
    why."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method not in READING:
                return wrong_method(*READING)
            if answer := refusal(request, request.user, permission, to_do):
                return answer
            return _answered(view, request, *args, **kwargs)

        return csrf_exempt(checked)  # nothing is changed here: the method is the answer, not a missing token

    return decorate


def for_keys(scope: Scope, method: str = "POST") -> Callable[[View], View]:
    """Lets in `method` with a key of the scope. A session is not enough: a foreign page could send its cookie."""

    def decorate(view: View) -> View:
        @wraps(view)
        def checked(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            if request.method != method:
                return wrong_method(method)
            plain = _given(request)
            if not plain:
                return _unauthorized(f"expected an API key with the scope {scope.value}: Authorization: Bearer <key>")
            return _key_refusal(request, plain, scope) or _answered(view, request, *args, **kwargs)

        return csrf_exempt(checked)

    return decorate


for_admin_keys: Final = for_keys(Scope.ADMIN)


def _answered(view: View, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
    try:
        return view(request, *args, **kwargs)
    except ParameterError as error:
        return bad_parameter(error)


def wrong_method(*expected: str) -> HttpResponse:
    response = json_response({"error": f"expected {expected[0]}"}, 405)
    response["Allow"] = ", ".join(expected)
    return response


def bad_parameter(error: ParameterError) -> HttpResponse:
    detail: dict[str, Any] = {"error": error.message, "parameter": error.field}
    if error.position is not None:
        detail["position"] = error.position
    return json_response(detail, 400)
