"""Conversations with Google Cloud: recorded, cleaned of what is somebody's own, and held against what the emulator answers."""
