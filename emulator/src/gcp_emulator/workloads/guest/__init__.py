"""What is in a virtual machine that is a container: its Dockerfile, its units, and `environment`, which stands in for Google's guest environment."""
