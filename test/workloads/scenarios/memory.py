"""Private memory, for measurements."""

import mmap

from roles import STEP_SECONDS, Role, pattern

MIB = 1 << 20
PAGE = 4096


def memory(mib="64", dirty_mib_per_second="0"):
    """Fills `mib` MiB of anonymous memory, then rewrites pages, from the first
    to the last and again, at about the given rate.

    The first word of a page is its number and stays; the second one counts how
    often the page was rewritten. The rest does not compress.
    """
    size = int(mib) * MIB
    pages = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    block = pattern("memory", MIB)
    for offset in range(0, size, MIB):
        pages[offset : offset + MIB] = block
    words = memoryview(pages).cast("Q")
    stride = PAGE // 8
    for page in range(size // PAGE):
        words[page * stride] = page
        words[page * stride + 1] = 0

    per_step = int(float(dirty_mib_per_second) * MIB / PAGE * STEP_SECONDS)
    rewritten = 0

    def step():
        nonlocal rewritten
        for _ in range(per_step):
            words[rewritten % (size // PAGE) * stride + 1] += 1
            rewritten += 1
        return {"pages_rewritten": rewritten} if per_step else {}

    def check():
        whole, part = divmod(rewritten, size // PAGE)
        return {
            "mib": size // MIB,
            "intact": all(
                words[page * stride] == page
                and words[page * stride + 1] == whole + (page < part)
                and pages[page * PAGE + 16 : (page + 1) * PAGE]
                == block[page * PAGE % MIB + 16 : page * PAGE % MIB + PAGE]
                for page in range(size // PAGE)
            ),
        }

    role = Role("holder")
    role.run(step, check)
