//! The shapes of the public API, as clients send and read them. Names and members are those of the service
//! models; nothing here decides anything.

pub mod batch_failure;
pub mod broker_event;
pub mod destination;
pub mod events;
pub mod function_url;
pub mod lambda;
pub mod logs;
pub mod notification;
pub mod queue_event;
pub mod route;
pub mod topic;
