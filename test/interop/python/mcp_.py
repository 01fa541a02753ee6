import asyncio
import os
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import urlsplit
import json

import httpx2
from mcp.client.auth.extensions.client_credentials import ClientCredentialsOAuthProvider

issuer, client_id, client_secret, server_url = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "MCP_URL")
)
parts = urlsplit(server_url)
origin = f"{parts.scheme}://{parts.netloc}"


class Server(BaseHTTPRequestHandler):
    """The MCP server that the client calls: it names the authorization server."""

    def do_GET(self):
        if self.path.startswith("/.well-known/oauth-protected-resource"):
            self.answer(200, json.dumps({"resource": server_url, "authorization_servers": [issuer]}))
        else:
            self.answer(404, "{}")

    def do_POST(self):
        self.rfile.read(int(self.headers.get("content-length", "0")))
        authorization = self.headers.get("authorization")
        if self.path != parts.path:
            self.answer(404, "{}")
        elif authorization is None:
            where = f"{origin}/.well-known/oauth-protected-resource{parts.path}"
            self.answer(401, "{}", {"www-authenticate": f'Bearer resource_metadata="{where}"'})
        else:
            self.answer(200, json.dumps(authorization))

    def answer(self, status, body, headers={}):
        self.send_response(status)
        for name, value in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


class Storage:
    tokens = None
    client_info = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client_info

    async def set_client_info(self, client_info):
        self.client_info = client_info


async def main():
    storage = Storage()
    # --- snippet
    provider = ClientCredentialsOAuthProvider(
        server_url=server_url,
        storage=storage,
        client_id=client_id,
        client_secret=client_secret,
        issuer=issuer,
    )
    # --- end
    async with httpx2.AsyncClient(auth=provider) as client:
        response = await client.post(server_url, json={})
        print(response.json().removeprefix("Bearer "))


threading.Thread(target=HTTPServer(("127.0.0.1", parts.port), Server).serve_forever, daemon=True).start()
asyncio.run(main())
