//! Names of runtimes: those of the service, and those of them that Hearth runs.

use hearth_types::ApiError;
use hearth_types::function::Runtime;

use crate::RuntimePolicy;

/// The enumeration `Runtime` of the service model: what a layer may say that it is for.
pub(crate) const SERVICE_RUNTIMES: [&str; 52] = [
    "nodejs",
    "nodejs4.3",
    "nodejs4.3-edge",
    "nodejs6.10",
    "nodejs8.10",
    "nodejs10.x",
    "nodejs12.x",
    "nodejs14.x",
    "nodejs16.x",
    "nodejs18.x",
    "nodejs20.x",
    "nodejs22.x",
    "nodejs24.x",
    "nodejs26.x",
    "java8",
    "java8.al2",
    "java8.al2023",
    "java11",
    "java11.al2023",
    "java17",
    "java17.al2023",
    "java21",
    "java25",
    "python2.7",
    "python3.6",
    "python3.7",
    "python3.8",
    "python3.9",
    "python3.10",
    "python3.11",
    "python3.12",
    "python3.13",
    "python3.14",
    "python3.15",
    "dotnetcore1.0",
    "dotnetcore2.0",
    "dotnetcore2.1",
    "dotnetcore3.1",
    "dotnet6",
    "dotnet8",
    "dotnet10",
    "go1.x",
    "ruby2.5",
    "ruby2.7",
    "ruby3.2",
    "ruby3.3",
    "ruby3.4",
    "ruby4.0",
    "provided",
    "provided.al2",
    "provided.al2023",
    "custom",
];

/// Runtimes of Hearth's own, beside those of the service.
const OWN_RUNTIMES: [&str; 2] = ["wasm", "worker"];

/// The runtime of this name, if the node may be asked for it.
///
/// # Errors
/// [`hearth_types::ErrorKind::InvalidParameterValue`], with the names that would do.
pub(crate) fn parse(name: &str, policy: &RuntimePolicy) -> Result<Runtime, ApiError> {
    let refused = |known: String| {
        let shown: String = name.chars().take(80).collect();
        Err(ApiError::invalid(format!(
            "Value {shown} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [{known}] or \
             be a valid ARN"
        )))
    };
    let runtime = name.parse::<Runtime>().ok();
    match (runtime, policy) {
        (Some(runtime), RuntimePolicy::Nearest)
            if SERVICE_RUNTIMES.contains(&name) || OWN_RUNTIMES.contains(&name) =>
        {
            Ok(runtime)
        }
        (_, RuntimePolicy::Nearest) => {
            let runnable: Vec<_> = SERVICE_RUNTIMES
                .into_iter()
                .chain(OWN_RUNTIMES)
                .filter(|name| name.parse::<Runtime>().is_ok())
                .collect();
            refused(runnable.join(", "))
        }
        (Some(runtime), RuntimePolicy::Exactly(these)) if these.contains(&runtime) => Ok(runtime),
        (_, RuntimePolicy::Exactly(these)) => {
            let names: Vec<_> = these.iter().map(Runtime::to_string).collect();
            refused(names.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runtimes_that_hearth_has_no_bootstrap_for_are_refused_with_those_that_it_has() {
        assert!(parse("python3.12", &RuntimePolicy::Nearest).is_ok());
        assert!(parse("wasm", &RuntimePolicy::Nearest).is_ok());
        assert!(parse("worker", &RuntimePolicy::Nearest).is_ok());
        for name in ["java21", "python3.99", "cobol", "", "nodejs23.x"] {
            let error = parse(name, &RuntimePolicy::Nearest).unwrap_err();
            assert!(error.message.contains("provided.al2023"), "{name}");
            assert!(!error.message.contains("ruby"), "{name}");
        }
    }

    #[test]
    fn a_node_without_nearest_runtimes_takes_its_own_only() {
        let own = RuntimePolicy::Exactly(vec![Runtime::NodeJs { major: 23 }]);
        assert!(parse("nodejs23.x", &own).is_ok());
        assert!(
            parse("nodejs22.x", &own)
                .unwrap_err()
                .message
                .contains("[nodejs23.x]")
        );
    }
}
