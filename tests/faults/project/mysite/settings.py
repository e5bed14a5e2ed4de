SECRET_KEY = "only-to-be-found"
