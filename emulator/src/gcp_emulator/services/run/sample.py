"""What the stand-ins for Google's sample images run: a page, a task that succeeds, or a worker. Needs no more than a bare Python."""

import os
import signal
import socket
import sys

_PAGE = b"<!doctype html><title>Congratulations</title><h1>It's running!</h1>\n"


def serve() -> None:
    """Answers each request with the same page."""
    with socket.create_server(("0.0.0.0", int(os.environ.get("PORT", "8080"))), backlog=128) as server:  # noqa: S104 - a container's own
        while True:
            connection, _ = server.accept()
            with connection:
                while b"\r\n\r\n" not in connection.recv(65536):
                    break
                head = (
                    f"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len(_PAGE)}\r\n"
                    "Connection: close\r\n\r\n"
                )
                connection.sendall(head.encode() + _PAGE)


def work_once() -> None:
    """Says which task it is."""
    index, attempt = (
        os.environ.get("CLOUD_RUN_TASK_INDEX", "0"),
        os.environ.get("CLOUD_RUN_TASK_ATTEMPT", "0"),
    )
    print(f"Starting Task #{index}, Attempt #{attempt}...\nCompleted Task #{index}.", flush=True)


def work_on() -> None:
    """Waits for the end."""
    print("Worker is running.", flush=True)
    signal.pause()


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
{"hello": serve, "job": work_once, "worker-pool": work_on}[sys.argv[1]]()
