//! What `wasi:http` asks of the host: sizes of bodies' buffers, and outgoing requests.

use std::sync::Arc;

use hearth_egress::is_forbidden;
use http::HeaderName;
use wasmtime_wasi_http::p2::bindings::http::types as http02;
use wasmtime_wasi_http::p3::bindings::http::types as http03;
use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use crate::host::{Outgoing, Response};

/// Chunks of a body that wait between guest and host. `blocking-write-and-flush` takes 4 KiB at most, so that a guest
/// would stop for every 8 KiB with Wasmtime's default of 1.
const BODY_CHUNKS: usize = 4;

/// Bytes of one chunk: with [`BODY_CHUNKS`] a body holds 160 KiB of the host's memory at most.
const CHUNK_BYTES: usize = 32 << 10;

/// What `wasi:http` asks of the host.
#[derive(Debug)]
pub(crate) struct Hooks {
    outgoing: Outgoing,
}

impl Hooks {
    pub(crate) fn new(outgoing: Outgoing) -> Self {
        Self { outgoing }
    }
}

impl WasiHttpHooks for Hooks {
    fn is_forbidden_header(&mut self, name: &HeaderName) -> bool {
        is_forbidden(name)
    }

    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), Error>> + Send>,
    ) -> Response {
        self.outgoing.send(request, options)
    }

    fn p2_error_from_hyper(&mut self, _: &hyper::Error) -> http02::ErrorCode {
        // The guest's own body failed without a word; it is no event of the node's.
        http02::ErrorCode::HttpProtocolError
    }

    fn p3_error_from_hyper(&mut self, _: &hyper::Error) -> http03::ErrorCode {
        http03::ErrorCode::HttpProtocolError
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
