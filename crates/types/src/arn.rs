//! Amazon Resource Names, as Hearth reads and writes them.

use std::fmt;
use std::str::FromStr;

use crate::name::{
    AccountId, FolderName, FunctionKey, FunctionName, LayerName, NameError, Qualifier, Region,
};
use crate::text::as_text;

/// An ARN that can't be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArnError {
    /// A part that breaks the rules of its kind.
    #[error(transparent)]
    Name(#[from] NameError),
    /// The parts are not those of this kind of ARN.
    #[error("not a valid {kind}: expected {expected}")]
    Form {
        /// What it was meant to be.
        kind: &'static str,
        /// The form that it must have.
        expected: &'static str,
    },
}

/// How a caller named a function: by name, partial ARN (`123456789012:function:name`) or full ARN, each with or
/// without `:qualifier`. What the caller left out is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionRef {
    /// The account, if it was named.
    pub account: Option<AccountId>,
    /// The region, if it was named.
    pub region: Option<Region>,
    /// The function.
    pub name: FunctionName,
    /// The version or alias, if it was named.
    pub qualifier: Option<Qualifier>,
}

/// The longest reference that is looked at, bytes (service model: 170 for a namespaced function name with
/// qualifier; names of accounts and regions included).
const LONGEST_REF: usize = 256;

impl FromStr for FunctionRef {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let form = || ArnError::Form {
            kind: "function name",
            expected: "a name, 123456789012:function:name or arn:aws:lambda:region:123456789012:function:name, \
                       each with an optional :qualifier",
        };
        if text.len() > LONGEST_REF {
            return Err(form());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let (account, region, rest) = match parts.as_slice() {
            [
                "arn",
                partition,
                "lambda",
                region,
                account,
                "function",
                rest @ ..,
            ] if partition.starts_with("aws") => {
                (Some(account.parse()?), Some(region.parse()?), rest)
            }
            [account, "function", rest @ ..] => (Some(account.parse()?), None, rest),
            // The service also takes `function:name`.
            ["function", rest @ ..] if rest.len() > 1 || parts.len() == 2 => (None, None, rest),
            rest => (None, None, rest),
        };
        let (name, qualifier) = match rest {
            [name] => (name, None),
            [name, qualifier] => (name, Some(qualifier.parse()?)),
            _ => return Err(form()),
        };
        Ok(Self {
            account,
            region,
            name: name.parse()?,
            qualifier,
        })
    }
}

/// The ARN of a function, with a qualifier or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionArn<'a> {
    /// The function.
    pub key: &'a FunctionKey,
    /// The version or alias, if the ARN names one.
    pub qualifier: Option<Qualifier>,
}

impl fmt::Display for FunctionArn<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FunctionKey {
            account,
            region,
            name,
        } = self.key;
        write!(f, "arn:aws:lambda:{region}:{account}:function:{name}")?;
        match &self.qualifier {
            Some(qualifier) => write!(f, ":{qualifier}"),
            None => Ok(()),
        }
    }
}

/// The ARN of one version of a layer; it also names the layer (see [`LayerVersionArn::layer_arn`]).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerVersionArn {
    /// The owner.
    pub account: AccountId,
    /// The region.
    pub region: Region,
    /// The layer.
    pub layer: LayerName,
    /// The version, from 1.
    pub version: u64,
}

impl LayerVersionArn {
    /// The ARN of the layer itself, without a version.
    pub fn layer_arn(&self) -> String {
        format!(
            "arn:aws:lambda:{}:{}:layer:{}",
            self.region, self.account, self.layer
        )
    }
}

impl fmt::Display for LayerVersionArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.layer_arn(), self.version)
    }
}

impl FromStr for LayerVersionArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let form = || ArnError::Form {
            kind: "layer version ARN",
            expected: "arn:aws:lambda:region:123456789012:layer:name:version",
        };
        if text.len() > LONGEST_REF {
            return Err(form());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let [
            "arn",
            partition,
            "lambda",
            region,
            account,
            "layer",
            layer,
            version,
        ] = parts.as_slice()
        else {
            return Err(form());
        };
        if !partition.starts_with("aws")
            || version.starts_with('0')
            || !version.bytes().all(|b| b.is_ascii_digit())
        {
            return Err(form());
        }
        Ok(Self {
            account: account.parse()?,
            region: region.parse()?,
            layer: layer.parse()?,
            version: version.parse().map_err(|_| form())?,
        })
    }
}

as_text!(LayerVersionArn);

/// The ARN of a folder of the node, in the form of an access point of a network file system: what `FileSystemConfigs`
/// names, so that tools which look for an ARN's parts find them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FolderArn {
    /// Whose function has it.
    pub account: AccountId,
    /// The function's region: a folder is in all.
    pub region: Region,
    /// The folder, as the node's configuration names it.
    pub name: FolderName,
}

