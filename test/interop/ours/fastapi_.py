import asyncio
import os

issuer, audience, token = (os.environ[name] for name in ("ISSUER", "AUDIENCE", "TOKEN"))
# --- snippet
from typing import Annotated

from fastapi import Depends, FastAPI
from mintmark import Claims, Verifier
from mintmark.fastapi import Guard

app = FastAPI()
guard = Guard(Verifier(issuer=issuer, audience=audience, name="orders"))


@app.get("/orders")
async def orders(claims: Annotated[Claims, Depends(guard("orders:read"))]) -> dict[str, str]:
    return {"caller": claims.client_id}
# --- end


async def ask() -> int:
    import httpx

    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=audience) as client:
        answer = await client.get("/orders", headers={"authorization": f"Bearer {token}"})
    print(answer.json()["caller"] if answer.status_code == 200 else answer.headers["www-authenticate"])
    return int(answer.status_code != 200)


raise SystemExit(asyncio.run(ask()))
