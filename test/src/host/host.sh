#!/bin/bash
# Runs one test host and clears away what it leaves.
#
#   host.sh run HOSTS TREE NAME
#
# makes a directory below HOSTS, starts a host in it whose root is an overlay of
# TREE, prints "ready PID DIR" (the host's first process, as seen from here) and
# then waits for the end of its standard input: when whoever holds the other end
# lets go of it, or dies in any way at all, the host ends and what was made for
# it is removed. Only the death of this script itself leaves anything; the next
# "run" recognises that by the lock, which dies with its holder, and removes it.
#
# A host is: namespaces of its own (mount, pid, network, uts, ipc, cgroup), a
# cgroup of its own in every hierarchy, and the directory:
#   lock          held by this script for as long as the host is there
#   cgroups       the host's cgroups, one path a line
#   upper, work   what the host changed of the tree
#   disk          plain directories bound into the host (see the mounts below)
#   root          the mount point; used only inside the host's mount namespace
set -euo pipefail

# Prints one line for each cgroup hierarchy: "v1 NAME DIR" or "v2 - DIR", where
# DIR is where a new cgroup can be made. See cgroups(7), /proc/pid/cgroup.
cgroup_parents() {
    local controllers path mount
    while IFS=: read -r _ controllers path; do
        if [ -z "$controllers" ]; then
            # The top: only there may a v2 group with processes have children.
            mount=$(findmnt -nfo TARGET -t cgroup2) || continue
            echo "v2 - $mount"
        else
            mount=$(findmnt -nfo TARGET -t cgroup -O "$controllers") || continue
            [ -d "$mount$path" ] || path=
            echo "v1 $controllers ${mount}${path%/}"
        fi
    done </proc/self/cgroup
}

# Makes the host's cgroups and lists them in DIR/cgroups.
make_cgroups() {
    local dir=$1 name=$2 version parent cgroup controller file
    while read -r version _ parent; do
        cgroup=$parent/$name
        echo "$cgroup" >>"$dir/cgroups"
        mkdir "$cgroup"
        if [ "$version" = v2 ]; then
            # runc wants the controllers, and where there is no systemd nobody has
            # enabled them yet. One that cannot be had is missed soon enough.
            for controller in $(cat "$parent/cgroup.controllers"); do
                echo "+$controller" >"$parent/cgroup.subtree_control" || true
            done 2>/dev/null
            # A leaf for the processes, so that the group may have other children.
            mkdir "$cgroup/init"
        fi
        for file in cpuset.cpus cpuset.mems; do
            if [ "$version" = v1 ] && [ -e "$cgroup/$file" ]; then
                cat "$parent/$file" >"$cgroup/$file"
            fi
        done
    done < <(cgroup_parents)
}

# Ends every process of the host in DIR and removes its cgroups and DIR. A frozen
# v1 group has to be thawed first: its tasks do not die while frozen.
clear_host() {
    local dir=$1 cgroup state pid
    local left
    for _ in $(seq 200); do
        left=0
        while read -r cgroup; do
            [ -d "$cgroup" ] || continue
            while read -r state; do
                echo THAWED >"$state" || true
            done < <(find "$cgroup" -name freezer.state ! -path "$cgroup/freezer.state")
            while read -r pid; do
                [ "$pid" = 0 ] || kill -KILL "$pid" || true
            done < <(find "$cgroup" -name cgroup.procs -exec cat {} +)
            find "$cgroup" -depth -type d -exec rmdir {} + || left=1
        done <"$dir/cgroups"
        if [ $left = 0 ]; then
            rm -rf --one-file-system "$dir" && return
        fi
        sleep 0.05
    done 2>/dev/null
    echo "cannot remove the test host in $dir: see its cgroups for what still runs" >&2
    return 1
}

