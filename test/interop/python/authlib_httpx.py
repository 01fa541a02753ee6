import asyncio
import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
from authlib.integrations.httpx_client import AsyncOAuth2Client


async def request_token() -> dict[str, str]:
    async with AsyncOAuth2Client(client_id, client_secret) as client:
        return await client.fetch_token(f"{issuer}/token", grant_type="client_credentials", resource=audience)
# --- end


print(asyncio.run(request_token())["access_token"])
