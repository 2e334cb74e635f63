//! A floor: a bare hyper server that says hello. Nothing that speaks HTTP through hyper can be faster.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::Stdio;

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::process::{Child, Command};

use crate::load::Target;
use crate::process;

/// What it says.
pub(crate) const HELLO: &str = "Hello, World!";
/// How its lines are named.
pub(crate) const FLOOR: &str = "floor: hyper, no platform";

/// The floor, in a process of its own as every peer is.
pub(crate) struct Floor {
    pub(crate) target: Target,
    process: Child,
}

impl Floor {
    pub(crate) async fn start() -> anyhow::Result<Self> {
        let address = process::free_address()?;
        let program = std::env::current_exe().context("find this program")?;
        let server = Command::new(program)
            .args(["hello-server", &address.to_string()])
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .context("start the floor")?;
        process::listening(address).await?;
        Ok(Self {
            target: Target::get(address, "/", HELLO),
            process: server,
        })
    }

    /// Its process.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.process.id().context("the floor runs")
    }
}

/// Serves until it is killed.
pub(crate) async fn serve(address: SocketAddr) -> anyhow::Result<()> {
    let listener = TcpListener::bind(address).await.context("listen")?;
    loop {
        let (stream, _) = listener.accept().await.context("accept")?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let service = service_fn(|_: Request<hyper::body::Incoming>| async {
                let body = Full::new(Bytes::from_static(HELLO.as_bytes()));
                Ok::<_, Infallible>(Response::new(body))
            });
            // A caller that hangs up is how every measurement ends.
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}
