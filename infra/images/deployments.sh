#!/bin/sh
# Make the work pools and the deployments of prefect.yaml. Again and again: pools that are paused stay so, and schedules
# that a person made stay, too.
set -eu
cd "${RELAY_ROOT:-/project}"
for pool in relay relay-gpu; do
    prefect work-pool inspect $pool >/dev/null 2>&1 || prefect work-pool create $pool --type process
done
exec prefect --no-prompt deploy --all
