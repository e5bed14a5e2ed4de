#!/bin/bash
# A new data folder gets the user, the passwords and the database that MYSQL_USER, MYSQL_PASSWORD_FILE, MYSQL_ROOT_PASSWORD_FILE and
# MYSQL_DATABASE name; then the command takes this process's place. As the official image, less what nobody uses here.
set -euo pipefail
data=/var/lib/mysql
[[ ${1:-} == -* ]] && set -- mysqld "$@"
[[ ${1:-} == mysqld ]] || exec "$@"
if [[ $(id -u) == 0 ]]; then
    chown mysql:mysql "$data"
    exec setpriv --reuid mysql --regid mysql --init-groups -- "$0" "$@"
fi
if [[ ! -d $data/mysql ]]; then
    : "${MYSQL_ROOT_PASSWORD_FILE:?the file with the password of root must be named}"
    mysqld --no-defaults --datadir="$data" --initialize-insecure
fi
# Run before anybody can connect, at every start: a start that was ended in the middle leaves nothing half done.
umask 077
cat >/var/run/mysqld/init.sql <<SQL
ALTER USER root@localhost IDENTIFIED BY '$(<"$MYSQL_ROOT_PASSWORD_FILE")';
CREATE DATABASE IF NOT EXISTS \`$MYSQL_DATABASE\`;
CREATE USER IF NOT EXISTS '$MYSQL_USER'@'%' IDENTIFIED BY '$(<"$MYSQL_PASSWORD_FILE")';
GRANT ALL ON \`$MYSQL_DATABASE\`.* TO '$MYSQL_USER'@'%';
SQL
shift
exec mysqld --no-defaults --datadir="$data" --socket=/var/run/mysqld/mysqld.sock --secure-file-priv=NULL \
    --init-file=/var/run/mysqld/init.sql "$@"
