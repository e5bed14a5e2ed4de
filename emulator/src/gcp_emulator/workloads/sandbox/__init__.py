"""One process tree that sees its image and what it is handed."""
