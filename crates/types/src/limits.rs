//! What may be asked for. Unless a line says otherwise, each number is Lambda's own: from its service model, or
//! from the quotas page of its developer guide.

use std::ops::RangeInclusive;
use std::time::Duration;

/// Memory of a function, MiB (service model, `MemorySize`; the guide's quota of 10,240 MB).
pub const MEMORY_MIB: RangeInclusive<u32> = 128..=10_240;
/// Memory when none is asked for, MiB.
pub const DEFAULT_MEMORY_MIB: u32 = 128;
/// Time that one invocation may take, seconds (guide, quotas).
pub const TIMEOUT_S: RangeInclusive<u32> = 1..=900;
/// Timeout when none is asked for, seconds.
pub const DEFAULT_TIMEOUT_S: u32 = 3;
/// Size of `/tmp`, MiB (service model, `EphemeralStorageSize`).
pub const TMP_MIB: RangeInclusive<u32> = 512..=10_240;
/// Size of `/tmp` when none is asked for, MiB.
pub const DEFAULT_TMP_MIB: u32 = 512;

/// Time for the Init phase before it is tried again within the first invocation.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// Payload of a synchronous request, bytes (the service: "Request must be smaller than 6291456 bytes").
pub const REQUEST_PAYLOAD_BYTES: usize = 6_291_456;
/// Payload of an asynchronous request, bytes (guide, quotas: 1 MB).
pub const EVENT_PAYLOAD_BYTES: usize = 1_048_576;
/// Payload of a buffered response, bytes (the service: "exceeded maximum allowed payload size (6291556 bytes)").
pub const RESPONSE_PAYLOAD_BYTES: usize = 6_291_556;
/// Payload of a streamed response, bytes (guide, quotas: 200 MB).
pub const STREAMED_RESPONSE_BYTES: u64 = 200 * 1024 * 1024;
/// `X-Amz-Client-Context`, bytes of base64 (guide: up to 3,583 bytes of base64-encoded data).
pub const CLIENT_CONTEXT_BYTES: usize = 3_583;
/// Log tail of `LogType=Tail`, bytes.
pub const LOG_TAIL_BYTES: usize = 4_096;

/// A zip in the request itself, bytes once decoded.
pub const ZIP_FILE_BYTES: usize = 50 * 1024 * 1024;
/// A function and its layers unpacked, bytes.
pub const UNPACKED_BYTES: u64 = 250 * 1024 * 1024;
/// All environment variables of a function together, bytes.
pub const ENVIRONMENT_BYTES: usize = 4_096;
/// Layers of one function.
pub const LAYERS: usize = 5;
/// Folders of one function (the service model has 1 of its file systems; Hearth's own, so that what is read and what is
/// written may be apart).
pub const FOLDERS: usize = 5;
/// A resource policy, bytes (guide, quotas: 20 KB).
pub const POLICY_BYTES: usize = 20_480;
/// Tags of one resource.
pub const TAGS: usize = 50;
/// Characters of a tag's key and of its value.
pub const TAG_KEY_CHARS: usize = 128;
/// Characters of a tag's value.
pub const TAG_VALUE_CHARS: usize = 256;
/// Characters of a description.
pub const DESCRIPTION_CHARS: usize = 256;
/// Characters of a handler.
pub const HANDLER_CHARS: usize = 128;

/// Invocations of one environment at the same time (service model, `PerExecutionEnvironmentMaxConcurrency`).
pub const ENVIRONMENT_CONCURRENCY: RangeInclusive<u32> = 1..=1_600;
/// Memory of an environment for each virtual processor, GiB (service model, `ExecutionEnvironmentMemoryGiBPerVCpu`).
pub const MEMORY_GIB_PER_VCPU: RangeInclusive<f64> = 2.0..=8.0;
/// Characters of a capacity provider's ARN (service model, `CapacityProviderArn`).
pub const CAPACITY_PROVIDER_ARN_CHARS: usize = 140;

/// Concurrent executions of an account in a region (default quota).
pub const ACCOUNT_CONCURRENCY: u32 = 1_000;
/// Part of the account's concurrency that reservations must leave alone.
pub const UNRESERVED_CONCURRENCY: u32 = 100;
/// Total size of stored packages that `GetAccountSettings` reports as the limit, bytes (75 GB).
pub const STORED_CODE_BYTES: u64 = 80_530_636_800;
/// Entries of one page of a listing.
pub const PAGE_SIZE: RangeInclusive<u32> = 1..=10_000;
/// Entries of one page when none are asked for (guide: a listing returns up to 50 items a page).
pub const DEFAULT_PAGE_SIZE: u32 = 50;
