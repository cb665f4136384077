//! The messages on the wire, as Protocol Buffers. A field keeps its number and meaning for ever.

/// A request for the plan of a checkpoint. What it asks for is what
/// `containerd.runc.v1.CheckpointOptions` would.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlanRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// Freeze a container that runs while it is looked at.
    #[prost(bool, tag = "2")]
    pub freeze: bool,
    /// The container is to end with the checkpoint.
    #[prost(bool, tag = "3")]
    pub exit: bool,
    /// Established TCP connections are to be dumped.
    #[prost(bool, tag = "4")]
    pub tcp_established: bool,
    /// One end of a Unix connection may lie outside.
    #[prost(bool, tag = "5")]
    pub ext_unix_sk: bool,
    /// The session leader or the terminal may lie outside.
    #[prost(bool, tag = "6")]
    pub shell_job: bool,
    /// File locks are to be dumped.
    #[prost(bool, tag = "7")]
    pub file_locks: bool,
}

/// The plan.
///
/// The whole answer is one JSON document in one field: it is what `remapctl plan --json` prints, so
/// there is one format to describe and to keep compatible, and a client hands on what it does not
/// know.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct PlanResponse {
    /// A [`crate::document::Document`].
    #[prost(bytes = "vec", tag = "1")]
    pub document: Vec<u8>,
}

/// A request for what the last operations on a container took.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricsRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
}

/// What they took.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MetricsResponse {
    /// A [`crate::measured::Measured`], as JSON.
    #[prost(bytes = "vec", tag = "1")]
    pub document: Vec<u8>,
}

/// A request for a checkpoint, which `containerd.task.v2.CheckpointTaskRequest` has as well, but for
/// the hand-over.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CheckpointRequest {
    /// The container.
    #[prost(string, tag = "1")]
    pub id: String,
    /// The directory for the images, made if it is missing.
    #[prost(string, tag = "2")]
    pub image_path: String,
    /// The container ends with the checkpoint.
    #[prost(bool, tag = "3")]
    pub exit: bool,
    /// Established TCP connections are dumped.
    #[prost(bool, tag = "4")]
    pub tcp_established: bool,
    /// One end of a Unix connection may lie outside.
    #[prost(bool, tag = "5")]
    pub ext_unix_sk: bool,
    /// The session leader or the terminal may lie outside.
    #[prost(bool, tag = "6")]
    pub shell_job: bool,
    /// File locks are dumped.
    #[prost(bool, tag = "7")]
    pub file_locks: bool,
    /// Where the client listens for the hand-over (see [`crate::hand_over`]); empty for none.
    #[prost(string, tag = "8")]
    pub hand_over_socket: String,
    /// The client reads the images at once, and removes them: they need not be on the disk. Only with a
    /// hand-over.
    #[prost(bool, tag = "9")]
    pub volatile: bool,
}

/// The checkpoint is complete.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct CheckpointResponse {}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;

    fn request() -> PlanRequest {
        PlanRequest {
            id: "c".into(),
            freeze: true,
            exit: false,
            tcp_established: true,
            ext_unix_sk: false,
            shell_job: true,
            file_locks: true,
        }
    }

    #[test]
    fn the_numbers_of_fields_stay() {
        let bytes = b"\x0a\x01c\x10\x01\x20\x01\x30\x01\x38\x01";
        assert_eq!(request().encode_to_vec(), bytes);
        let response = PlanResponse {
            document: b"{}".to_vec(),
        };
        assert_eq!(response.encode_to_vec(), b"\x0a\x02{}");
        let request = MetricsRequest { id: "c".into() };
        assert_eq!(request.encode_to_vec(), b"\x0a\x01c");
        let response = MetricsResponse {
            document: b"{}".to_vec(),
        };
        assert_eq!(response.encode_to_vec(), b"\x0a\x02{}");
    }

    #[test]
    fn the_numbers_of_a_checkpoints_fields_stay() {
        let request = CheckpointRequest {
            id: "c".into(),
            image_path: "/i".into(),
            exit: true,
            tcp_established: true,
            ext_unix_sk: true,
            shell_job: true,
            file_locks: true,
            hand_over_socket: "/s".into(),
            volatile: true,
        };
        let bytes =
            b"\x0a\x01c\x12\x02/i\x18\x01\x20\x01\x28\x01\x30\x01\x38\x01\x42\x02/s\x48\x01";
        assert_eq!(request.encode_to_vec(), bytes);
        assert!(CheckpointResponse::default().encode_to_vec().is_empty());
    }

    #[test]
    fn fields_of_a_later_version_are_ignored() {
        let mut bytes = request().encode_to_vec();
        // Field 1000, length-delimited, "new".
        bytes.extend(b"\xc2\x3e\x03new");
        assert_eq!(PlanRequest::decode(&bytes[..]).unwrap(), request());
        assert_eq!(
            PlanRequest::decode(&b""[..]).unwrap(),
            PlanRequest::default()
        );
    }

    #[test]
    fn what_is_no_message_is_an_error() {
        assert!(PlanRequest::decode(&b"\x0a\x09c"[..]).is_err());
        assert!(PlanRequest::decode(&b"\x0a\x01\xff"[..]).is_err());
    }
}
