import json
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

issuer, client_id, client_secret, audience = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "AUDIENCE")
)
shown = []


class Catalog(BaseHTTPRequestHandler):
    """A catalog without tables. It notes the token of its callers."""

    def do_GET(self):
        shown.append(self.headers["Authorization"].removeprefix("Bearer "))
        body = json.dumps({"defaults": {}, "overrides": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Catalog)
threading.Thread(target=server.serve_forever, daemon=True).start()
catalog_url = f"http://127.0.0.1:{server.server_port}"
# --- snippet
from pyiceberg.catalog import load_catalog

catalog = load_catalog("lake", **{
    "type": "rest",
    "uri": catalog_url,
    "oauth2-server-uri": f"{issuer}/token",
    "credential": f"{client_id}:{client_secret}",
    "scope": "orders:read",  # without it: catalog
    "resource": audience,
})
# --- end
print(shown[-1])
