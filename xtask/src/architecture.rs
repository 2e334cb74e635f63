//! Which crate may depend on which. Dependencies point one way, so that each crate can be read, tested and replaced
//! without those that stand on it.

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use crate::command::cargo;

    /// Every crate with the crates that it may use. `gateway` does not know `worker` or `sandbox`: it speaks to
    /// workers through `types::invoke::Invoker`. Nobody uses `hearth`.
    const ALLOWED: [(&str, &[&str]); 23] = [
        ("hearth-types", &[]),
        ("hearth-patterns", &[]),
        ("hearth-brokers", &["hearth-types"]),
        ("hearth-store", &["hearth-types"]),
        ("hearth-code", &["hearth-types"]),
        ("hearth-sandbox", &["hearth-types"]),
        ("hearth-telemetry", &["hearth-types"]),
        ("hearth-egress", &["hearth-types"]),
        ("hearth-wasm", &["hearth-types", "hearth-egress"]),
        (
            "hearth-isolates",
            &[
                "hearth-types",
                "hearth-egress",
                "hearth-sandbox",
                "hearth-store",
            ],
        ),
        (
            "hearth-registry",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-code",
                "hearth-patterns",
            ],
        ),
        (
            "hearth-worker",
            &[
                "hearth-types",
                "hearth-code",
                "hearth-isolates",
                "hearth-sandbox",
                "hearth-telemetry",
                "hearth-wasm",
            ],
        ),
        (
            "hearth-events",
            &["hearth-types", "hearth-store", "hearth-registry"],
        ),
        ("hearth-queues", &["hearth-types", "hearth-store"]),
        (
            "hearth-targets",
            &["hearth-types", "hearth-store", "hearth-queues"],
        ),
        (
            "hearth-schedules",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-queues",
                "hearth-targets",
            ],
        ),
        (
            "hearth-rules",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-patterns",
                "hearth-queues",
                "hearth-targets",
            ],
        ),
        (
            "hearth-destinations",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-registry",
                "hearth-events",
                "hearth-mappings",
                "hearth-queues",
            ],
        ),
        (
            "hearth-mappings",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-patterns",
                "hearth-registry",
                "hearth-queues",
                "hearth-brokers",
            ],
        ),
        (
            "hearth-storage",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-registry",
                "hearth-queues",
                "hearth-targets",
            ],
        ),
        (
            "hearth-cloudflare",
            &[
                "hearth-types",
                "hearth-store",
                "hearth-code",
                "hearth-registry",
                "hearth-queues",
                "hearth-schedules",
                "hearth-telemetry",
            ],
        ),
        (
            "hearth-gateway",
            &[
                "hearth-types",
                "hearth-cloudflare",
                "hearth-registry",
                "hearth-events",
                "hearth-queues",
                "hearth-schedules",
                "hearth-storage",
                "hearth-rules",
                "hearth-code",
                "hearth-telemetry",
            ],
        ),
        (
            "hearth",
            &[
                "hearth-types",
                "hearth-cloudflare",
                "hearth-store",
                "hearth-code",
                "hearth-egress",
                "hearth-isolates",
                "hearth-sandbox",
                "hearth-telemetry",
                "hearth-wasm",
                "hearth-registry",
                "hearth-worker",
                "hearth-events",
                "hearth-queues",
                "hearth-brokers",
                "hearth-mappings",
                "hearth-schedules",
                "hearth-storage",
                "hearth-rules",
                "hearth-targets",
                "hearth-destinations",
                "hearth-gateway",
            ],
        ),
    ];

    /// The workspace's crates and what each is built from: dependencies of tests alone do not count.
    fn edges() -> BTreeMap<String, BTreeSet<String>> {
        let output = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"])
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        let is_component = |package: &&serde_json::Value| {
            package["manifest_path"]
                .as_str()
                .unwrap()
                .contains("/crates/")
        };
        let edges = packages.iter().filter(is_component).map(|package| {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let built_from = dependencies.filter(|d| d["kind"].as_str() != Some("dev"));
            let names = built_from.map(|d| d["name"].as_str().unwrap().to_owned());
            let ours = names.filter(|name| name == "hearth" || name.starts_with("hearth-"));
            (package["name"].as_str().unwrap().to_owned(), ours.collect())
        });
        edges.collect()
    }

    #[test]
    fn crates_depend_only_in_the_allowed_direction() {
        let allowed: BTreeMap<&str, &[&str]> = ALLOWED.into_iter().collect();
        for (name, dependencies) in edges() {
            let Some(allowed) = allowed.get(name.as_str()) else {
                panic!("{name} is not in the table: say what it may depend on");
            };
            for dependency in &dependencies {
                assert!(
                    allowed.contains(&dependency.as_str()),
                    "{name} must not depend on {dependency}"
                );
            }
        }
    }

    #[test]
    fn only_the_sandbox_contains_unsafe_code() {
        // INV-5: the lint denies it everywhere; only the sandbox may allow it.
        for (name, _) in ALLOWED.iter().filter(|(name, _)| *name != "hearth-sandbox") {
            let folder = crate::command::root()
                .join("crates")
                .join(name.trim_start_matches("hearth-"));
            let mut folders = vec![folder.join("src")];
            while let Some(folder) = folders.pop() {
                for entry in std::fs::read_dir(&folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        folders.push(path);
                    } else if path.extension().is_some_and(|extension| extension == "rs") {
                        let text = std::fs::read_to_string(&path).unwrap();
                        assert!(
                            !text.contains("allow(unsafe_code"),
                            "{} allows unsafe code",
                            path.display()
                        );
                    }
                }
            }
        }
    }
}
