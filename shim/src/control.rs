//! The control service: what `remapctl` asks, beside containerd's task API and on the same socket.
//! Names and messages are those of [`remap_control`].

mod checkpoint;
mod encode;
mod metrics;
mod plan;

use std::{collections::HashMap, sync::Arc};

use async_trait::async_trait;
use containerd_shim_protos::ttrpc::{
    self, Code, Error, Request, Response,
    asynchronous::{MethodHandler, Service, TtrpcContext},
};
use prost::Message;
use remap_control::{
    CHECKPOINT, METRICS, PLAN, SERVICE,
    message::{CheckpointRequest, MetricsRequest, MetricsResponse, PlanRequest, PlanResponse},
};

use crate::{requester::Waiting, shim::Shim, task::whole};

/// The service under its name.
pub(crate) fn service(shim: &Arc<Shim>) -> (String, Service) {
    let plan: Box<dyn MethodHandler + Send + Sync> = Box::new(Plan(Arc::clone(shim)));
    let metrics: Box<dyn MethodHandler + Send + Sync> = Box::new(Metrics(Arc::clone(shim)));
    let checkpoint: Box<dyn MethodHandler + Send + Sync> = Box::new(Checkpoint(Arc::clone(shim)));
    let service = Service {
        methods: HashMap::from([
            (PLAN.to_owned(), plan),
            (METRICS.to_owned(), metrics),
            (CHECKPOINT.to_owned(), checkpoint),
        ]),
        streams: HashMap::new(),
    };
    (SERVICE.to_owned(), service)
}

/// The method that says what a checkpoint would do.
struct Plan(Arc<Shim>);

#[async_trait]
impl MethodHandler for Plan {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let shim = Arc::clone(&self.0);
        Ok(answer(&request, |request: PlanRequest| async {
            // To its end, whatever becomes of the client: the container may be frozen meanwhile.
            let document = whole(plan::plan(shim, request)).await?;
            Ok(PlanResponse { document })
        })
        .await)
    }
}

/// The method that says what the last operations took.
struct Metrics(Arc<Shim>);

#[async_trait]
impl MethodHandler for Metrics {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        Ok(answer(&request, |request: MetricsRequest| async move {
            let document = metrics::metrics(&self.0, &request).map_err(Error::from)?;
            Ok(MetricsResponse { document })
        })
        .await)
    }
}

/// The method that takes a checkpoint.
struct Checkpoint(Arc<Shim>);

#[async_trait]
impl MethodHandler for Checkpoint {
    async fn handler(&self, _: TtrpcContext, request: Request) -> ttrpc::Result<Response> {
        let shim = Arc::clone(&self.0);
        Ok(answer(&request, |request: CheckpointRequest| async {
            let (waiting, requester) = Waiting::new();
            let result = whole(checkpoint::checkpoint(shim, request, requester)).await;
            waiting.answered();
            result
        })
        .await)
    }
}

/// Decodes the request, and encodes the answer or the error.
async fn answer<Q, A, F>(request: &Request, method: impl FnOnce(Q) -> F) -> Response
where
    Q: Message + Default,
    A: Message,
    F: Future<Output = ttrpc::Result<A>>,
{
    let answer = match Q::decode(&request.payload[..]) {
        Ok(request) => method(request).await,
        Err(error) => Err(Error::RpcStatus(ttrpc::get_status(
            Code::INVALID_ARGUMENT,
            format!("the request cannot be read: {error}"),
        ))),
    };
    let (status, payload) = match answer {
        Ok(answer) => (
            ttrpc::get_status(Code::OK, String::new()),
            answer.encode_to_vec(),
        ),
        Err(Error::RpcStatus(status)) => (status, Vec::new()),
        Err(error) => {
            let status = ttrpc::get_status(Code::UNKNOWN, error.to_string());
            (status, Vec::new())
        }
    };
    Response {
        status: Some(status).into(),
        payload,
        ..Response::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answered(payload: &[u8]) -> Response {
        let request = Request {
            payload: payload.to_vec(),
            ..Request::default()
        };
        answer(&request, |request: PlanRequest| async move {
            match request.id.as_str() {
                "" => Err(Error::Others("no id".into())),
                id => Ok(PlanResponse {
                    document: id.into(),
                }),
            }
        })
        .await
    }

    #[tokio::test]
    async fn an_answer_is_encoded_and_an_error_has_a_code() {
        let response = answered(b"\x0a\x01c").await;
        assert_eq!(response.status().code(), Code::OK);
        assert_eq!(response.payload, b"\x0a\x01c");
        let response = answered(b"").await;
        assert_eq!(response.status().code(), Code::UNKNOWN);
        let response = answered(b"\xff").await;
        assert_eq!(response.status().code(), Code::INVALID_ARGUMENT);
        assert!(response.payload.is_empty());
    }
}
