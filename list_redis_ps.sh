#!/usr/bin/env bash
# The nodes and sentinels of this machine, Regent's and Redis': pid and title.
exec pgrep -a '' | grep -E '^[0-9]+ (\S*/)?(regent (node|sentinel)|redis-(server|sentinel)) ' | sort -k2
