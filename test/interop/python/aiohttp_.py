import asyncio
import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
import aiohttp


async def request_token() -> dict[str, str]:
    async with aiohttp.ClientSession(auth=aiohttp.BasicAuth(client_id, client_secret)) as session:
        form = {"grant_type": "client_credentials", "resource": audience}
        async with session.post(f"{issuer}/token", data=form) as response:
            return await response.json()
# --- end


answer = asyncio.run(request_token())
print(answer.get("access_token") or answer["error_description"])
