"""Google Cloud on loopback: the APIs answered from Google's discovery documents, the deployed things really run."""

from __future__ import annotations

__version__ = "0.9.0"
