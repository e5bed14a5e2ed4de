# Runs once before the other services: refuses data that this stack cannot use, and makes what it needs.
set -euo pipefail

fail() {
    printf 'error: %s\n' "$*" >&2
    exit 1
}

case $DATABASE in
    postgresql) data=/var/lib/postgresql/data ;;
    mysql) data=/var/lib/mysql ;;
esac
if [[ $DATABASE == postgresql && -s $data/PG_VERSION && $(<"$data/PG_VERSION") != "$PG_MAJOR" ]]; then
    fail "the volume of the database was made by PostgreSQL $(<"$data/PG_VERSION"), and this stack runs $PG_MAJOR. Save" \
        "the data with the older stack (docker compose exec db pg_dump --username=app app >dump.sql), remove the" \
        "volumes (docker compose down --volumes), start this one and load the dump."
fi
free=$(($(df --output=avail --block-size=1M "$data" | tail -n 1)))
if ((free < 500)); then
    fail "the engine has $free MiB of free space, and this stack needs 500: docker system df tells what takes it," \
        "docker system prune frees what no container uses."
fi

# secret OWNER FILE COMMAND... - what the command prints, readable by its one reader only; a file that is there stays.
secret() {
    local owner=$1 file=/run/secrets/$2
    shift 2
    [[ -e $file ]] && return
    install -d -m 755 "${file%/*}"
    "$@" >"$file.new"
    chown "$owner" "$file.new"
    chmod 400 "$file.new"
    mv "$file.new" "$file"
}
random() { head -c 48 /dev/urandom | base64 --wrap=0 | tr -d '+/'; }
# As in production, for either database.
postgresql_url() { printf 'postgres://app:%s@//cloudsql/djangogcp-local:us-central1:polls/app' "$(<"/run/secrets/db/password")"; }
mysql_url() { printf 'mysql://app:%s@db:3306/app?charset=utf8mb4&ssl_mode=REQUIRED' "$(<"/run/secrets/mysql/password")"; }

umask 077
case $DATABASE in
    postgresql) secret postgres db/password random ;;
    mysql)
        secret mysql mysql/password random
        secret mysql mysql/root-password random
        ;;
esac
secret 2000 "site/$DATABASE/DATABASE_URL" "${DATABASE}_url"
secret 2000 site/SECRET_KEY random
secret 2000 superuser/password random

# The proxy's socket is in a folder that the proxy's user may write to; a bucket of fake-gcs-server is a folder.
chown 65532 /cloudsql
install -d -m 755 /storage/djangogcp-local-media /storage/djangogcp-local-static
