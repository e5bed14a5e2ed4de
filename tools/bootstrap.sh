#!/usr/bin/env bash
# Makes .venv and finds the system packages: `bash tools/bootstrap.sh rehearse` or `bash tools/bootstrap.sh test`.
# `bash tools/bootstrap.sh check` makes nothing, and says what to type where there is no .venv that works.
# Changes nothing outside the checkout except Debian/Ubuntu packages, each installed by name. May be interrupted at any moment, and
# started twice: what is made is made aside in .venv.new and then renamed.
set -euo pipefail

cd "$(dirname "$0")/.."
purpose=${1:?usage: bash tools/bootstrap.sh rehearse|test|check}
checkout=$PWD
venv=$checkout/.venv
# Ends with 3 where there is none.
has_postgres='from gcp_emulator.databases.postgres.binaries import find_binaries; import sys; sys.exit(0 if find_binaries() else 3)'
export PIP_CACHE_DIR=${PIP_CACHE_DIR:-$checkout/.cache/pip} PIP_DISABLE_PIP_VERSION_CHECK=1
# A machine without a network is told within seconds.
export PIP_RETRIES=${PIP_RETRIES:-2} PIP_DEFAULT_TIMEOUT=${PIP_DEFAULT_TIMEOUT:-15}

say() { printf '==> %s\n' "$*"; }
fail() { printf 'error: %s\n' "$*" >&2; exit 1; }
trap 'printf "\ninterrupted: what is complete is kept; go on with the same command\n" >&2; exit 130' INT TERM

# In a shell that the rehearsal's variables lead to the emulator, everything here still goes to the real network.
leave_rehearsal() {
    local name old
    for name in ${GCP_EMULATOR_VARIABLES:-}; do
        old=GCP_EMULATOR_OLD_$name
        if [[ -n ${!old+set} ]]; then export "$name=${!old}"; else unset "$name"; fi
    done
}

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
    local said
    local -a as_root=()
    command -v apt-get >/dev/null || return 1
    if [[ $(id -u) != 0 ]]; then
        sudo -n true 2>/dev/null || return 1
        as_root=(sudo -n)
    fi
    say "installing the packages $*"
    # What it says while all goes well is for nobody here.
    said=$({
        "${as_root[@]}" apt-get update -qq &&
            "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"
    } 2>&1) || { tail -n 4 <<<"$said" >&2; return 1; }
}

# What a .venv has to be of: the requirements, and the place, because its programs name it.
wanted() {
    { sha256sum "requirements/$1.txt" emulator/pyproject.toml && printf '%s\n' "$checkout"; } | sha256sum
}

# is_complete FOLDER PURPOSE - whether a virtual environment was made to its end, here, and its Python still runs.
is_complete() {
    [[ -f $1/.installed-$2 && $(<"$1/.installed-$2") == "$(wanted "$2")" ]] && "$1/bin/python" -c '' 2>/dev/null
}

# is_ready - whether .venv serves the purpose: what tests need holds all that a rehearsal does.
is_ready() {
    is_complete "$venv" "$purpose" || { [[ $purpose == rehearse ]] && is_complete "$venv" test; }
}

# is_ours FOLDER - whether it was once complete, and in this place, so that a copy of it can be brought up to date.
is_ours() {
    compgen -G "$1/.installed-*" >/dev/null &&
        [[ $(sed -n 's/^command = //p' "$1/pyvenv.cfg" 2>/dev/null) == *" -m venv $venv" ]] &&
        "$1/bin/python" -m pip --version >/dev/null 2>&1
}

# Holds the lock until the end of this program, so that of two that were started one waits.
lock() {
    mkdir -p "$checkout/.cache" 2>/dev/null && { : >>"$checkout/.cache/bootstrap.lock"; } 2>/dev/null ||
        fail "$checkout cannot be written by $(id -un): git clone '$checkout' ~/djangogcp"
    command -v flock >/dev/null || return 0
    exec 9>>"$checkout/.cache/bootstrap.lock"
    flock -n 9 || {
        say "waiting for another set-up of this checkout"
        flock 9
    }
}

make_venv() {
    if is_ready; then return; fi
    lock
    # Killed between the two renamings of below.
    [[ -e $venv || ! -e $venv.old ]] || mv "$venv.old" "$venv"
    if is_ready; then return; fi
    [[ -w $checkout ]] || fail "$checkout cannot be written by $(id -un): git clone '$checkout' ~/djangogcp"
    rm -rf "$venv.new" "$venv.old"
    if is_ours "$venv"; then
        say "bringing .venv up to date"
        cp -a --reflink=auto "$venv" "$venv.new"
        rm -f "$venv.new"/.installed-*
    else
        new_venv
    fi
    say "installing requirements/$purpose.txt into .venv (about a minute the first time)"
    pip_install --require-hashes -r "requirements/$purpose.txt"
    pip_install --no-deps --no-build-isolation -e emulator
    settle
    rm -f "$venv.new/pip.log"
    wanted "$purpose" >"$venv.new/.installed-$purpose"
    [[ ! -e $venv && ! -L $venv ]] || mv "$venv" "$venv.old"
    mv "$venv.new" "$venv"
    rm -rf "$venv.old"
    say "compiling"
    "$venv/bin/python" -m compileall -q -j 0 "$venv/lib" >/dev/null || true
}

