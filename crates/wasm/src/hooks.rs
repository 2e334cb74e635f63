//! What `wasi:http` asks of the host: sizes of bodies' buffers, and outgoing requests.

use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

/// Chunks of a body that wait between guest and host. `blocking-write-and-flush` takes 4 KiB at most, so that a guest
/// would stop for every 8 KiB with Wasmtime's default of 1.
const BODY_CHUNKS: usize = 4;

/// Bytes of one chunk: with [`BODY_CHUNKS`] a body holds 160 KiB of the host's memory at most.
const CHUNK_BYTES: usize = 32 << 10;

/// What `wasi:http` asks of the host.
#[derive(Debug, Default)]
pub(crate) struct Hooks {}

impl WasiHttpHooks for Hooks {
    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Outgoing {
        Box::new(async { Err(Error::HttpRequestDenied) })
    }

    fn p2_outgoing_body_buffer_chunks(&mut self) -> usize {
        BODY_CHUNKS
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        CHUNK_BYTES
    }
}

/// A response on its way, with what drives its connection.
type Outgoing = Box<
    dyn Future<
            Output = Result<
                (
                    http::Response<WasiBody>,
                    Box<dyn Future<Output = Result<(), Error>> + Send>,
                ),
                Error,
            >,
        > + Send,
>;