impl fmt::Display for FolderArn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            account,
            region,
            name,
        } = self;
        write!(
            f,
            "arn:aws:elasticfilesystem:{region}:{account}:access-point/{name}"
        )
    }
}

impl FromStr for FolderArn {
    type Err = ArnError;

    fn from_str(text: &str) -> Result<Self, ArnError> {
        let form = || ArnError::Form {
            kind: "folder ARN",
            expected: "arn:aws:elasticfilesystem:region:123456789012:access-point/name",
        };
        if text.len() > LONGEST_REF {
            return Err(form());
        }
        let parts: Vec<&str> = text.split(':').collect();
        let ["arn", "aws", "elasticfilesystem", region, account, resource] = parts.as_slice()
        else {
            return Err(form());
        };
        Ok(Self {
            account: account.parse()?,
            region: region.parse()?,
            name: resource
                .strip_prefix("access-point/")
                .ok_or_else(form)?
                .parse()?,
        })
    }
}

as_text!(FolderArn);

/// The account of a role's ARN, `arn:aws:iam::123456789012:role/path/name`. Hearth grants by account: any
/// well-formed role of the account will do.
///
/// # Errors
/// If the text is not the ARN of a role.
pub fn role_account(role: &str) -> Result<AccountId, ArnError> {
    let form = || ArnError::Form {
        kind: "role ARN",
        expected: "arn:aws:iam::123456789012:role/name",
    };
    // Service model, `RoleArn`: arn:(aws[a-zA-Z-]*)?:iam::\d{12}:role/?[a-zA-Z_0-9+=,.@\-_/]+ ; IAM's limit on
    // path and name together is 512 + 64 characters.
    const LONGEST_NAME: usize = 576;
    let parts: Vec<&str> = role.splitn(6, ':').collect();
    let ["arn", partition, "iam", "", account, resource] = parts.as_slice() else {
        return Err(form());
    };
    let name = resource.strip_prefix("role/").ok_or_else(form)?;
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@-/".contains(&b);
    if !partition.starts_with("aws")
        || name.is_empty()
        || name.len() > LONGEST_NAME
        || !name.bytes().all(allowed)
    {
        return Err(form());
    }
    Ok(account.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::Version;

    fn parse(text: &str) -> FunctionRef {
        text.parse().unwrap()
    }

    #[test]
    fn a_function_is_named_in_every_way_that_the_service_takes() {
        assert_eq!(parse("f").name.as_str(), "f");
        assert_eq!(
            parse("f:7").qualifier,
            Some(Qualifier::Version(Version::Number(7)))
        );
        let partial = parse("123456789012:function:f:live");
        assert_eq!(partial.account.unwrap().as_str(), "123456789012");
        assert!(matches!(partial.qualifier, Some(Qualifier::Alias(_))));
        let full = parse("arn:aws:lambda:eu-west-1:123456789012:function:f:$LATEST");
        assert_eq!(full.region.unwrap().as_str(), "eu-west-1");
        assert_eq!(parse("function:f").name.as_str(), "f");
        assert_eq!(parse("function:7").name.as_str(), "7");
    }

    #[test]
    fn malformed_references_are_refused() {
        for bad in [
            "",
            ":",
            "f:",
            "f:a:b",
            "arn:aws:s3:eu-west-1:123456789012:function:f",
            "arn:aws:lambda:eu-west-1:1234:function:f",
            "arn:aws:lambda:eu-west-1:123456789012:function:",
            "arn:aws:lambda:../x:123456789012:function:f",
            &"f".repeat(300),
        ] {
            assert!(bad.parse::<FunctionRef>().is_err(), "{bad}");
        }
    }

    #[test]
    fn layer_versions_read_back() {
        let text = "arn:aws:lambda:us-east-1:000000000000:layer:libs:12";
        let arn: LayerVersionArn = text.parse().unwrap();
        assert_eq!(arn.to_string(), text);
        assert_eq!(
            arn.layer_arn(),
            "arn:aws:lambda:us-east-1:000000000000:layer:libs"
        );
        assert!(
            "arn:aws:lambda:us-east-1:000000000000:layer:libs:0"
                .parse::<LayerVersionArn>()
                .is_err()
        );
        assert!(
            "arn:aws:lambda:us-east-1:000000000000:layer:libs"
                .parse::<LayerVersionArn>()
                .is_err()
        );
    }

    #[test]
    fn roles_give_their_account() {
        assert_eq!(
            role_account("arn:aws:iam::000000000000:role/x")
                .unwrap()
                .as_str(),
            "000000000000"
        );
        assert!(role_account("arn:aws:iam::000000000000:role/service-role/x").is_ok());
        for bad in [
            "",
            "x",
            "arn:aws:iam::0:role/x",
            "arn:aws:iam::000000000000:user/x",
            "arn:aws:iam::000000000000:role/",
        ] {
            assert!(role_account(bad).is_err(), "{bad}");
        }
    }
}
