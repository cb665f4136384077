//! The serving shim: sets up signals, logging and the ttrpc server, and lives until its last
//! container is deleted.

use std::{
    collections::HashMap,
    env, io,
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixListener,
    },
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result};
use containerd_shim_protos::{
    shim_async::create_task,
    ttrpc::asynchronous::{Server, Service, transport::Listener},
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    args::Flags, bootstrap, control, decodable::decodable, log, memory, publisher::Publisher,
    reaper::Reaper, shim::Shim, socket, task::TaskService,
};

/// How long the last events may take.
const FLUSH: Duration = Duration::from_secs(10);

/// Serves until the end.
///
/// # Errors
/// When it cannot begin; nothing was served then.
pub(crate) fn serve(flags: &Flags) -> Result<()> {
    let listener = take_stdin_listener()
        .context("standard input is no listening socket; use the start action")?;
    let path = listener
        .local_addr()
        .ok()
        .and_then(|address| address.as_pathname().map(Path::to_owned));
    memory::keep_little();
    // The working directory is the bundle of the first container.
    log::to_fifo(Path::new("log"), flags.debug);
    // Orphans of every container become this process's children.
    nix::sys::prctl::set_child_subreaper(true).context("cannot become a child subreaper")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the async runtime")?;
    let result = runtime.block_on(run(flags, listener, path.as_deref()));
    // Whatever still blocks is of no more use.
    runtime.shutdown_background();
    result
}

/// The listening socket at descriptor 0, which becomes /dev/null.
fn take_stdin_listener() -> io::Result<UnixListener> {
    let listener: OwnedFd = io::stdin().as_fd().try_clone_to_owned()?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(io::ErrorKind::NotConnected.into());
    }
    let null = std::fs::File::open("/dev/null")?;
    nix::unistd::dup2_stdin(null)?;
    Ok(listener.into())
}

async fn run(flags: &Flags, listener: UnixListener, path: Option<&Path>) -> Result<()> {
    let reaper = Reaper::start().context("cannot watch for exits")?;
    let address = env::var_os(bootstrap::TTRPC_ADDRESS).unwrap_or_default();
    let address = PathBuf::from(strip_scheme(address));
    let publisher = Publisher::start(address, flags.namespace.clone());
    let shim = Arc::new(Shim::new(
        flags.namespace.clone(),
        reaper,
        publisher.clone(),
    ));
    let mut server = Server::new()
        .add_listener(Listener::try_from(listener).context("cannot serve on the socket")?)
        .register_service(services(&shim));
    server.start().await.context("cannot serve")?;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        namespace = flags.namespace,
        "the shim is serving"
    );
    tokio::spawn(heed_signals(Arc::clone(&shim))?);
    shim.ended().await;

    // First of all, so that a start that comes now makes a new shim.
    if let Some(path) = path
        && let Err(error) = socket::remove(path)
    {
        tracing::warn!(%error, "the shim's socket is left over");
    }
    publisher.flush(FLUSH).await;
    if let Err(error) = server.shutdown().await {
        tracing::debug!(%error, "the server did not end cleanly");
    }
    Ok(())
}

/// The task API under both of its names, because v3 differs from v2 in nothing else; and our own
/// control service.
fn services(shim: &Arc<Shim>) -> HashMap<String, Service> {
    let service = || create_task(Arc::new(TaskService::new(Arc::clone(shim))));
    let v2 = service()
        .into_iter()
        .map(|(name, service)| (name.replace(".task.v3.", ".task.v2."), service));
    let control = control::service(shim);
    let all = service().into_iter().chain(v2).chain([control]);
    all.map(|(name, service)| (name, decodable(service)))
        .collect()
}

fn strip_scheme(address: std::ffi::OsString) -> std::ffi::OsString {
    match address
        .to_str()
        .and_then(|text| text.strip_prefix(socket::SCHEME))
    {
        Some(path) => path.into(),
        None => address,
    }
}

/// A polite request to end is granted only to a shim without containers: theirs would end
/// otherwise with nobody to tell containerd.
fn heed_signals(shim: Arc<Shim>) -> Result<impl Future<Output = ()>> {
    let listen = |kind| signal(kind).context("cannot install signal handlers");
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            if !shim.end() {
                tracing::info!("asked to end, but there are containers");
            }
        }
    })
}
