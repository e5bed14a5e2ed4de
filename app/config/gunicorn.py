"""gunicorn on Cloud Run: https://docs.gunicorn.org/en/stable/settings.html

Every value can be overridden with `GUNICORN_CMD_ARGS`; the number of workers is gunicorn's own `WEB_CONCURRENCY`
(default 1: an instance has one CPU, and Cloud Run adds instances).
"""

from __future__ import annotations

import os
from pathlib import Path

bind = f"0.0.0.0:{os.environ.get('PORT', '8080')}"
worker_class = "gthread"
threads = 8  # times the workers: the `maxInstanceRequestConcurrency` that suits this site
# Cloud Run ends slow requests itself. gunicorn's own clock would kill a worker whose CPU Cloud Run had only throttled.
timeout = 0
graceful_timeout = 8  # Cloud Run kills ten seconds after SIGTERM
# The heartbeat file: in memory where Linux offers it, never on a disk that can stall.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108
control_socket_disable = True  # nobody can reach it in a container, and the home directory is not writable
