//! What a [`DestinationArn`](crate::event_invoke::DestinationArn) names, as far as Hearth delivers there.

use std::fmt;
use std::str::FromStr;

use crate::arn::{ArnError, FunctionArn, FunctionRef};
use crate::name::{BucketName, FunctionKey, NameError, Qualifier, QueueId, TopicId};

/// Where the end of an event is told.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Destination {
    /// A function, which is invoked asynchronously.
    Function {
        /// Which.
        key: FunctionKey,
        /// The version or alias, if the ARN names one.
        qualifier: Option<Qualifier>,
    },
    /// A queue.
    Queue(QueueId),
    /// A topic: the webhooks of its list.
    Topic(TopicId),
    /// A folder of object storage, under the name that the node's configuration gives it.
    Bucket(BucketName),
}

/// An ARN that names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// It is none of a kind that Hearth delivers to.
    #[error(
        "use the ARN of a function (arn:aws:lambda:…), of a queue (arn:aws:sqs:…), of a topic (arn:aws:sns:…) or of a \
         bucket (arn:aws:s3:::…)"
    )]
    Kind,
    /// A part is missing, or there is one too many.
    #[error("expected {0}")]
    Form(&'static str),
    /// A part breaks the rules of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The function's ARN can't be read.
    #[error(transparent)]
    Function(#[from] ArnError),
}

impl FromStr for Destination {
    type Err = DestinationError;

    fn from_str(text: &str) -> Result<Self, DestinationError> {
        let parts: Vec<&str> = text.splitn(6, ':').collect();
        let ["arn", partition, service, region, account, resource] = parts.as_slice() else {
            return Err(DestinationError::Kind);
        };
        if !partition.starts_with("aws") {
            return Err(DestinationError::Kind);
        }
        match *service {
            "lambda" => function(text),
            "sqs" => Ok(Self::Queue(QueueId {
                account: account.parse()?,
                region: region.parse()?,
                name: resource.parse()?,
            })),
            "sns" => Ok(Self::Topic(TopicId {
                account: account.parse()?,
                region: region.parse()?,
                name: resource.parse()?,
            })),
            "s3" if region.is_empty() && account.is_empty() => Ok(Self::Bucket(resource.parse()?)),
            "s3" => Err(DestinationError::Form("arn:aws:s3:::bucket")),
            _ => Err(DestinationError::Kind),
        }
    }
}

fn function(text: &str) -> Result<Destination, DestinationError> {
    const FORM: &str =
        "arn:aws:lambda:region:123456789012:function:name, with an optional :qualifier";
    let FunctionRef {
        account,
        region,
        name,
        qualifier,
    } = text.parse()?;
    let (Some(account), Some(region)) = (account, region) else {
        return Err(DestinationError::Form(FORM));
    };
    let key = FunctionKey {
        account,
        region,
        name,
    };
    Ok(Destination::Function { key, qualifier })
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Function { key, qualifier } => FunctionArn {
                key,
                qualifier: qualifier.clone(),
            }
            .fmt(f),
            Self::Queue(id) => write!(f, "arn:aws:sqs:{}:{}:{}", id.region, id.account, id.name),
            Self::Topic(id) => write!(f, "arn:aws:sns:{}:{}:{}", id.region, id.account, id.name),
            Self::Bucket(name) => write!(f, "arn:aws:s3:::{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_reads_back() {
        for text in [
            "arn:aws:lambda:us-east-1:000000000000:function:f",
            "arn:aws:lambda:us-east-1:000000000000:function:f:live",
            "arn:aws:lambda:us-east-1:000000000000:function:f:$LATEST",
            "arn:aws:sqs:eu-west-1:123456789012:dead",
            "arn:aws:sqs:eu-west-1:123456789012:dead.fifo",
            "arn:aws:sns:eu-west-1:123456789012:alerts",
            "arn:aws:s3:::failed.events-1",
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), text);
        }
    }

    #[test]
    fn a_destination_is_of_its_services_kind() {
        let read = |text: &str| text.parse::<Destination>();
        assert!(matches!(
            read("arn:aws:lambda:us-east-1:000000000000:function:f:live"),
            Ok(Destination::Function { .. })
        ));
        assert!(matches!(
            read("arn:aws:sqs:us-east-1:000000000000:q"),
            Ok(Destination::Queue(_))
        ));
        assert!(matches!(
            read("arn:aws:s3:::bucket"),
            Ok(Destination::Bucket(_))
        ));
        assert_eq!(
            read("arn:aws:ec2:us-east-1:000000000000:x"),
            Err(DestinationError::Kind)
        );
    }

    #[test]
    fn what_is_none_is_refused() {
        for bad in [
            "",
            "f",
            "arn:aws:lambda",
            "000000000000:function:f",
            "function:f",
            "arn:aws:lambda:us-east-1:000000000000:function:f:a:b",
            "arn:aws:lambda:us-east-1:000000000000:layer:f:1",
            "arn:aws:lambda:us-east-1:0000:function:f",
            "arn:aws:sqs:us-east-1:000000000000:",
            "arn:aws:sqs:us-east-1:000000000000:a/../b",
            "arn:aws:sqs::000000000000:a",
            "arn:aws:sns:us-east-1:000000000000:alerts.fifo",
            "arn:aws:sns:us-east-1:000000000000:alerts:subscription",
            "arn:aws:s3:::..",
            "arn:aws:s3:::a/b",
            "arn:aws:s3:us-east-1:000000000000:bucket",
            "arn:aws:events:us-east-1:000000000000:event-bus/default",
            "arn:other:sqs:us-east-1:000000000000:a",
            "kafka://topic",
            &format!(
                "arn:aws:sns:us-east-1:000000000000:{}",
                "a".repeat(1_000_000)
            ),
        ] {
            assert!(bad.parse::<Destination>().is_err(), "{bad}");
        }
    }
}
