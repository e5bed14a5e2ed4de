#!/usr/bin/env bash
# Makes .venv and finds the system packages: `tools/bootstrap.sh rehearse` or `tools/bootstrap.sh test`.
# Changes nothing outside the checkout except Debian/Ubuntu packages, each installed by name.
set -euo pipefail

cd "$(dirname "$0")/.."
purpose=${1:?usage: tools/bootstrap.sh rehearse|test}
venv=$PWD/.venv
export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$PWD/.cache/pip} PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }

find_python() {
    local candidate
    for candidate in ${PYTHON:+"$PYTHON"} python3 python3.13 python3.12 python3.11; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11) or sys.version_info >= (3, 14))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    fail "Python 3.11, 3.12 or 3.13 is needed and none was found; install python3 or set PYTHON to its path"
}

# apt_install PACKAGE... - installs as root or with password-less sudo; false when neither is possible.
apt_install() {
    local -a as_root=()
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing the packages $*"
    "${as_root[@]}" apt-get update -qq >/dev/null
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

make_venv() {
    local lock=requirements/$purpose.txt stamp=$venv/.installed-$purpose python
    local want
    want=$(sha256sum "$lock" emulator/pyproject.toml | sha256sum)
    [[ -f $stamp && $(<"$stamp") == "$want" ]] && return
    if [[ ! -x $venv/bin/python ]]; then
        python=$(find_python)
        say "making .venv with $("$python" --version)"
        "$python" -m venv "$venv" 2>/dev/null || {
            rm -rf "$venv"
            apt_install python3-venv || fail "python's venv module is missing; install the package python3-venv"
            "$python" -m venv "$venv"
        }
    fi
    say "installing $lock into .venv"
    "$venv/bin/pip" install -q --require-hashes -r "$lock"
    "$venv/bin/pip" install -q --no-deps --no-build-isolation -e emulator
    printf '%s' "$want" >"$stamp"
}

# Byte-code of the emulator, also where PYTHONDONTWRITEBYTECODE is set: compiling it takes longer than starting it.
compile_emulator() {
    "$venv/bin/python" -m compileall -q emulator/src || say "no byte-code can be written below emulator/src: starts are slower"
}

find_postgres() {
    "$venv/bin/python" -c 'from gcp_emulator.databases.postgres.binaries import find_binaries; import sys; sys.exit(not find_binaries())' && return
    say "no PostgreSQL server found"
    apt_install postgresql && return
    # The one pip-installable server without a licence question; it lacks the contrib extensions.
    "$venv/bin/pip" install -q 'pgserver==0.1.4' ||
        fail "PostgreSQL is needed: install the package postgresql (this user may not, and no pip-installable server fits this Python)"
    say "using the PostgreSQL of the Python package pgserver: the extensions pg_trgm, unaccent, hstore and citext are missing in it"
}

find_bubblewrap() {
    command -v bwrap >/dev/null && return
    apt_install bubblewrap || fail "bubblewrap is needed to run the deployed site apart from this machine: install the package bubblewrap"
}

make_venv
compile_emulator
find_postgres
find_bubblewrap
if [[ $purpose == test ]]; then
    "$venv/bin/python" tools/postgresql.py
fi
if [[ $purpose == test && -z $(command -v chromium chromium-browser google-chrome | head -n 1) ]]; then
    apt_install chromium || say "no Chromium found and it cannot be installed here: the browser test will say so"
fi
