"""MySQL servers and the way into them. Nothing of Google's APIs here."""
