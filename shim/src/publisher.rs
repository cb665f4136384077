//! Delivers events to containerd, in order. containerd may be restarting, for long: an event
//! stays at the head of the queue until containerd has taken it or has refused it.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use containerd_shim_protos::{
    protobuf::MessageField,
    shim::{event::Envelope, events::ForwardRequest},
    shim_async::{Client, EventsClient},
    ttrpc::{self, asynchronous::transport::Socket},
};
use tokio::{net::UnixStream, sync::watch, time};

use crate::events::Event;

/// How long containerd may take over one event. One that it took all the same comes twice, which
/// is better than never.
const TIMEOUT: Duration = Duration::from_secs(5);

/// The pauses between attempts while containerd is away.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);

/// Beyond this many queued events, those that are not vital are dropped.
const MAX_QUEUE: usize = 4096;

/// The sending side of the queue.
#[derive(Clone, Debug)]
pub(crate) struct Publisher {
    queue: Arc<Mutex<VecDeque<Event>>>,
    length: watch::Sender<usize>,
}

impl Publisher {
    /// Starts delivering to the event service at `address`, as from `namespace`.
    pub(crate) fn start(address: PathBuf, namespace: String) -> Self {
        let publisher = Self {
            queue: Arc::default(),
            length: watch::Sender::new(0),
        };
        let courier = Courier {
            publisher: publisher.clone(),
            address,
            namespace,
            client: None,
        };
        tokio::spawn(courier.run());
        publisher
    }

    /// Queues `event`; never waits.
    pub(crate) fn publish(&self, event: Event) {
        let mut queue = self.queue();
        queue.push_back(event);
        if queue.len() > MAX_QUEUE
            && let Some(index) = queue.iter().position(|event| !event.is_vital())
        {
            queue.remove(index);
        }
        self.length.send_replace(queue.len());
    }