# What pip wrote names the folder that it was installed in.
settle() {
    "$venv.new/bin/python" - "$venv.new" "$venv" <<'PYTHON'
import os, pathlib, sys

old, new = (os.fsencode(path) for path in sys.argv[1:])
folder = pathlib.Path(sys.argv[1])
for path in [folder / "pyvenv.cfg", *(folder / "bin").iterdir()]:
    if path.is_file() and not path.is_symlink() and old in (content := path.read_bytes()):
        path.write_bytes(content.replace(old, new))
PYTHON
}

# find_packages PYTHON - what a first set-up needs of Debian, in one go before anything is made: who cannot install packages asks for them
# once. Instead of Debian's PostgreSQL there is that of pip.
find_packages() {
    local -a missing=()
    # Debian has these two modules in a package of their own.
    "$1" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    [[ ${REHEARSAL_RUNTIME:-} == docker ]] || command -v bwrap >/dev/null || missing+=(bubblewrap)
    PYTHONPATH=emulator/src "$1" -c "$has_postgres" 2>/dev/null || [[ $? != 3 ]] || missing+=(postgresql)
    [[ ${#missing[@]} == 0 || ${missing[*]} == postgresql ]] || apt_install "${missing[@]}" ||
        fail "this machine lacks packages, which $(id -un) may not install by itself: sudo apt-get install ${missing[*]}"
}

new_venv() {
    local python said
    python=$(find_python)
    find_packages "$python"
    say "making .venv with $("$python" --version)"
    said=$("$python" -m venv "$venv.new" 2>&1) || fail "$python cannot make $venv: ${said##*$'\n'}"
}

# pip_install OPTION... - with the cause of a failure as the last line.
pip_install() {
    local log=$venv.new/pip.log
    "$venv.new/bin/python" -m pip install -q --no-compile "$@" 2>"$log" && return
    tail -n 4 "$log" | cut -c 1-300 >&2
    if grep -qE 'NewConnectionError|NameResolutionError|ConnectTimeout|ProxyError|Network is unreachable|Max retries exceeded' "$log"; then
        fail "pip reaches no index of packages from here (its messages are above). With a network, or with PIP_INDEX_URL set to an index that this machine reaches: make rehearse"
    elif grep -q 'No space left on device' "$log"; then
        fail "the disk of $checkout is full; free some space and go on with: make rehearse"
    fi
    fail "pip could not install what is needed; its messages are above. Once that is mended: make rehearse"
}

# Byte-code of the emulator, also where PYTHONDONTWRITEBYTECODE is set: compiling it takes longer than starting it.
compile_emulator() {
    "$venv/bin/python" -m compileall -q emulator/src || say "no byte-code can be written below emulator/src: starts are slower"
}

find_postgres() {
    "$venv/bin/python" -c "$has_postgres" && return
    [[ $? == 3 ]] || fail "the emulator in .venv cannot be used (the reason is above): rm -rf .venv && make rehearse"
    say "no PostgreSQL server found"
    apt_install postgresql && return
    # The one pip-installable server without a licence question; it lacks the contrib extensions.
    "$venv/bin/python" -m pip install -q --require-hashes -r requirements/pgserver.txt ||
        fail "PostgreSQL is needed, and no pip-installable server fits this Python: sudo apt-get install postgresql"
    say "using the PostgreSQL of the Python package pgserver: the extensions pg_trgm, unaccent, hstore and citext are missing in it"
}

find_bubblewrap() {
    local why
    [[ ${REHEARSAL_RUNTIME:-} != docker ]] || return 0
    command -v bwrap >/dev/null || apt_install bubblewrap ||
        fail "bubblewrap is needed to run the deployed site apart from this machine: sudo apt-get install bubblewrap"
    # There is not enough: a machine may forbid it.
    why=$("$venv/bin/python" -m gcp_emulator.workloads.sandbox.probe 2>&1) ||
        fail "${why##*$'\n'}"
}

if [[ $purpose == check ]]; then
    is_complete "$venv" rehearse || is_complete "$venv" test && exit 0
    [[ -e $venv ]] && fail "the set-up of this checkout is not complete (it was interrupted, the checkout was moved, or its requirements have changed): make rehearse"
    fail "nothing has been rehearsed in this checkout yet: make rehearse"
fi
leave_rehearsal
make_venv
compile_emulator
find_postgres
find_bubblewrap
if [[ $purpose == test ]]; then
    "$venv/bin/python" tools/postgresql.py
    "$venv/bin/python" tools/mysql.py
fi
if [[ $purpose == test && -z $(command -v chromium chromium-browser google-chrome | head -n 1) ]]; then
    apt_install chromium || say "no Chromium found and it cannot be installed here: the browser test will say so"
fi
