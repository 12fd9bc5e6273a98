#!/usr/bin/env bash
# Builds Regent, starts three nodes and three sentinels in the background, waits until they are healthy, and says
# where everything is. ./stop.sh ends them.
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"

# REGENT names a binary to run in place of a fresh release build.
if [ -z "${REGENT:-}" ]; then
    cargo build --release
    REGENT=$PWD/target/release/regent
fi
REGENT=$(realpath "$REGENT")
export REGENT
ask() { "$REGENT" ask "$@" 2> /dev/null; }

for dir in nodes/node{1,2,3} sentinels/sentinel{1,2,3}; do
    name=${dir##*/}
    if [ -f "$dir/$name.pid" ] && kill -0 "$(cat "$dir/$name.pid")" 2>/dev/null; then
        echo "$name runs already (pid $(cat "$dir/$name.pid"))"
        continue
    fi
    "$dir/start.sh" >> "$dir/$name.log" 2>&1 < /dev/null &
    echo $! > "$dir/$name.pid"
done

healthy() {
    local port master
    master=$(ask 5001 sentinel get-master-addr-by-name myMaster | tail -n 1)
    [ -n "$master" ] || return 1
    for port in 5002 5003; do
        [ "$(ask $port sentinel get-master-addr-by-name myMaster | tail -n 1)" = "$master" ] || return 1
    done
    [ "$(ask "$master" info replication | grep -c 'state=online')" = 2 ] || return 1
    for port in 5001 5002 5003; do
        ask $port sentinel ckquorum myMaster | grep -q '^OK 3 usable' || return 1
        ask $port info sentinel | grep -q '^regent_voters:3' || return 1
    done
    echo "$master" > .master
}

printf 'waiting for the nodes to replicate and the sentinels to found their group '
for ((i = 0; i < 120; i++)); do
    if healthy; then break; fi
    printf .
    sleep 0.5
done
echo
if ! healthy; then
    echo "not healthy after 60 s; the logs are nodes/*/*.log and sentinels/*/*.log" >&2
    exit 1
fi
master=$(cat .master); rm -f .master
cat <<END

  nodes      127.0.0.1:7001 7002 7003   logs nodes/node*/node*.log
  sentinels  127.0.0.1:5001 5002 5003   logs sentinels/sentinel*/sentinel*.log
  master     127.0.0.1:$master

Try:
  redis-cli -p $master set k1 val1
  redis-cli -p 7002 get k1
  redis-cli -p 5001 sentinel master myMaster
  ./list_redis_ps.sh                      # then kill -9 the master, and ask the sentinels again
  ./stop.sh                               # --reset also removes the data and restores the config files
END
