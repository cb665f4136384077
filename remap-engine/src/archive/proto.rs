//! protobuf, as much of it as containerd's blobs have.

use super::container;

/// `google.protobuf.Any`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Any {
    #[prost(string, tag = "1")]
    pub(super) type_url: String,
    #[prost(bytes = "vec", tag = "2")]
    pub(super) value: Vec<u8>,
}

impl From<&container::Any> for Any {
    fn from(any: &container::Any) -> Self {
        Self {
            type_url: any.type_url.clone(),
            value: any.value.clone(),
        }
    }
}
