#!/usr/bin/env bash
# Stops Phoenix 95 and leaves nothing running, also when its supervisor was killed. Data and settings stay.
set -euo pipefail
. "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

run_python -m infrastructure.local stop
