"""Tiny applications as images, without building anything: the interpreter of this test and one file."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path

from gcp_emulator.workloads.images import Image, ImageConfig, Interpreter

PYTHON = os.path.realpath(getattr(sys, "_base_executable", sys.executable))
"""The interpreter of the images."""

SERVER = """
    import http.server, json, os, signal, sys, time
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = self.answer()
            self.send_response(200 if body is not None else 503)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())
        def log_message(self, *args):
            pass
        def answer(self):
            return {"pid": os.getpid(), "env": dict(os.environ)}
"""
SERVE = """
    http.server.ThreadingHTTPServer(("0.0.0.0", int(os.environ["PORT"])), Handler).serve_forever()
"""


def image_of(
    folder: Path,
    *sources: str,
    user: str = "2000",
    cmd: tuple[str, ...] | None = None,
    digest: str = "0" * 64,
) -> Image:
    """An image whose only file is /app/main.py, made of ``sources``, below ``folder``."""
    version = ".".join(map(str, sys.version_info[:3]))
    tree = folder / digest[:12]
    (tree / "app").mkdir(parents=True)
    for path in (folder, tree, tree / "app"):
        path.chmod(0o755)
    (tree / "app" / "main.py").write_text("".join(textwrap.dedent(source) for source in sources))
    config = ImageConfig(
        cmd=cmd or (PYTHON, "main.py"), user=user, working_dir="/app", env=("PYTHONUNBUFFERED=1",)
    )
    return Image(f"sha256:{digest}", config, tree, 0, 0.0, Interpreter(PYTHON, sys.base_prefix, version))


def reporting(expression: str) -> str:
    """A server (to be followed by SERVE) that answers the value of an expression."""
    return textwrap.dedent(SERVER) + f"    def answer(self):\n        return {expression}\n"
