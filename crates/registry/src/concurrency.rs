//! Reserved concurrency and the account: `PutFunctionConcurrency`, `GetFunctionConcurrency`,
//! `DeleteFunctionConcurrency`, `GetAccountSettings`.

use std::time::Duration;

use hearth_store::contract::Change;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::error::ErrorKind;
use hearth_types::limits::{
    STORED_CODE_BYTES, UNPACKED_BYTES, UNRESERVED_CONCURRENCY, ZIP_FILE_BYTES,
};
use hearth_types::name::FunctionKey;
use hearth_types::wire::lambda::{
    AccountLimit, AccountUsage, Concurrency, GetAccountSettingsResponse,
    PutFunctionConcurrencyRequest,
};

use crate::constraints::Constraints;
use crate::registry::Subject;
use crate::scope::unqualified;
use crate::{Registry, Scope, present};

/// How long a reservation waits for another one to be committed.
const WAIT: Duration = Duration::from_secs(30);

impl Registry {
    /// `PutFunctionConcurrency`: sets environments aside for a function; 0 stops it.
    ///
    /// # Errors
    /// [`InvalidParameterValue`](ErrorKind::InvalidParameterValue) if fewer than
    /// [`UNRESERVED_CONCURRENCY`] would be left to the other functions,
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound); those of the store. Nothing was changed then.
    pub async fn put_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: PutFunctionConcurrencyRequest,
    ) -> Result<Concurrency, ApiError> {
        let mut constraints = Constraints::default();
        let asked = request.reserved_concurrent_executions;
        constraints.required("reservedConcurrentExecutions", asked.is_some());
        let asked = asked.unwrap_or_default();
        constraints.range(
            "reservedConcurrentExecutions",
            asked,
            0..=i64::from(i32::MAX),
        );
        constraints.finish()?;
        let asked = u32::try_from(asked).unwrap_or(u32::MAX);
        let key = unqualified(scope, function)?;
        let registry = self.clone();
        // In a task of its own: a caller that stops waiting must not let the next reservation in before this one
        // is seen.
        tokio::spawn(async move { registry.reserve_within_limit(&key, asked).await })
            .await
            .map_err(|error| {
                tracing::error!(%error, "a reservation did not end");
                ApiError::service("The reservation could not be stored. Try again.")
            })??;
        Ok(Concurrency {
            reserved_concurrent_executions: Some(asked),
        })
    }

    async fn reserve_within_limit(&self, key: &FunctionKey, asked: u32) -> Result<(), ApiError> {
        let _one_at_a_time = tokio::time::timeout(WAIT, self.inner.reservations.lock())
            .await
            .map_err(|_| {
                ApiError::new(
                    ErrorKind::ServiceUnavailable,
                    "Other reservations take too long. Try again.",
                )
            })?;
        let limit = u64::from(self.inner.options.account_concurrency);
        self.reserve(key, Some(asked), |reserved| {
            if asked > 0 && reserved + u64::from(UNRESERVED_CONCURRENCY) > limit {
                return Err(ApiError::invalid(format!(
                    "Specified ReservedConcurrentExecutions for function decreases account's \
                     UnreservedConcurrentExecution below its minimum value of [{UNRESERVED_CONCURRENCY}]."
                )));
            }
            Ok(())
        })
        .await
    }

    /// `GetFunctionConcurrency`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound).
    pub fn get_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<Concurrency, ApiError> {
        let key = unqualified(scope, function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        Ok(Concurrency {
            reserved_concurrent_executions: entry.function.reserved_concurrency,
        })
    }

    /// `DeleteFunctionConcurrency`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](ErrorKind::ResourceNotFound); those of the store.
    pub async fn delete_function_concurrency(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<(), ApiError> {
        let key = unqualified(scope, function)?;
        self.reserve(&key, None, |_| Ok(())).await
    }

    async fn reserve(
        &self,
        key: &FunctionKey,
        reserved: Option<u32>,
        check: impl Fn(u64) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let scope = Scope {
            account: key.account.clone(),
            region: key.region.clone(),
        };
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(key)
                .ok_or_else(|| present::function_not_found(key, None))?;
            let own = u64::from(entry.function.reserved_concurrency.unwrap_or(0));
            let others = snapshot.usage(&scope).reserved - own;
            check(others + u64::from(reserved.unwrap_or(0)))?;
            if entry.function.reserved_concurrency == reserved {
                return Ok((Vec::new(), ()));
            }
            let mut record = entry.function.as_ref().clone();
            record.generation += 1;
            record.reserved_concurrency = reserved;
            Ok((vec![Change::UpdateFunction(record)], ()))
        })
        .await
    }

    /// `GetAccountSettings`.
    pub fn get_account_settings(&self, scope: &Scope) -> GetAccountSettingsResponse {
        let usage = self.snapshot().usage(scope);
        let limit = self.inner.options.account_concurrency;
        let reserved = u32::try_from(usage.reserved).unwrap_or(u32::MAX);
        GetAccountSettingsResponse {
            account_limit: AccountLimit {
                total_code_size: STORED_CODE_BYTES,
                code_size_unzipped: UNPACKED_BYTES,
                code_size_zipped: ZIP_FILE_BYTES as u64,
                concurrent_executions: limit,
                unreserved_concurrent_executions: limit.saturating_sub(reserved),
            },
            account_usage: AccountUsage {
                total_code_size: usage.code_bytes,
                function_count: usage.functions,
            },
        }
    }
}
