#!/usr/bin/env bash
# Other people's clients against our server: `make test-clients`.
# They want versions of their own: each folder here is an environment in .venv-clients, made when its list changes
# (minutes); CLIENTS_VENV=DIR uses another. Node's clients come along where npm is there.
set -euo pipefail
cd "$(dirname "$0")/../.."
venv="${CLIENTS_VENV:-.venv-clients}"

pip_install() { # FOLDER
    local list="tests/clients/$1/requirements.txt"
    [ "$list" -nt "$venv/$1/.installed" ] || return 0
    echo "Installing the clients of $list (minutes, the first time) ..."
    "${PYTHON:-python3}" -m venv "$venv/$1"
    "$venv/$1/bin/python" -m pip install --quiet --disable-pip-version-check -r "$list"
    touch "$venv/$1/.installed"
}

npm_install() {
    local list="tests/clients/node/package.json"
    command -v npm > /dev/null && [ "$list" -nt "$venv/node/.installed" ] || return 0
    echo "Installing the clients of $list (minutes, the first time) ..."
    mkdir -p "$venv/node"
    cp "$list" "$venv/node/"
    npm install --prefix "$venv/node" --no-audit --no-fund --silent && touch "$venv/node/.installed"
}

pip_install openai2 & installs=($!)
pip_install openai3 & installs+=($!)
npm_install & installs+=($!)
for install in "${installs[@]}"; do wait "$install"; done
RELAY_CLIENTS="$(realpath --no-symlinks "$venv")"
export RELAY_CLIENTS
exec .venv/bin/python -m pytest -m clients -p no:cacheprovider --timeout 200 tests/clients "$@"
