import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
from requests_oauth2client import OAuth2Client

client = OAuth2Client(token_endpoint=f"{issuer}/token", client_id=client_id, client_secret=client_secret)
token = client.client_credentials(resource=audience)
# --- end
print(token.access_token)
