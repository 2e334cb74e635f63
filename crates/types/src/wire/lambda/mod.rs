//! Shapes of the Lambda API.
//!
//! Request members are optional even where the model requires them: a missing one is answered with the service's
//! own `ValidationException`, which is not for a deserialiser to word. Members that Hearth doesn't know are passed
//! over; a known member of another type is an error. Numbers of requests are wider than their ranges, and
//! enumerations are text, for the same reason.
//!
//! Every shape can be written and read, so that a client of the API can use it too.

mod account;
mod alias;
mod blob;
mod code;
mod configuration;
mod function;
mod layer;
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
    DeadLetterConfig, DurableConfig, Environment, EphemeralStorage, FileSystemConfig, ImageConfig,
    Layer, LoggingConfig, RuntimeVersionConfig, SnapStart, SnapStartResponse, TracingConfig,
    Unexamined, VpcConfig,
};
pub use function::{
    CreateFunctionRequest, FunctionConfiguration, FunctionState, GetFunctionResponse,
    LastUpdateStatus, ListFunctionsResponse, ListVersionsByFunctionResponse, PublishVersionRequest,
    UpdateFunctionConfigurationRequest,
};
pub use layer::{
    LayerVersionContentInput, LayerVersionContentOutput, LayerVersionResponse,
    LayerVersionsListItem, LayersListItem, ListLayerVersionsResponse, ListLayersResponse,
    PublishLayerVersionRequest,
};
pub use tag::{ListTagsResponse, TagResourceRequest};
