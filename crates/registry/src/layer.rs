//! Layers: publish, get, list, delete.

use hearth_store::contract::Change;
use hearth_store::record::LayerVersionRecord;
use hearth_types::ApiError;
use hearth_types::arn::LayerVersionArn;
use hearth_types::error::ErrorKind;
use hearth_types::function::Architecture;
use hearth_types::limits::DESCRIPTION_CHARS;
use hearth_types::name::LayerName;
use hearth_types::wire::lambda::{
    LayersListItem, ListLayerVersionsResponse, ListLayersResponse, PublishLayerVersionRequest,
};

use crate::code_source::{CodeSource, check_room};
use crate::constraints::Constraints;
use crate::layer_use::ARN_PATTERN;
use crate::page::Listing;
use crate::registry::Subject;
use crate::runtimes::SERVICE_RUNTIMES;
use crate::settings::architecture_name;
use crate::snapshot::LayerKey;
use crate::{LayerFilter, LayerVersionDescription, PageRequest, Registry, Scope, present};

const NAME_PATTERN: &str = r"(arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]{1,140}|[a-zA-Z0-9-_]{1,140})";
/// Characters of a licence (service model, `LicenseInfo`).
const LICENSE_CHARS: usize = 512;
/// Runtimes that a layer can name (service model, `CompatibleRuntimes`).
const COMPATIBLE_RUNTIMES: usize = 15;
/// Processors that a layer can name (service model, `CompatibleArchitectures`).
const COMPATIBLE_ARCHITECTURES: usize = 2;

