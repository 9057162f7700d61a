#!/usr/bin/env bash
# Restarts the running Phoenix 95 instance by instance, so that alerts are taken and stops are watched all the while;
# changed code and settings are taken over, database migrations run first.
#
#   ./scripts/rolling_restart.sh                    every instance of every service (needs --replicas 2 or more)
#   ./scripts/rolling_restart.sh brain risk-1       these only
#   ./scripts/rolling_restart.sh --with-gap         also with one instance of each, accepting some seconds without
#
# Each instance is taken out of nginx, finishes what it holds, restarts and must be ready before the next one's turn; an
# instance is not touched while another of its service is not ready. Ended half-way, run it again: it begins with what
# is not ready. Exit status: 0 done, 1 ended half-way, 2 wrong usage, 3 refused and nothing touched, 130 interrupted.
# Changed requirements need ./scripts/stop.sh and ./scripts/start.sh: a running process must not lose its libraries.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

run_python -m infrastructure.local roll "$@"
