"""What builds images and runs them; it knows nothing of Google's APIs."""
