#!/bin/sh
# What a container of docker/ runs: COMMAND …, or `platform` for the parts that AIMASS_PARTS names.
# Secrets come as files below /run/secrets, with whatever owner and mode they are mounted; the product reads private
# ones alone. So they are copied into a folder of this user, which is a tmpfs in docker/compose.yaml.
set -eu
umask 077
if [ -d /run/secrets ]; then
    mkdir -p /home/aimass/secrets
    find -L /run/secrets -maxdepth 1 -type f -exec cp -f {} /home/aimass/secrets/ ';'
    chmod -R go= /home/aimass/secrets
fi
if [ "${1:-}" = platform ]; then
    mkdir -p "$AIMASS_HOME/run"
    printf '{}' > "$AIMASS_HOME/run/container.json"
    exec python -m pipelines.local.keep "$AIMASS_HOME/run/container.json"
fi
exec "$@"
