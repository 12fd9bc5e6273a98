#!/usr/bin/env bash
# Runs this sentinel in the foreground, its log on the terminal. Arguments go to the sentinel.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
regent=${REGENT:-../../target/release/regent}
[ -x "$regent" ] || (cd ../.. && cargo build --release)
exec "$regent" sentinel sentinel.conf "$@"
