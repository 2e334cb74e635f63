//! What unit tests of this crate share.

use std::collections::BTreeMap;

use hearth_types::digest::Digest;
use hearth_types::function::{
    Architecture, Configuration, Deployment, DeploymentId, Logging, Package, Runtime,
};
use hearth_types::limits;
use hearth_types::name::{FunctionKey, Version};
use hearth_types::time::Timestamp;
use hearth_types::walls::Walls;

/// A deployment of a function named `hello` without code.
pub(crate) fn deployment(runtime: Runtime) -> Deployment {
    Deployment {
        id: DeploymentId::from_random(1),
        key: FunctionKey {
            account: "000000000000".parse().unwrap(),
            region: "us-east-1".parse().unwrap(),
            name: "hello".parse().unwrap(),
        },
        version: Version::Latest,
        created: Timestamp::default(),
        configuration: Configuration {
            description: String::new(),
            runtime,
            handler: "app.handler".to_owned(),
            role: "arn:aws:iam::000000000000:role/any".to_owned(),
            timeout_s: limits::DEFAULT_TIMEOUT_S,
            memory_mib: limits::DEFAULT_MEMORY_MIB,
            tmp_mib: limits::DEFAULT_TMP_MIB,
            environment: BTreeMap::new(),
            layers: Vec::new(),
            architecture: Architecture::X86_64,
            code: Package {
                digest: Digest::from_bytes([0; 32]),
                size: 0,
            },
            tracing_active: false,
            logging: Logging::default(),
            capacity_provider: None,
            dead_letter: None,
            folders: Vec::new(),
        },
        walls: Walls::default(),
    }
}
