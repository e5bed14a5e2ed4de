"""The container engine of this machine, for the tests that need one."""

from __future__ import annotations

BASE = "python:3.13-slim"
"""The image that app/Dockerfile is based on, and so one that is there where the project is tested."""
