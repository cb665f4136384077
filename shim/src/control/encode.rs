//! The document as bytes that fit into a message.

use remap_control::document::Document;
use remap_engine::preview::Forecast;

use crate::error::TaskError;

/// What ttrpc takes (`MESSAGE_LENGTH_MAX`, 4 MiB), less what is around the document.
const LIMIT: usize = (4 << 20) - (16 << 10);

/// How many holders of a file are kept in a document that would be too large.
const HOLDERS: usize = 3;

/// Encodes the document: to be read if it fits, else without spaces, else abridged. A server with
/// hundreds of processes, each with dozens of shared files, comes near the limit.
///
/// # Errors
/// [`TaskError::TooLarge`].
pub(super) fn encode(document: Document<Forecast>) -> Result<Vec<u8>, TaskError> {
    within(document, LIMIT)
}

fn within(mut document: Document<Forecast>, limit: usize) -> Result<Vec<u8>, TaskError> {
    let fits = |bytes: &Vec<u8>| bytes.len() <= limit;
    let pretty = serde_json::to_vec_pretty(&document).map_err(TaskError::Encode)?;
    if fits(&pretty) {
        return Ok(pretty);
    }
    let compact = serde_json::to_vec(&document).map_err(TaskError::Encode)?;
    if fits(&compact) {
        return Ok(compact);
    }
    document.abridged = true;
    for file in &mut document.forecast.plan.files {
        file.holders.truncate(HOLDERS);
    }
    let abridged = serde_json::to_vec(&document).map_err(TaskError::Encode)?;
    if fits(&abridged) {
        return Ok(abridged);
    }
    Err(TaskError::TooLarge {
        bytes: abridged.len(),
        limit,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use remap_control::{
        document::{Container, VERSION, Verdict},
        message::PlanRequest,
    };
    use remap_engine::{
        mountinfo::Device,
        mountmap::MountMap,
        plan::{Decision, FilePlan, Holder, PLAN_VERSION, RemapPlan},
        process::UseKind,
    };

    fn document() -> Document<Forecast> {
        let holder = |pid| Holder {
            pid,
            by: UseKind::Exe,
            name: "/dev/shm/x".into(),
        };
        let file = FilePlan {
            device: Device { major: 0, minor: 1 },
            inode: 1,
            mount: None,
            links: 1,
            size_bytes: 0,
            allocated_bytes: 0,
            holders: (0..1000).map(holder).collect(),
            decision: Decision::Carried,
        };
        Document {
            version: VERSION,
            verdict: Verdict::Works,
            container: Container {
                id: "c".into(),
                namespace: "n".into(),
                pid: 1,
                status: "running".into(),
                frozen: false,
            },
            request: (&PlanRequest::default()).into(),
            versions: Default::default(),
            abridged: false,
            forecast: Forecast {
                refusals: vec![],
                warnings: vec![],
                carried: vec![],
                plan: RemapPlan {
                    version: PLAN_VERSION,
                    map: MountMap::default(),
                    files: vec![file],
                    exec_sessions: vec![],
                    obstacles: vec![],
                    ghost_limit_bytes: 0,
                },
            },
        }
    }

    #[test]
    fn what_is_too_large_loses_spaces_then_holders_and_then_is_an_error() {
        let pretty = encode(document()).unwrap();
        let compact = within(document(), pretty.len() - 1).unwrap();
        let read = |bytes: &[u8]| serde_json::from_slice::<Document<Forecast>>(bytes).unwrap();
        assert_eq!(read(&pretty), document());
        assert_eq!(read(&compact), document());
        let abridged = within(document(), compact.len() - 1).unwrap();
        let abridged = read(&abridged);
        assert!(abridged.abridged);
        assert_eq!(abridged.forecast.plan.files[0].holders.len(), HOLDERS);
        assert!(matches!(
            within(document(), 100),
            Err(TaskError::TooLarge { .. })
        ));
    }
}
