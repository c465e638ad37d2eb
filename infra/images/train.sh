#!/bin/sh
# One run of the pipeline without Prefect, in the checkout. Whatever a run with the same code, params and data has made
# and pushed is fetched, not made again; what this one makes is pushed with DVC's run cache, so that `dvc repro --pull`
# at the same revision finds it anywhere.
set -eu
cd "${RELAY_ROOT:-/project}"
if [ -z "${RELAY_DVC_REMOTE:-}" ]; then
    echo "train: RELAY_DVC_REMOTE is empty, so nobody would see what comes out: name a bucket that all can reach" >&2
    exit 64  # not retried: see podFailurePolicy of the training job
fi
python flows/make.py --ingest-only
if ! git diff --quiet HEAD -- data.dvc; then
    echo "train: params.yaml asks for other data than data.dvc pins: run \`make ingest\` and commit data.dvc" >&2
    exit 64
fi
# shellcheck disable=SC2086 # stages are words
dvc --wait-for-lock repro --pull ${RELAY_STAGES:-}
exec dvc push --run-cache
