#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
#
# Very small virtual machines for demonstrations and tests: Debian's cloud kernel, one busybox, one
# script, 96 MB. Such a machine boots in seconds even without KVM, so that a real QEMU with real
# frames can take part in a test.
#
# Use it as a library (`source tiny_vm.sh`, functions tiny_vm_*) or as a program:
#   tiny_vm.sh missing                              what is not installed, one program a line
#   tiny_vm.sh image CACHE                          make kernel and initramfs once, below CACHE
#   tiny_vm.sh accelerator CACHE                    say kvm or tcg, after really trying
#   tiny_vm.sh command CACHE DIR NAME ADDRESS [QEMU ARGUMENTS]
#                                                   the QEMU command line, each word ended by NUL
#
# Every machine has a directory DIR of its own:
#   console.log        what the kernel and the start script print
#   shell.in/.out      two FIFOs: a shell inside the machine that answers (tiny_vm_run)
#   qmp.sock           QEMU's own control socket
set -euo pipefail

TINY_VM_META_PACKAGE=linux-image-cloud-amd64
TINY_VM_MEMORY_MB=${TINY_VM_MEMORY_MB:-96}

tiny_vm_missing() {
    local program
    for program in qemu-system-x86_64 dpkg apt-get apt-cache flock; do
        command -v "$program" >/dev/null || echo "$program"
    done
    [ "$(uname -m)" = x86_64 ] || echo "an x86-64 machine (this one is $(uname -m))"
}

# --- kernel and initramfs ------------------------------------------------------------------------

# Unpacks a package below the cache directory; nothing is installed on this machine.
tiny_vm_unpack_package() {
    local cache=$1 package=$2
    # As root apt wants to drop to its own user, who may not write here; that is only a warning.
    (cd "$cache/download" && apt-get -q -o APT::Sandbox::User=root download "$package" >&2) || {
        echo "apt cannot download $package: run apt-get update, and see whether there is a network" >&2
        return 1
    }
    dpkg -x "$cache"/download/"$package"_*.deb "$cache/download/tree"
}

tiny_vm_fetch() {
    local cache=$1 kernel
    kernel=$(apt-cache depends "$TINY_VM_META_PACKAGE" 2>/dev/null |
        sed -n 's/^ *Depends: \(linux-image-[0-9].*\)$/\1/p' | head -n 1)
    if [ -z "$kernel" ]; then
        echo "apt knows no kernel behind $TINY_VM_META_PACKAGE: run apt-get update first" >&2
        return 1
    fi
    rm -rf "$cache/download"
    mkdir -p "$cache/download/tree"
    tiny_vm_unpack_package "$cache" "$kernel"
    cp "$cache"/download/tree/boot/vmlinuz-* "$cache/vmlinuz.new"
    # The static one, because an initramfs has no C library; and not the installed one, because
    # the packages busybox and busybox-static push each other out.
    tiny_vm_unpack_package "$cache" busybox-static
    find "$cache/download/tree" -path '*bin/busybox' -exec cp {} "$cache/busybox" \;
}

# Prints the files of a kernel module and of all that it needs, the needed ones first. The package
# holds no modules.dep (that is made when it is installed), but every module names its needs.
tiny_vm_module_order() {
    local tree=$1 name file need
    shift
    for name in "$@"; do
        file=$(find "$tree" -name "$name.ko*" -print -quit)
        [ -n "$file" ] || continue # built into this kernel
        for need in $(tiny_vm_unpacked_module "$file" |
            grep -a -o 'depends=[^[:cntrl:]]*' | head -n 1 | sed 's/^depends=//; s/,/ /g'); do
            tiny_vm_module_order "$tree" "$need"
        done
        echo "$file"
    done
}

tiny_vm_unpacked_module() {
    case $1 in
        *.xz) xz -dc "$1" ;;
        *.gz) gzip -dc "$1" ;;
        *.zst) zstd -qdc "$1" ;;
        *) cat "$1" ;;
    esac
}

# The first process of the machine. Words of the kernel command line that the kernel does not know
# arrive here as environment variables: vm_name, vm_address, vm_mtu, and vm_modules=no for another
# kernel than the one whose modules are here.
tiny_vm_init_script() {
    cat <<'INIT'
#!/bin/busybox sh
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin /usr/bin /usr/sbin
/bin/busybox --install -s
mount -t devtmpfs none /dev
mount -t proc none /proc
mount -t sysfs none /sys
mount -t tmpfs none /tmp
for module in /modules/*.ko; do
    [ "$vm_modules" != no ] || break
    insmod "$module" || echo "$vm_name: cannot load $module"
done
ip link set lo up
for card in /sys/class/net/eth*; do
    [ -e "$card" ] || { echo "$vm_name: no network card"; break; }
    ip link set "${card##*/}" mtu "${vm_mtu:-1500}" up
