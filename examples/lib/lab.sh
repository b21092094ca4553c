#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# What the labs have in common: a host of their own to play on. `lab_begin` runs the script again in
# a network namespace and a mount namespace, so that nothing on this machine changes, not even for a
# moment, and everything is gone with the script, however it ends. In there:
#
#   the host    192.168.178.2 on eno1, with lanyard and the virtual machines
#   the LAN     a second namespace behind eno1: 192.168.178.1, a router with a web server and DNS
set -euo pipefail
LAB_REPOSITORY=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_CACHE=$LAB_REPOSITORY/build/vm
# shellcheck source=examples/lib/tiny_vm.sh
source "$LAB_REPOSITORY/examples/lib/tiny_vm.sh"

LAN_HOST=192.168.178.2
LAN_ROUTER=192.168.178.1
LAB_STEP=0
LAB_MACHINES=()
LAB_PROCESSES=()

# --- saying what happens -------------------------------------------------------------------------

step() {
    LAB_STEP=$((LAB_STEP + 1))
    printf '\n[%d] %s\n' "$LAB_STEP" "$1"
}

say() { printf '    %s\n' "$@"; }

fail() {
    printf '\n%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# Shows a command, what it prints, and keeps that in $OUTPUT: run COMMAND...; fails when it fails.
run() {
    printf '    $ %s\n' "$*"
    OUTPUT=$("$@" 2>&1) || { show <<<"$OUTPUT" && fail "that should have worked"; }
    [ -z "$OUTPUT" ] || show <<<"$OUTPUT"
}

# The same for a command that must not work.
run_refused() {
    printf '    $ %s\n' "$*"
    if OUTPUT=$("$@" 2>&1); then
        show <<<"$OUTPUT"
        fail 'that should have been refused'
    fi
    show <<<"$OUTPUT"
}

# Runs a line of shell in a machine: in_vm NAME COMMAND, as run.
in_vm() {
    printf '    %s# %s\n' "$1" "$2"
    OUTPUT=$(tiny_vm_run "$WORK/$1" 60 "$2" 2>&1) || { show <<<"$OUTPUT" && fail "that should have worked"; }
    [ -z "$OUTPUT" ] || show <<<"$OUTPUT"
}

in_vm_refused() {
    printf '    %s# %s\n' "$1" "$2"
    if OUTPUT=$(tiny_vm_run "$WORK/$1" 60 "$2" 2>&1); then
        show <<<"$OUTPUT"
        fail 'that should not have worked'
    fi
    show <<<"$OUTPUT"
}

show() { sed 's/^/    | /'; }

# Whether the last output has a text: expect TEXT WHY
expect() {
    grep -q -F -- "$1" <<<"$OUTPUT" || fail "'$1' is not there: $2"
    say "  -> $2"
}

expect_no() {
    ! grep -q -F -- "$1" <<<"$OUTPUT" || fail "'$1' should not be there: $2"
    say "  -> $2"
}

# Waits until a command succeeds, for at most so many seconds: wait_for SECONDS WHAT COMMAND...
wait_for() {
    local deadline=$((EPOCHSECONDS + $1)) what=$2
    shift 2
    until "$@" >/dev/null 2>&1; do
        [ "$EPOCHSECONDS" -lt "$deadline" ] || fail "waited in vain for $what"
        sleep 0.1
    done
}

# --- a host of its own ---------------------------------------------------------------------------

# What is not installed, one package a line.
lab_missing() {
    local thing package
    while read -r thing package; do
        command -v "$thing" >/dev/null || echo "$package"
    done <<'NEEDS'
qemu-system-x86_64 qemu-system-x86
ip iproute2
ss iproute2
ping iputils-ping
unshare util-linux
setpriv util-linux
dnsmasq dnsmasq-base
iptables iptables
nft nftables
curl curl
python3 python3
NEEDS
}

# lab_begin ARGUMENTS: of the script that is to run again in there.
lab_begin() {
    local missing
    if [ "${LANYARD_LAB:-}" != inside ]; then
        [ "$(id -u)" = 0 ] || fail "needs root for a network of its own: sudo $0"
        [ -c /dev/net/tun ] || fail 'there is no /dev/net/tun: modprobe tun'
        missing=$(lab_missing | sort -u | paste -s -d ' ')
        [ -z "$missing" ] || fail "not everything is there. Do this: apt-get install $missing"
        [ -x "$(lab_bin)/lanyard" ] ||
            fail "there is no $(lab_bin)/lanyard; build it: cmake --preset release && cmake --build --preset release"
        lab_inside "$@"
    fi
    WORK=$(mktemp -d /tmp/lanyard-lab.XXXXXX)
    trap lab_end EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    PATH=$(lab_bin):$PATH
    export LANYARD_RUNTIME_DIR=$WORK/run LANYARD_STATE_DIR=$WORK/state LANYARD_CONTROL=$WORK/run/control
    mkdir "$WORK/run" "$WORK/state"
    mount -t sysfs none /sys # shows the interfaces of this namespace
    # Pings through NAT need no right where this says so.
    echo '0 2147483647' >/proc/sys/net/ipv4/ping_group_range
    ip link set lo up
    lab_machines
    lab_lan
}

# unshare holds signals back; so this process passes them on, and should it be killed, the kernel does.
lab_inside() {
    local inside status=0
    LANYARD_LAB=inside setpriv --pdeathsig KILL \
        unshare --net --mount --pid --fork --kill-child=TERM --mount-proc "$0" "$@" &
    inside=$!
    trap 'kill -KILL "$inside"' INT TERM
    wait "$inside" || status=$?
    trap - INT TERM
    exit "$status"
}

lab_bin() { echo "${LANYARD_BIN:-$LAB_REPOSITORY/build/release/bin}"; }

lab_machines() {
    step 'Preparing: the kernel of Debian'"'"'s cloud images and a busybox for the machines, and a LAN'
    tiny_vm_image "$LAB_CACHE" 2>"$WORK/image.log" || { cat "$WORK/image.log" && fail 'no image for the machines'; }
    TINY_VM_ACCELERATOR=${TINY_VM_ACCELERATOR:-$(tiny_vm_accelerator "$LAB_CACHE")}
    export TINY_VM_ACCELERATOR
}

# The LAN behind eno1: its router, with a web server, and DNS for the zone "lan".
lab_lan() {
    unshare --net sleep infinity &
    LAN_PID=$!
    LAB_PROCESSES+=("$LAN_PID")
    wait_for 10 'the second namespace' lab_lan_is_apart
    ip link add eno1 type veth peer name eth0 netns "$LAN_PID"
    ip address add "$LAN_HOST/24" dev eno1
    ip link set eno1 up
    in_lan ip link set lo up
    in_lan ip address add "$LAN_ROUTER/24" dev eth0
    in_lan ip link set eth0 up
    ip route add default via "$LAN_ROUTER"
    mkdir "$WORK/www"
    echo '<h1>Welcome to the LAN</h1>' >"$WORK/www/index.html"
    in_lan "$LAB_CACHE/busybox" httpd -f -p 80 -h "$WORK/www" &
    LAB_PROCESSES+=($!)
    in_lan dnsmasq --keep-in-foreground --conf-file=/dev/null --no-resolv --no-hosts --bind-interfaces \
        --listen-address="$LAN_ROUTER" --pid-file= --host-record=www.lan,"$LAN_ROUTER" --local=/lan/ \
        >"$WORK/dnsmasq.log" 2>&1 &
    LAB_PROCESSES+=($!)
    echo "nameserver $LAN_ROUTER" >"$WORK/resolv.conf"
    wait_for 10 'the web server of the LAN' curl -fsS "http://$LAN_ROUTER/"
    say "the host has eno1 with $LAN_HOST, the LAN's router, web server and DNS are $LAN_ROUTER"
}

lab_lan_is_apart() {
    [ "$(readlink "/proc/$LAN_PID/ns/net")" != "$(readlink /proc/self/ns/net)" ]
}

in_lan() { nsenter --target "$LAN_PID" --net -- "$@"; }

# A page that the host itself serves, on all its addresses.
lab_web_server_on_host() {
    mkdir "$WORK/host-www"
    echo '<h1>Welcome to the host</h1>' >"$WORK/host-www/index.html"
    "$LAB_CACHE/busybox" httpd -f -p 80 -h "$WORK/host-www" &
    LAB_PROCESSES+=($!)
    wait_for 10 'the web server of the host' curl -fsS http://127.0.0.1/
}

# --- machines ------------------------------------------------------------------------------------

# Starts a machine with a card in each network: lab_vm NAME NETWORK...; its MAC addresses are fixed.
lab_vm() {
    local name=$1 network number=0 socket cards=()
    shift
    LAB_MACHINES+=("$name")
    for network in "$@"; do
        socket=$(lab_socket "$network")
        cards+=(-netdev "vde,id=net$number,sock=$socket"
            -device "virtio-net-pci,netdev=net$number,mac=$(lab_mac "$name" "$number")")
        number=$((number + 1))
    done
    tiny_vm_start "$LAB_CACHE" "$WORK/$name" "$name" '' "${cards[@]}"
    say "$name: qemu-system-x86_64 ... ${cards[*]}"
}

lab_vm_wait() { tiny_vm_wait "$WORK/$1" 120 || fail "machine $1 did not start"; }

# Values of one key in the rows of what a command answers, of the rows where another one is as said:
# lab_values ROWS KEY VALUE WANTED COMMAND...
lab_values() {
    local rows=$1 key=$2 value=$3 wanted=$4
    shift 4
    lanyard --json "$@" | python3 -c 'import json, sys
rows, key, value, wanted = sys.argv[1:]
for row in json.load(sys.stdin)[rows]:
    if str(row[key]) == value:
        print(row[wanted])' "$rows" "$key" "$value" "$wanted"
}

# Where VMs plug in.
lab_socket() { lab_values networks name "$1" socket network list; }

# 52:54:00:NAME:CARD, the name by its place in the alphabet.
lab_mac() {
    printf '52:54:00:00:%02x:%02x' "$(printf '%d' "'$1")" "$2"
}

# The port at which a machine's card is plugged in: lab_port NETWORK NAME CARD
lab_port() { lab_values entries mac "$(lab_mac "$2" "$3")" port fdb list "$1"; }

# --- the end -------------------------------------------------------------------------------------

lab_end() {
    local status=$? name process
    trap - EXIT INT TERM
    for name in "${LAB_MACHINES[@]}"; do
        tiny_vm_stop "$WORK/$name" 2>/dev/null || true
    done
    lanyard down >/dev/null 2>&1 || true
    for process in "${LAB_PROCESSES[@]}"; do
        kill "$process" 2>/dev/null || true
    done
    wait 2>/dev/null || true
    if [ "$status" = 0 ]; then
        rm -rf "$WORK"
    else
        rm -rf "$WORK"/*/shell.* "$WORK/run"
        echo "what was logged is in $WORK" >&2
    fi
    exit "$status"
}
