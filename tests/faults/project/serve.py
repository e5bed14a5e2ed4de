"""Answers every request with the release that it is of, and the first page with a signed address; the one called broken answers 500."""

import http.server
import os
import pathlib
import traceback

import cloud

RELEASE = pathlib.Path("release.txt").read_text("utf-8")


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        try:
            cloud.query("SELECT 1")
            cloud.download(os.environ["GS_STATIC_BUCKET_NAME"], "staticfiles.json")
            cloud.sign(b"GET a private upload")
            status = 500 if RELEASE == "broken" else 200
        except Exception:
            traceback.print_exc()
            status = 500
        self.send_response(status)
        self.send_header("Content-Length", str(len(RELEASE)))
        self.end_headers()
        self.wfile.write(RELEASE.encode())


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
