//! One deployment that can be called.

use std::sync::Arc;
use std::time::Duration;

use hearth_isolates::{Code, Engines};
use hearth_types::function::Deployment;

use crate::lanes::Lanes;
use crate::loaded;

/// One deployment (INV-1).
pub(crate) struct Guest {
    pub(super) deployment: Arc<Deployment>,
    pub(super) code: Code,
    pub(super) engines: Engines,
    pub(super) timeout: Duration,
    pub(super) lanes: Lanes,
}

impl loaded::Guest for Guest {
    fn lanes(&self) -> &Lanes {
        &self.lanes
    }
}