impl Registry {
    /// `PublishLayerVersion`: stores the package as the layer's next version. `layer` is a name or an ARN.
    ///
    /// # Errors
    /// Those of bad parameters, of code storage and of the store. Nothing was published then.
    pub async fn publish_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        mut request: PublishLayerVersionRequest,
    ) -> Result<LayerVersionDescription, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("content", request.content.is_some());
        if let Some(description) = &request.description {
            constraints.length("description", description, 0..=DESCRIPTION_CHARS);
        }
        if let Some(license) = &request.license_info {
            constraints.length("licenseInfo", license, 0..=LICENSE_CHARS);
        }
        let compatible_runtimes = request.compatible_runtimes.take().unwrap_or_default();
        check_runtimes(&compatible_runtimes, &mut constraints);
        let architectures = request.compatible_architectures.take().unwrap_or_default();
        let compatible_architectures = read_architectures(&architectures, &mut constraints);
        constraints.finish()?;
        let key = layer_key(scope, layer)?;
        let source = CodeSource::of_layer(request.content.take().unwrap_or_default())?;
        let package = source.store(&self.inner.packages).await?;
        let created = self.now();
        let record = self
            .change(&Subject::Layer(key.clone()), |snapshot| {
                check_room(snapshot, scope, package.size)?;
                let record = LayerVersionRecord {
                    arn: key.version(snapshot.last_layer_version(&key) + 1),
                    package,
                    description: request.description.clone().unwrap_or_default(),
                    license: request.license_info.clone(),
                    created,
                    compatible_runtimes: compatible_runtimes.clone(),
                    compatible_architectures: compatible_architectures.clone(),
                };
                Ok((vec![Change::CreateLayerVersion(record.clone())], record))
            })
            .await?;
        Ok(present::layer_version_in_full(&record))
    }

    /// `GetLayerVersion`, but for the link to the package. `layer` is a name or an ARN.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound), [`AccessDenied`](ErrorKind::AccessDenied) for another
    /// account's layer; those of bad parameters.
    pub fn get_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        version: i64,
    ) -> Result<LayerVersionDescription, ApiError> {
        let key = layer_key(scope, layer)?;
        self.describe_layer(&key.version(layer_number(version)?))
    }

    /// `GetLayerVersionByArn`, but for the link to the package.
    ///
    /// # Errors
    /// As [`get_layer_version`](Self::get_layer_version).
    pub fn get_layer_version_by_arn(
        &self,
        scope: &Scope,
        arn: &str,
    ) -> Result<LayerVersionDescription, ApiError> {
        let mut constraints = Constraints::default();
        let parsed = arn.parse::<LayerVersionArn>();
        constraints.pattern("arn", arn, parsed.is_ok(), ARN_PATTERN);
        constraints.finish()?;
        let parsed = parsed?;
        must_be_own(scope, &LayerKey::of(&parsed))?;
        self.describe_layer(&parsed)
    }

    fn describe_layer(&self, arn: &LayerVersionArn) -> Result<LayerVersionDescription, ApiError> {
        let snapshot = self.snapshot();
        let record = snapshot
            .layer_version(arn)
            .ok_or_else(|| ApiError::not_found("The resource you requested does not exist."))?;
        Ok(present::layer_version_in_full(record))
    }

    /// `ListLayers`, by name, each with its newest version that passes the filter.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_layers(
        &self,
        scope: &Scope,
        filter: &LayerFilter,
        page: &PageRequest,
    ) -> Result<ListLayersResponse, ApiError> {
        check_filter(filter)?;
        let (after, size) = Listing::Layers.begin::<LayerName>(page)?;
        let snapshot = self.snapshot();
        let mut records = snapshot
            .layers_after(scope, after.as_ref())
            .filter(|record| passes(record, filter))
            .peekable();
        // Versions of one layer follow each other, the newest last.
        let newest = std::iter::from_fn(|| {
            let mut newest = records.next()?;
            while let Some(newer) = records.next_if(|next| next.arn.layer == newest.arn.layer) {
                newest = newer;
            }
            Some(newest)
        });
        let (records, next_marker) =
            Listing::Layers.take(newest, size, |record| record.arn.layer.as_str().to_owned());
        let layers = records
            .into_iter()
            .map(|record| LayersListItem {
                layer_name: record.arn.layer.as_str().to_owned(),
                layer_arn: record.arn.layer_arn(),
                latest_matching_version: present::layer_version(record),
            })
            .collect();
        Ok(ListLayersResponse {
            next_marker,
            layers,
        })
    }

    /// `ListLayerVersions`, newest first. A layer without versions has an empty list.
    ///
    /// # Errors
    /// Those of bad parameters.
    pub fn list_layer_versions(
        &self,
        scope: &Scope,
        layer: &str,
        filter: &LayerFilter,
        page: &PageRequest,
    ) -> Result<ListLayerVersionsResponse, ApiError> {
        check_filter(filter)?;
        let (after, size) = Listing::LayerVersions.begin::<u64>(page)?;
        let key = layer_key(scope, layer)?;
        let snapshot = self.snapshot();
        let records = snapshot
            .versions_of_layer(&key)
            .rev()
            .filter(|record| after.is_none_or(|after| record.arn.version < after))
            .filter(|record| passes(record, filter));
        let (records, next_marker) =
            Listing::LayerVersions.take(records, size, |record| record.arn.version.to_string());
        Ok(ListLayerVersionsResponse {
            next_marker,
            layer_versions: records
                .into_iter()
                .map(|record| present::layer_version(record))
                .collect(),
        })
    }

    /// `DeleteLayerVersion`. Functions that use it keep it; its number is never used again. One that is not there is
    /// as good as deleted.
    ///
    /// # Errors
    /// Those of bad parameters and of the store.
    pub async fn delete_layer_version(
        &self,
        scope: &Scope,
        layer: &str,
        version: i64,
    ) -> Result<(), ApiError> {
        let key = layer_key(scope, layer)?;
        let arn = key.version(layer_number(version)?);
        self.change(&Subject::Layer(key), |snapshot| {
            let change = snapshot
                .layer_version(&arn)
                .map(|_| Change::DeleteLayerVersion(arn.clone()));
            Ok((change.into_iter().collect(), ()))
        })
        .await
    }
}

