#!/usr/bin/env bash
# Checks everything, or only the named tiers of tests:
#
#   ./scripts/test.sh                      style, types, import contracts, then every tier
#   ./scripts/test.sh unit integration     only these tiers
#
# Two lanes run side by side; the failures of both are listed at the end. The tests start servers of their own on free
# ports; a running system is not touched. Ctrl-C takes them down.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_packages
ensure_test_packages
ensure_venv requirements-dev.txt
cd "$ROOT"
exec "$VENV/bin/python" -m tests "$@"
