# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""gunicorn's own lines, as the site's."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

from gunicorn.glogging import Logger as GunicornLogger

from django_on_google_cloud.logs import JsonFormatter


class Logger(GunicornLogger):
    """Writes JSON on standard output: ``gunicorn --logger-class django_on_google_cloud.server.Logger``."""

    def setup(self, cfg: Any) -> None:
        """As gunicorn does, but for where its errors go."""
        super().setup(cfg)
        for handler in self.error_log.handlers:
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                handler.setStream(sys.stdout)
                handler.setFormatter(JsonFormatter(os.environ.get("GOOGLE_CLOUD_PROJECT", "")))
