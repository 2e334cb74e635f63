//! One deployment that can be called.

use std::sync::Arc;
use std::time::Duration;

use hearth_code::Unpacked;
use hearth_isolates::{Assets, Code, Engines, Handlers};
use hearth_telemetry::tails::Tails;
use hearth_types::function::Deployment;

use crate::lanes::Lanes;
use crate::loaded;

/// One deployment (INV-1).
pub(crate) struct Guest {
    pub(super) deployment: Arc<Deployment>,
    pub(super) code: Code,
    pub(super) engines: Engines,
    pub(super) handlers: Handlers,
    /// Files of the package that are answers.
    pub(super) assets: Option<Arc<Assets>>,
    /// The package, for as long as its files may be asked for.
    pub(super) _package: Unpacked,
    /// Who watches.
    pub(super) tails: Tails,
    pub(super) timeout: Duration,
    pub(super) lanes: Lanes,
}

impl loaded::Guest for Guest {
    fn lanes(&self) -> &Lanes {
        &self.lanes
    }
}
