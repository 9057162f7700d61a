#!/usr/bin/env bash
# Installs the Debian packages named as arguments, as root, without letting any of them start or enable a system
# service: this project runs private servers of its own. Whatever stood in the way before (an existing policy-rc.d,
# a cluster configuration) is put back, on failure too. Packages that are already there are never upgraded.
set -euo pipefail
umask 022 # packages write system files that every user must read

POLICY=/usr/sbin/policy-rc.d
POLICY_SAVED=/usr/sbin/policy-rc.d.phoenix95-saved
POLICY_MARK='# phoenix95: no service starts while packages are being installed'
CLUSTER_DIR=/etc/postgresql-common/createcluster.d
CLUSTER_CONF=$CLUSTER_DIR/phoenix95.conf
APT_LOCK_TIMEOUT_S=300
APT_RETRIES=3
# The units these packages bring along; enabled units would start at the next boot and take the usual ports.
UNITS=(
    rabbitmq-server.service redis-server.service nginx.service postgresql.service epmd.service epmd.socket
    prometheus.service prometheus-alertmanager.service prometheus-node-exporter.service
)

restore() {
    rm -f "$CLUSTER_CONF"
    [ -n "${made_cluster_dir:-}" ] && rmdir --ignore-fail-on-non-empty "$CLUSTER_DIR" 2>/dev/null
    [ -n "${made_postgresql_common:-}" ] && rmdir --ignore-fail-on-non-empty "$(dirname "$CLUSTER_DIR")" 2>/dev/null
    if [ -e "$POLICY" ] && grep -qF "$POLICY_MARK" "$POLICY"; then rm -f "$POLICY"; fi
    if [ -e "$POLICY_SAVED" ]; then mv "$POLICY_SAVED" "$POLICY"; fi
    return 0
}

hold_services_back() {
    restore # an earlier run that was killed may have left its policy behind
    if [ -e "$POLICY" ]; then mv "$POLICY" "$POLICY_SAVED"; fi
    printf '#!/bin/sh\n%s\nexit 101\n' "$POLICY_MARK" >"$POLICY"
    chmod 755 "$POLICY"
    [ -d "$(dirname "$CLUSTER_DIR")" ] || made_postgresql_common=yes
    [ -d "$CLUSTER_DIR" ] || made_cluster_dir=yes
    mkdir -p "$CLUSTER_DIR"
    echo 'create_main_cluster = false' >"$CLUSTER_CONF"
}

known_units() {
    local unit
    for unit in "${UNITS[@]}"; do
        if [ -e "/lib/systemd/system/$unit" ] || [ -e "/usr/lib/systemd/system/$unit" ]; then echo "$unit"; fi
    done
}

# Only units that this installation brought: one that was there before belongs to the machine's owner.
disable_new_units() {
    local before=$1 unit
    command -v systemctl >/dev/null || return 0
    for unit in $(known_units); do
        grep -qxF "$unit" <<<"$before" || systemctl --quiet disable "$unit" >/dev/null 2>&1 || true
    done
}

main() {
    local units_before
    export DEBIAN_FRONTEND=noninteractive
    trap restore EXIT
    trap 'exit 130' INT TERM HUP
    hold_services_back
    units_before=$(known_units)
    apt-get -qq -o DPkg::Lock::Timeout=$APT_LOCK_TIMEOUT_S -o Acquire::Retries=$APT_RETRIES update
    apt-get -qq -y -o DPkg::Lock::Timeout=$APT_LOCK_TIMEOUT_S -o Acquire::Retries=$APT_RETRIES \
        -o Dpkg::Use-Pty=0 install --no-install-recommends --no-upgrade "$@"
    disable_new_units "$units_before"
}

main "$@"
