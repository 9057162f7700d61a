#!/usr/bin/env bash
# Checks everything, or only the named tiers of tests:
#
#   ./scripts/test.sh                      style, types, import contracts, then every tier
#   ./scripts/test.sh unit integration     only these tiers
#
# The tests start servers of their own on free ports; a running system is not touched.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TIERS=(unit property contract integration e2e chaos architecture)
failed=()

# Goes on after a failure, so that one run shows all there is to mend.
check() {
    local name=$1
    shift
    say "== $name"
    run_python "$@" || failed+=("$name")
}

ensure_packages
ensure_test_packages
ensure_venv requirements-dev.txt

if [ $# -eq 0 ]; then
    check style -m ruff check .
    check format -m ruff format --check .
    check types -m mypy
    check imports "$VENV/bin/lint-imports"
    set -- "${TIERS[@]}"
fi

folders=()
for tier in "$@"; do
    [ -d "$ROOT/tests/$tier" ] || die "no such tier: $tier (there are: ${TIERS[*]})"
    if [ -n "$(find "$ROOT/tests/$tier" -name 'test_*.py' -print -quit)" ]; then folders+=("tests/$tier"); fi
done
[ ${#folders[@]} -gt 0 ] || die "there are no tests in: $*"
check tests -m pytest "${folders[@]}"

[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
