//! Which operation a request asks for: the Lambda API's table of methods and paths.

use std::borrow::Cow;
use std::sync::LazyLock;

use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::{ApiError, ErrorKind};
use http::Method;
use percent_encoding::percent_decode_str;

/// An operation that this node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Invoke,
    InvokeAsync,
    InvokeWithResponseStream,
    CreateFunction,
    GetFunction,
    GetFunctionConfiguration,
    ListFunctions,
    UpdateFunctionCode,
    UpdateFunctionConfiguration,
    DeleteFunction,
    PublishVersion,
    ListVersionsByFunction,
    CreateAlias,
    GetAlias,
    ListAliases,
    UpdateAlias,
    DeleteAlias,
    PublishLayerVersion,
    GetLayerVersion,
    GetLayerVersionByArn,
    ListLayers,
    ListLayerVersions,
    DeleteLayerVersion,
    TagResource,
    UntagResource,
    ListTags,
    GetAccountSettings,
    PutFunctionConcurrency,
    GetFunctionConcurrency,
    DeleteFunctionConcurrency,
    CreateFunctionUrlConfig,
    GetFunctionUrlConfig,
    ListFunctionUrlConfigs,
    UpdateFunctionUrlConfig,
    DeleteFunctionUrlConfig,
    AddPermission,
    RemovePermission,
    GetPolicy,
    PutFunctionEventInvokeConfig,
    UpdateFunctionEventInvokeConfig,
    GetFunctionEventInvokeConfig,
    ListFunctionEventInvokeConfigs,
    DeleteFunctionEventInvokeConfig,
    PutFunctionRecursionConfig,
    GetFunctionRecursionConfig,
    CreateEventSourceMapping,
    GetEventSourceMapping,
    ListEventSourceMappings,
    UpdateEventSourceMapping,
    DeleteEventSourceMapping,
    PutRoute,
    GetRoute,
    ListRoutes,
    DeleteRoute,
    CreateRouteKey,
    GetRouteKey,
    ListRouteKeys,
    UpdateRouteKey,
    DeleteRouteKey,
    PutTopic,
    GetTopic,
    ListTopics,
    DeleteTopic,
    ListEventQueues,
    ListEvents,
    GetDeadEvent,
    RedriveDeadEvents,
    PurgeDeadEvents,
    ListScheduleTimes,
    ListRuleDeliveries,
    PutNotification,
    GetNotification,
    ListNotifications,
    DeleteNotification,
}

/// Bytes of a request that carries a package (the service: "Request must be smaller than 69905067 bytes for the
/// CreateFunction operation": 50 MiB in base64).
const UPLOAD_BYTES: usize = 69_905_067;
/// Bytes of every other request. The largest that is legitimate, a function's configuration, has about 20 KB.
pub(crate) const CONTROL_BYTES: usize = 1_048_576;

impl Operation {
    /// The status of success: the service model's `responseCode`, and 204 for `DeleteFunction`, whose model leaves
    /// it to the service.
    pub(crate) const fn status(self) -> u16 {
        match self {
            Self::CreateFunction
            | Self::PublishVersion
            | Self::CreateAlias
            | Self::PublishLayerVersion
            | Self::CreateFunctionUrlConfig
            | Self::AddPermission
            | Self::CreateRouteKey => 201,
            Self::InvokeAsync
            | Self::CreateEventSourceMapping
            | Self::UpdateEventSourceMapping
            | Self::DeleteEventSourceMapping => 202,
            Self::DeleteFunction
            | Self::DeleteAlias
            | Self::DeleteLayerVersion
            | Self::DeleteFunctionConcurrency
            | Self::DeleteFunctionUrlConfig
            | Self::DeleteFunctionEventInvokeConfig
            | Self::RemovePermission
            | Self::DeleteRoute
            | Self::DeleteRouteKey
            | Self::DeleteTopic
            | Self::DeleteNotification
            | Self::TagResource
            | Self::UntagResource => 204,
            _ => 200,
        }
    }

    /// The largest body that is read, bytes.
    pub(crate) const fn body_bytes(self) -> usize {
        match self {
            Self::Invoke | Self::InvokeAsync | Self::InvokeWithResponseStream => {
                REQUEST_PAYLOAD_BYTES
            }
            Self::CreateFunction | Self::UpdateFunctionCode | Self::PublishLayerVersion => {
                UPLOAD_BYTES
            }
            _ => CONTROL_BYTES,
        }
    }
}

