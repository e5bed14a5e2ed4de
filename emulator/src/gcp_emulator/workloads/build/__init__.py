"""Images from Dockerfiles, made with this machine's Python."""
