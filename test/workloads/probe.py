"""Says how a running scenario is, as one JSON object.

    probe.py NAME

`facts` is the same before and after a migration that has changed nothing: it
has no inode number, pid or count in it. An inode is called by its first name, or
else by its first user.

    facts.names     what is in /dev/shm: kind, inode, mode, owner, size,
                    allocated bytes, nlink, checksum
    facts.uses      per role and use: the inode, all names of it, the checksum as
                    the process itself sees it, and for descriptors nlink and
                    size
    facts.checks    per role what it checks itself
    facts.answered  per role whether it still answers
    facts.moving    per role and number whether it goes up; a reader's number
                    comes from its writer, through the shared file
    facts.errors    roles that have failed, with the reason
    progress        the numbers now
    raw             inode numbers, pids, link texts and times, to look at

Names are percent-encoded: they may be any bytes. Exits with 0 if all roles
answer and all numbers go up, with 1 if not.
"""

import json
import os
import stat
import sys
import time
from urllib.parse import quote

from common import SHM, STATE, mappings, pause, read_json, write_json
from roles import LIVE_BYTES, file_checksum

PATIENCE_SECONDS = 10
# What is larger its holder checks itself.
LARGEST_BYTES = 256 << 20

KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "symlink",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
    stat.S_IFCHR: "device",
    stat.S_IFBLK: "device",
}


def identity(status):
    return (status.st_dev, status.st_ino)


def shm_entries():
    """All that is in /dev/shm: encoded name → (path, status), sorted."""
    entries = {}
    for folder, folders, files in os.walk(os.fsencode(SHM)):
        for name in folders + files:
            path = os.path.join(folder, name)
            encoded = quote(os.path.relpath(path, os.fsencode(SHM)))
            entries[encoded] = (path, os.lstat(path))
    return dict(sorted(entries.items()))


def name_facts(path, status, inode, live):
    """What is to stay the same about one name."""
    kind = KINDS[stat.S_IFMT(status.st_mode)]
    facts = {
        "kind": kind,
        "mode": f"{stat.S_IMODE(status.st_mode):04o}",
        "uid": status.st_uid,
        "gid": status.st_gid,
    }
    if kind == "symlink":
        facts["target"] = quote(os.readlink(path))
    if kind == "file":
        sha256 = None
        if status.st_size <= LARGEST_BYTES:
            with open(path, "rb") as file:
                sha256 = file_checksum(file.fileno(), LIVE_BYTES if live else 0)
        facts.update(
            inode=inode,
            nlink=status.st_nlink,
            size=status.st_size,
            allocated=status.st_blocks * 512,
            sha256=sha256,
        )
    return facts


def look_at_use(pid, use):
    """The identity of a use's file, what the kernel calls it, and the facts
    that can be had without asking the process."""
    if "fd" in use:
        link = f"/proc/{pid}/fd/{use['fd']}"
        status = os.stat(link)
        facts = {
            "nlink": status.st_nlink,
            "size": status.st_size,
            "allocated": status.st_blocks * 512,
        }
        return identity(status), os.readlink(os.fsencode(link)), facts
    for mapping in mappings(pid):
        if mapping["start"] <= use["address"] < mapping["end"]:
            file = (mapping["dev"], mapping["ino"])
            return file, os.fsencode(mapping["name"]), {}
    raise LookupError(f"process {pid} maps nothing at {use['address']:#x}")


def wait_until(done):
    """Whether `done` has come true in time."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not done():
        if time.monotonic() > end:
            return False
        pause(0.02)
    return True


def ask(roles):
    """Has all roles look at their own files: role → answer, None without."""
    question = f"{os.getpid()} {time.time_ns()}"
    write_json(f"{STATE}/ask", question)

    def answers():
        found = {role: read_json(f"{STATE}/answers/{role}.json") for role in roles}
        return {
            role: answer if answer and answer["question"] == question else None
            for role, answer in found.items()
        }

    wait_until(lambda: all(answers().values()))
    return answers()


def progress(roles):
    return {role: read_json(f"{STATE}/progress/{role}.json") or {} for role in roles}


def movement(roles):
    """role → number → whether it goes up."""
    before = progress(roles)

    def now():
        after = progress(roles)
        return {
            role: {
                number: after[role].get(number, 0) > value
                for number, value in before[role].items()
            }
            for role in roles
        }

    wait_until(lambda: all(all(numbers.values()) for numbers in now().values()))
    return now()


def roles_of(name):
    """The roles of the scenario `name`, which has to be the one that runs."""
    scenario = read_json(f"{STATE}/scenario.json")
    if (
        scenario is None
        or scenario["name"] != name
        or not os.path.exists(f"{STATE}/ready")
    ):
        sys.exit(f"{name} is not what is set up here: {scenario}")
    return {
        entry.removesuffix(".json"): read_json(f"{STATE}/roles/{entry}")
        for entry in sorted(os.listdir(f"{STATE}/roles"))
        if entry.endswith(".json")
    }


def probe(name):
    roles = roles_of(name)
    answers = ask(roles)
    moving = movement(roles)
    errors = {}
    for role in os.listdir(f"{STATE}/errors"):
        with open(f"{STATE}/errors/{role}", encoding="utf-8") as file:
            errors[role] = file.read()

    entries = shm_entries()
    names_of = {}
    for encoded, (_, status) in entries.items():
        names_of.setdefault(identity(status), []).append(encoded)
    labels = {file: names[0] for file, names in names_of.items()}

    uses, raw_uses, live = {}, {}, set()
    for role, description in roles.items():
        uses[role], raw_uses[role] = {}, {}
        for label, use in description["uses"].items():
            try:
                file, link, facts = look_at_use(description["pid"], use)
            except (OSError, LookupError) as error:
                errors[f"{role}: {label}"] = str(error)
                continue
            if use["live"]:
                live.add(file)
            uses[role][label] = {
                "inode": labels.setdefault(file, f"nameless, {role}: {label}"),
                "names": names_of.get(file, []),
                "sha256": answers[role] and answers[role]["sha256"][label],
                **facts,
            }
            raw_uses[role][label] = {
                "dev": file[0],
                "ino": file[1],
                "link": quote(link),
            }

    return {
        "scenario": name,
        "facts": {
            "names": {
                encoded: name_facts(
                    path, status, labels[identity(status)], identity(status) in live
                )
                for encoded, (path, status) in entries.items()
            },
            "uses": uses,
            "checks": {
                role: answer and answer["checks"] for role, answer in answers.items()
            },
            "answered": {role: answer is not None for role, answer in answers.items()},
            "moving": moving,
            "errors": errors,
        },
        "progress": progress(roles),
        "raw": {
            "pids": {role: description["pid"] for role, description in roles.items()},
            "names": {
                encoded: {
                    "dev": status.st_dev,
                    "ino": status.st_ino,
                    "mtime_ns": status.st_mtime_ns,
                }
                for encoded, (_, status) in entries.items()
            },
            "uses": raw_uses,
        },
    }


def main():
    if len(sys.argv) != 2:
        sys.exit("usage: probe.py NAME")
    found = probe(sys.argv[1])
    print(json.dumps(found, sort_keys=True))
    facts = found["facts"]
    well = (
        all(facts["answered"].values())
        and all(all(numbers.values()) for numbers in facts["moving"].values())
        and not facts["errors"]
    )
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
