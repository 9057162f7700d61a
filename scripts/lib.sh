# shellcheck shell=bash
# Sourced by start.sh, stop.sh and test.sh: finds what the machine lacks (Debian packages, the virtual environment) and
# adds it. It knows nothing about Phoenix 95's processes: that is `python -m infrastructure.local`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
PYTHON_MIN='3, 11'
PATH=$PATH:/usr/sbin:/sbin # where Debian keeps nginx; missing from the PATH of ordinary users

say() { printf '%s\n' "$*" >&2; }
die() {
    say "error: $*"
    exit 1
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "root rights are needed to install packages and there is no sudo: run as root, or install them and use --no-install"
    fi
}

# The first interpreter that is new enough; a pyenv one serves as well as Debian's.
find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < ($PYTHON_MIN))" 2>/dev/null; then
            echo "$candidate"
            return 0
        fi
    done
    return 1
}

missing_packages() {
    local python
    [ -x /usr/lib/rabbitmq/bin/rabbitmq-server ] || echo rabbitmq-server
    command -v redis-server >/dev/null || echo redis-server
    compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null || echo postgresql
    command -v nginx >/dev/null || echo nginx
    command -v curl >/dev/null || echo curl
    command -v setpriv >/dev/null || echo util-linux
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    if python=$(find_python); then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    else
        echo python3 python3-venv
    fi
}

# What only the tests need: a browser for the dashboard, and fonts with Korean so that its pictures can be read.
missing_test_packages() {
    command -v chromium >/dev/null || echo chromium
    compgen -G '/usr/share/fonts/opentype/noto/NotoSansCJK*' >/dev/null || echo fonts-noto-cjk
}

ensure_test_packages() { ensure_packages missing_test_packages; }

# Usage: ensure_packages [the function that names what is missing]
ensure_packages() {
    local missing
    missing=$("${1:-missing_packages}" | tr '\n' ' ')
    [ -n "$missing" ] || return 0
    command -v apt-get >/dev/null || die "missing: $missing (no apt-get here: install them yourself, then use --no-install)"
    say "Installing Debian packages (no system service is started): $missing"
    # shellcheck disable=SC2086  # one argument per package
    as_root bash "$ROOT/scripts/install_packages.sh" $missing >&2 || die "the packages could not be installed: $missing"
}

# Usage: ensure_venv requirements.txt|requirements-dev.txt. Runs pip only when the pinned lists changed since the last time.
ensure_venv() {
    local list=$1 python wanted stamp
    wanted=$(cd "$ROOT" && sha256sum requirements.txt requirements-dev.txt constraints.txt | sha256sum)
    for stamp in "$VENV/.$list" "$VENV/.requirements-dev.txt"; do # the development list contains the other one
        if [ -x "$VENV/bin/python" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ]; then return 0; fi
    done
    python=$(find_python) || die "Python ($PYTHON_MIN) or newer is needed"
    if ! "$VENV/bin/python" -m pip --version >/dev/null 2>&1; then
        say "Creating the virtual environment $VENV"
        "$python" -m venv --clear "$VENV" || die "could not create $VENV (is python3-venv installed?)"
    fi
    say "Installing the Python packages of $list"
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r "$ROOT/$list" -c "$ROOT/constraints.txt" >&2 || die "pip could not install $list"
    printf '%s\n' "$wanted" >"$VENV/.$list"
}

# Runs the virtual environment's Python in the repository; pytest and the supervisor must see the same one.
run_python() {
    [ -x "$VENV/bin/python" ] || die "no virtual environment in $VENV: run without --no-install"
    (cd "$ROOT" && exec "$VENV/bin/python" "$@")
}
