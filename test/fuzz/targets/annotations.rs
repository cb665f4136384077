//! Any annotations of a container, and any configuration of CRIU's.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_engine::criu::config::UserConfig;
use remap_engine::intent::{Intent, LOSE_EXEC_SESSIONS};
use remap_engine::manifest::DumpOptions;
use remap_engine::policy::{CARRY_LIMIT, EXIT, FILE_LOCKS, GHOST_LIMIT, MOUNTS};
use remap_engine::time_limit::{self, DUMP, FREEZE, RESTORE};
use remap_fuzz::{bundle, scratch, split};
use serde_json::json;

// Lines of an annotation's number and its value; the rest is the configuration.
fuzz_target!(|data: &[u8]| {
    let (lines, config) = split(data);
    let names = [
        FREEZE.annotation,
        DUMP.annotation,
        RESTORE.annotation,
        LOSE_EXEC_SESSIONS,
        "org.criu.config",
        MOUNTS,
        CARRY_LIMIT,
        GHOST_LIMIT,
        FILE_LOCKS,
        EXIT,
    ];
    let lines = String::from_utf8_lossy(lines);
    let annotations = lines.lines().filter_map(|line| {
        let (digit, value) = line.split_at_checked(1)?;
        let name = names.get(digit.parse::<usize>().ok()?).copied();
        Some((name.unwrap_or(line).to_owned(), json!(value)))
    });
    let annotations: serde_json::Map<_, _> = annotations.collect();
    let document = json!({ "annotations": annotations });
    let bundle = bundle(document.to_string().as_bytes()).expect("a configuration");

    let is_fine = time_limit::check(&bundle).is_ok();
    for limit in [FREEZE, DUMP, RESTORE] {
        let limit = limit.of(&bundle);
        assert!(limit.is_ok() || !is_fine);
    }
    let path = scratch().join("criu.conf");
    std::fs::write(&path, config).expect("a file in the scratch directory");
    let Ok(config) = UserConfig::load(path.to_str()) else {
        return;
    };
    let request = DumpOptions::default();
    if let Ok(intent) = Intent::new(true, &request, &bundle, &config, None) {
        let lose = bundle.annotations.get(LOSE_EXEC_SESSIONS);
        assert_eq!(
            intent.policy.lose_exec_sessions,
            lose.is_some_and(|lose| lose == "true")
        );
        assert_eq!(
            intent.ghost_limit_bytes,
            intent
                .policy
                .ghost_limit_bytes
                .or(config.ghost_limit_bytes().expect("read before"))
        );
    }
});
