//! The environment variables of a function, as on Lambda.

use std::collections::BTreeMap;
use std::path::Path;

use hearth_sandbox::{DOOR_PORT, RUNTIME_API_PORT};
use hearth_types::function::{Deployment, LogFormat, RESERVED_VARIABLES, Runtime};
use hearth_types::web::WebServer;

use crate::environment;
use crate::options::Credentials;

/// Where programs are found.
const PATH: &str = "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin";
/// Where those of web servers are found before.
const COMMANDS: &str = "/var/runtime/bin:/var/task/node_modules/.bin:/var/task/bin";

/// What differs between environments of one function, or between hosts.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Surroundings<'a> {
    pub(crate) log_stream: &'a str,
    pub(crate) credentials: &'a Credentials,
    /// A locale that the host has: `LANG`.
    pub(crate) locale: &'a str,
}

/// The whole environment of a function, each name once, in order.
pub(crate) fn variables(
    deployment: &Deployment,
    web: Option<&WebServer>,
    around: Surroundings<'_>,
) -> Vec<(String, String)> {
    let configuration = &deployment.configuration;
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    set("LANG", around.locale);
    set("TZ", ":UTC");
    set("PATH", PATH);
    set(
        "LD_LIBRARY_PATH",
        "/var/lang/lib:/lib64:/usr/lib64:/var/runtime:/var/runtime/lib:/var/task:/var/task/lib:/opt/lib",
    );
    match configuration.runtime {
        Runtime::Python { .. } => set("PYTHONPATH", "/var/runtime"),
        Runtime::NodeJs { major } => set(
            "NODE_PATH",
            &format!(
                "/opt/nodejs/node{major}/node_modules:/opt/nodejs/node_modules:/var/runtime/node_modules:\
                 /var/runtime:/var/task"
            ),
        ),
        Runtime::Provided(_) | Runtime::Wasm | Runtime::Worker => {}
    }
    if web.is_some() {
        // The interpreter as a command, and what packages bring with them.
        set("PATH", &format!("{COMMANDS}:{PATH}"));
        if let Runtime::Python { minor } = configuration.runtime {
            // Without Hearth's bootstrap, which has paths and standard output of its own.
            set(
                "PYTHONPATH",
                &format!("/var/task:/opt/python:/opt/python/lib/python3.{minor}/site-packages"),
            );
            set("PYTHONUNBUFFERED", "1");
        }
    }
    // Where X-Ray's daemon would be; nothing listens there, and its SDK is told to take that lightly.
    set("AWS_XRAY_CONTEXT_MISSING", "LOG_ERROR");
    set("AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1:2000");
    set("_AWS_XRAY_DAEMON_ADDRESS", "169.254.100.1");
    set("_AWS_XRAY_DAEMON_PORT", "2000");
    set("AWS_ENDPOINT_URL", &format!("http://127.0.0.1:{DOOR_PORT}"));
    own_and_identity(deployment, &mut set);
    if let Some(server) = web {
        // The one at which it is looked for, whatever the function's own variables say.
        set("PORT", &server.port.to_string());
    }
    set("LAMBDA_TASK_ROOT", "/var/task");
    set("LAMBDA_RUNTIME_DIR", "/var/runtime");
    set("AWS_ACCESS_KEY_ID", &around.credentials.access_key_id);
    set(
        "AWS_SECRET_ACCESS_KEY",
        &around.credentials.secret_access_key,
    );
    set("AWS_SESSION_TOKEN", &around.credentials.session_token);
    set(
        "AWS_LAMBDA_RUNTIME_API",
        &format!("127.0.0.1:{RUNTIME_API_PORT}"),
    );
    set("AWS_LAMBDA_LOG_STREAM_NAME", around.log_stream);
    let places = environment::places(deployment);
    if places > 1 {
        // How many invocations a runtime may ask for at once; not there where it gets one after the other.
        set("AWS_LAMBDA_MAX_CONCURRENCY", &places.to_string());
    }
    all.into_iter().collect()
}

/// The whole environment of a component or a worker, each name once, in order. It has no files, no Runtime API and no
/// credentials to speak of, and all its instances have the same.
pub(crate) fn component_variables(deployment: &Deployment) -> Vec<(String, String)> {
    let mut all = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_owned(), value.to_owned());
    };
    set("TZ", ":UTC");
    own_and_identity(deployment, &mut set);
    all.into_iter().collect()
}

