//! Shapes of the Lambda API.
//!
//! Request members are optional even where the model requires them: a missing one is answered with the service's
//! own `ValidationException`, which is not for a deserialiser to word. Members that Hearth doesn't know are passed
//! over; a known member of another type is an error. Numbers of requests are wider than their ranges, and
//! enumerations are text, for the same reason.
//!
//! A body is read as [`Body`], which takes objects only.
//!
//! Every shape can be written and read, so that a client of the API can use it too.

mod account;
mod alias;
mod blob;
mod code;
mod configuration;
mod event_invoke;
mod event_source_mapping;
mod function;
mod function_url;
mod invoke;
mod layer;
mod permission;
mod structure;
mod tag;

pub use account::{
    AccountLimit, AccountUsage, Concurrency, GetAccountSettingsResponse,
    PutFunctionConcurrencyRequest,
};
pub use alias::{
    AliasConfiguration, AliasRoutingConfiguration, CreateAliasRequest, ListAliasesResponse,
    UpdateAliasRequest,
};
pub use blob::Blob;
pub use code::{FunctionCode, FunctionCodeLocation, UpdateFunctionCodeRequest};
pub use configuration::{
    CapacityProviderConfig, DeadLetterConfig, DurableConfig, Environment, EphemeralStorage,
    FileSystemConfig, ImageConfig, Layer, LoggingConfig, ManagedInstancesConfig,
    RuntimeVersionConfig, SnapStart, SnapStartResponse, TracingConfig, Unexamined, VpcConfig,
};
pub use event_invoke::{
    DestinationConfig, FunctionEventInvokeConfig, FunctionEventInvokeConfigRequest,
    FunctionRecursionConfig, ListFunctionEventInvokeConfigsResponse, OnEnd,
};
pub use event_source_mapping::{
    EventSourceMappingConfiguration, EventSourceMappingRequest, Filter, FilterCriteria,
    ListEventSourceMappingsResponse, MetricsConfig, ScalingConfig, SelfManagedEventSource,
    SelfManagedKafkaEventSourceConfig, SourceAccessConfiguration,
};
pub use function::{
    CreateFunctionRequest, FunctionConfiguration, FunctionState, GetFunctionResponse,
    LastUpdateStatus, ListFunctionsResponse, ListVersionsByFunctionResponse, PublishVersionRequest,
    UpdateFunctionConfigurationRequest,
};
pub use function_url::{
    Cors, FunctionUrlConfig, FunctionUrlConfigRequest, ListFunctionUrlConfigsResponse,
};
pub use invoke::{ErrorObject, InvokeComplete};
pub use layer::{
    LayerVersionContentInput, LayerVersionContentOutput, LayerVersionResponse,
    LayerVersionsListItem, LayersListItem, ListLayerVersionsResponse, ListLayersResponse,
    PublishLayerVersionRequest,
};
pub use permission::{
    AddPermissionRequest, AddPermissionResponse, GetPolicyResponse, PolicyDocument,
    PolicyPrincipal, PolicyStatement,
};
pub use structure::Body;
pub use tag::{ListTagsResponse, TagResourceRequest};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_clients_write_it() {
        let Body(request): Body<CreateFunctionRequest> = serde_json::from_str(
            r#"{"FunctionName": "f", "Runtime": "python3.12", "Role": null, "Code": {"ZipFile": "UEs=", "S3Bucket": null},
                "KMSKeyArn": "", "Timeout": -1, "Environment": {"Variables": {"K": "v"}}, "Publish": true,
                "CapacityProviderConfig": {"Anything": [1]}, "SomethingNewer": {"X": 1}}"#,
        )
        .unwrap();
        assert_eq!(request.function_name.as_deref(), Some("f"));
        assert_eq!(request.role, None);
        assert_eq!(&*request.code.unwrap().zip_file.unwrap().0, b"PK");
        assert_eq!(request.kms_key_arn.as_deref(), Some(""));
        assert_eq!((request.timeout, request.publish), (Some(-1), Some(true)));
        assert!(request.capacity_provider_config.is_some());
    }

    #[test]
    fn known_members_of_another_type_are_errors() {
        for bad in [
            r#"{"Timeout": "3"}"#,
            r#"{"Timeout": 3.5}"#,
            r#"{"Publish": "yes"}"#,
            r#"{"Environment": []}"#,
            r#"{"Code": {"ZipFile": 7}}"#,
            r#"{"DurableConfig": true}"#,
            r#"{"CapacityProviderConfig": []}"#,
            r#"{"Code": [null]}"#,
            "[]",
            "null",
            "7",
        ] {
            assert!(
                serde_json::from_str::<Body<CreateFunctionRequest>>(bad).is_err(),
                "{bad}"
            );
        }
        let error =
            serde_json::from_str::<UpdateFunctionCodeRequest>(r#"{"ZipFile": "not base64!"}"#)
                .unwrap_err();
        assert!(error.to_string().contains("must be in base64"));
    }

    #[test]
    fn sensitive_members_are_not_shown_by_debug() {
        let Body(request): Body<CreateFunctionRequest> = serde_json::from_str(
            r#"{"Code": {"ZipFile": "UEs="}, "Environment": {"Variables": {"KEY": "secret"}}}"#,
        )
        .unwrap();
        let shown = format!("{request:?}");
        assert!(shown.contains("KEY") && shown.contains("2 bytes"));
        assert!(!shown.contains("secret"));
    }

    #[test]
    fn absent_members_are_left_out_of_answers() {
        let answer = ListLayersResponse {
            next_marker: None,
            layers: Vec::new(),
        };
        assert_eq!(serde_json::to_string(&answer).unwrap(), r#"{"Layers":[]}"#);
        let concurrency = Concurrency::default();
        assert_eq!(serde_json::to_string(&concurrency).unwrap(), "{}");
    }
}
