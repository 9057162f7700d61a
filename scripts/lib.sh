# shellcheck shell=bash
# Sourced by start.sh, stop.sh and test.sh: finds what the machine lacks (Debian packages, the virtual environment) and
# adds it. It knows nothing about Phoenix 95's processes: that is `python -m infrastructure.local`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
VENV=$ROOT/.venv
PYTHON_MIN='3, 11'
export PATH=${PATH:+$PATH:}/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin # sbin has nginx; users' PATH lacks it
export PYTHONUTF8=1 # whatever the locale says: paths and messages are UTF-8

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

# The checkout's own path stands in supervisord's configuration and in lists separated by `:`. Homes may have any
# name (infrastructure/local/plain_paths.py), the code may not.
require_usable_checkout() {
    case $ROOT in
        *:* | *\"* | *' #'* | *' ;'* | *[[:cntrl:]]*)
            die "this checkout's path has a colon, a double quote, a blank before # or ;, or a control character in it, which" \
                "Python's environments and supervisord cannot hold: move or rename the directory: $(printf '%q' "$ROOT")"
            ;;
    esac
}

# The first interpreter that is new enough; a pyenv one serves as well as Debian's, one of an activated environment
# does not: it may be the very one that is made anew.
find_python() {
    local candidate
    for candidate in python3 python3.11 python3.12 python3.13 /usr/bin/python3; do
        if "$candidate" -c "import sys; sys.exit(sys.version_info < ($PYTHON_MIN) or sys.prefix != sys.base_prefix)" 2>/dev/null; then
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
    if [ "${MONITORING:-yes}" = yes ]; then
        command -v prometheus >/dev/null || echo prometheus
        command -v prometheus-alertmanager >/dev/null || echo prometheus-alertmanager
        command -v prometheus-node-exporter >/dev/null || echo prometheus-node-exporter
    fi
    command -v curl >/dev/null || echo curl
    command -v setpriv >/dev/null || echo util-linux
    [ -e /etc/ssl/certs/ca-certificates.crt ] || echo ca-certificates
    if python=$(find_python); then
        "$python" -c 'import ensurepip, venv' 2>/dev/null || echo python3-venv
    else
        echo python3 python3-venv
    fi
}

# What only the tests need: a browser for the dashboard, fonts with Korean so that its pictures can be read, and git,
# which says what belongs to the repository.
missing_test_packages() {
    command -v git >/dev/null || echo git
    command -v openssl >/dev/null || echo openssl # certificates for the TLS port
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

# What a virtual environment was made for: packages of one Python are not seen, or crash, under another, and its
# commands name the place it was made in.
venv_identity() {
    local python place
    python=$("$VENV/bin/python" -I -S -c 'import os, sys; print(sys.implementation.cache_tag, os.uname().machine)') &&
        place=$(cd "$VENV" && pwd -P) && echo "$python $place"
}

# Usage: venv_fits LIST WANTED. Tells whether the pinned lists are installed, for the Python that runs now, here.
venv_fits() {
    local stamp installed made_for identity
    identity=$(venv_identity 2>/dev/null) || return 1
    for stamp in "$VENV/.$1" "$VENV/.requirements-dev.txt"; do # the development list contains the other one
        { read -r installed && { read -r made_for || made_for=; }; } 2>/dev/null <"$stamp" || continue
        [ "$installed" = "$2" ] || continue
        if [ -z "$made_for" ] && "$VENV/bin/python" -c 'import pip, supervisor' 2>/dev/null; then
            made_for=$identity # stamped by an earlier version, and its packages are seen
        fi
        if [ "$made_for" = "$identity" ]; then return 0; fi
    done
    return 1
}

# Usage: ensure_venv requirements.txt|requirements-dev.txt. Runs pip only when the pinned lists or Python changed since
# the last time.
ensure_venv() {
    local list=$1 python wanted identity
    require_usable_checkout
    wanted=$(cd "$ROOT" && sha256sum requirements.txt requirements-dev.txt constraints.txt | sha256sum)
    if venv_fits "$list" "$wanted"; then return 0; fi
    python=$(find_python) || die "Python ($PYTHON_MIN) or newer is needed"
    if ! is_of_this_python; then
        [ ! -L "$VENV" ] || die "$VENV is a link to an environment of another Python: remove the link"
        say "Creating the virtual environment $VENV"
        "$python" -m venv --clear "$VENV" ||
            die "could not create $VENV (is python3-venv installed, and may this user write there?)"
    fi
    say "Installing the Python packages of $list"
    rm -f "$VENV"/.requirements*.txt # interrupted from here on, it is installed again
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check \
        -r "$ROOT/$list" -c "$ROOT/constraints.txt" >&2 || die "pip could not install $list"
    identity=$(venv_identity) || die "$VENV/bin/python does not run"
    printf '%s\n%s\n' "$wanted" "$identity" >"$VENV/.$list"
}

# Tells whether pip would install for the Python and the place that the environment was made for.
is_of_this_python() {
    local made_for stamp
    "$VENV/bin/python" -m pip --version >/dev/null 2>&1 || return 1
    for stamp in "$VENV"/.requirements*.txt; do
        made_for=$(sed -n 2p "$stamp" 2>/dev/null) || continue
        [ -z "$made_for" ] || [ "$made_for" = "$(venv_identity)" ] || return 1
    done
    return 0
}

# Runs the virtual environment's Python in the repository; pytest and the supervisor must see the same one.
run_python() {
    [ -x "$VENV/bin/python" ] || die "no virtual environment in $VENV: run without --no-install"
    (cd "$ROOT" && exec "$VENV/bin/python" "$@")
}
