import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
from authlib.integrations.requests_client import OAuth2Session

client = OAuth2Session(client_id, client_secret)
token = client.fetch_token(f"{issuer}/token", grant_type="client_credentials", resource=audience)
# --- end
print(token["access_token"])
