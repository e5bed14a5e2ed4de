"""What a service that needs the database does first: it asks whether the sockets are there, once."""

import socket

for family, address in (
    (socket.AF_UNIX, "/run/cloudsql/trial:europe-west1:main/.s.PGSQL.5432"),
    (socket.AF_INET, ("127.0.0.1", 3306)),
):
    with socket.socket(family) as connection:
        connection.connect(address)
