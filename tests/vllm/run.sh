#!/usr/bin/env bash
# Run remote teacher and remote student against real vLLM servers on this machine's CPU: `make test-vllm`.
# vLLM wants versions of its own: its environment is .venv-vllm, made once (minutes). VLLM_VENV=DIR uses another.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${VLLM_VENV:-.venv-vllm}"
if [ ! -f "$venv/.installed" ]; then
    echo "Installing vLLM into $venv (minutes, the first time) ..."
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet -r infra/vllm/requirements.txt
    # As published they do not fit this torch, and vLLM imports them when it finds them.
    "$venv/bin/python" -m pip uninstall --quiet -y torchvision torchaudio torchcodec
    touch "$venv/.installed"
fi
# The grammar of commands is a small package of ours; every time, since it may have changed.
"$venv/bin/python" -m pip install --quiet --force-reinstall --no-deps ./infra/vllm
rm -rf infra/vllm/build infra/vllm/*.egg-info
RELAY_VLLM_PYTHON="$(realpath --no-symlinks "$venv/bin/python")"
export RELAY_VLLM_PYTHON
exec .venv/bin/python -m pytest -m vllm -p no:cacheprovider --timeout 3600 "${@:-tests/vllm}"
