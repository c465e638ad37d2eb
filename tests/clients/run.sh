#!/usr/bin/env bash
# Other people's clients against our server: `make test-clients`.
# They want versions of their own: their environment is .venv-clients, made when their list changes (minutes);
# CLIENTS_VENV=DIR uses another.
# Node's clients come along where npm is there. What cannot be installed is skipped by name.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${CLIENTS_VENV:-.venv-clients}"
if [ tests/clients/requirements.txt -nt "$venv/.installed" ] || [ tests/clients/requirements-inspect.txt -nt "$venv/.installed" ]; then
    echo "Installing the clients into $venv (minutes, the first time) ..."
    "${PYTHON:-python3}" -m venv "$venv"
    "$venv/bin/python" -m pip install --quiet -r tests/clients/requirements.txt
    "${PYTHON:-python3}" -m venv "$venv/inspect"
    "$venv/inspect/bin/python" -m pip install --quiet -r tests/clients/requirements-inspect.txt
    touch "$venv/.installed"
fi
if command -v npm > /dev/null && [ tests/clients/package.json -nt "$venv/node/.installed" ]; then
    mkdir -p "$venv/node"
    cp tests/clients/package.json "$venv/node/"
    npm install --prefix "$venv/node" --no-audit --no-fund --silent && touch "$venv/node/.installed"
fi
RELAY_CLIENTS="$(realpath --no-symlinks "$venv")"
export RELAY_CLIENTS
exec .venv/bin/python -m pytest -m clients -p no:cacheprovider --timeout 200 tests/clients "$@"
