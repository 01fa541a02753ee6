import os
import socket
import struct
import threading

issuer, client_id, client_secret, ca_file = (
    os.environ[name] for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET", "SSL_CERT_FILE")
)
ended = threading.Event()
token = None


def read(connection: socket.socket) -> bytes:
    (size,) = struct.unpack(">i", connection.recv(4, socket.MSG_WAITALL))
    return connection.recv(size, socket.MSG_WAITALL)


def write(connection: socket.socket, answer: bytes) -> None:
    connection.sendall(struct.pack(">i", len(answer)) + answer)


def serve(server: socket.socket) -> None:
    """As much of a broker as is needed to be shown a token: versions, handshake, authentication."""
    global token
    connection, _ = server.accept()
    while token is None:
        request = read(connection)
        kind, version, correlation = struct.unpack_from(">hhi", request)
        if kind == 18:
            kinds = [(3, 0, 4), (17, 0, 1), (18, 0, 0), (36, 0, 0)]
            answer = b"".join(struct.pack(">hhh", *each) for each in kinds)
            write(connection, struct.pack(">ihi", correlation, 35 if version > 0 else 0, len(kinds)) + answer)
        elif kind == 17:
            write(connection, struct.pack(">ihih", correlation, 0, 1, 11) + b"OAUTHBEARER")
        else:
            token = request.split(b"auth=Bearer ")[1].split(b"\x01")[0].decode()
    ended.set()


server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=serve, args=(server,), daemon=True).start()
broker = f"127.0.0.1:{server.getsockname()[1]}"


def on_error(error: object) -> None:
    if "oauth" in str(error).lower() or "token" in str(error).lower():
        print(error, flush=True)
        ended.set()


# --- snippet
from confluent_kafka import Producer

producer = Producer({
    "bootstrap.servers": broker,
    "security.protocol": "SASL_PLAINTEXT",  # with a real broker: SASL_SSL
    "sasl.mechanisms": "OAUTHBEARER",
    "sasl.oauthbearer.method": "oidc",
    "sasl.oauthbearer.client.id": client_id,
    "sasl.oauthbearer.client.secret": client_secret,
    "sasl.oauthbearer.token.endpoint.url": f"{issuer}/token",
    "https.ca.location": ca_file,
# --- end
    "error_cb": on_error,
})
while not ended.is_set():
    producer.poll(0.1)
print(token, flush=True)
os._exit(0)
