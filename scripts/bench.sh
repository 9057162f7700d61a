#!/usr/bin/env bash
# Measures Phoenix 95 on this machine and compares it with its budgets (docs/PERFORMANCE.md):
#
#   ./scripts/bench.sh [--quick] [--runs N] [--json FILE]
#
# It starts a private system on free ports and deletes it afterwards; a running system is not touched, but it
# (and everything else that runs) takes part in what is measured.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_packages
ensure_venv requirements-dev.txt
run_python -m tests.bench "$@"
