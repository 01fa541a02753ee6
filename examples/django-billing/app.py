"""Billing: a service on Django. Every call needs a token, and it calls the orders service with a token of its own.

python app.py serves it. The settings are environment variables; README.md lists them.
"""

import json
import os
import secrets
from pathlib import Path
from typing import Any

import django
import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_GET, require_http_methods

from mintmark import ClientTls, ServerTls, TokenSource, Verifier, read_credential
from mintmark.signatures import RequestVerifier, SignatureKey
from mintmark.signing import RequestSigner, SignedRequests
from mintmark.uvicorn import run

env = os.environ
host, port = env.get("HOST", "127.0.0.1"), int(env.get("PORT", "9002"))
issuer = env.get("ISSUER", "http://127.0.0.1:8080")
audience = env.get("AUDIENCE", "https://billing.example.com")
peer_url = env.get("PEER_URL", "http://127.0.0.1:9001")
peer_audience = env.get("PEER_AUDIENCE", "https://orders.example.com")
credentials_file = Path(env.get("CLIENT_CREDENTIALS_FILE", Path(__file__).parent.parent / "secrets.json"))
credential = read_credential(credentials_file, env.get("CLIENT_ID", "billing-service"))

# With a certificate: served over https, callers show one of the authority too, and calls show this one.
certificate, key, authority = (env.get(name) for name in ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"))
ca_file = env.get("TLS_CA_FILE", authority)
required = env.get("TLS_CLIENT_CERTIFICATE", "required") == "required"
serving = ServerTls(certificate, key, authority, require_client_certificate=required) if certificate else None
calling = ClientTls(certificate, key, ca_file) if certificate or ca_file else None

# With a shared secret, or the key of the certificate: invoices have to be signed for, and so are the calls to orders.
signing = env.get("SIGNED_REQUESTS", "no")
shared: list[SignatureKey] = []
signer: RequestSigner | None = None
if signing == "secret":
    shared = [SignatureKey.shared_secret("shared", Path(env["SIGNING_SECRET_FILE"]).read_bytes())]
    signer = RequestSigner(shared[0].key, keyid="shared")
elif signing == "certificate":
    signer = RequestSigner(load_pem_private_key(Path(env["TLS_KEY_FILE"]).read_bytes(), None))  # type: ignore[arg-type]

settings.configure(
    ROOT_URLCONF=__name__,
    ALLOWED_HOSTS=["*"],
    SECRET_KEY=secrets.token_hex(),
    APPEND_SLASH=False,
    # Nothing is open but what is listed: a view cannot forget it.
    MIDDLEWARE=["mintmark.django.TokenMiddleware"],
    MINTMARK={
        "verifier": Verifier(
            issuer=issuer,
            audience=audience,
            name="django-billing",
            tls=calling,
            require_binding=env.get("REQUIRE_BOUND_TOKENS") == "yes",
            on_outcome=lambda outcome: print(f"{outcome.path} {outcome.subject or '-'} {outcome.code}", flush=True),
        ),
        "public_url": env.get("PUBLIC_URL", f"{'https' if certificate else 'http'}://{host}:{port}"),
        "requests": RequestVerifier(shared),
        "open_paths": ["/health"],
    },
)
django.setup()

from mintmark.django import require_token  # noqa: E402  # Django has to be set up first.

tokens = TokenSource(issuer, credential, tls=calling)
auth = tokens.auth(peer_audience, "orders:read")
orders = httpx.Client(
    base_url=peer_url,
    auth=SignedRequests(signer, auth) if signer else auth,
    **({} if calling is None else {"verify": calling}),  # type: ignore[arg-type]
)
invoices: list[dict[str, Any]] = []


@require_GET
def health(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"status": "ok"})


@require_http_methods(["GET", "POST"])
def all_invoices(request: HttpRequest) -> JsonResponse:
    return add_invoice(request) if request.method == "POST" else list_invoices(request)


@require_token("invoices:read")
def list_invoices(request: HttpRequest) -> JsonResponse:
    return JsonResponse({"invoices": invoices})


@require_token("invoices:write", signed=signer is not None)
def add_invoice(request: HttpRequest) -> JsonResponse:
    """Bills an order. The amount comes from the orders service itself."""
    try:
        number = int(json.loads(request.body)["order"])
    except (ValueError, KeyError, TypeError):
        return JsonResponse({"error": "invalid_request"}, status=400)
    answer = orders.get(f"/orders/{number}")
    answer.raise_for_status()
    invoice = {"number": len(invoices) + 1, "order": number, "amount": answer.json()["amount"]}
    invoices.append({**invoice, "by": request.claims.client_id})  # type: ignore[attr-defined]
    return JsonResponse(invoice, status=201)


urlpatterns = [path("health", health), path("invoices", all_invoices)]

if __name__ == "__main__":
    from django.core.handlers.asgi import ASGIHandler

    run(ASGIHandler(), host=host, port=port, tls=serving, log_level="warning", lifespan="off")
