#!/usr/bin/env bash
# Runs this node in the foreground, its log on the terminal. Arguments go to the node: ./start.sh --loglevel debug
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
regent=${REGENT:-../../target/release/regent}
[ -x "$regent" ] || (cd ../.. && cargo build --release)
exec "$regent" node redis.conf "$@"