/// What a function brings with it, and what it learns of itself.
fn own_and_identity(deployment: &Deployment, set: &mut impl FnMut(&str, &str)) {
    let configuration = &deployment.configuration;
    let logging = &configuration.logging;
    match logging.format {
        LogFormat::Text => set("AWS_LAMBDA_LOG_FORMAT", "Text"),
        LogFormat::Json => {
            set("AWS_LAMBDA_LOG_FORMAT", "JSON");
            set(
                "AWS_LAMBDA_LOG_LEVEL",
                logging.application_level.as_deref().unwrap_or("INFO"),
            );
        }
    }
    for (name, value) in &configuration.environment {
        if !RESERVED_VARIABLES.contains(&name.as_str()) {
            set(name, value);
        }
    }

    let key = &deployment.key;
    set("_HANDLER", &configuration.handler);
    set("AWS_REGION", key.region.as_str());
    set("AWS_DEFAULT_REGION", key.region.as_str());
    set("AWS_LAMBDA_FUNCTION_NAME", key.name.as_str());
    set(
        "AWS_LAMBDA_FUNCTION_VERSION",
        &deployment.version.to_string(),
    );
    set(
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
        &configuration.memory_mib.to_string(),
    );
    set("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
    match &logging.group {
        Some(group) => set("AWS_LAMBDA_LOG_GROUP_NAME", group),
        None => set(
            "AWS_LAMBDA_LOG_GROUP_NAME",
            &format!("/aws/lambda/{}", key.name),
        ),
    }
    if !matches!(configuration.runtime, Runtime::Provided(_)) {
        set(
            "AWS_EXECUTION_ENV",
            &format!("AWS_Lambda_{}", configuration.runtime),
        );
    }
}

/// A UTF-8 locale that exists on this host: Lambda's own, or else the one that every C library has.
pub(crate) fn locale() -> &'static str {
    if Path::new("/usr/lib/locale/en_US.utf8").is_dir() {
        "en_US.UTF-8"
    } else {
        "C.UTF-8"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::deployment;

    fn built(change: impl FnOnce(&mut Deployment)) -> BTreeMap<String, String> {
        let mut deployment = deployment(Runtime::Python { minor: 12 });
        change(&mut deployment);
        let credentials = Credentials {
            access_key_id: "ASIA1".to_owned(),
            secret_access_key: "secret".to_owned(),
            session_token: "token".to_owned(),
        };
        let around = Surroundings {
            log_stream: "2026/01/02/[$LATEST]abc",
            credentials: &credentials,
            locale: "C.UTF-8",
        };
        let web = deployment.web_server().transpose().unwrap();
        variables(&deployment, web.as_ref(), around)
            .into_iter()
            .collect()
    }

    #[test]
    fn what_lambda_sets_is_there() {
        let all = built(|_| {});
        for (name, value) in [
            ("_HANDLER", "app.handler"),
            ("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:9002"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", "/aws/lambda/hello"),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_SESSION_TOKEN", "token"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!all.contains_key("AWS_LAMBDA_LOG_LEVEL"));
    }

    #[test]
    fn a_function_overrides_only_what_is_not_reserved() {
        let all = built(|deployment| {
            for name in RESERVED_VARIABLES
                .into_iter()
                .chain(["PATH", "AWS_ENDPOINT_URL", "MINE"])
            {
                deployment
                    .configuration
                    .environment
                    .insert(name.to_owned(), "user".to_owned());
            }
        });
        for name in RESERVED_VARIABLES {
            assert_ne!(all.get(name).map(String::as_str), Some("user"), "{name}");
        }
        for name in ["PATH", "AWS_ENDPOINT_URL", "MINE"] {
            assert_eq!(all.get(name).map(String::as_str), Some("user"), "{name}");
        }
    }

    #[test]
    fn a_web_server_gets_its_port_and_its_commands() {
        let all = built(|deployment| {
            let variables = &mut deployment.configuration.environment;
            variables.insert("AWS_LWA_PORT".to_owned(), "3000".to_owned());
            variables.insert("PORT".to_owned(), "4000".to_owned());
        });
        assert_eq!(all.get("PORT").map(String::as_str), Some("3000"));
        assert!(all["PATH"].starts_with("/var/runtime/bin:"));
        assert!(all["PYTHONPATH"].starts_with("/var/task:"));
        let none = built(|_| {});
        assert!(!none.contains_key("PORT") && none["PYTHONPATH"] == "/var/runtime");
    }

    #[test]
    fn a_function_of_several_at_once_is_told_how_many() {
        let told = |change: fn(&mut Deployment)| built(change).remove("AWS_LAMBDA_MAX_CONCURRENCY");
        assert_eq!(told(|_| {}), None);
        assert_eq!(told(|own| own.walls.concurrency = Some(1)), None);
        assert_eq!(
            told(|own| own.walls.concurrency = Some(16)).as_deref(),
            Some("16")
        );
    }

    #[test]
    fn a_component_gets_its_own_and_no_credentials() {
        let mut deployment = deployment(Runtime::Wasm);
        for name in ["MINE", "AWS_SECRET_ACCESS_KEY"] {
            deployment
                .configuration
                .environment
                .insert(name.to_owned(), "user".to_owned());
        }
        let all: BTreeMap<_, _> = component_variables(&deployment).into_iter().collect();
        for (name, value) in [
            ("MINE", "user"),
            ("AWS_LAMBDA_FUNCTION_NAME", "hello"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"),
            ("AWS_EXECUTION_ENV", "AWS_Lambda_wasm"),
            ("TZ", ":UTC"),
        ] {
            assert_eq!(all.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(
            !all.keys()
                .any(|name| name.contains("KEY") || name.contains("PATH"))
        );
    }
}
