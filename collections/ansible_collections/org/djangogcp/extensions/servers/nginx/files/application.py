"""An application server for the trial: says what it is asked, as JSON. Usage: application.py NAME ADDRESS"""

import json
import os
import socket
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

NAME, ADDRESS = sys.argv[1:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self) -> str:
        # A peer on a Unix socket has none.
        return "nginx"

    def do_GET(self) -> None:
        length = len(self.rfile.read(int(self.headers.get("Content-Length") or 0)))
        if self.path == "/slow/":
            time.sleep(0.2)
        said = {
            "application": NAME,
            "path": self.path,
            "length": length,
            "headers": {key.lower(): value for key, value in self.headers.items()},
        }
        body = json.dumps(said).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        if self.path == "/own/":
            self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET  # noqa: N815 - a name of http.server


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        self.socket.bind(self.server_address)
        os.chmod(self.server_address, 0o666)  # noqa: S103 - nginx runs as another user
        self.server_name, self.server_port = NAME, 0

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        return self.socket.accept()[0], ("nginx", 0)


if ADDRESS.startswith("/"):
    if os.path.exists(ADDRESS):
        os.unlink(ADDRESS)
    server = UnixServer(ADDRESS, Handler)
else:
    server = ThreadingHTTPServer(("127.0.0.1", int(ADDRESS)), Handler)
server.serve_forever()
