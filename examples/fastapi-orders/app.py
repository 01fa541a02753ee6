"""Orders: a service on FastAPI. Every call needs a token, and it calls the billing service with a token of its own.

python app.py serves it. The settings are environment variables; README.md lists them.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from fastapi import Depends, FastAPI, HTTPException
from pydantic import BaseModel, Field

from mintmark import AsyncTokenSource, Claims, ClientTls, ServerTls, Verifier, read_credential
from mintmark.fastapi import Guard
from mintmark.signatures import RequestVerifier, SignatureKey
from mintmark.signing import RequestSigner, SignedRequests
from mintmark.uvicorn import run

env = os.environ
host, port = env.get("HOST", "127.0.0.1"), int(env.get("PORT", "9001"))
issuer = env.get("ISSUER", "http://127.0.0.1:8080")
audience = env.get("AUDIENCE", "https://orders.example.com")
peer_url = env.get("PEER_URL", "http://127.0.0.1:9002")
peer_audience = env.get("PEER_AUDIENCE", "https://billing.example.com")
credentials_file = Path(env.get("CLIENT_CREDENTIALS_FILE", Path(__file__).parent.parent / "secrets.json"))
credential = read_credential(credentials_file, env.get("CLIENT_ID", "orders-service"))

# With a certificate: served over https, callers show one of the authority too, and calls show this one.
certificate, key, authority = (env.get(name) for name in ("TLS_CERTIFICATE_FILE", "TLS_KEY_FILE", "TLS_CLIENT_CA_FILE"))
ca_file = env.get("TLS_CA_FILE", authority)
required = env.get("TLS_CLIENT_CERTIFICATE", "required") == "required"
serving = ServerTls(certificate, key, authority, require_client_certificate=required) if certificate else None
calling = ClientTls(certificate, key, ca_file) if certificate or ca_file else None

# With a shared secret, or the key of the certificate: orders have to be signed, and so are the calls to billing.
signing = env.get("SIGNED_REQUESTS", "no")
shared: list[SignatureKey] = []
signer: RequestSigner | None = None
if signing == "secret":
    shared = [SignatureKey.shared_secret("shared", Path(env["SIGNING_SECRET_FILE"]).read_bytes())]
    signer = RequestSigner(shared[0].key, keyid="shared")
elif signing == "certificate":
    signer = RequestSigner(load_pem_private_key(Path(env["TLS_KEY_FILE"]).read_bytes(), None))  # type: ignore[arg-type]

tokens = AsyncTokenSource(issuer, credential, tls=calling)
guard = Guard(
    Verifier(
        issuer=issuer,
        audience=audience,
        name="fastapi-orders",
        tls=calling,
        require_binding=env.get("REQUIRE_BOUND_TOKENS") == "yes",
        on_outcome=lambda outcome: print(f"{outcome.path} {outcome.subject or '-'} {outcome.code}", flush=True),
    ),
    public_url=env.get("PUBLIC_URL", f"{'https' if certificate else 'http'}://{host}:{port}"),
    requests=RequestVerifier(shared),
)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    auth = tokens.auth(peer_audience, "invoices:write")
    options: dict[str, Any] = {} if calling is None else {"verify": calling}
    async with (
        tokens,
        httpx.AsyncClient(
            base_url=peer_url, auth=SignedRequests(signer, auth) if signer else auth, **options
        ) as app.state.billing,
    ):
        yield


app = FastAPI(title="Orders", lifespan=lifespan)
orders: dict[int, dict[str, Any]] = {}


class NewOrder(BaseModel):
    item: str = Field(max_length=200)
    amount: int = Field(gt=0)


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}


@app.get("/orders")
async def list_orders(_: Annotated[Claims, Depends(guard("orders:read"))]) -> list[dict[str, Any]]:
    return list(orders.values())


@app.get("/orders/{number}")
async def show_order(number: int, _: Annotated[Claims, Depends(guard("orders:read"))]) -> dict[str, Any]:
    if number not in orders:
        raise HTTPException(404)
    return orders[number]


@app.post("/orders", status_code=201)
async def add_order(
    order: NewOrder, claims: Annotated[Claims, Depends(guard("orders:write", signed=signer is not None))]
) -> dict[str, Any]:
    """Takes an order, and has it billed. The billing service asks us for the amount: it believes nobody else."""
    number = len(orders) + 1
    orders[number] = {"number": number, "item": order.item, "amount": order.amount, "by": claims.client_id}
    answer = await app.state.billing.post("/invoices", json={"order": number})
    answer.raise_for_status()
    orders[number]["invoice"] = answer.json()["number"]
    return orders[number]


if __name__ == "__main__":
    run(app, host=host, port=port, tls=serving, log_level="warning")