    /// Waits until everything has been delivered, for at most `limit`.
    pub(crate) async fn flush(&self, limit: Duration) {
        let mut length = self.length.subscribe();
        let delivered = time::timeout(limit, length.wait_for(|length| *length == 0)).await;
        if delivered.is_err() {
            tracing::warn!(
                events = self.queue().len(),
                "events are lost: containerd did not take them before the shim's end"
            );
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Event>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The delivering side.
struct Courier {
    publisher: Publisher,
    address: PathBuf,
    namespace: String,
    client: Option<EventsClient>,
}

impl Courier {
    async fn run(mut self) {
        let mut length = self.publisher.length.subscribe();
        let mut pause = FIRST_PAUSE;
        // The publisher that `self` holds keeps the channel open.
        while length.wait_for(|length| *length > 0).await.is_ok() {
            let Some(event) = self.publisher.queue().front().cloned() else {
                continue;
            };
            if self.deliver(&event).await {
                pause = FIRST_PAUSE;
                self.remove(&event);
            } else {
                time::sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Takes `event` off the queue, unless [`Publisher::publish`] has dropped it meanwhile.
    fn remove(&self, event: &Event) {
        let mut queue = self.publisher.queue();
        let same = |head: &Event| head.at == event.at && head.topic == event.topic;
        if queue.front().is_some_and(same) {
            queue.pop_front();
        }
        self.publisher.length.send_replace(queue.len());
    }

    /// One attempt; `false` if it is to be repeated. Any error but containerd's own answer ends
    /// the connection: a client does not recover from a broken one.
    async fn deliver(&mut self, event: &Event) -> bool {
        let Some(client) = self.connect().await else {
            return false;
        };
        let context = ttrpc::context::with_duration(TIMEOUT);
        match client.forward(context, &self.request(event)).await {
            Ok(_) => true,
            Err(ttrpc::Error::RpcStatus(status)) if !is_temporary(&status) => {
                let (code, message) = (status.code(), status.message());
                tracing::warn!(
                    topic = event.topic,
                    ?code,
                    message,
                    "containerd refused an event"
                );
                true
            }
            Err(error) => {
                tracing::debug!(topic = event.topic, %error, "cannot deliver an event yet");
                self.client = None;
                false
            }
        }
    }

    async fn connect(&mut self) -> Option<EventsClient> {
        if self.client.is_none() {
            // Not the client's own connect, which blocks the thread.
            match UnixStream::connect(&self.address).await {
                Ok(stream) => {
                    let client = Client::new(Socket::from(stream));
                    self.client = Some(EventsClient::new(client));
                }
                Err(error) => tracing::debug!(%error, "cannot reach containerd's event service"),
            }
        }
        self.client.clone()
    }

    fn request(&self, event: &Event) -> ForwardRequest {
        ForwardRequest {
            envelope: MessageField::some(Envelope {
                timestamp: MessageField::some(event.at.into()),
                namespace: self.namespace.clone(),
                topic: event.topic.to_owned(),
                event: MessageField::some(event.message.clone()),
                ..Envelope::default()
            }),
            ..ForwardRequest::default()
        }
    }
}

/// Whether a later attempt may succeed.
fn is_temporary(status: &ttrpc::Status) -> bool {
    matches!(
        status.code(),
        ttrpc::Code::UNAVAILABLE
            | ttrpc::Code::DEADLINE_EXCEEDED
            | ttrpc::Code::CANCELLED
            | ttrpc::Code::UNKNOWN
    )
}

#[cfg(test)]
mod tests {
    use std::{collections::HashMap, path::Path};

    use async_trait::async_trait;
    use containerd_shim_protos::{
        api::Empty,
        shim_async::{Events, create_events},
        ttrpc::asynchronous::{Server, TtrpcContext},
    };
    use tokio::sync::mpsc;

    use super::*;
    use crate::events;

    struct Daemon(mpsc::UnboundedSender<String>);

    #[async_trait]
    impl Events for Daemon {
        async fn forward(&self, _: &TtrpcContext, req: ForwardRequest) -> ttrpc::Result<Empty> {
            self.0.send(req.envelope.topic.clone()).unwrap();
            Ok(Empty::new())
        }
    }

    async fn daemon(path: &Path) -> (Server, mpsc::UnboundedReceiver<String>) {
        let (sender, topics) = mpsc::unbounded_channel();
        let services: HashMap<_, _> = create_events(Arc::new(Daemon(sender)));
        let mut server = Server::new()
            .bind(&format!("unix://{}", path.display()))
            .unwrap()
            .register_service(services);
        server.start().await.unwrap();
        (server, topics)
    }

    #[tokio::test]
    async fn events_outlast_a_restart_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ttrpc");
        let publisher = Publisher::start(path.clone(), "default".into());
        publisher.publish(events::started("c1", 1));

        let (mut server, mut topics) = daemon(&path).await;
        assert_eq!(topics.recv().await.unwrap(), "/tasks/start");
        server.shutdown().await.unwrap();
        drop(server);
        std::fs::remove_file(&path).unwrap();

        publisher.publish(events::paused("c1"));
        publisher.publish(events::resumed("c1"));
        publisher.flush(Duration::from_millis(200)).await;
        let (_server, mut topics) = daemon(&path).await;
        assert_eq!(topics.recv().await.unwrap(), "/tasks/paused");
        assert_eq!(topics.recv().await.unwrap(), "/tasks/resumed");
        publisher.flush(Duration::from_secs(5)).await;
        assert!(publisher.queue().is_empty());
    }

    #[tokio::test]
    async fn a_long_queue_keeps_what_is_vital() {
        let dir = tempfile::tempdir().unwrap();
        let publisher = Publisher::start(dir.path().join("none"), "default".into());
        let exit = crate::reaper::Exit {
            status: 0,
            at: std::time::SystemTime::now(),
        };
        publisher.publish(events::exited("c1", "", 1, exit));
        for _ in 0..MAX_QUEUE + 10 {
            publisher.publish(events::paused("c1"));
        }
        let queue = publisher.queue();
        assert_eq!(queue.len(), MAX_QUEUE);
        assert!(queue.front().unwrap().is_vital());
    }
}
