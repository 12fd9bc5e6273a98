#!/usr/bin/env bash
# All tests, from a fresh clone: installs what they need, then format check, lints, tests, and the docs' build.
#   ./test.sh           what CI runs
#   ./test.sh --long    the long torture as well (200 kills)
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")"
export CARGO_TERM_COLOR=never
started=$SECONDS

stage() {
    local name=$1 from=$SECONDS
    shift
    printf '\n== %s\n' "$name"
    "$@"
    printf '== %s: %d s (%d s in all)\n' "$name" $((SECONDS - from)) $((SECONDS - started))
}

# Debian's Redis, the judge of much that is tested here, without starting its services.
packages() {
    local missing=()
    command -v redis-server > /dev/null || missing+=(redis-server)
    command -v redis-sentinel > /dev/null || missing+=(redis-sentinel)
    command -v redis-cli > /dev/null || missing+=(redis-tools)
    python3 -c 'import ensurepip' 2> /dev/null || missing+=(python3-venv)
    command -v npm > /dev/null || missing+=(nodejs npm)
    [ ${#missing[@]} = 0 ] && return
    local sudo=''
    [ "$(id -u)" = 0 ] || sudo=sudo
    $sudo apt-get update -q
    printf '#!/bin/sh\nexit 101\n' | $sudo tee /usr/sbin/policy-rc.d > /dev/null
    $sudo chmod +x /usr/sbin/policy-rc.d
    DEBIAN_FRONTEND=noninteractive $sudo apt-get install -qy --no-install-recommends "${missing[@]}"
    $sudo rm -f /usr/sbin/policy-rc.d
}

# The client libraries that follow a failover, pinned in tests/clients, in environments of their own.
clients() {
    local env=.test-env
    [ -x $env/python/bin/pip ] || python3 -m venv $env/python
    $env/python/bin/pip install -q --disable-pip-version-check -r tests/clients/requirements.txt
    mkdir -p $env/node
    cp tests/clients/package.json $env/node/
    npm install --prefix $env/node --no-audit --no-fund --no-package-lock
}

stage 'packages' packages
stage 'clients' clients
stage 'format' cargo fmt --check
stage 'lints' cargo clippy --all-targets -- -D warnings
stage 'unit and process tests' cargo test
stage 'docs' env RUSTDOCFLAGS='-D warnings -A rustdoc::private_intra_doc_links' cargo doc --no-deps --document-private-items
if [ "${1:-}" = --long ]; then
    stage 'long torture' env REGENT_TORTURE_KILLS=200 cargo test --test torture -- --nocapture
fi
printf '\nall green in %d s\n' $((SECONDS - started))
