//! Function URLs and routes with `AWS_IAM`: who signed, and whether they are let in.

use hearth_types::limits::REQUEST_PAYLOAD_BYTES;
use hearth_types::name::{AccountId, Region};
use hearth_types::time::Timestamp;
use hearth_types::wire::function_url::Iam;
use hearth_types::{ApiError, ErrorKind};
use http::request::Parts;
use hyper::body::Incoming;

use super::refusal::Refusal;
use crate::auth::Service;
use crate::body;
use crate::gateway::Parted;

impl Parted {
    /// Reads the body, which the signature covers, and checks it. The head must be as it came. Signatures must be for
    /// `region`, by an account that `lets_in` lets in.
    pub(crate) async fn signed(
        &self,
        region: &Region,
        lets_in: impl Fn(&AccountId) -> bool,
        parts: &Parts,
        body: &mut Incoming,
        at: Timestamp,
    ) -> Result<(body::Read, Iam), Refusal> {
        let admitted = self.keys.admit(parts, at, Service::Lambda)?;
        let pace = self.connections.pace;
        let read = body::read(body, REQUEST_PAYLOAD_BYTES, &self.budget, pace)
            .await
            .map_err(|unread| Refusal::unread(unread, REQUEST_PAYLOAD_BYTES))?;
        let caller = admitted.verify(&read.sha256)?;
        if caller.region != *region {
            return Err(Refusal::from(ApiError::new(
                ErrorKind::InvalidSignature,
                format!("Credential should be scoped to a valid region: '{region}'."),
            )));
        }
        if !lets_in(&caller.account) {
            return Err(Refusal::forbidden());
        }
        let account = caller.account.as_str().to_owned();
        let signer = Iam {
            access_key: caller.access_key_id,
            caller_id: account.clone(),
            cognito_identity: None,
            principal_org_id: None,
            user_arn: format!("arn:aws:iam::{account}:root"),
            user_id: account.clone(),
            account_id: account,
        };
        Ok((read, signer))
    }
}
