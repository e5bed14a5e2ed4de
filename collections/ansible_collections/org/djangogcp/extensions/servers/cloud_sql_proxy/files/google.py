"""What the proxy asks Google to know an instance: a token, what kind of database it is, and a certificate."""

import json
import os
import socket
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

AUTHORITY = Path("/etc/trial/authority.pem").read_text("utf-8")


class Handler(BaseHTTPRequestHandler):
    def answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path == "/token":
            said = {"access_token": "trial", "token_type": "Bearer", "expires_in": 3600}
        elif ":generateEphemeralCert" in self.path:
            said = {"ephemeralCert": {"cert": AUTHORITY}}
        else:
            # https://cloud.google.com/sql/docs/postgres/admin-api/rest/v1beta4/connect/get
            mysql = "/legacy/" in self.path
            said = {
                "kind": "sql#connectSettings",
                "databaseVersion": "MYSQL_8_4" if mysql else "POSTGRES_17",
                "backendType": "SECOND_GEN",
                "region": "europe-west1",
                "ipAddresses": [
                    {"type": "PRIMARY", "ipAddress": "127.0.0.9"},
                    {"type": "PRIVATE", "ipAddress": "127.0.0.9"},
                ],
                "serverCaMode": "GOOGLE_MANAGED_INTERNAL_CA",
                "serverCaCert": {"cert": AUTHORITY},
            }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer  # noqa: N815 - names of http.server


server = ThreadingHTTPServer(("127.0.0.1", 9999), Handler)
# It has started when it listens: what is started after it at a boot asks it at once.
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
    systemd.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
server.serve_forever()
