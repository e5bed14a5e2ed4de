"""PostgreSQL servers and the way into them."""
