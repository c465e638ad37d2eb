#!/bin/sh
# Make the work pool and the deployments of prefect.yaml. Again and again: pools that are paused stay so, and schedules
# that a person made stay, too.
set -eu
cd "${RELAY_ROOT:-/project}"
prefect work-pool inspect relay >/dev/null 2>&1 || prefect work-pool create relay --type process
exec prefect --no-prompt deploy --all
