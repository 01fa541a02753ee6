import os

mtls_url, client_id, audience, certificate_file, key_file = (
    os.environ[name] for name in ("MTLS_URL", "CLIENT_ID", "AUDIENCE", "CERTIFICATE_FILE", "CERTIFICATE_KEY_FILE")
)
# --- snippet
import requests

response = requests.post(
    f"{mtls_url}/token",
    cert=(certificate_file, key_file),
    data={"grant_type": "client_credentials", "client_id": client_id, "resource": audience},
)
answer = response.json()
# --- end
print(answer.get("access_token") or answer["error_description"])
