//! From a deployment's package to a guest that can be called: when it is made ready, and again when it was let go since.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use hearth_code::{Packages, Unpacked};
use hearth_types::function::{Deployment, Reason};
use hearth_types::walls::Isolation;
use hearth_types::{ApiError, ErrorKind};
use hearth_wasm::Refusal;

use super::grants::grants;
use super::guest::Guest;
use super::recognise;
use super::table::Components;
use crate::options::ComponentOptions;

/// Why a component or a worker can't be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unready {
    /// Its author must change something; a sentence.
    Refused(String),
    /// The node has no wall for it; a sentence.
    NoWall(String),
    /// Code storage failed, in its words for callers.
    Code(ApiError),
    /// The node failed; for its log.
    Internal(String),
}

/// A deployment that is ready.
pub(crate) struct Ready {
    pub(crate) guest: Arc<Guest>,
    /// How long the caller waited for it.
    pub(crate) waited: Duration,
}

/// A package's component, for as long as it is read.
struct Source {
    file: PathBuf,
    _code: Unpacked,
}

impl AsRef<Path> for Source {
    fn as_ref(&self) -> &Path {
        &self.file
    }
}

impl Components {
    /// Makes a deployment ready, and keeps it so for a while; `None` if its package is for the process wall. Many callers
    /// at once share the work.
    ///
    /// # Errors
    /// Why it can't be called.
    pub(crate) async fn load(
        &self,
        deployment: &Arc<Deployment>,
    ) -> Result<Option<Ready>, Unready> {
        let began = Instant::now();
        // What must be a component need not be unpacked, as long as it is compiled.
        let source = match deployment.configuration.runtime.isolation() {
            Some(Isolation::Process | Isolation::Isolate) => return Ok(None),
            Some(Isolation::Wasm) => {
                recognise::fits(deployment, Isolation::Wasm)?;
                None
            }
            None => match source(&self.packages, deployment).await? {
                Some(source) => Some(source),
                None => return Ok(None),
            },
        };
        let Some(options) = &self.options else {
            return Err(Unready::NoWall(
                "This node can't run WebAssembly components; its log says why.".to_owned(),
            ));
        };
        let make = || self.make(options, deployment, source);
        let guest = self.loaded.get_or_load(deployment, make).await?;
        Ok(Some(Ready {
            guest,
            waited: began.elapsed(),
        }))
    }

    async fn make(
        &self,
        options: &ComponentOptions,
        deployment: &Arc<Deployment>,
        known: Option<Source>,
    ) -> Result<Arc<Guest>, Unready> {
        let digest = *deployment.configuration.code.digest.as_bytes();
        let (packages, of) = (self.packages.clone(), Arc::clone(deployment));
        // The wall carries errors of its own kind alone: others wait here.
        let failed: Arc<OnceLock<Unready>> = Arc::default();
        let why = Arc::clone(&failed);
        let program = options.wall.program_of(digest, move || async move {
            let found = match known {
                Some(source) => Ok(Some(source)),
                None => source(&packages, &of).await,
            };
            let unready = match found {
                Ok(Some(source)) => return Ok(source),
                Ok(None) => Unready::Internal("a component is none any more".to_owned()),
                Err(unready) => unready,
            };
            let refusal = match &unready {
                Unready::Refused(why) => Refusal::Invalid(why.clone()),
                other => Refusal::Internal(format!("{other:?}")),
            };
            // Set by nobody else.
            let _ = why.set(unready);
            Err(refusal)
        });
        let program = program.await.map_err(|refusal| {
            failed.get().cloned().unwrap_or(match refusal {
                Refusal::Invalid(why) => Unready::Refused(why),
                Refusal::Internal(why) => Unready::Internal(why),
            })
        })?;
        let grants = grants(deployment, program.shape(), options)?;
        let function = match &self.processes {
            None => options.wall.function(program, grants),
            Some(processes) => {
                let reach = processes.reach(&deployment.key.account);
                options.wall.function_in_process(program, grants, reach)
            }
        };
        Ok(Guest::new(
            Arc::clone(deployment),
            function,
            self.logs.clone(),
        ))
    }
}

/// The component of a deployment's package; `None` if the package is for the process wall.
async fn source(
    packages: &Packages,
    deployment: &Arc<Deployment>,
) -> Result<Option<Source>, Unready> {
    let configuration = &deployment.configuration;
    let layers: Vec<_> = configuration
        .layers
        .iter()
        .map(|layer| layer.package)
        .collect();
    let (code, layers) = tokio::try_join!(
        packages.unpacked(&configuration.code),
        packages.layered(&layers)
    )
    .map_err(|error| {
        tracing::error!(function = %deployment.key, %error, "unpack a function's code");
        Unready::Code(error.into())
    })?;
    let deployment = Arc::clone(deployment);
    tokio::task::spawn_blocking(move || {
        let layers = layers.as_ref().map(Unpacked::path);
        let file = recognise::component(&deployment, code.path(), layers)?;
        Ok(file.map(|file| Source { file, _code: code }))
    })
    .await
    .unwrap_or_else(|error| Err(Unready::Internal(format!("look into a package: {error}"))))
}

impl Unready {
    /// As a function's `StateReason`.
    pub(crate) fn reason(self, deployment: &Deployment) -> Reason {
        let (code, message) = match self {
            // The service has no code for a bad component; to it a package is a zip.
            Self::Refused(why) => ("InvalidZipFileException", why),
            Self::NoWall(why) => ("InvalidRuntime", why),
            Self::Code(error) => ("InternalError", error.message.into_owned()),
            Self::Internal(why) => {
                tracing::error!(function = %deployment.key, why, "load a function");
                (
                    "InternalError",
                    "The function could not be made ready; the node's log says why. Update it to try again."
                        .to_owned(),
                )
            }
        };
        Reason {
            code: code.to_owned(),
            message,
        }
    }

    /// As the failure of an invocation.
    pub(crate) fn error(self, deployment: &Deployment) -> ApiError {
        match self {
            Self::Refused(why) => ApiError::new(ErrorKind::InvalidZipFile, why),
            Self::NoWall(why) => ApiError::new(ErrorKind::InvalidRuntime, why),
            Self::Code(error) => error,
            Self::Internal(why) => {
                tracing::error!(function = %deployment.key, why, "load a function");
                ApiError::service(
                    "The function could not be loaded. Try again; the node's log says why.",
                )
            }
        }
    }
}
