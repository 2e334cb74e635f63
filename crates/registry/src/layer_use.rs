//! Layers of a function: which it may use, and their packages.

use hearth_types::ApiError;
use hearth_types::arn::LayerVersionArn;
use hearth_types::error::ErrorKind;
use hearth_types::function::LayerUse;
use hearth_types::limits::LAYERS;

use crate::Scope;
use crate::constraints::Constraints;
use crate::snapshot::Snapshot;

/// The pattern of a layer version's ARN in the service model.
pub(crate) const ARN_PATTERN: &str = r"((arn:(aws[a-zA-Z-]*)?:lambda:(eusc-)?[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:layer:[a-zA-Z0-9-_]+:[0-9]+)|(arn:[a-zA-Z0-9-]+:lambda:::awslayer:[a-zA-Z0-9-_]+))";

/// Checks the shape of `Layers`.
pub(crate) fn check_shape(arns: &[String], constraints: &mut Constraints) {
    for arn in arns {
        constraints.pattern(
            "layers",
            arn,
            arn.parse::<LayerVersionArn>().is_ok(),
            ARN_PATTERN,
        );
    }
}

/// The layers behind `arns`, with their packages.
///
/// # Errors
/// [`ErrorKind::InvalidParameterValue`] if there are too many, if one is not there or one is there twice;
/// [`ErrorKind::AccessDenied`] for another account's.
pub(crate) fn find(
    scope: &Scope,
    snapshot: &Snapshot,
    arns: &[String],
) -> Result<Vec<LayerUse>, ApiError> {
    if arns.len() > LAYERS {
        return Err(ApiError::invalid(format!(
            "Cannot reference more than {LAYERS} layers."
        )));
    }
    let mut layers: Vec<LayerUse> = Vec::with_capacity(arns.len());
    for text in arns {
        let arn: LayerVersionArn = text.parse()?;
        if arn.account != scope.account {
            return Err(ApiError::new(
                ErrorKind::AccessDenied,
                format!(
                    "User: arn:aws:iam::{}:root is not authorized to perform: lambda:GetLayerVersion on resource: \
                     {arn} because no resource-based policy allows the lambda:GetLayerVersion action",
                    scope.account
                ),
            ));
        }
        if arn.region != scope.region {
            return Err(ApiError::invalid(format!(
                "Layers are not in the same region as the function. Layers are expected to be in region {}.",
                scope.region
            )));
        }
        if let Some(twin) = layers.iter().find(|known| known.arn.layer == arn.layer) {
            return Err(ApiError::invalid(format!(
                "Two different versions of the same layer are not allowed to be referenced in the same function. {} \
                 and {arn} are versions of the same layer.",
                twin.arn
            )));
        }
        let record = snapshot
            .layer_version(&arn)
            .ok_or_else(|| ApiError::invalid(format!("Layer version {arn} does not exist.")))?;
        layers.push(LayerUse {
            arn,
            package: record.package,
        });
    }
    Ok(layers)
}
