"""How much of each rate is used up, in the one place that all instances share: the database."""

from __future__ import annotations

from django.db import models


class Throttle(models.Model):
    """What one client has used of one rate. Neither address nor account can be read from it."""

    key = models.CharField(max_length=64, primary_key=True)
    free_at = models.BigIntegerField(
        db_index=True
    )  # microseconds since 1970; until then some of the rate is used

    def __str__(self) -> str:
        return self.key
