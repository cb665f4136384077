//! Requests that are no messages: whoever sends them is told so.

use async_trait::async_trait;
use containerd_shim_protos::ttrpc::{
    self, Code, Error, Request, Response,
    asynchronous::{MethodHandler, Service, TtrpcContext},
    get_status,
};

/// With what the error begins of a request that cannot be decoded (ttrpc,
/// `async_request_handler`).
const UNDECODED: &str = "Unpack request error";

/// A method that answers what cannot be decoded with `INVALID_ARGUMENT`; ttrpc alone says `UNKNOWN`.
struct Decodable {
    method: Box<dyn MethodHandler + Send + Sync>,
}

/// The service with all its methods like that.
pub(crate) fn decodable(mut service: Service) -> Service {
    let methods = service.methods.drain();
    let methods = methods.map(|(name, method)| {
        let method: Box<dyn MethodHandler + Send + Sync> = Box::new(Decodable { method });
        (name, method)
    });
    service.methods = methods.collect();
    service
}

#[async_trait]
impl MethodHandler for Decodable {
    async fn handler(&self, context: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let method = request.method.clone();
        match self.method.handler(context, request).await {
            Err(Error::Others(error)) if error.starts_with(UNDECODED) => {
                let message = format!("the request of {method} cannot be read: {error}");
                Ok(Response {
                    status: Some(get_status(Code::INVALID_ARGUMENT, message)).into(),
                    ..Response::default()
                })
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use containerd_shim_protos::{
        shim_async::{Task, create_task},
        ttrpc::MessageHeader,
    };
    use std::sync::Arc;

    struct Nothing;

    impl Task for Nothing {}

    async fn answer(payload: &[u8]) -> ttrpc::Result<Response> {
        let mut services = create_task(Arc::new(Nothing));
        let (_, service) = services.drain().next().unwrap();
        let service = decodable(service);
        let context = TtrpcContext {
            mh: MessageHeader::default(),
            metadata: Default::default(),
            timeout_nano: 0,
            connection_data: Default::default(),
        };
        let request = Request {
            method: "Kill".into(),
            payload: payload.to_vec(),
            ..Request::default()
        };
        service.methods["Kill"].handler(context, request).await
    }

    #[tokio::test]
    async fn what_is_no_message_is_an_invalid_argument() {
        let response = answer(b"\x0a\x09c").await.unwrap();
        assert_eq!(response.status().code(), Code::INVALID_ARGUMENT);
        assert!(response.status().message.contains("Kill"), "{response:?}");
        let response = answer(b"\x0a\x01c").await.unwrap();
        assert_eq!(response.status().code(), Code::NOT_FOUND);
    }
}
