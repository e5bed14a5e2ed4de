"""The command ``gcp-emulator``."""

from gcp_emulator.cli.commands import main

__all__ = ["main"]
