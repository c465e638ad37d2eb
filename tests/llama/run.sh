#!/usr/bin/env bash
# GGUF models through llama.cpp: `make test-llama`. Its bindings come as source, so the first run compiles them (minutes,
# needs a C++ compiler). CMAKE_ARGS chooses how; on a machine whose processor is masked (some virtual ones) the default
# dies of an illegal instruction: CMAKE_ARGS="-DGGML_NATIVE=OFF -DGGML_AVX512=ON".
set -euo pipefail
cd "$(dirname "$0")/../.."
if ! .venv/bin/python -c "import llama_cpp" 2> /dev/null; then
    echo "Compiling llama-cpp-python (minutes, the first time) ..."
    .venv/bin/python -m pip install --quiet --constraint constraints.txt --editable '.[llama-cpp]'
fi
exec .venv/bin/python -m pytest -p no:cacheprovider --timeout 400 "${@:-tests/llama}"
