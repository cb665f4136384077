//! The client's side: one question, one answer.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use containerd_shim_protos::ttrpc::Code;
use containerd_shim_protos::ttrpc::{self, asynchronous::transport::Socket};
use prost::Message;
use tokio::net::UnixStream;
use tokio::time;

use crate::message::{
    CheckpointRequest, CheckpointResponse, MetricsRequest, MetricsResponse, PlanRequest,
    PlanResponse,
};
use crate::{CHECKPOINT, METRICS, PLAN, SERVICE};

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// Nobody listens.
    #[error("cannot connect to the shim at {socket}")]
    Connect {
        /// The shim's socket.
        socket: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The shim is another one, or an older one.
    #[error("the shim has no service {SERVICE} with a method {method}")]
    NoService {
        /// The method.
        method: &'static str,
    },
    /// The shim says no.
    #[error("{message}")]
    Refused {
        /// The kind of error, as the Go shim would give it.
        code: Code,
        /// What it says.
        message: String,
    },
    /// The shim says nothing.
    #[error("the shim does not answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// The connection broke.
    #[error("the connection to the shim failed")]
    Connection(#[source] ttrpc::Error),
    /// The answer is no message.
    #[error("the shim's answer cannot be read")]
    Decode(#[from] prost::DecodeError),
}

/// Asks the shim at `socket` for a plan; the answer is the JSON document.
///
/// # Errors
/// See [`CallError`]. The container is as before.
pub async fn plan(
    socket: &Path,
    request: &PlanRequest,
    limit: Duration,
) -> Result<Vec<u8>, CallError> {
    let answer: PlanResponse = call(socket, PLAN, request, limit).await?;
    Ok(answer.document)
}

/// Asks the shim at `socket` what the last operations on a container took; the answer is the JSON
/// document.
///
/// # Errors
/// See [`CallError`].
pub async fn metrics(
    socket: &Path,
    request: &MetricsRequest,
    limit: Duration,
) -> Result<Vec<u8>, CallError> {
    let answer: MetricsResponse = call(socket, METRICS, request, limit).await?;
    Ok(answer.document)
}

/// Has the shim at `socket` take a checkpoint.
///
/// # Errors
/// See [`CallError`]. If the shim refuses, the container is as before. One that does not answer in
/// time may still take the checkpoint: with a hand-over, it ends when its client goes away.
pub async fn checkpoint(
    socket: &Path,
    request: &CheckpointRequest,
    limit: Duration,
) -> Result<(), CallError> {
    let CheckpointResponse {} = call(socket, CHECKPOINT, request, limit).await?;
    Ok(())
}

async fn call<Q: Message, A: Message + Default>(
    socket: &Path,
    method: &'static str,
    request: &Q,
    limit: Duration,
) -> Result<A, CallError> {
    let ask = async {
        let connect = |source| CallError::Connect {
            socket: socket.to_owned(),
            source,
        };
        let stream = UnixStream::connect(socket).await.map_err(connect)?;
        let client = ttrpc::asynchronous::Client::new(Socket::new(stream));
        let request = ttrpc::Request {
            service: SERVICE.to_owned(),
            method: method.to_owned(),
            payload: request.encode_to_vec(),
            ..ttrpc::Request::default()
        };
        let response = client.request(request).await;
        let response = response.map_err(|error| explain(error, method))?;
        Ok(A::decode(&response.payload[..])?)
    };
    time::timeout(limit, ask)
        .await
        .unwrap_or(Err(CallError::TimedOut(limit)))
}

/// Go's ttrpc says of a service and of a method that it does not have that they are unimplemented
/// (`services.go`, `resolve`), Rust's of a service that the argument is invalid (`server.rs`,
/// `handle_request`).
fn explain(error: ttrpc::Error, method: &'static str) -> CallError {
    let ttrpc::Error::RpcStatus(status) = error else {
        return CallError::Connection(error);
    };
    let no_service = status.code() == Code::INVALID_ARGUMENT
        && status.message.contains("service does not exist");
    if no_service || status.code() == Code::UNIMPLEMENTED {
        return CallError::NoService { method };
    }
    CallError::Refused {
        code: status.code(),
        message: status.message,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explained(code: Code, message: &str) -> CallError {
        let status = ttrpc::get_status(code, message.to_owned());
        explain(ttrpc::Error::RpcStatus(status), PLAN)
    }

    #[test]
    fn a_shim_without_the_service_is_told_from_one_that_says_no() {
        for (code, message) in [
            (Code::UNIMPLEMENTED, "service io.remap.control.v1.Control"),
            (Code::UNIMPLEMENTED, "Plan method"),
            (
                Code::INVALID_ARGUMENT,
                "io.remap.control.v1.Control service does not exist",
            ),
        ] {
            let error = explained(code, message);
            assert!(matches!(error, CallError::NoService { .. }), "{message}");
        }
        for code in [Code::INVALID_ARGUMENT, Code::FAILED_PRECONDITION] {
            let error = explained(code, "it is stopped");
            assert_eq!(error.to_string(), "it is stopped");
        }
    }

    #[tokio::test]
    async fn a_shim_that_is_gone_or_silent_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("s");
        let request = PlanRequest::default();
        let ask = |limit| plan(&socket, &request, Duration::from_millis(limit));
        assert!(matches!(ask(60_000).await, Err(CallError::Connect { .. })));
        let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
        assert!(matches!(ask(50).await, Err(CallError::TimedOut(_))));
    }
}
