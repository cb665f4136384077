//! Any text as `remap-plan.json`.
#![no_main]

use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use remap_engine::intent::Intent;
use remap_engine::plan::{Decision, RemapPlan};

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    remap_fuzz::json::mutate(data, size, max_size, seed)
});

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
            assert!(!refusal.what.is_empty());
            assert!(!refusal.remedy.is_empty() || has_no_remedy(&plan));
        }
        let _ = plan.warnings(&intent);
    }
    assert!(plan.carried_in_part().all(|(_, inodes)| !inodes.is_empty()));
    let text = plan.to_json().expect("a plan has a JSON form");
    let again: RemapPlan = serde_json::from_slice(&text).expect("what was written can be read");
    assert_eq!(again, plan);
});

/// Whether the plan itself has a remedy that says nothing.
fn has_no_remedy(plan: &RemapPlan) -> bool {
    plan.files.iter().any(|file| match &file.decision {
        Decision::Unsupported { remedy, .. } => remedy.is_empty(),
        _ => false,
    })
}
