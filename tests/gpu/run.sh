#!/usr/bin/env bash
# Every check that needs a GPU, in under 8 minutes, without the network; writes the table of docs/gpu.md.
#   tests/gpu/run.sh          on a machine with a GPU
#   tests/gpu/run.sh --cpu    tries the checks themselves in small sizes, and writes nothing
set -euo pipefail
cd "$(dirname "$0")/../.."
export HF_HUB_OFFLINE=1
exec python tests/gpu/checks.py "$@"
