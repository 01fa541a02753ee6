"""A middleware and a decorator for Django, for sync and async views.

    MINTMARK = {"issuer": "https://tokens.example.com", "audience": "https://billing.example.com"}
    MIDDLEWARE = [..., "mintmark.django.TokenMiddleware"]

    @require_token("billing:read")
    def invoices(request):
        request.claims.client_id

The decorator needs no middleware. The middleware is for services where everything needs a token: then nobody can forget
the decorator. `open_paths` in the settings lists what is open all the same.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from .claims import Claims
from .errors import VerifyError
from .verifier import Verifier
from .web import Gate, Request, client_certificate, path_as_sent

try:
    from asgiref.sync import iscoroutinefunction, markcoroutinefunction
    from django.conf import settings
    from django.core.exceptions import ImproperlyConfigured
    from django.core.signals import setting_changed
    from django.http import HttpRequest, HttpResponseBase, JsonResponse
except ImportError as error:
    raise ImportError("This needs an extra: pip install 'mintmark[django]'") from error

View = TypeVar("View", bound=Callable[..., Any])

#: Members of the setting that are ours. All others are those of `Verifier`.
_OURS = ("verifier", "public_url", "requests", "certificate", "open_paths")


@functools.cache
def gate() -> Gate:
    """The gate of this process, made from the setting MINTMARK when it is first needed."""
    given = dict(getattr(settings, "MINTMARK", {}))
    ours = {name: given.pop(name) for name in _OURS if name in given}
    try:
        verifier = ours.get("verifier") or Verifier(**given)
        return Gate(verifier, ours.get("public_url"), ours.get("requests"))
    except (TypeError, ValueError) as error:
        raise ImproperlyConfigured(f"MINTMARK: {error}") from error


def _setting_changed(*, setting: str, **_: Any) -> None:
    if setting == "MINTMARK":
        gate.cache_clear()


setting_changed.connect(_setting_changed)


def require_token(*scopes: str, signed: bool = False) -> Callable[[View], View]:
    """Let requests into a view with a token that has these scopes. The view finds `request.claims`."""

    def decorate(view: View) -> View:
        if iscoroutinefunction(view):

            @functools.wraps(view)
            async def async_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
                try:
                    await _admit_async(request, scopes, signed)
                except VerifyError as error:
                    return _refusal(error)
                return cast(HttpResponseBase, await view(request, *args, **kwargs))

            return cast(View, async_view)

        @functools.wraps(view)
        def sync_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
            try:
                _admit(request, scopes, signed)
            except VerifyError as error:
                return _refusal(error)
            return cast(HttpResponseBase, view(request, *args, **kwargs))

        return cast(View, sync_view)

    return decorate


class TokenMiddleware:
    """Lets no request in without a token, apart from `open_paths`. Scopes are the decorator's."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        # A mistake in the settings is found at the start, not with the first request.
        gate()
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        if iscoroutinefunction(self):
            return self._call_async(request)
        if not _is_open(request):
            try:
                _admit(request, (), False)
            except VerifyError as error:
                return _refusal(error)
        return self._get_response(request)

    async def _call_async(self, request: HttpRequest) -> HttpResponseBase:
        if not _is_open(request):
            try:
                await _admit_async(request, (), False)
            except VerifyError as error:
                return _refusal(error)
        return cast(HttpResponseBase, await cast(Awaitable[Any], self._get_response(request)))


def _is_open(request: HttpRequest) -> bool:
    # Whole paths. With prefixes, /health would open /healthy-secrets.
    return request.path in settings.MINTMARK.get("open_paths", ())


def _known(request: HttpRequest, scopes: tuple[str, ...]) -> Claims | None:
    """The claims that the middleware has verified. A proof counts once, so it cannot be verified again."""
    claims: Claims | None = getattr(request, "claims", None)
    if claims is not None and not claims.has_scope(*scopes):
        raise gate().verifier.refused("scope_insufficient", scopes=scopes, path=request.path)
    return claims


def _admit(request: HttpRequest, scopes: tuple[str, ...], signed: bool) -> None:
    facts = _facts(request)
    claims = _known(request, scopes) or gate().authenticate(facts, scopes)
    if signed:
        gate().check_signature(facts, claims, request.body)
    request.claims = claims  # type: ignore[attr-defined]


async def _admit_async(request: HttpRequest, scopes: tuple[str, ...], signed: bool) -> None:
    facts = _facts(request)
    claims = _known(request, scopes) or await gate().authenticate_async(facts, scopes)
    if signed:
        gate().check_signature(facts, claims, request.body)
    request.claims = claims  # type: ignore[attr-defined]


def _facts(request: HttpRequest) -> Request:
    certificate = settings.MINTMARK.get("certificate") or _certificate
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        path = (scope.get("raw_path") or path_as_sent(scope["path"]).encode()).partition(b"?")[0]
        query = scope.get("query_string", b"")
        headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    else:
        # WSGI joins headers that came twice with a comma: what may stand once is then refused.
        path = (request.META.get("RAW_URI") or path_as_sent(request.path_info)).encode("latin-1")
        path, query = path.partition(b"?")[0], request.META.get("QUERY_STRING", "").encode("latin-1")
        headers = list(request.headers.items())
    target = path + (b"?" + query if query else b"")
    return Request(str(request.method), target.decode("latin-1"), headers, certificate(request))


def _certificate(request: HttpRequest) -> Any:
    """The certificate of the connection, from an ASGI server that tells it, from gunicorn, or from mod_ssl.

    Headers are named HTTP_… in META, so a caller cannot set these.
    """
    scope: dict[str, Any] | None = getattr(request, "scope", None)
    if scope is not None:
        return client_certificate(scope)
    connection: Any = request.META.get("gunicorn.socket")
    if hasattr(connection, "getpeercert"):
        return connection.getpeercert(binary_form=True)
    return request.META.get("SSL_CLIENT_CERT")


def _refusal(error: VerifyError) -> JsonResponse:
    return JsonResponse(error.body, status=error.status, headers=error.headers)
