//! What the shim serves: the containers of one group, and what they share.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use crate::{
    container::{Container, Target},
    error::TaskError,
    publisher::Publisher,
    reaper::Reaper,
};

/// The state that all requests share.
#[derive(Debug)]
pub(crate) struct Shim {
    /// The containerd namespace.
    pub(crate) namespace: String,
    /// Reaps.
    pub(crate) reaper: Arc<Reaper>,
    /// Delivers events.
    pub(crate) publisher: Publisher,
    /// `None` while a container is being created.
    containers: Mutex<HashMap<String, Option<Arc<Container>>>>,
    ending: watch::Sender<bool>,
}

impl Shim {
    /// A shim without containers.
    pub(crate) fn new(namespace: String, reaper: Arc<Reaper>, publisher: Publisher) -> Self {
        Self {
            namespace,
            reaper,
            publisher,
            containers: Mutex::default(),
            ending: watch::Sender::new(false),
        }
    }

    /// A container.
    ///
    /// # Errors
    /// [`TaskError::NoContainer`], also while it is being created.
    pub(crate) fn container(&self, id: &str) -> Result<Arc<Container>, TaskError> {
        let container = self.containers().get(id).cloned().flatten();
        container.ok_or_else(|| TaskError::NoContainer { id: id.to_owned() })
    }

    /// The process that a request means.
    ///
    /// # Errors
    /// [`TaskError::NoContainer`], [`TaskError::NoProcess`].
    pub(crate) fn target(&self, id: &str, exec_id: &str) -> Result<Target, TaskError> {
        self.container(id)?.target(exec_id)
    }

    /// Takes the id for a container that is about to be created.
    ///
    /// # Errors
    /// [`TaskError::ContainerExists`].
    pub(crate) fn reserve(self: &Arc<Self>, id: &str) -> Result<Reservation, TaskError> {
        match self.containers().entry(id.to_owned()) {
            Entry::Occupied(_) => Err(TaskError::ContainerExists { id: id.to_owned() }),
            Entry::Vacant(entry) => {
                entry.insert(None);
                Ok(Reservation {
                    shim: Arc::clone(self),
                    id: id.to_owned(),
                })
            }
        }
    }

    /// Forgets a container.
    pub(crate) fn remove(&self, id: &str) {
        self.containers().remove(id);
    }

    /// Asks the shim to end; `false`, and nothing happens, while it has containers.
    pub(crate) fn end(&self) -> bool {
        let empty = self.containers().is_empty();
        if empty {
            self.ending.send_replace(true);
        }
        empty
    }

    /// Waits until the shim is to end.
    pub(crate) async fn ended(&self) {
        let _ = self.ending.subscribe().wait_for(|ending| *ending).await;
    }

    fn containers(&self) -> MutexGuard<'_, HashMap<String, Option<Arc<Container>>>> {
        self.containers
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// An id that is taken; free again when this is dropped without a container.
#[derive(Debug)]
pub(crate) struct Reservation {
    shim: Arc<Shim>,
    id: String,
}

impl Reservation {
    /// The container was created.
    pub(crate) fn fill(self, container: Arc<Container>) {
        self.shim
            .containers()
            .insert(self.id.clone(), Some(container));
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Entry::Occupied(entry) = self.shim.containers().entry(self.id.clone())
            && entry.get().is_none()
        {
            entry.remove();
        }
    }
}
