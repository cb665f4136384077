# Runs one virtual machine and clears away what it leaves.
#
#   bash vm.sh MACHINES NAME EMULATOR TREE [DISK...]
#
# makes a directory below MACHINES, and in it an image of a file system from TREE and from each DISK,
# starts the QEMU of the tree EMULATOR, prints its pid and the directory, and waits for the end of its
# standard input: when whoever holds the other end lets go of it, or dies in any way at all, the machine
# ends and the directory is removed. The agent that takes orders in the machine is in the variable AGENT.
# The directory has:
#   *.ext4        the disks
#   port          the socket to the agent
#   console.log   what the kernel and systemd say
#   output.log    what commands say, as it comes
set -euo pipefail

# How large the file systems can grow, and how much memory there is. The files are sparse.
SIZE=8G MEMORY_MIB=3072

die() {
    echo "$*" >&2
    exit 1
}

PATH=$PATH:/usr/sbin:/sbin
command -v mke2fs >/dev/null && command -v debugfs >/dev/null || die "there is no mke2fs: install e2fsprogs"

machines=$1 name=$2 emulator=$3
shift 3
mkdir -p "$machines"
dir=$(mktemp -d "$machines/$name.XXXXXX")
qemu=
trap '[ -z "$qemu" ] || { kill -KILL $qemu; wait $qemu || true; }; rm -rf "$dir"' EXIT

# The first argument is the tree.
tree=$1 disks=()
for source in "$@"; do
    image=$dir/${#disks[@]}.ext4
    # Nothing is to outlive a crash: no journal.
    mke2fs -q -t ext4 -O ^has_journal -d "$source" "$image" $SIZE >&2
    disks+=("$image")
done
printf %s "$AGENT" >"$dir/agent.py"
(cd "$dir" && debugfs -w -R "write agent.py agent.py" 0.ext4) >"$dir/debugfs.log" 2>&1 ||
    die "debugfs cannot write the agent: $(cat "$dir/debugfs.log")"

shopt -s nullglob
kernels=("$tree"/boot/vmlinuz-*) ramdisks=("$tree"/boot/initrd.img-*)
[ ${#kernels[@]} = 1 ] && [ ${#ramdisks[@]} = 1 ] || die "$tree has not one kernel with its initial ram disk"

# No controller is left to cgroup v1. systemd.run: see systemd-run-generator(8).
append="root=/dev/vda rw console=ttyS0 quiet panic=-1 cgroup_no_v1=all systemd.run=\"/usr/bin/python3 /agent.py\""
# Guests die under the KVM of some machines, so the processor is emulated everywhere; with LA57 its
# address space is one for which CRIU is not made. One processor: kernels change their own code while
# they run, and with two that are emulated one may meet a breakpoint of which it is not to know any more.
args=(-accel tcg,tb-size=512 -cpu max,-la57 -M q35 -smp 1 -m $MEMORY_MIB
    -nodefaults -no-user-config -display none -no-reboot
    -kernel "${kernels[0]}" -initrd "${ramdisks[0]}" -append "$append"
    -serial "file:$dir/console.log" -device virtio-rng-pci -device virtio-serial-pci
    -chardev "socket,id=port,path=$dir/port,server=on,wait=off"
    -device virtserialport,chardev=port,name=remap)
for image in "${disks[@]}"; do
    args+=(-drive "file=$image,format=raw,if=virtio,cache=unsafe")
done
# It has libraries of its own.
"$emulator/usr/lib64/ld-linux-x86-64.so.2" --library-path "$emulator/usr/lib/x86_64-linux-gnu" \
    "$emulator/usr/bin/qemu-system-x86_64" -L "$emulator/usr/share/qemu" -L "$emulator/usr/share/seabios" \
    "${args[@]}" </dev/null >&2 &
qemu=$!
echo "$qemu $dir"
exec >&-
read -r _ || true
