#!/usr/bin/env bash
# Breaks a private system by a seeded plan and judges every promise at the end; exits 1 when one did not hold.
#
#   ./scripts/chaos.sh                     five seeds of 300 signals and 120 faults, about an hour
#   ./scripts/chaos.sh --seeds 7           one of them again: the seed is the plan
#   ./scripts/chaos.sh --recovery          kills each own process under load, prints how long each recovery took
#
# More: ./scripts/chaos.sh --help. Everything runs on free ports of this machine; a running system is not touched.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ensure_packages
ensure_venv requirements-dev.txt
if [ "${1:-}" = --recovery ]; then
    shift
    run_python -m tests.chaos.recovery "$@"
elif [ $# -eq 0 ]; then
    run_python -m tests.chaos --seeds 1 2 3 4 5 --signals 300 --faults 120 --duration 600
else
    run_python -m tests.chaos "$@"
fi