# Removes what is left of hosts below HOSTS whose script is dead.
sweep() {
    local dir lock
    for dir in "$1"/*/; do
        dir=${dir%/}
        [ -e "$dir/lock" ] || continue
        exec {lock}<"$dir/lock"
        if flock --nonblock $lock; then
            clear_host "$dir" || true
        fi
        exec {lock}<&-
    done
}

run() {
    local hosts=$1 tree=$2 name=$3 gate
    mkdir -p "$hosts"
    # The gate keeps a sweep away from a directory that has no lock yet.
    exec {gate}>"$hosts/gate"
    flock $gate
    sweep "$hosts"
    # Global: the trap runs when this function has ended.
    dir=$(mktemp -d "$hosts/$name.XXXXXX")
    exec 9>"$dir/lock"
    flock 9
    exec {gate}>&-

    trap 'clear_host "$dir"' EXIT
    : >"$dir/cgroups"
    make_cgroups "$dir" "remap-test-$(basename "$dir")"
    mkdir -p "$dir"/{upper,work,root,disk/containerd,disk/srv}

    # Background jobs read /dev/null unless told otherwise.
    exec 3<&0
    enter "$dir" "$tree" "$name" <&3 3<&- 9>&- &
    exec >&-
    read -r _ || true
}

# Moves into the host's cgroups and goes on as `first` in its namespaces.
enter() {
    local cgroup
    while read -r cgroup; do
        echo 0 >"$cgroup/cgroup.procs"
    done <"$1/cgroups"
    exec unshare --cgroup bash "$0" leaf "$@"
}

# The cgroup namespace's root is the group that its maker was in, so only now.
leaf() {
    local cgroup
    while read -r cgroup; do
        [ ! -d "$cgroup/init" ] || echo 0 >"$cgroup/init/cgroup.procs"
    done <"$1/cgroups"
    exec unshare --mount --propagation private --pid --net --uts --ipc \
        --fork --kill-child bash "$0" first "$@"
}

# The host's process 1: mounts its file systems and becomes its init, which lives
# as long as its standard input does.
first() {
    local dir=$1 tree=$2 name=$3 root=$1/root pid
    # Still the machine's /proc: its first number is our pid there.
    read -r pid _ </proc/self/stat

    mount -t overlay -o "lowerdir=$tree,upperdir=$dir/upper,workdir=$dir/work" overlay "$root"
    # Overlays on an overlay do not work, and images deserve a disk.
    mkdir -p "$root"/{var/lib/containerd,srv,mnt}
    mount --bind "$dir/disk/containerd" "$root/var/lib/containerd"
    mount --bind "$dir/disk/srv" "$root/srv"
    mount_kernel_filesystems "$root"
    mount -t tmpfs -o mode=755 run "$root/run"
    mount -t tmpfs -o mode=1777 tmp "$root/tmp"
    mount_dev "$root/dev"
    mount_cgroups "$root/sys/fs/cgroup" >"$root/run/host-cgroups"

    hostname "$name"
    echo "$name" >"$root/etc/hostname"
    echo "127.0.0.1 localhost $name" >"$root/etc/hosts"
    ip link set lo up

    cd "$root"
    pivot_root . mnt
    umount --lazy /mnt
    echo "ready $pid $dir"
    exec chroot / tini -- cat >/dev/null
}

mount_kernel_filesystems() {
    mount -t proc -o nosuid,nodev,noexec proc "$1/proc"
    mount -t sysfs -o nosuid,nodev,noexec sysfs "$1/sys"
}

mount_dev() {
    local dev=$1
    mount -t tmpfs -o mode=755,nosuid dev "$dev"
    mknod -m 666 "$dev/null" c 1 3
    mknod -m 666 "$dev/zero" c 1 5
    mknod -m 666 "$dev/full" c 1 7
    mknod -m 666 "$dev/random" c 1 8
    mknod -m 666 "$dev/urandom" c 1 9
    mknod -m 666 "$dev/tty" c 5 0
    mknod -m 666 "$dev/fuse" c 10 229
    mkdir "$dev"/{net,pts,shm,mqueue}
    mknod -m 666 "$dev/net/tun" c 10 200
    ln -s /proc/self/fd "$dev/fd"
    ln -s fd/0 "$dev/stdin"
    ln -s fd/1 "$dev/stdout"
    ln -s fd/2 "$dev/stderr"
    ln -s pts/ptmx "$dev/ptmx"
    mount -t devpts -o newinstance,ptmxmode=666,gid=5,mode=620 devpts "$dev/pts"
    mount -t tmpfs -o mode=1777 shm "$dev/shm"
    mount -t mqueue mqueue "$dev/mqueue"
}

# Mounts the hierarchies as the machine has them; in the new cgroup namespace each
# begins at the host's own group. Prints the files, as the host sees them, into
# which a process that joins the host has to write itself.
mount_cgroups() {
    local cgroups=$1 version controllers at
    local seen=/sys/fs/cgroup
    if [ "$(cgroup_parents | cut -d' ' -f1 | sort -u)" = v2 ]; then
        mount -t cgroup2 cgroup2 "$cgroups"
        echo $seen/init/cgroup.procs
        return
    fi
    mount -t tmpfs -o mode=755 cgroup "$cgroups"
    while read -r version controllers _; do
        if [ "$version" = v2 ]; then
            mkdir "$cgroups/unified"
            mount -t cgroup2 cgroup2 "$cgroups/unified"
            echo $seen/unified/init/cgroup.procs
        else
            at=${controllers#name=}
            mkdir "$cgroups/$at"
            mount -t cgroup -o "$controllers" cgroup "$cgroups/$at"
            echo "$seen/$at/cgroup.procs"
        fi
    done < <(cgroup_parents)
}

"$@"
