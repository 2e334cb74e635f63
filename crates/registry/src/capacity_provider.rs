//! `CapacityProviderConfig`: which fleet runs a function, and how much an environment does at once.
//!
//! There is one fleet, this node: an ARN of any capacity provider is taken and given back, and changes nothing. What
//! has an effect is how many invocations one environment may run at the same time.

use hearth_types::function::CapacityProvider;
use hearth_types::limits::{
    CAPACITY_PROVIDER_ARN_CHARS, ENVIRONMENT_CONCURRENCY, MEMORY_GIB_PER_VCPU,
};
use hearth_types::wire::lambda::{CapacityProviderConfig, ManagedInstancesConfig};

use crate::constraints::Constraints;

const MEMBER: &str = "capacityProviderConfig.lambdaManagedInstancesCapacityProviderConfig";
const ARN_PATTERN: &str = r"arn:aws[a-zA-Z-]*:lambda:[a-z]{2}((-gov)|(-iso([a-z]?)))?-[a-z]+-\d{1}:\d{12}:capacity-provider:[a-zA-Z0-9-_]+";

/// Notes the breaches of its shape.
pub(crate) fn check(config: &CapacityProviderConfig, constraints: &mut Constraints) {
    let managed = &config.lambda_managed_instances_capacity_provider_config;
    constraints.required(MEMBER, managed.is_some());
    let Some(managed) = managed else { return };
    let member = |name: &str| format!("{MEMBER}.{name}");
    let arn = managed.capacity_provider_arn.as_deref();
    constraints.required(&member("capacityProviderArn"), arn.is_some());
    if let Some(arn) = arn {
        let member = member("capacityProviderArn");
        constraints.length(&member, arn, 1..=CAPACITY_PROVIDER_ARN_CHARS);
        constraints.pattern(&member, arn, is_arn(arn), ARN_PATTERN);
    }
    if let Some(number) = managed.per_execution_environment_max_concurrency {
        let wide =
            i64::from(*ENVIRONMENT_CONCURRENCY.start())..=i64::from(*ENVIRONMENT_CONCURRENCY.end());
        constraints.range(
            &member("perExecutionEnvironmentMaxConcurrency"),
            number,
            wide,
        );
    }
    if let Some(ratio) = &managed.execution_environment_memory_gib_per_vcpu
        && !ratio
            .as_f64()
            .is_some_and(|ratio| MEMORY_GIB_PER_VCPU.contains(&ratio))
    {
        constraints.breach(
            &member("executionEnvironmentMemoryGiBPerVCpu"),
            ratio,
            "Member must have value between 2.0 and 8.0",
        );
    }
}

/// What a checked configuration says.
pub(crate) fn read(config: &CapacityProviderConfig) -> Option<CapacityProvider> {
    let managed = config
        .lambda_managed_instances_capacity_provider_config
        .as_ref()?;
    Some(CapacityProvider {
        arn: managed.capacity_provider_arn.clone()?,
        max_concurrency: managed
            .per_execution_environment_max_concurrency
            .and_then(|number| u32::try_from(number).ok()),
        memory_gib_per_vcpu: managed.execution_environment_memory_gib_per_vcpu.clone(),
    })
}

/// As the API shows it.
pub(crate) fn show(provider: &CapacityProvider) -> CapacityProviderConfig {
    CapacityProviderConfig {
        lambda_managed_instances_capacity_provider_config: Some(ManagedInstancesConfig {
            capacity_provider_arn: Some(provider.arn.clone()),
            per_execution_environment_max_concurrency: provider.max_concurrency.map(i64::from),
            execution_environment_memory_gib_per_vcpu: provider.memory_gib_per_vcpu.clone(),
        }),
    }
}

fn is_arn(text: &str) -> bool {
    let parts: Vec<_> = text.split(':').collect();
    let [arn, partition, service, region, account, kind, name] = parts.as_slice() else {
        return false;
    };
    let word = |text: &str, also: &str| {
        !text.is_empty()
            && text
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || also.contains(c))
    };
    let is_region = region.rsplit_once('-').is_some_and(|(area, number)| {
        matches!(number.as_bytes(), [digit] if digit.is_ascii_digit())
            && area
                .split('-')
                .all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase()))
            && (2..=3).contains(&area.split('-').count())
            && area.split('-').next().is_some_and(|part| part.len() == 2)
    });
    *arn == "arn"
        && partition
            .strip_prefix("aws")
            .is_some_and(|rest| rest.chars().all(|c| c.is_ascii_alphabetic() || c == '-'))
        && *service == "lambda"
        && is_region
        && account.len() == 12
        && account.bytes().all(|b| b.is_ascii_digit())
        && *kind == "capacity-provider"
        && word(name, "-_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_arn_is_one_of_a_capacity_provider() {
        assert!(is_arn(
            "arn:aws:lambda:us-east-1:000000000000:capacity-provider:my_Fleet-1"
        ));
        assert!(is_arn(
            "arn:aws-us-gov:lambda:us-gov-west-1:000000000000:capacity-provider:x"
        ));
        for bad in [
            "",
            "fleet",
            "arn:aws:lambda:us-east-1:000000000000:function:x",
            "arn:aws:lambda:us-east-1:000000000000:capacity-provider:",
            "arn:aws:lambda:us-east-1:000000000000:capacity-provider:x:1",
            "arn:aws:lambda:us-east-1:00000000000:capacity-provider:x",
            "arn:aws:lambda:useast1:000000000000:capacity-provider:x",
            "arn:aws:lambda:us-east-12:000000000000:capacity-provider:x",
        ] {
            assert!(!is_arn(bad), "{bad}");
        }
    }
}