done
[ -n "$vm_address" ] && ip address add "$vm_address" dev eth0
hostname "$vm_name"
echo "$vm_name: up with $vm_address"
# The shell that answers: a line is a token and a command. The answer is a line "TOKEN begin", the
# output, and after a newline "TOKEN exit N". Raw, so that nothing is echoed or interpreted.
stty -F /dev/ttyS1 raw -echo
exec </dev/ttyS1 >/dev/ttyS1 2>&1
echo READY
while read -r token command; do
    echo "$token begin"
    (eval "$command") </dev/null
    printf '\n%s exit %d\n' "$token" "$?"
done
INIT
}

# What a machine does with a lease: `udhcpc -i eth0` calls it, and it also prints what it was told.
tiny_vm_dhcp_script() {
    cat <<'SCRIPT'
#!/bin/busybox sh
case $1 in
    bound | renew)
        ip address flush dev "$interface" scope global
        ip address add "$ip/$mask" dev "$interface"
        [ -z "$mtu" ] || ip link set "$interface" mtu "$mtu"
        # A network that tells no router leaves the default route alone.
        for gateway in $router; do
            ip route replace default via "$gateway" dev "$interface"
            break
        done
        if [ -n "$dns" ]; then
            : >/etc/resolv.conf
            [ -z "$domain" ] || echo "search $domain" >>/etc/resolv.conf
            for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
        fi
        echo "$interface: address $ip/$mask router ${router:-none} dns ${dns:-none}" \
            "lease $lease server $serverid"
        ;;
    deconfig) ip link set "$interface" up ;;
esac
SCRIPT
}

tiny_vm_make_initramfs() {
    local cache=$1 root=$1/root number=10 file
    rm -rf "$root"
    mkdir -p "$root/bin" "$root/modules" "$root/etc"
    tiny_vm_dhcp_script >"$root/etc/dhcp"
    chmod 755 "$root/etc/dhcp"
    cp "$cache/busybox" "$root/bin/busybox"
    tiny_vm_init_script >"$root/init"
    chmod 755 "$root/init" "$root/bin/busybox"
    # The number in front keeps the order of loading.
    while read -r file; do
        tiny_vm_unpacked_module "$file" >"$root/modules/$number-$(basename "${file%.ko*}").ko"
        number=$((number + 1))
    done < <(tiny_vm_module_order "$cache/download/tree" virtio_pci virtio_net 8021q af_packet | awk '!seen[$0]++')
    # Not compressed: unpacking 3 MB costs the machine more than reading them.
    (cd "$root" && find . | "$cache/busybox" cpio --quiet -o -H newc) >"$cache/initramfs.new"
}

# The same script and the same kernel package give the same image: then it is made only once.
tiny_vm_image_key() {
    { apt-cache depends "$TINY_VM_META_PACKAGE" 2>/dev/null && cat "${BASH_SOURCE[0]}"; } |
        sha256sum | cut -d ' ' -f 1
}

tiny_vm_image() {
    local cache key
    mkdir -p "$1"
    cache=$(cd "$1" && pwd)
    key=$(tiny_vm_image_key)
    (
        # Two tests at once must not build into the same directory.
        flock 9
        if [ "$(cat "$cache/key" 2>/dev/null || true)" = "$key" ]; then
            exit 0
        fi
        rm -f "$cache/key" "$cache/accelerator"
        tiny_vm_fetch "$cache"
        tiny_vm_make_initramfs "$cache"
        mv "$cache/vmlinuz.new" "$cache/vmlinuz"
        mv "$cache/initramfs.new" "$cache/initramfs"
        rm -rf "$cache/download" "$cache/root"
        echo "$key" >"$cache/key"
    ) 9>"$cache/lock"
}

# --- running -------------------------------------------------------------------------------------

# Prints the QEMU command line, NUL-separated, so that a test in another language starts the very
# same machine. Words after the address go to QEMU as they are: the caller chooses the network card.
# no_timer_check: on a busy host the kernel's test of the timer fails now and then, and it panics.
# maxcpus=2: for a machine that can never have a second processor QEMU's TCG leaves out the guest's
# memory barriers. But the network card is another thread's: the guest and QEMU may each believe
# that the other one looks at a queue, and from then on the card is dead.
tiny_vm_command() {
    local cache=$1 directory=$2 name=$3 address=$4 accelerator=${TINY_VM_ACCELERATOR:-tcg}
    shift 4
    local words=(qemu-system-x86_64 -name "$name" -nodefaults -no-user-config -display none
        -machine "pc,accel=$accelerator" -m "$TINY_VM_MEMORY_MB" -smp "1,maxcpus=2" -no-reboot
        -kernel "$cache/vmlinuz" -initrd "$cache/initramfs"
        -append "console=ttyS0 quiet panic=-1 nokaslr mitigations=off cryptomgr.notests no_timer_check \
vm_name=$name vm_address=$address"
        -serial "file:$directory/console.log"
        -chardev "pipe,id=shell,path=$directory/shell" -serial chardev:shell
        -qmp "unix:$directory/qmp.sock,server=on,wait=off")
    [ "$accelerator" = kvm ] && words+=(-cpu host)
    printf '%s\0' "${words[@]}" "$@"
}

