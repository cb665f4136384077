//! Any text as `remap-plan.json`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use remap_engine::intent::Intent;
use remap_engine::plan::RemapPlan;

fuzz_target!(|data: &[u8]| {
    let Ok(plan) = serde_json::from_slice::<RemapPlan>(data) else {
        return;
    };
    for exit in [false, true] {
        let intent = Intent {
            exit,
            ..Intent::default()
        };
        for refusal in plan.refusals(&intent) {
            assert!(!refusal.what.is_empty() && !refusal.remedy.is_empty());
        }
        let _ = plan.warnings(&intent);
    }
    assert!(plan.carried_in_part().all(|(_, inodes)| !inodes.is_empty()));
    let text = plan.to_json().expect("a plan has a JSON form");
    let again: RemapPlan = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, plan);
});
