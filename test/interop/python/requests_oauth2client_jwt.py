import json
import os

issuer, client_id, kid, audience = (os.environ[name] for name in ("ISSUER", "CLIENT_ID", "KEY_ID", "AUDIENCE"))
with open(os.environ["PRIVATE_JWK_FILE"]) as file:
    key = {**json.load(file), "kid": kid, "alg": "ES256"}
# --- snippet
from requests_oauth2client import OAuth2Client, PrivateKeyJwt

client = OAuth2Client(
    token_endpoint=f"{issuer}/token",
    auth=PrivateKeyJwt(client_id, key, aud=issuer),  # without aud it names the token endpoint
)
token = client.client_credentials(resource=audience)
# --- end
print(token.access_token)
