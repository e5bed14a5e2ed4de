"""What the pages show: pure functions from the store to plain data. No value of a secret ever leaves this package."""
