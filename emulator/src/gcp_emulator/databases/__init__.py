"""Databases that really run; they know nothing of Google's APIs."""
