//! Whether what a component exports under the name of an interface is the function that the interface says.
//!
//! Names are checked when a component is linked, types of exports only when an instance is made: a component that gets
//! them wrong would be ready, and fail in every call.

use wasmtime::component::Component;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};

use crate::program::Shape;

/// Whether the instance that `component` exports as `export` has the function that `shape` is called by.
pub(crate) fn fits(component: &Component, export: &str, shape: Shape) -> bool {
    let name = match shape {
        Shape::Http02 | Shape::Http03 => "handle",
        Shape::Command => "run",
    };
    let function = component
        .get_export_index(None, export)
        .and_then(|instance| component.get_export(Some(&instance), name));
    match function {
        Some((ComponentItem::ComponentFunc(function), _)) => is(&function, shape),
        _ => false,
    }
}

/// Whether a function is of the interface's type, as far as it can be told without an instance: resources are
/// resources, whichever they are.
fn is(function: &ComponentFunc, shape: Shape) -> bool {
    let params: Vec<Type> = function.params().map(|(_, param)| param).collect();
    let results: Vec<Type> = function.results().collect();
    match (shape, params.as_slice(), results.as_slice()) {
        // handle: func(request: incoming-request, response-out: response-outparam)
        (Shape::Http02, [Type::Own(_), Type::Own(_)], []) => !function.async_(),
        // handle: async func(request: request) -> result<response, error-code>
        (Shape::Http03, [Type::Own(_)], [Type::Result(result)]) => {
            function.async_()
                && matches!(result.ok(), Some(Type::Own(_)))
                && matches!(result.err(), Some(Type::Variant(_)))
        }
        // run: func() -> result, async in 0.3
        (Shape::Command, [], [Type::Result(result)]) => {
            result.ok().is_none() && result.err().is_none()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine;
    use crate::engines::Model;

    fn fixture(name: &str) -> Component {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/fixtures/wasm");
        let bytes = std::fs::read(format!("{folder}/{name}.wasm")).unwrap();
        Component::new(&engine::engine(Model::Concurrent, 1).unwrap(), bytes).unwrap()
    }

    #[test]
    fn the_interfaces_own_types_fit_and_others_do_not() {
        for (name, export, shape) in [
            ("hello", "wasi:http/incoming-handler@0.2.0", Shape::Http02),
            ("hello-p3", "wasi:http/handler@0.3.0", Shape::Http03),
            ("command", "wasi:cli/run@0.2.0", Shape::Command),
        ] {
            let component = fixture(name);
            assert!(fits(&component, export, shape), "{name}");
        }
        let wrong = fixture("wrong-type");
        assert!(!fits(&wrong, "wasi:cli/run@0.2.0", Shape::Command));
        let hello = fixture("hello");
        assert!(!fits(
            &hello,
            "wasi:http/incoming-handler@0.2.0",
            Shape::Http03
        ));
    }
}
