//! Loops of functions: `PutFunctionRecursionConfig`, `GetFunctionRecursionConfig`.

use hearth_store::contract::Change;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function::RecursiveLoop;
use hearth_types::lineage::{self, MOST_RUNS};
use hearth_types::name::FunctionKey;
use hearth_types::wire::lambda::FunctionRecursionConfig;

use crate::constraints::Constraints;
use crate::registry::Subject;
use crate::scope::unqualified;
use crate::{Registry, Scope, present};

impl Registry {
    /// `PutFunctionRecursionConfig`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters and of the store. Nothing
    /// was changed then.
    pub async fn put_recursion_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        request: FunctionRecursionConfig,
    ) -> Result<FunctionRecursionConfig, ApiError> {
        let mut constraints = Constraints::default();
        let text = request.recursive_loop.as_deref();
        constraints.required("recursiveLoop", text.is_some());
        if let Some(text) = text {
            constraints.one_of("recursiveLoop", text, &RecursiveLoop::NAMES);
        }
        constraints.finish()?;
        let asked = text.and_then(RecursiveLoop::read).unwrap_or_default();
        let key = unqualified(scope, function)?;
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = snapshot
                .function(&key)
                .ok_or_else(|| present::function_not_found(&key, None))?;
            if entry.function.recursive_loop == asked {
                return Ok((Vec::new(), shown(asked)));
            }
            let mut record = entry.function.as_ref().clone();
            record.generation += 1;
            record.recursive_loop = asked;
            Ok((vec![Change::UpdateFunction(record)], shown(asked)))
        })
        .await
    }

    /// `GetFunctionRecursionConfig`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound).
    pub fn get_recursion_config(
        &self,
        scope: &Scope,
        function: &FunctionRef,
    ) -> Result<FunctionRecursionConfig, ApiError> {
        let key = unqualified(scope, function)?;
        match self.recursive_loop(&key) {
            Some(known) => Ok(shown(known)),
            None => Err(present::function_not_found(&key, None)),
        }
    }

    /// Whether a function must not be run with `trace`, for its chain of invocations is a loop that is to end. Asks the
    /// snapshot only where the chain is that long.
    pub fn is_loop(&self, key: &FunctionKey, trace: &str) -> bool {
        lineage::runs(trace, key) >= MOST_RUNS
            && self.recursive_loop(key) == Some(RecursiveLoop::Terminate)
    }

    fn recursive_loop(&self, key: &FunctionKey) -> Option<RecursiveLoop> {
        let snapshot = self.inner.snapshot.load();
        Some(snapshot.function(key)?.function.recursive_loop)
    }
}

fn shown(recursive_loop: RecursiveLoop) -> FunctionRecursionConfig {
    FunctionRecursionConfig {
        recursive_loop: Some(recursive_loop.as_str().to_owned()),
    }
}