# Starts a machine in the background; its process id is in DIR/pid.
tiny_vm_start() {
    local directory=$2 words
    mkdir -p "$directory"
    rm -f "$directory/shell.in" "$directory/shell.out" "$directory/console.log"
    mkfifo "$directory/shell.in" "$directory/shell.out"
    mapfile -d '' words < <(tiny_vm_command "$@")
    "${words[@]}" >"$directory/qemu.log" 2>&1 </dev/null &
    echo $! >"$directory/pid"
}

tiny_vm_is_running() {
    kill -0 "$(cat "$1/pid")" 2>/dev/null
}

# Reads the next line that the machine's shell prints, up to the time given as seconds since the
# epoch; fails when the time is over or the machine has ended.
tiny_vm_read_line() {
    local -n line_read=$3
    local directory=$1 deadline=$2 piece='' descriptor
    line_read=
    exec {descriptor}<>"$directory/shell.out"
    until IFS= read -r -t 0.2 -u "$descriptor" piece; do
        line_read+=$piece # an unfinished line: read has taken it out of the FIFO
        if [ "$EPOCHSECONDS" -ge "$deadline" ] || ! tiny_vm_is_running "$directory"; then
            exec {descriptor}>&-
            return 1
        fi
    done
    line_read+=$piece
    exec {descriptor}>&-
}

# Waits until the machine's shell answers: tiny_vm_wait DIR SECONDS
tiny_vm_wait() {
    local directory=$1 deadline=$((EPOCHSECONDS + $2)) line
    while tiny_vm_read_line "$directory" "$deadline" line; do
        [ "$line" = READY ] && return 0
    done
    {
        echo "the machine in $directory did not come up within $2 s; what it and QEMU said:"
        cat "$directory/console.log" "$directory/qemu.log" 2>/dev/null || true
    } >&2
    return 1
}

# Runs one line of shell inside the machine, prints its output, returns its exit code:
# tiny_vm_run DIR SECONDS COMMAND
tiny_vm_run() {
    local directory=$1 deadline=$((EPOCHSECONDS + $2)) token="@$RANDOM$RANDOM$RANDOM" line
    local state=before
    printf '%s %s\n' "$token" "$3" >"$directory/shell.in"
    while tiny_vm_read_line "$directory" "$deadline" line; do
        if [[ $line =~ ^$token\ exit\ ([0-9]+)$ ]]; then
            return "${BASH_REMATCH[1]}"
        fi
        # What comes before "begin" belongs to an earlier command that was given up, and one newline
        # before "exit" belongs to the protocol.
        case $state/$line in
            before/"$token begin") state=text ;;
            before/*) ;;
            blank/) echo ;;
            text/) state=blank ;;
            blank/*) printf '\n%s\n' "$line" && state=text ;;
            text/*) echo "$line" ;;
        esac
    done
    echo "no answer from the machine in $directory within $2 s: $3" >&2
    return 124
}

tiny_vm_stop() {
    local pid
    pid=$(cat "$1/pid" 2>/dev/null) || return 0
    kill "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
    rm -f "$1/pid"
}

# Says kvm or tcg. /dev/kvm may exist, open, and still not run a guest (nested virtualisation does
# that), so the answer comes from booting a machine.
tiny_vm_accelerator() {
    local cache=$1 directory result=tcg
    if [ ! -w /dev/kvm ]; then
        echo tcg
        return
    fi
    directory=$(mktemp -d)
    TINY_VM_ACCELERATOR=kvm tiny_vm_start "$cache" "$directory" probe ''
    if tiny_vm_wait "$directory" 10 2>/dev/null; then
        result=kvm
    fi
    tiny_vm_stop "$directory" 2>/dev/null
    rm -rf "$directory"
    echo "$result"
}

# --- as a program --------------------------------------------------------------------------------

tiny_vm_main() {
    local verb=${1:-}
    [ $# -eq 0 ] || shift
    case $verb in
        missing | image | accelerator | command) "tiny_vm_$verb" "$@" ;;
        *)
            echo "usage: tiny_vm.sh missing | image CACHE | accelerator CACHE |" \
                "command CACHE DIR NAME ADDRESS [QEMU ARGUMENTS]" >&2
            return 2
            ;;
    esac
}

if [ "${BASH_SOURCE[0]}" = "$0" ]; then
    tiny_vm_main "$@"
fi
