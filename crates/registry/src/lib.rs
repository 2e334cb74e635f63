//! Function registry: every control operation, validated and atomic.

mod answers;
mod options;
mod registry;
mod scope;

pub use answers::{
    FunctionDescription, LayerFilter, LayerVersionDescription, PageRequest, Resolved,
};
pub use options::{Clock, Options, RuntimePolicy};
pub use registry::Registry;
pub use scope::{Scope, parse_function, parse_qualifier};
