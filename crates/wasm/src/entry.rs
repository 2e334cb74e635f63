//! How a component is entered: its pre-linked form, typed by what it exports.

use wasmtime::Store;
use wasmtime::component::{Component, InstancePre};

use crate::program::Shape;
use crate::state::State;

/// A component, linked, with its exports looked up: all that an instance needs before it can be called.
pub(crate) enum Entry {
    /// `wasi:http/incoming-handler@0.2`.
    Http02(wasmtime_wasi_http::p2::bindings::ProxyPre<State>),
    /// `wasi:http/handler@0.3`.
    Http03(wasmtime_wasi_http::p3::bindings::ServicePre<State>),
    /// `wasi:cli/run@0.2`.
    Command02(wasmtime_wasi::p2::bindings::CommandPre<State>),
    /// `wasi:cli/run@0.3`.
    Command03(wasmtime_wasi::p3::bindings::CommandPre<State>),
}

impl Entry {
    /// Looks the exports of `shape` up.
    ///
    /// # Errors
    /// If they are missing or of other types.
    pub(crate) fn new(shape: Shape, pre: InstancePre<State>) -> wasmtime::Result<Self> {
        use wasmtime_wasi::{p2, p3};
        use wasmtime_wasi_http::{p2 as http02, p3 as http03};

        match shape {
            Shape::Http02 => http02::bindings::ProxyPre::new(pre).map(Self::Http02),
            Shape::Http03 => http03::bindings::ServicePre::new(pre).map(Self::Http03),
            Shape::Command => match p2::bindings::CommandPre::new(pre.clone()) {
                Ok(pre) => Ok(Self::Command02(pre)),
                Err(_) => p3::bindings::CommandPre::new(pre).map(Self::Command03),
            },
        }
    }

    /// The component.
    pub(crate) fn component(&self) -> &Component {
        self.pre().component()
    }

    /// The component, linked.
    pub(crate) fn pre(&self) -> &InstancePre<State> {
        match self {
            Self::Http02(pre) => pre.instance_pre(),
            Self::Http03(pre) => pre.instance_pre(),
            Self::Command02(pre) => pre.instance_pre(),
            Self::Command03(pre) => pre.instance_pre(),
        }
    }
}

impl Entry {
    /// Makes an instance in `store`.
    ///
    /// # Errors
    /// Wasmtime's, or the guest's own when it starts.
    pub(crate) async fn instantiate(&self, store: &mut Store<State>) -> wasmtime::Result<Exports> {
        Ok(match self {
            Self::Http02(pre) => Exports::Http02(pre.instantiate_async(store).await?),
            Self::Http03(pre) => Exports::Http03(pre.instantiate_async(store).await?),
            Self::Command02(pre) => Exports::Command02(pre.instantiate_async(store).await?),
            Self::Command03(pre) => Exports::Command03(pre.instantiate_async(store).await?),
        })
    }
}

/// What an instance exports.
pub(crate) enum Exports {
    /// `wasi:http/incoming-handler@0.2`.
    Http02(wasmtime_wasi_http::p2::bindings::Proxy),
    /// `wasi:http/handler@0.3`.
    Http03(wasmtime_wasi_http::p3::bindings::Service),
    /// `wasi:cli/run@0.2`.
    Command02(wasmtime_wasi::p2::bindings::Command),
    /// `wasi:cli/run@0.3`.
    Command03(wasmtime_wasi::p3::bindings::Command),
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Http02(_) => "Http02",
            Self::Http03(_) => "Http03",
            Self::Command02(_) => "Command02",
            Self::Command03(_) => "Command03",
        })
    }
}
