//! What runs functions: interpreters of this host, what they see around them.

use serde_json::json;

use crate::rig::{Rig, tests};

pub(crate) fn tests() -> Vec<crate::Test> {
    tests![
        nodejs_runs,
        the_nearest_version_says_so,
        the_nearest_version_can_be_forbidden,
        prepare_says_what_is_missing,
        an_interpreter_from_a_version_manager_runs,
        variables_are_those_of_lambda,
        an_exec_wrapper_runs_first,
    ]
}

const NODE: &str = "let count = 0; exports.handler = async (event) => ({ count: ++count, event });";

async fn nodejs_runs() {
    let rig = Rig::new(|_| {}).await;
    let function = rig.deploy("nodejs20.x", &[("app.js", NODE)], |_| {}).await;
    for count in 1..=3 {
        assert_eq!(
            rig.result(&function, json!("x")).await,
            json!({"count": count, "event": "x"})
        );
    }
    let fails = rig
        .deploy(
            "nodejs20.x",
            &[(
                "app.js",
                "exports.handler = async () => { throw new RangeError('far') };",
            )],
            |_| {},
        )
        .await;
    let ended = rig.invoke(&fails, json!({})).await.unwrap();
    assert_eq!(ended.error(), ("RangeError".to_owned(), "far".to_owned()));
    rig.end().await;
}

async fn the_nearest_version_says_so() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .deploy(
            "python3.99",
            &[("app.py", "def handler(event, context): return 1")],
            |_| {},
        )
        .await;
    assert_eq!(rig.result(&function, json!({})).await, json!(1));
    let log = rig.log().await;
    assert!(
        log[0].starts_with("INIT_START Runtime Version: python:3.")
            && log[0].contains("Requested: python3.99"),
        "{log:?}"
    );
    rig.end().await;
}

async fn the_nearest_version_can_be_forbidden() {
    let rig = Rig::new(|options| options.runtimes.forbid_nearest = true).await;
    let function = rig
        .deploy(
            "python3.99",
            &[("app.py", "def handler(event, context): return 1")],
            |_| {},
        )
        .await;
    let error = rig.invoke(&function, json!({})).await.unwrap_err();
    assert_eq!(error.kind, hearth_types::ErrorKind::InvalidRuntime);
    rig.end().await;
}

async fn prepare_says_what_is_missing() {
    use hearth_types::invoke::Invoker as _;
    let rig = Rig::new(|options| options.runtimes.forbid_nearest = true).await;
    let bad = rig.deploy("nodejs99.x", &[("app.js", NODE)], |_| {}).await;
    let reason = rig.worker.prepare(bad).await.unwrap_err();
    assert_eq!(reason.code, "InvalidRuntime");
    let good = rig.deploy("nodejs20.x", &[("app.js", NODE)], |_| {}).await;
    rig.worker.prepare(good).await.unwrap();
    rig.end().await;
}

async fn an_interpreter_from_a_version_manager_runs() {
    let rig = Rig::new(|options| options.runtimes.home = std::env::home_dir()).await;
    let Some(managed) = rig
        .worker
        .runtimes()
        .installed()
        .iter()
        .find(|one| !one.prefix.starts_with("/usr"))
        .map(|one| (one.runtime().to_string(), one.version))
    else {
        eprintln!("no interpreter outside of /usr on this host: nothing to try");
        return rig.end().await;
    };
    let (runtime, version) = managed;
    let source = "import sys, json, ssl, sqlite3, ctypes\n\
                  def handler(event, context): return [list(sys.version_info[:3]), sys.prefix, sys.executable]";
    let function = rig.deploy(&runtime, &[("app.py", source)], |_| {}).await;
    let said = rig.result(&function, json!({})).await;
    assert_eq!(said[0], json!(version));
    assert_eq!(said[1], "/var/lang");
    assert!(
        said[2]
            .as_str()
            .unwrap()
            .starts_with("/var/lang/bin/python3")
    );
    rig.end().await;
}

async fn variables_are_those_of_lambda() {
    let rig = Rig::new(|_| {}).await;
    let source = "import os, time\ndef handler(event, context): return {**os.environ, 'cwd': os.getcwd(), \
                  'stream': context.log_stream_name, 'zone': time.tzname[0], 'arn': context.invoked_function_arn, \
                  'left': context.get_remaining_time_in_millis()}";
    let function = rig
        .deploy(crate::rig::PYTHON, &[("app.py", source)], |configuration| {
            configuration
                .environment
                .insert("MINE".into(), "yes".into());
            configuration
                .environment
                .insert("AWS_REGION".into(), "mars".into());
        })
        .await;
    let all = rig.result(&function, json!({})).await;
    for (name, value) in [
        ("MINE", "yes"),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "ASIAhello"),
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9002"),
        ("AWS_EXECUTION_ENV", "AWS_Lambda_python3.11"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        (
            "_X_AMZN_TRACE_ID",
            "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0",
        ),
        ("cwd", "/var/task"),
        ("zone", "UTC"),
        (
            "arn",
            "arn:aws:lambda:us-east-1:000000000000:function:hello",
        ),
    ] {
        assert_eq!(all[name], value, "{name}");
    }
    let stream = all["stream"].as_str().unwrap();
    assert!(
        stream.contains("/[$LATEST]") && stream.len() == "2026/01/02/[$LATEST]".len() + 32,
        "{stream}"
    );
    let left = all["left"].as_u64().unwrap();
    assert!((1..=30_000).contains(&left), "{left}");
    rig.end().await;
}

async fn an_exec_wrapper_runs_first() {
    let rig = Rig::new(|_| {}).await;
    let function = rig
        .deploy(
            crate::rig::PYTHON,
            &[
                (
                    "app.py",
                    "import os\ndef handler(event, context): return os.environ.get('WRAPPED')",
                ),
                ("wrap*", "#!/bin/sh\nexport WRAPPED=\"$*\"\nexec \"$@\"\n"),
            ],
            |configuration| {
                configuration
                    .environment
                    .insert("AWS_LAMBDA_EXEC_WRAPPER".into(), "/var/task/wrap".into());
            },
        )
        .await;
    let command = rig.result(&function, json!({})).await;
    let command = command.as_str().unwrap();
    assert!(
        command.starts_with("/usr/bin/python3") && command.ends_with(" /var/runtime/bootstrap.py"),
        "it is given the runtime's command line: {command}"
    );
    rig.end().await;
}
