import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
import httpx
from httpx_auth import OAuth2ClientCredentials

auth = OAuth2ClientCredentials(
    f"{issuer}/token", client_id=client_id, client_secret=client_secret, resource=audience
)
# with httpx.Client() as client: client.get("https://orders.example.com/orders", auth=auth)
# --- end
transport = httpx.MockTransport(lambda request: httpx.Response(200, text=request.headers["authorization"]))
with httpx.Client(transport=transport) as client:
    print(client.get(audience, auth=auth).text.removeprefix("Bearer "))
