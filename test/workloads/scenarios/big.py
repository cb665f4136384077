"""Files beyond CRIU's default limit of 1 MiB for a file without a name."""

import hashlib
import os

from common import SHM
from roles import Mapping, Role, create, file_checksum, pattern

MIB = 1 << 20
UNLINKED_BYTES = 5 * MIB
LINKED_BYTES = 3 * MIB
SPARSE_BYTES = 64 * MIB
# What there is in the sparse files: a page each at the start, in the middle
# (not at a round offset) and at the end, and holes in between.
SPARSE_OFFSETS = (0, 32 * MIB + 12_288, SPARSE_BYTES - 4096)


def _create_sparse(path):
    fd = create(path, b"")
    os.ftruncate(fd, SPARSE_BYTES)
    for offset in SPARSE_OFFSETS:
        os.pwrite(fd, pattern(f"sparse {offset}", 4096), offset)
    return fd


def big():
    """5 MiB without a name, open and mapped; 3 MiB under a deleted name with a
    live one beside it; two sparse files of 64 MiB, one without a name."""
    unlinked = create(f"{SHM}/big-unlinked", pattern("unlinked", UNLINKED_BYTES))
    mapping = Mapping(unlinked)
    os.unlink(f"{SHM}/big-unlinked")

    linked = create(f"{SHM}/big-temporary", pattern("linked", LINKED_BYTES))
    os.link(f"{SHM}/big-temporary", f"{SHM}/big-linked")
    os.unlink(f"{SHM}/big-temporary")

    sparse = _create_sparse(f"{SHM}/sparse-unlinked")
    os.unlink(f"{SHM}/sparse-unlinked")
    os.close(_create_sparse(f"{SHM}/sparse-named"))

    role = Role("holder")
    role.uses_fd("unlinked", unlinked)
    role.uses_map("unlinked-map", mapping.address, mapping.size)
    role.uses_fd("linked", linked)
    role.uses_fd("sparse", sparse)

    def check():
        def intact(fd, seed, size):
            made = hashlib.sha256(pattern(seed, size)).hexdigest()
            return file_checksum(fd, 0) == made

        return {
            "unlinked_intact": intact(unlinked, "unlinked", UNLINKED_BYTES),
            "linked_intact": intact(linked, "linked", LINKED_BYTES),
            "sparse_intact": all(
                os.pread(sparse, 4096, offset) == pattern(f"sparse {offset}", 4096)
                for offset in SPARSE_OFFSETS
            ),
        }

    role.run(dict, check)
