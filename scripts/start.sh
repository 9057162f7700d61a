#!/usr/bin/env bash
# Starts Phoenix 95 on this machine and waits until it is ready: installs what is missing, then
# `python -m infrastructure.local start`. Run it again at any time: what already runs is left alone.
#
#   ./scripts/start.sh [--no-install] [--replicas N] [--only A,B] [--without A,B] [--no-monitoring]
#                      [--env PHOENIX_KEY=VALUE]…
#
# PHOENIX_HOME (default .phoenix) is where data, settings and logs go; PHOENIX_PORT_BASE (default 8000) moves all ports.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

install=yes
monitoring=yes
arguments=()
for argument in "$@"; do
    case $argument in
        --no-install) install=no ;;
        --no-monitoring)
            monitoring=no
            arguments+=("$argument")
            ;;
        *) arguments+=("$argument") ;;
    esac
done

if [ "$install" = yes ]; then
    MONITORING=$monitoring ensure_packages
    ensure_venv requirements.txt
fi
# What is misspelt has no effect; better said now than found out in a trade. What is wrong the start itself refuses.
run_python scripts/phoenix.py config check --unread >&2 || true
run_python -m infrastructure.local start ${arguments[@]+"${arguments[@]}"}