/// A line of the service model: name, method, path (with the query that tells it from another of the same path),
/// and the operation if this node does it.
type Row = (&'static str, &'static str, &'static str, Option<Operation>);

/// All operations of the service model, in its order.
#[rustfmt::skip]
const MODEL: [Row; 85] = [
    ("AddLayerVersionPermission", "POST", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", None),
    ("AddPermission", "POST", "/2015-03-31/functions/{FunctionName}/policy", Some(Operation::AddPermission)),
    ("CheckpointDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/checkpoint", None),
    ("CreateAlias", "POST", "/2015-03-31/functions/{FunctionName}/aliases", Some(Operation::CreateAlias)),
    ("CreateCapacityProvider", "POST", "/2025-11-30/capacity-providers", None),
    ("CreateCodeSigningConfig", "POST", "/2020-04-22/code-signing-configs", None),
    ("CreateEventSourceMapping", "POST", "/2015-03-31/event-source-mappings", Some(Operation::CreateEventSourceMapping)),
    ("CreateFunction", "POST", "/2015-03-31/functions", Some(Operation::CreateFunction)),
    ("CreateFunctionUrlConfig", "POST", "/2021-10-31/functions/{FunctionName}/url", Some(Operation::CreateFunctionUrlConfig)),
    ("DeleteAlias", "DELETE", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", Some(Operation::DeleteAlias)),
    ("DeleteCapacityProvider", "DELETE", "/2025-11-30/capacity-providers/{CapacityProviderName}", None),
    ("DeleteCodeSigningConfig", "DELETE", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", None),
    ("DeleteEventSourceMapping", "DELETE", "/2015-03-31/event-source-mappings/{UUID}", Some(Operation::DeleteEventSourceMapping)),
    ("DeleteFunction", "DELETE", "/2015-03-31/functions/{FunctionName}", Some(Operation::DeleteFunction)),
    ("DeleteFunctionCodeSigningConfig", "DELETE", "/2020-06-30/functions/{FunctionName}/code-signing-config", None),
    ("DeleteFunctionConcurrency", "DELETE", "/2017-10-31/functions/{FunctionName}/concurrency", Some(Operation::DeleteFunctionConcurrency)),
    ("DeleteFunctionEventInvokeConfig", "DELETE", "/2019-09-25/functions/{FunctionName}/event-invoke-config", Some(Operation::DeleteFunctionEventInvokeConfig)),
    ("DeleteFunctionUrlConfig", "DELETE", "/2021-10-31/functions/{FunctionName}/url", Some(Operation::DeleteFunctionUrlConfig)),
    ("DeleteLayerVersion", "DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", Some(Operation::DeleteLayerVersion)),
    ("DeleteProvisionedConcurrencyConfig", "DELETE", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", None),
    ("GetAccountSettings", "GET", "/2016-08-19/account-settings", Some(Operation::GetAccountSettings)),
    ("GetAlias", "GET", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", Some(Operation::GetAlias)),
    ("GetCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}", None),
    ("GetCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", None),
    ("GetDurableExecution", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}", None),
    ("GetDurableExecutionHistory", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/history", None),
    ("GetDurableExecutionState", "GET", "/2025-12-01/durable-executions/{DurableExecutionArn}/state", None),
    ("GetEventSourceMapping", "GET", "/2015-03-31/event-source-mappings/{UUID}", Some(Operation::GetEventSourceMapping)),
    ("GetFunction", "GET", "/2015-03-31/functions/{FunctionName}", Some(Operation::GetFunction)),
    ("GetFunctionCodeSigningConfig", "GET", "/2020-06-30/functions/{FunctionName}/code-signing-config", None),
    ("GetFunctionConcurrency", "GET", "/2019-09-30/functions/{FunctionName}/concurrency", Some(Operation::GetFunctionConcurrency)),
    ("GetFunctionConfiguration", "GET", "/2015-03-31/functions/{FunctionName}/configuration", Some(Operation::GetFunctionConfiguration)),
    ("GetFunctionEventInvokeConfig", "GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config", Some(Operation::GetFunctionEventInvokeConfig)),
    ("GetFunctionRecursionConfig", "GET", "/2024-08-31/functions/{FunctionName}/recursion-config", Some(Operation::GetFunctionRecursionConfig)),
    ("GetFunctionScalingConfig", "GET", "/2025-11-30/functions/{FunctionName}/function-scaling-config", None),
    ("GetFunctionUrlConfig", "GET", "/2021-10-31/functions/{FunctionName}/url", Some(Operation::GetFunctionUrlConfig)),
    ("GetLayerVersion", "GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}", Some(Operation::GetLayerVersion)),
    ("GetLayerVersionByArn", "GET", "/2018-10-31/layers?find=LayerVersion", Some(Operation::GetLayerVersionByArn)),
    ("GetLayerVersionPolicy", "GET", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy", None),
    ("GetPolicy", "GET", "/2015-03-31/functions/{FunctionName}/policy", Some(Operation::GetPolicy)),
    ("GetProvisionedConcurrencyConfig", "GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", None),
    ("GetRuntimeManagementConfig", "GET", "/2021-07-20/functions/{FunctionName}/runtime-management-config", None),
    ("Invoke", "POST", "/2015-03-31/functions/{FunctionName}/invocations", Some(Operation::Invoke)),
    ("InvokeAsync", "POST", "/2014-11-13/functions/{FunctionName}/invoke-async", Some(Operation::InvokeAsync)),
    ("InvokeWithResponseStream", "POST", "/2021-11-15/functions/{FunctionName}/response-streaming-invocations", Some(Operation::InvokeWithResponseStream)),
    ("ListAliases", "GET", "/2015-03-31/functions/{FunctionName}/aliases", Some(Operation::ListAliases)),
    ("ListCapacityProviders", "GET", "/2025-11-30/capacity-providers", None),
    ("ListCodeSigningConfigs", "GET", "/2020-04-22/code-signing-configs", None),
    ("ListDurableExecutionsByFunction", "GET", "/2025-12-01/functions/{FunctionName}/durable-executions", None),
    ("ListEventSourceMappings", "GET", "/2015-03-31/event-source-mappings", Some(Operation::ListEventSourceMappings)),
    ("ListFunctionEventInvokeConfigs", "GET", "/2019-09-25/functions/{FunctionName}/event-invoke-config/list", Some(Operation::ListFunctionEventInvokeConfigs)),
    ("ListFunctionUrlConfigs", "GET", "/2021-10-31/functions/{FunctionName}/urls", Some(Operation::ListFunctionUrlConfigs)),
    ("ListFunctionVersionsByCapacityProvider", "GET", "/2025-11-30/capacity-providers/{CapacityProviderName}/function-versions", None),
    ("ListFunctions", "GET", "/2015-03-31/functions", Some(Operation::ListFunctions)),
    ("ListFunctionsByCodeSigningConfig", "GET", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}/functions", None),
    ("ListLayerVersions", "GET", "/2018-10-31/layers/{LayerName}/versions", Some(Operation::ListLayerVersions)),
    ("ListLayers", "GET", "/2018-10-31/layers", Some(Operation::ListLayers)),
    ("ListProvisionedConcurrencyConfigs", "GET", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency?List=ALL", None),
    ("ListTags", "GET", "/2017-03-31/tags/{Resource}", Some(Operation::ListTags)),
    ("ListVersionsByFunction", "GET", "/2015-03-31/functions/{FunctionName}/versions", Some(Operation::ListVersionsByFunction)),
    ("PublishLayerVersion", "POST", "/2018-10-31/layers/{LayerName}/versions", Some(Operation::PublishLayerVersion)),
    ("PublishVersion", "POST", "/2015-03-31/functions/{FunctionName}/versions", Some(Operation::PublishVersion)),
    ("PutFunctionCodeSigningConfig", "PUT", "/2020-06-30/functions/{FunctionName}/code-signing-config", None),
    ("PutFunctionConcurrency", "PUT", "/2017-10-31/functions/{FunctionName}/concurrency", Some(Operation::PutFunctionConcurrency)),
    ("PutFunctionEventInvokeConfig", "PUT", "/2019-09-25/functions/{FunctionName}/event-invoke-config", Some(Operation::PutFunctionEventInvokeConfig)),
    ("PutFunctionRecursionConfig", "PUT", "/2024-08-31/functions/{FunctionName}/recursion-config", Some(Operation::PutFunctionRecursionConfig)),
    ("PutFunctionScalingConfig", "PUT", "/2025-11-30/functions/{FunctionName}/function-scaling-config", None),
    ("PutProvisionedConcurrencyConfig", "PUT", "/2019-09-30/functions/{FunctionName}/provisioned-concurrency", None),
    ("PutRuntimeManagementConfig", "PUT", "/2021-07-20/functions/{FunctionName}/runtime-management-config", None),
    ("RemoveLayerVersionPermission", "DELETE", "/2018-10-31/layers/{LayerName}/versions/{VersionNumber}/policy/{StatementId}", None),
    ("RemovePermission", "DELETE", "/2015-03-31/functions/{FunctionName}/policy/{StatementId}", Some(Operation::RemovePermission)),
    ("SendDurableExecutionCallbackFailure", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/fail", None),
    ("SendDurableExecutionCallbackHeartbeat", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/heartbeat", None),
    ("SendDurableExecutionCallbackSuccess", "POST", "/2025-12-01/durable-execution-callbacks/{CallbackId}/succeed", None),
    ("StopDurableExecution", "POST", "/2025-12-01/durable-executions/{DurableExecutionArn}/stop", None),
    ("TagResource", "POST", "/2017-03-31/tags/{Resource}", Some(Operation::TagResource)),
    ("UntagResource", "DELETE", "/2017-03-31/tags/{Resource}", Some(Operation::UntagResource)),
    ("UpdateAlias", "PUT", "/2015-03-31/functions/{FunctionName}/aliases/{Name}", Some(Operation::UpdateAlias)),
    ("UpdateCapacityProvider", "PUT", "/2025-11-30/capacity-providers/{CapacityProviderName}", None),
    ("UpdateCodeSigningConfig", "PUT", "/2020-04-22/code-signing-configs/{CodeSigningConfigArn}", None),
    ("UpdateEventSourceMapping", "PUT", "/2015-03-31/event-source-mappings/{UUID}", Some(Operation::UpdateEventSourceMapping)),
    ("UpdateFunctionCode", "PUT", "/2015-03-31/functions/{FunctionName}/code", Some(Operation::UpdateFunctionCode)),
    ("UpdateFunctionConfiguration", "PUT", "/2015-03-31/functions/{FunctionName}/configuration", Some(Operation::UpdateFunctionConfiguration)),
    ("UpdateFunctionEventInvokeConfig", "POST", "/2019-09-25/functions/{FunctionName}/event-invoke-config", Some(Operation::UpdateFunctionEventInvokeConfig)),
    ("UpdateFunctionUrlConfig", "PUT", "/2021-10-31/functions/{FunctionName}/url", Some(Operation::UpdateFunctionUrlConfig)),
];

/// Hearth's own operations.
#[rustfmt::skip]
const OWN: [Row; 24] = [
    ("PutRoute", "PUT", "/hearth/2026-11-01/routes/{Name}", Some(Operation::PutRoute)),
    ("GetRoute", "GET", "/hearth/2026-11-01/routes/{Name}", Some(Operation::GetRoute)),
    ("DeleteRoute", "DELETE", "/hearth/2026-11-01/routes/{Name}", Some(Operation::DeleteRoute)),
    ("ListRoutes", "GET", "/hearth/2026-11-01/routes", Some(Operation::ListRoutes)),
    ("CreateRouteKey", "POST", "/hearth/2026-11-01/route-keys/{Name}", Some(Operation::CreateRouteKey)),
    ("GetRouteKey", "GET", "/hearth/2026-11-01/route-keys/{Name}", Some(Operation::GetRouteKey)),
    ("UpdateRouteKey", "PUT", "/hearth/2026-11-01/route-keys/{Name}", Some(Operation::UpdateRouteKey)),
    ("DeleteRouteKey", "DELETE", "/hearth/2026-11-01/route-keys/{Name}", Some(Operation::DeleteRouteKey)),
    ("ListRouteKeys", "GET", "/hearth/2026-11-01/route-keys", Some(Operation::ListRouteKeys)),
    ("PutTopic", "PUT", "/hearth/2026-11-01/topics/{Name}", Some(Operation::PutTopic)),
    ("GetTopic", "GET", "/hearth/2026-11-01/topics/{Name}", Some(Operation::GetTopic)),
    ("DeleteTopic", "DELETE", "/hearth/2026-11-01/topics/{Name}", Some(Operation::DeleteTopic)),
    ("ListTopics", "GET", "/hearth/2026-11-01/topics", Some(Operation::ListTopics)),
    ("ListEventQueues", "GET", "/hearth/2026-11-01/events", Some(Operation::ListEventQueues)),
    ("ListEvents", "GET", "/hearth/2026-11-01/events/{FunctionName}", Some(Operation::ListEvents)),
    ("GetDeadEvent", "GET", "/hearth/2026-11-01/dead-events/{RequestId}", Some(Operation::GetDeadEvent)),
    ("RedriveDeadEvents", "POST", "/hearth/2026-11-01/events/{FunctionName}/redrive", Some(Operation::RedriveDeadEvents)),
    ("PurgeDeadEvents", "POST", "/hearth/2026-11-01/events/{FunctionName}/purge", Some(Operation::PurgeDeadEvents)),
    ("ListScheduleTimes", "GET", "/hearth/2026-11-01/schedules", Some(Operation::ListScheduleTimes)),
    ("ListRuleDeliveries", "GET", "/hearth/2026-11-01/rule-deliveries", Some(Operation::ListRuleDeliveries)),
    ("PutNotification", "PUT", "/hearth/2026-11-01/notifications/{Name}", Some(Operation::PutNotification)),
    ("GetNotification", "GET", "/hearth/2026-11-01/notifications/{Name}", Some(Operation::GetNotification)),
    ("DeleteNotification", "DELETE", "/hearth/2026-11-01/notifications/{Name}", Some(Operation::DeleteNotification)),
    ("ListNotifications", "GET", "/hearth/2026-11-01/notifications", Some(Operation::ListNotifications)),
];

/// What a request asks for.
#[derive(Debug)]
pub(crate) struct Target<'r> {
    /// The operation's name in the model.
    pub(crate) name: &'static str,
    /// The operation, if this node does it.
    pub(crate) operation: Option<Operation>,
    params: matchit::Params<'static, 'r>,
    query: &'r str,
}

/// Why a request asks for nothing that there is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTarget {
    /// No operation has this path.
    Unknown,
    /// Operations of this path have these methods.
    Method(Vec<&'static str>),
}

impl From<&NoTarget> for ApiError {
    fn from(none: &NoTarget) -> Self {
        match none {
            NoTarget::Unknown => Self::new(
                ErrorKind::UnknownOperation,
                "No operation has this method and path. Check the endpoint and the API version in the path.",
            ),
            NoTarget::Method(allowed) => Self::new(
                ErrorKind::MethodNotAllowed,
                format!(
                    "This path does not take that method. Use {}.",
                    allowed.join(" or ")
                ),
            ),
        }
    }
}

impl<'r> Target<'r> {
    /// Finds what `method` and `path` ask for; `path` and `query` as they came, still escaped.
    ///
    /// # Errors
    /// [`NoTarget`].
    pub(crate) fn find(method: &Method, path: &'r str, query: &'r str) -> Result<Self, NoTarget> {
        // The signature covers the path without its dot segments and empty segments, so a path that has them could
        // be signed for one target and read as another: there is nothing here for such a path.
        let path = path.strip_suffix('/').unwrap_or(path);
        if path
            .split('/')
            .skip(1)
            .any(|segment| matches!(segment, "" | "." | ".."))
        {
            return Err(NoTarget::Unknown);
        }
        let found = ROUTES.at(path).map_err(|_| NoTarget::Unknown)?;
        // Among rows of one path and method those with a query come first.
        let row = found.value.iter().find(|row| {
            row.method == *method
                && row
                    .query
                    .is_none_or(|pair| query.split('&').any(|p| p == pair))
        });
        match row {
            Some(row) => Ok(Self {
                name: row.name,
                operation: row.operation,
                params: found.params,
                query,
            }),
            None => {
                let mut methods: Vec<_> = found.value.iter().map(|row| row.method).collect();
                methods.sort_unstable();
                methods.dedup();
                Err(NoTarget::Method(methods))
            }
        }
    }

    /// A part of the path, unescaped once.
    ///
    /// # Errors
    /// If it is not text.
    pub(crate) fn path(&self, name: &str) -> Result<Cow<'r, str>, ApiError> {
        unescaped(self.params.get(name).unwrap_or_default())
    }

    /// A query parameter, unescaped: the first of that name.
    ///
    /// # Errors
    /// If it is not text.
    pub(crate) fn query(&self, name: &str) -> Result<Option<Cow<'r, str>>, ApiError> {
        self.values(name).next().transpose()
    }

    /// All values of a query parameter.
    ///
    /// # Errors
    /// If one is not text.
    pub(crate) fn query_all(&self, name: &str) -> Result<Vec<String>, ApiError> {
        self.values(name)
            .map(|value| value.map(Cow::into_owned))
            .collect()
    }

    fn values(&self, name: &str) -> impl Iterator<Item = Result<Cow<'r, str>, ApiError>> {
        self.query
            .split('&')
            .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
            .filter(move |(key, _)| *key == name)
            .map(|(_, value)| unescaped(value))
    }
}

fn unescaped(text: &str) -> Result<Cow<'_, str>, ApiError> {
    percent_decode_str(text).decode_utf8().map_err(|_| {
        ApiError::new(
            ErrorKind::Validation,
            "The path or query is not UTF-8 once it is unescaped.",
        )
    })
}

#[derive(Debug)]
struct Route {
    name: &'static str,
    method: &'static str,
    query: Option<&'static str>,
    operation: Option<Operation>,
}

static ROUTES: LazyLock<matchit::Router<Vec<Route>>> = LazyLock::new(|| {
    let mut paths: Vec<(&'static str, Vec<Route>)> = Vec::new();
    for (name, method, uri, operation) in MODEL.into_iter().chain(OWN) {
        let (path, query) = match uri.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (uri, None),
        };
        let route = Route {
            name,
            method,
            query,
            operation,
        };
        match paths.iter_mut().find(|(known, _)| *known == path) {
            Some((_, routes)) => routes.push(route),
            None => paths.push((path, vec![route])),
        }
    }
    let mut router = matchit::Router::new();
    for (path, mut routes) in paths {
        routes.sort_by_key(|route| route.query.is_none());
        router
            .insert(path, routes)
            .expect("no two paths of the model conflict");
    }
    router
});

#[cfg(test)]
mod tests {
    use super::*;

    fn find(method: &str, uri: &'static str) -> Result<Target<'static>, NoTarget> {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        Target::find(&method.parse().unwrap(), path, query)
    }

    /// One line an operation, taken from the `lambda` service model of botocore: name, method, path, status.
    const EXTRACT: &str = include_str!("../tests/lambda_operations.txt");

    #[test]
    fn the_table_is_the_model() {
        let mut seen = 0;
        for line in EXTRACT.lines() {
            let [name, method, uri, status] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}");
            };
            let target = find(method, uri).unwrap();
            assert_eq!(target.name, name);
            if let Some(operation) = target.operation {
                assert_eq!(format!("{operation:?}"), name);
                let expected = if name == "DeleteFunction" {
                    204
                } else {
                    status.parse().unwrap()
                };
                assert_eq!(operation.status(), expected, "{name}");
            }
            seen += 1;
        }
        assert_eq!(seen, MODEL.len());
    }

    #[test]
    fn parts_of_the_path_are_unescaped_once() {
        let target = find(
            "GET",
            "/2015-03-31/functions/arn%3Aaws%3Alambda/configuration",
        )
        .unwrap();
        assert_eq!(target.path("FunctionName").unwrap(), "arn:aws:lambda");
        let target = find("GET", "/2015-03-31/functions/a%253Ab").unwrap();
        assert_eq!(target.path("FunctionName").unwrap(), "a%3Ab");
        let target = find("GET", "/2015-03-31/functions/a%FF").unwrap();
        assert!(target.path("FunctionName").is_err());
        let target = find("GET", "/2015-03-31/functions/a%2F..%2Fb").unwrap();
        assert_eq!(target.path("FunctionName").unwrap(), "a/../b");
    }

    #[test]
    fn queries_are_read() {
        let target = find("DELETE", "/2017-03-31/tags/x?tagKeys=a%20b&tagKeys=c&d").unwrap();
        assert_eq!(target.query_all("tagKeys").unwrap(), ["a b", "c"]);
        assert_eq!(target.query("d").unwrap().unwrap(), "");
        assert_eq!(target.query("e").unwrap(), None);
    }

    #[test]
    fn a_slash_at_the_end_changes_nothing_and_others_do() {
        assert_eq!(
            find("GET", "/2015-03-31/functions/").unwrap().name,
            "ListFunctions"
        );
        for path in [
            "/",
            "//",
            "/2015-03-31//functions",
            "/2015-03-31/functions//",
            "/2015-03-31/./functions",
            "/2015-03-31/functions/x/..",
            "/2015-03-31/functions/../functions/x",
            "/2015-03-31/Functions",
            "*",
        ] {
            assert_eq!(find("GET", path).unwrap_err(), NoTarget::Unknown, "{path}");
        }
    }

    #[test]
    fn a_wrong_method_learns_the_right_ones() {
        let NoTarget::Method(allowed) = find("PATCH", "/2015-03-31/functions").unwrap_err() else {
            panic!("expected methods");
        };
        assert_eq!(allowed, ["GET", "POST"]);
    }
}