/// Reads a layer's name or ARN.
fn layer_key(scope: &Scope, text: &str) -> Result<LayerKey, ApiError> {
    let key = match text.split(':').collect::<Vec<_>>().as_slice() {
        [name] => name.parse().ok().map(|layer| LayerKey {
            account: scope.account.clone(),
            region: scope.region.clone(),
            layer,
        }),
        // The ARN of a layer is that of a version without the number.
        _ => format!("{text}:1")
            .parse()
            .ok()
            .map(|arn| LayerKey::of(&arn)),
    };
    let mut constraints = Constraints::default();
    constraints.pattern("layerName", text, key.is_some(), NAME_PATTERN);
    constraints.finish()?;
    let key = key.ok_or_else(|| ApiError::invalid("A layer needs a name."))?;
    must_be_own(scope, &key)?;
    Ok(key)
}

fn must_be_own(scope: &Scope, key: &LayerKey) -> Result<(), ApiError> {
    if key.account != scope.account {
        return Err(ApiError::new(
            ErrorKind::AccessDenied,
            format!(
                "User: arn:aws:iam::{}:root is not authorized to access resource: {} because no resource-based policy \
                 allows it",
                scope.account,
                key.version(1).layer_arn()
            ),
        ));
    }
    if key.region != scope.region {
        return Err(ApiError::not_found(format!(
            "Layers from '{}' are not reachable in this region ('{}')",
            key.region, scope.region
        )));
    }
    Ok(())
}

fn layer_number(version: i64) -> Result<u64, ApiError> {
    match u64::try_from(version) {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(ApiError::invalid("Layer Version Cannot be less than 1.")),
    }
}

fn check_runtimes(names: &[String], constraints: &mut Constraints) {
    let shown = || format!("[{}]", names.join(", "));
    if names.len() > COMPATIBLE_RUNTIMES {
        constraints.breach(
            "compatibleRuntimes",
            shown(),
            format_args!("Member must have length less than or equal to {COMPATIBLE_RUNTIMES}"),
        );
    }
    if !names
        .iter()
        .all(|name| SERVICE_RUNTIMES.contains(&name.as_str()))
    {
        constraints.breach(
            "compatibleRuntimes",
            shown(),
            format_args!(
                "Member must satisfy constraint: [Member must satisfy enum value set: [{}], Member must not be null]",
                SERVICE_RUNTIMES.join(", ")
            ),
        );
    }
}

fn read_architectures(names: &[String], constraints: &mut Constraints) -> Vec<Architecture> {
    let known = [Architecture::X86_64, Architecture::Arm64];
    let read: Option<Vec<_>> = names
        .iter()
        .map(|name| {
            known
                .into_iter()
                .find(|known| architecture_name(*known) == name)
        })
        .collect();
    if read.is_none() || names.len() > COMPATIBLE_ARCHITECTURES {
        constraints.breach(
            "compatibleArchitectures",
            format_args!("[{}]", names.join(", ")),
            "Member must satisfy constraint: [Member must satisfy enum value set: [x86_64, arm64], Member must not be \
             null]",
        );
    }
    read.unwrap_or_default()
}

fn check_filter(filter: &LayerFilter) -> Result<(), ApiError> {
    let mut constraints = Constraints::default();
    if let Some(runtime) = &filter.runtime {
        constraints.one_of("compatibleRuntime", runtime, &SERVICE_RUNTIMES);
    }
    if let Some(architecture) = &filter.architecture {
        constraints.one_of("compatibleArchitecture", architecture, &["x86_64", "arm64"]);
    }
    constraints.finish()
}

fn passes(record: &LayerVersionRecord, filter: &LayerFilter) -> bool {
    let runtime = filter
        .runtime
        .as_ref()
        .is_none_or(|runtime| record.compatible_runtimes.contains(runtime));
    let architecture = filter.architecture.as_ref().is_none_or(|architecture| {
        record
            .compatible_architectures
            .iter()
            .any(|known| architecture_name(*known) == architecture)
    });
    runtime && architecture
}
