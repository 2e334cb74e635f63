//! The Lambda API, and Hearth's own beside it: one file an operation group, each a translation between HTTP and the registry.

mod aliases;
mod concurrency;
mod event_invokes;
mod event_source_mappings;
mod events;
mod function_urls;
mod functions;
mod invoke;
mod invoke_event;
mod invoke_stream;
mod layers;
mod notifications;
mod permissions;
mod recursion;
mod request;
mod routes;
mod rules;
mod schedules;
mod tags;
mod topics;

use hearth_types::{ApiError, ErrorKind};
use http::Response;

use crate::error_response::{self, Answer, Protocol};
use crate::gateway::Call;
use crate::operation::Operation;
use crate::response_body::ResponseBody;

/// Does what an authenticated call asks for.
///
/// # Errors
/// What the caller is told.
pub(crate) async fn answer(call: Call<'_>) -> Result<Response<ResponseBody>, ApiError> {
    let Some(operation) = call.target.operation else {
        return Err(ApiError::new(
            ErrorKind::NotImplemented,
            format!(
                "Hearth does not have the operation {} yet.",
                call.target.name
            ),
        ));
    };
    let answer = match operation {
        Operation::InvokeWithResponseStream => return invoke_stream::answer(call).await,
        Operation::Invoke => invoke::answer(call).await,
        Operation::InvokeAsync => invoke_event::answer(call).await,
        Operation::CreateFunction => functions::create(call).await,
        Operation::GetFunction => functions::get(call).await,
        Operation::GetFunctionConfiguration => functions::get_configuration(call).await,
        Operation::ListFunctions => functions::list(call).await,
        Operation::UpdateFunctionCode => functions::update_code(call).await,
        Operation::UpdateFunctionConfiguration => functions::update_configuration(call).await,
        Operation::DeleteFunction => functions::delete(call).await,
        Operation::PublishVersion => functions::publish_version(call).await,
        Operation::ListVersionsByFunction => functions::list_versions(call).await,
        Operation::CreateAlias => aliases::create(call).await,
        Operation::GetAlias => aliases::get(call).await,
        Operation::ListAliases => aliases::list(call).await,
        Operation::UpdateAlias => aliases::update(call).await,
        Operation::DeleteAlias => aliases::delete(call).await,
        Operation::PublishLayerVersion => layers::publish(call).await,
        Operation::GetLayerVersion => layers::get(call).await,
        Operation::GetLayerVersionByArn => layers::get_by_arn(call).await,
        Operation::ListLayers => layers::list(call).await,
        Operation::ListLayerVersions => layers::list_versions(call).await,
        Operation::DeleteLayerVersion => layers::delete(call).await,
        Operation::TagResource => tags::tag(call).await,
        Operation::UntagResource => tags::untag(call).await,
        Operation::ListTags => tags::list(call).await,
        Operation::GetAccountSettings => concurrency::account_settings(call).await,
        Operation::PutFunctionConcurrency => concurrency::put(call).await,
        Operation::GetFunctionConcurrency => concurrency::get(call).await,
        Operation::DeleteFunctionConcurrency => concurrency::delete(call).await,
        Operation::CreateFunctionUrlConfig => function_urls::create(call).await,
        Operation::GetFunctionUrlConfig => function_urls::get(call).await,
        Operation::ListFunctionUrlConfigs => function_urls::list(call).await,
        Operation::UpdateFunctionUrlConfig => function_urls::update(call).await,
        Operation::DeleteFunctionUrlConfig => function_urls::delete(call).await,
        Operation::AddPermission => permissions::add(call).await,
        Operation::RemovePermission => permissions::remove(call).await,
        Operation::GetPolicy => permissions::get(call).await,
        Operation::PutFunctionEventInvokeConfig => event_invokes::put(call).await,
        Operation::UpdateFunctionEventInvokeConfig => event_invokes::update(call).await,
        Operation::GetFunctionEventInvokeConfig => event_invokes::get(call).await,
        Operation::ListFunctionEventInvokeConfigs => event_invokes::list(call).await,
        Operation::DeleteFunctionEventInvokeConfig => event_invokes::delete(call).await,
        Operation::PutFunctionRecursionConfig => recursion::put(call).await,
        Operation::GetFunctionRecursionConfig => recursion::get(call).await,
        Operation::CreateEventSourceMapping => event_source_mappings::create(call).await,
        Operation::GetEventSourceMapping => event_source_mappings::get(call).await,
        Operation::ListEventSourceMappings => event_source_mappings::list(call).await,
        Operation::UpdateEventSourceMapping => event_source_mappings::update(call).await,
        Operation::DeleteEventSourceMapping => event_source_mappings::delete(call).await,
        Operation::PutRoute => routes::put(call).await,
        Operation::GetRoute => routes::get(call).await,
        Operation::ListRoutes => routes::list(call).await,
        Operation::DeleteRoute => routes::delete(call).await,
        Operation::CreateRouteKey => routes::create_key(call).await,
        Operation::GetRouteKey => routes::get_key(call).await,
        Operation::ListRouteKeys => routes::list_keys(call).await,
        Operation::UpdateRouteKey => routes::update_key(call).await,
        Operation::DeleteRouteKey => routes::delete_key(call).await,
        Operation::PutTopic => topics::put(call).await,
        Operation::GetTopic => topics::get(call).await,
        Operation::ListTopics => topics::list(call).await,
        Operation::DeleteTopic => topics::delete(call).await,
        Operation::ListEventQueues => events::queues(call).await,
        Operation::ListEvents => events::list(call).await,
        Operation::GetDeadEvent => events::get_dead(call).await,
        Operation::RedriveDeadEvents => events::redrive(call).await,
        Operation::PurgeDeadEvents => events::purge(call).await,
        Operation::ListScheduleTimes => schedules::times(call).await,
        Operation::ListRuleDeliveries => rules::deliveries(call).await,
        Operation::PutNotification => notifications::put(call).await,
        Operation::GetNotification => notifications::get(call),
        Operation::ListNotifications => Ok(notifications::list(&call)),
        Operation::DeleteNotification => notifications::delete(call).await,
    };
    answer.map(|answer| answer.map(ResponseBody::Whole))
}

impl Call<'_> {
    /// The operation's answer: its status and a JSON body.
    fn ok(&self, body: &impl serde::Serialize) -> Answer {
        error_response::json(self.status(), Protocol::RestJson, body, self.request_id)
    }

    /// The operation's answer when it has no body.
    fn done(&self) -> Answer {
        error_response::empty(self.status(), self.request_id)
    }

    fn status(&self) -> u16 {
        self.target.operation.map_or(200, Operation::status)
    }
}
