import os

issuer, audience = os.environ["ISSUER"], os.environ["AUDIENCE"]
client_id, client_secret = os.environ["CLIENT_ID"], os.environ["CLIENT_SECRET"]
# --- snippet
from requests_oauth2client import DPoPKey, OAuth2Client

client = OAuth2Client(f"{issuer}/token", client_id=client_id, client_secret=client_secret)
key = DPoPKey.generate(alg="ES256")  # one for as long as the process runs
token = client.client_credentials(resource=audience, dpop=True, dpop_key=key)
# --- end
print(token.access_token)
