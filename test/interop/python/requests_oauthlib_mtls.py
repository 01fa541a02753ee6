import os

mtls_url, client_id, audience, certificate_file, key_file = (
    os.environ[name] for name in ("MTLS_URL", "CLIENT_ID", "AUDIENCE", "CERTIFICATE_FILE", "CERTIFICATE_KEY_FILE")
)
# --- snippet
from oauthlib.oauth2 import BackendApplicationClient
from requests_oauthlib import OAuth2Session

session = OAuth2Session(client=BackendApplicationClient(client_id=client_id))
token = session.fetch_token(
    token_url=f"{mtls_url}/token", include_client_id=True, cert=(certificate_file, key_file), resource=audience
)
# --- end
print(token["access_token"])
