#!/usr/bin/env bash
# Stops the nodes and sentinels that run in this topology's directories, however they were started. With --reset it also
# removes their data and restores the config files as shipped.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"

pids=()
for proc in /proc/[0-9]*; do
    case $(readlink "$proc/cwd" 2>/dev/null) in
        "$PWD"/nodes/* | "$PWD"/sentinels/*) ;;
        *) continue ;;
    esac
    case $(cat "$proc/comm" 2>/dev/null) in
        regent*) ;;
        *) continue ;;
    esac
    pid=${proc##*/}
    if kill -TERM "$pid" 2>/dev/null; then pids+=("$pid"); fi
done
rm -f nodes/*/*.pid sentinels/*/*.pid
for pid in "${pids[@]:-}"; do
    [ -n "$pid" ] || continue
    for ((i = 0; i < 100; i++)); do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
    if kill -0 "$pid" 2>/dev/null; then echo "pid $pid does not stop: kill -9"; kill -KILL "$pid"; fi
done
echo "stopped ${#pids[@]} processes"

if [ "${1:-}" = --reset ]; then
    git clean -fdXq nodes sentinels
    git checkout -q -- nodes sentinels
    echo "data removed, config files as shipped"
fi
