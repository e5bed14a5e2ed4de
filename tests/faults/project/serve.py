"""Answers every request with the release that it is of; the one that is called broken answers 500."""

import http.server
import os
import pathlib

RELEASE = pathlib.Path("release.txt").read_text("utf-8")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(500 if RELEASE == "broken" else 200)
        self.send_header("Content-Length", str(len(RELEASE)))
        self.end_headers()
        self.wfile.write(RELEASE.encode())


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
