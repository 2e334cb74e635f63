//! Functions made of components: deployed through the API.

use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use serde_json::json;

use crate::api::Api;
use crate::hearth::Hearth;

/// Memory of every function here, MiB: the least there is, and plenty for a JavaScript engine.
const MEMORY_MIB: u32 = 128;

/// How many connections deploy at the same time.
const DEPLOYERS: usize = 8;

/// A component, ready to be sent.
#[derive(Clone)]
pub(crate) struct Package {
    bytes: Vec<u8>,
}

impl Package {
    pub(crate) fn read(component: &Path) -> anyhow::Result<Self> {
        let bytes =
            std::fs::read(component).with_context(|| format!("read {}", component.display()))?;
        Ok(Self { bytes })
    }

    /// The same component under another digest: with a custom section at its end, which means nothing.
    pub(crate) fn variant(&self, number: u32) -> Self {
        const NAME: &[u8] = b"variant";
        let number = number.to_le_bytes();
        // Identifier 0, size, length of the name, name, content; both lengths are below 128, so LEB128 is one byte.
        let section = [
            &[
                0,
                1 + NAME.len() as u8 + number.len() as u8,
                NAME.len() as u8,
            ],
            NAME,
            &number,
        ];
        Self {
            bytes: [self.bytes.as_slice(), &section.concat()].concat(),
        }
    }

    fn zip(&self) -> anyhow::Result<String> {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("function.wasm", zip::write::SimpleFileOptions::default())?;
        std::io::Write::write_all(&mut zip, &self.bytes)?;
        let zip = zip.finish()?.into_inner();
        Ok(base64::engine::general_purpose::STANDARD.encode(zip))
    }
}

/// What a function is made with besides its code.
#[derive(Clone, Default)]
pub(crate) struct Settings {
    /// Requests that one instance serves; `None`: a fresh instance for each.
    pub(crate) reuse: Option<u32>,
    /// Seconds; `None`: what Lambda gives.
    pub(crate) timeout_s: Option<u32>,
}

/// Deploys one function, and waits until it is active.
pub(crate) async fn deploy(
    node: &Hearth,
    name: &str,
    package: &Package,
    settings: &Settings,
) -> anyhow::Result<()> {
    let mut api = node.access.api().await?;
    create(&mut api, name, &package.zip()?, settings).await?;
    active(&mut api, name).await
}

/// Deploys functions `{prefix}-{from}` up to and without `{prefix}-{to}`, all of the same component, or each of a variant.
pub(crate) async fn deploy_many(
    node: &Hearth,
    prefix: &str,
    numbers: std::ops::Range<u32>,
    package: &Package,
    distinct: bool,
) -> anyhow::Result<()> {
    let shared = package.zip()?;
    let tasks: Vec<_> = (0..DEPLOYERS)
        .map(|deployer| {
            let (access, prefix) = (node.access.clone(), prefix.to_owned());
            let (package, shared) = (package.clone(), shared.clone());
            let mine = numbers.clone().skip(deployer).step_by(DEPLOYERS);
            tokio::spawn(async move {
                let mut api = access.api().await?;
                for number in mine {
                    let name = format!("{prefix}-{number}");
                    let settings = Settings::default();
                    if distinct {
                        let zip = package.variant(number).zip()?;
                        create(&mut api, &name, &zip, &settings).await?;
                    } else {
                        create(&mut api, &name, &shared, &settings).await?;
                    }
                    active(&mut api, &name).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for task in tasks {
        task.await.context("deploy")??;
    }
    Ok(())
}

async fn create(api: &mut Api, name: &str, zip: &str, settings: &Settings) -> anyhow::Result<()> {
    let mut tags = serde_json::Map::new();
    if let Some(reuse) = settings.reuse {
        tags.insert("hearth:wasm-reuse".to_owned(), json!(reuse.to_string()));
    }
    let mut body = json!({
        "FunctionName": name,
        "Runtime": "wasm",
        "Role": "arn:aws:iam::000000000000:role/bench",
        "Handler": "function.wasm",
        "MemorySize": MEMORY_MIB,
        "Tags": tags,
        "Code": { "ZipFile": zip },
    });
    if let Some(timeout_s) = settings.timeout_s {
        body["Timeout"] = json!(timeout_s);
    }
    api.call("POST", "/2015-03-31/functions", Some(&body))
        .await?;
    Ok(())
}

/// Asks until the function is active: its component was compiled.
async fn active(api: &mut Api, name: &str) -> anyhow::Result<()> {
    let path = format!("/2015-03-31/functions/{name}/configuration");
    loop {
        let configuration = api.call("GET", &path, None).await?;
        match configuration["State"].as_str() {
            Some("Active") => return Ok(()),
            Some("Pending") => tokio::time::sleep(std::time::Duration::from_millis(2)).await,
            _ => anyhow::bail!("{name} did not become active: {configuration}"),
        }
    }
}
