"""Answer 503 to everything: the placeholder of a site of which nothing was released yet. Runs in `python -c`.

Its argument is code that defines `RIGHTS` and `refused`. It runs as the account of the site, so it can tell which of those rights have not
taken effect.
"""

import http.server
import json
import os
import signal
import socketserver
import sys

PAGE = b"This site has not been released yet.\n"
RIGHTS_PATH = "/-/rights"
rights: dict = {"RIGHTS": [], "refused": list}
exec(sys.argv[1] if sys.argv[1:] else "", rights)  # noqa: S102 - it comes from who wrote this


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every method in the same way."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("do_"):
            return self.refuse
        raise AttributeError(name)

    def refuse(self) -> None:
        page, kind = PAGE, "text/plain; charset=utf-8"
        if self.path == RIGHTS_PATH:
            refused = rights["refused"](rights["RIGHTS"])
            page, kind = json.dumps({"refused": refused}).encode(), "application/json"
        self.send_response(503)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(page)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Retry-After", "60")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(page)

    def log_message(self, *_: object) -> None:
        """Cloud Run logs requests."""


class Server(socketserver.ThreadingTCPServer):
    """Not http.server's, which looks up the name of its host when it starts."""

    allow_reuse_address = True
    daemon_threads = True


# The first process of a container ignores signals that it does not handle.
signal.signal(signal.SIGTERM, lambda *_: sys.exit())
Server(("", int(os.environ["PORT"])), Handler).serve_forever()
