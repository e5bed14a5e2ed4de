#!/bin/bash
# A new data folder gets the user, the password and the database that POSTGRES_USER, POSTGRES_PASSWORD_FILE and
# POSTGRES_DB name; then the command takes this process's place. As the official image, less what nobody uses here.
set -euo pipefail
[[ ${1:-} == -* ]] && set -- postgres "$@"
[[ ${1:-} == postgres ]] || exec "$@"
if [[ $(id -u) == 0 ]]; then
    chown postgres:postgres "$PGDATA"
    chmod 700 "$PGDATA"
    exec setpriv --reuid postgres --regid postgres --init-groups -- "$0" "$@"
fi
if [[ ! -s $PGDATA/PG_VERSION ]]; then
    : "${POSTGRES_PASSWORD_FILE:?the file with the password of the new user must be named}"
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    initdb --username "$user" --pwfile "$POSTGRES_PASSWORD_FILE" --auth-local trust --auth-host scram-sha-256
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
    if [[ $database != postgres ]]; then
        # Nobody can connect before the database is there: this server listens on its socket only.
        pg_ctl start --wait --silent -o "-c listen_addresses=''"
        createdb --username "$user" --maintenance-db postgres "$database"
        pg_ctl stop --wait --silent --mode fast
    fi
fi
exec "$@"
