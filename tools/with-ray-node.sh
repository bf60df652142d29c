#!/usr/bin/env bash
# Runs a program that speaks to a Ray cluster from a container of its own.
# A Ray driver needs a node beside it; this one offers no CPU, so no task ever lands here.
set -euo pipefail
: "${RAY_ADDRESS:?the address of the Ray head, such as ray:6379}"
ray start --address "$RAY_ADDRESS" --num-cpus=0 --object-store-memory=80000000 --disable-usage-stats >/dev/null
exec "$@"
