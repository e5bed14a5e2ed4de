"""The same work done by a container engine."""
