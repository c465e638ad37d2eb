#!/usr/bin/env bash
# Measure all that there is to measure on a machine with a GPU, in 25 minutes and without a network: torch, transformers
# and pytest must be there, TRL and vLLM may be. It goes on where it was cut off: what stands in the file is kept.
#   benchmarks/gpu.sh [--json FILE] [--minutes 25]        as for `python -m benchmarks.gpu --help`
#   benchmarks/gpu.sh --pair small --device cpu --quick   does it run? on any machine
# PYTHON names the interpreter, RELAY_VLLM_PYTHON one that has vLLM where the first has not.
set -euo pipefail
cd "$(dirname "$0")/.."
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export PYTHONPATH=src:. OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-PASSIVE} HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
exec "$python" -m benchmarks.gpu "$@"
