"""An OpenMPI job of two ranks that use shared memory on /dev/shm: its transport, and a window.

    openmpi

The ranks are this file, run by mpirun; the first of them answers.
"""

import os
import subprocess
import sys

from software.work import keep_on, run_for_ever

RANKS = 2
# Beyond what is sent at once: such a message goes through the transport in pieces.
WORDS = 1 << 16
# Shared memory and nothing else; nobody looks into another's memory.
OPTIONS = {
    "pml": "ob1",
    "btl": "self,sm",
    "btl_sm_single_copy_mechanism": "none",
    "coll": "^hcoll",
    "osc": "sm",
}


MPIRUN = ["mpirun.openmpi", "--allow-run-as-root", "--oversubscribe"]


def environment():
    """What mpirun listens on has to be there on the next host, too: lo. PRRTE before 4 does not take
    that if there is anything else."""
    loopback = dict(os.environ, PRTE_MCA_prte_if_include="lo")
    tried = subprocess.run(
        [*MPIRUN, "-np", "1", "true"],
        env=loopback,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )
    return loopback if tried.returncode == 0 else dict(os.environ)


def run():
    command = [*MPIRUN, "-np", str(RANKS)]
    command += [word for name, value in OPTIONS.items() for word in ("--mca", name, value)]
    command += ["python3", "-m", "software.openmpi"]
    home = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    run_for_ever(command, "/var/log/openmpi.log", cwd=home, env=environment())


def rank():
    from mpi4py import MPI  # only here: it starts MPI

    world = MPI.COMM_WORLD
    me = world.Get_rank()
    # Memory of the first rank that all read and write.
    window = MPI.Win.Allocate_shared(4096 if me == 0 else 0, 8, comm=world)
    memory, _ = window.Shared_query(0)
    shared = memory.tobuffer() if hasattr(memory, "tobuffer") else memory
    words = memoryview(shared).cast("B").cast("Q")
    state = {"rounds": 0, "problems": []}
    message = bytearray(8 * WORDS)
    numbers = memoryview(message).cast("Q")

    def step():
        """A message goes around; each rank adds one to each of its words."""
        state["rounds"] += 1
        value = state["rounds"] * 1000
        if me == 0:
            for at in range(0, WORDS, 997):
                numbers[at] = value + at
            world.Send([message, MPI.BYTE], dest=1)
            world.Recv([message, MPI.BYTE], source=RANKS - 1)
            wrong = [at for at in range(0, WORDS, 997) if numbers[at] != value + at + RANKS - 1]
            if wrong:
                state["problems"].append(f"round {state['rounds']}: words {wrong[:5]} are wrong")
        else:
            world.Recv([message, MPI.BYTE], source=me - 1)
            for at in range(0, WORDS, 997):
                numbers[at] += 1
            world.Send([message, MPI.BYTE], dest=(me + 1) % RANKS)
        total = world.allreduce(state["rounds"])
        if total != RANKS * state["rounds"]:
            state["problems"].append(f"all ranks together are at {total} and not {state['rounds']}")
        words[1 + me] = state["rounds"]
        window.Sync()
        world.Barrier()
        seen = [words[1 + other] for other in range(RANKS)]
        if seen != [state["rounds"]] * RANKS:
            state["problems"].append(f"in the window there is {seen} at {state['rounds']}")
        world.Barrier()

    if me == 0:
        keep_on("openmpi", lambda: state["rounds"], lambda: state["problems"], step)
    while True:
        step()
        if state["problems"]:
            raise ValueError(state["problems"])


if __name__ == "__main__":
    sys.path.insert(0, os.getcwd())
    from software import work

    with work.errors_noted():
        rank()
