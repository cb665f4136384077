use super::*;
use serde_json::{Value, json};

fn document(verdict: &str, forecast: &Value) -> Document<Forecast> {
    let mut document = json!({
        "version": 1,
        "verdict": verdict,
        "container": {"id": "db", "namespace": "k8s.io", "pid": 4321, "status": "running", "frozen": false},
        "request": {"exit": false, "tcp_established": true, "ext_unix_sk": false, "shell_job": false, "file_locks": true},
        "versions": {"containerd-shim-remap-v2": "0.1.0", "criu": "Version: 4.1", "kernel": "6.12.0", "runtime": "runc version 1.1.15"},
    });
    for (key, value) in forecast.as_object().unwrap() {
        document[key] = value.clone();
    }
    serde_json::from_value(document).unwrap()
}

fn file(decision: &str, inode: u64, holders: &Value) -> Value {
    json!({"inode": inode, "size_bytes": 32, "allocated_bytes": 4096, "decision": decision, "holders": holders})
}

#[test]
fn a_checkpoint_that_would_work() {
    let forecast = json!({
        "warnings": ["1 file in use at /data (nfs4): not carried, must be there on the target with the same size"],
        "carried": [{"mounts": ["/dev/shm"], "allocated_bytes": 12_595_200, "inodes": 4}],
        "plan": {
            "mounts": [
                {"destination": "/", "class": "internal", "fs_type": "overlay"},
                {"destination": "/proc", "class": "internal", "fs_type": "proc"},
                {"destination": "/dev/shm", "class": "internal", "fs_type": "tmpfs"},
                {"destination": "/dev/shm", "class": "external_tmpfs_private", "fs_type": "tmpfs", "source": "/run/pods/1/shm"},
                {"destination": "/data", "class": "external_persistent", "fs_type": "nfs4", "source": "/mnt/data"},
                {"destination": "/etc/hosts", "class": "external_ephemeral", "reason": "not_tmpfs", "fs_type": "ext4", "source": "/var/hosts"},
            ],
            "files": [
                file("stays", 5, &json!([{"pid": 4321, "by": {"fd": 9}, "name": "/data/log"}])),
                file("carried", 7, &json!([
                    {"pid": 4321, "by": {"mapping": [4096, 8192]}, "name": "/dev/shm/sem.a"},
                    {"pid": 4322, "by": {"mapping": [4096, 8192]}, "name": "/dev/shm/sem.Xy (deleted)"},
                    {"pid": 4322, "by": {"mapping": [8192, 12288]}, "name": "/dev/shm/sem.Xy (deleted)"},
                    {"pid": 4322, "by": {"fd": 3}, "name": "/dev/shm/sem.Xy (deleted)"},
                ])),
                file("ghost", 8, &json!([{"pid": 4321, "by": "exe", "name": "/dev/shm/gone (deleted)"}])),
            ],
        },
    });
    let expected = "\
container:  db in namespace k8s.io, pid 4321, running; looked at while it ran: it may have
            changed since (--freeze)
checkpoint: that leaves it as it is, with established TCP connections, with file locks
versions:   containerd-shim-remap-v2 0.1.0, criu 4.1, kernel 6.12.0, runc 1.1.15

MOUNTS
  MOUNT POINT  CLASS            CONTENTS                SOURCE ON THE HOST
  /dev/shm     private tmpfs    carried, 12.0 MiB       /run/pods/1/shm
  /data        persistent nfs4  expected on the target  /mnt/data
  /etc/hosts   ephemeral ext4   not carried: no tmpfs   /var/hosts
  left to CRIU and the snapshotter: /, /proc

FILES THAT NEED CARE
  DECISION  BYTES  HELD BY PID                           NAME
  ghost     32 B   4321 (exe)                            /dev/shm/gone (deleted)
  carried   32 B   4321 (mapping), 4322 (mapping, fd 3)  /dev/shm/sem.a (and 1 other name)
  stays     32 B   4321 (fd 9)                           /data/log
  ghost: no name is left; CRIU puts its contents into the images
  carried: goes along, with all its names
  stays: on a mount that is not carried: the target must have it

TO KNOW
  - 1 file in use at /data (nfs4): not carried, must be there on the target with the same
    size

bytes:   12.0 MiB of carried mounts and 4.0 KiB of ghost files would be saved, beside the
         memory of the processes
verdict: a checkpoint would work
";
    assert_eq!(render(&document("works", &forecast), 92), expected);
}

#[test]
fn one_that_would_be_refused() {
    let forecast = json!({
        "refusals": [{
            "what": "the tmpfs at /dev/shm is used by processes outside the container as well: pid 42 (evil\u{1b}[2J)",
            "remedy": "stop them, or give the container a tmpfs of its own",
        }],
        "plan": {
            "mounts": [{
                "destination": "/dev/shm", "class": "external_tmpfs_shared", "fs_type": "tmpfs", "source": "/run/shm",
                "others": [{"pid": 42, "command": "evil\u{1b}[2J"}, {"pid": 43, "command": "pg", "container": "db"}],
                "policy": {"treatment": "carry", "limit_bytes": 65536},
            }],
            "files": [file("shared", 7, &json!([{"pid": 4321, "by": {"fd": 3}, "name": "/dev/shm/\u{1b}[2J"}]))],
        },
    });
    let text = render(&document("refused", &forecast), 80);
    let expected = "
MOUNTS
  MOUNT POINT  CLASS         CONTENTS     SOURCE ON THE HOST
  /dev/shm     shared tmpfs  not carried  /run/shm
  /dev/shm is used outside the container by pid 42 (evil\\x1b[2J), pid 43 (pg,
  container db)
  /dev/shm: carry up to 64.0 KiB, as an annotation says

FILES THAT NEED CARE
  DECISION  BYTES  HELD BY PID  NAME
  shared    32 B   4321 (fd 3)  /dev/shm/\\x1b[2J
  shared: others hold it as well: in the way

IN THE WAY
  1. the tmpfs at /dev/shm is used by processes outside the container as well:
     pid 42 (evil\\x1b[2J)
     remedy: stop them, or give the container a tmpfs of its own

bytes:   0 B of carried mounts and 0 B of ghost files would be saved, beside the
         memory of the processes
verdict: a checkpoint WOULD BE REFUSED, for 1 reason
";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn many_files_are_counted_and_what_is_new_comes_first() {
    let holders: Vec<Value> = (1..6)
        .map(|pid| json!({"pid": pid, "by": {"ring": [7]}, "name": "/x"}))
        .collect();
    let mut files: Vec<Value> = (0..25)
        .map(|inode| file("stays", inode, &json!([])))
        .collect();
    files.push(file("moved", 99, &json!(holders)));
    let text = render(
        &document("depends", &json!({"plan": {"files": files}})),
        100,
    );
    let lines: Vec<&str> = text.lines().collect();
    let first = lines.iter().position(|line| line.contains("NAME")).unwrap() + 1;
    assert!(
        lines[first].contains("moved")
            && lines[first].contains("1 (ring), 2 (ring), 3 (ring), 2 more"),
        "{text}"
    );
    assert!(text.contains("and 5 more, which --json lists"), "{text}");
    assert!(text.ends_with("see --json\n"), "{text}");
}
