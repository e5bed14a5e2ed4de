# Copyright (c) 2026, The djangogcp contributors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""E-mail where there is no server for it."""

from __future__ import annotations

import logging
from typing import Any, Sequence

from django.core.mail.backends.base import BaseEmailBackend

logger = logging.getLogger(__name__)


class UnsentEmailBackend(BaseEmailBackend):
    """Says that a message was not sent, and to how many. Neither its text nor who was to get it is logged: it may be a way in."""

    def send_messages(self, email_messages: Sequence[Any]) -> int:
        """Sends none; a page that sends a message goes on, as it does while a mail server loses it."""
        for message in email_messages:
            logger.warning(
                "An e-mail to %s recipients was not sent: there is no mail server. Set EMAIL_HOST (and EMAIL_HOST_USER, EMAIL_HOST_PASSWORD).",
                len(message.recipients()),
            )
        return 0
