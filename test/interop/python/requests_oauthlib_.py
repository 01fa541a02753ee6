import os

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
# --- snippet
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
token = session.fetch_token(
    token_url=f"{issuer}/token", client_id=client_id, client_secret=client_secret, resource=audience
)
# --- end
print(token["access_token"])
