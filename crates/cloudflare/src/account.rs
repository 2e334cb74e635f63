//! Who the caller is: what `wrangler whoami` asks.

use serde_json::json;

use crate::answer::{Failure, Reply};
use crate::api::{Caller, Cloudflare, Request, no_route};

impl Cloudflare {
    /// What is not below an account.
    pub(crate) fn of_user(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        segments: &[&str],
    ) -> Result<Reply, Failure> {
        let account = caller.scope.account.as_str();
        let described = json!({ "id": account, "name": account, "type": "standard" });
        match (request.method.as_str(), segments) {
            ("GET", ["user", "tokens", "verify"]) => {
                Ok(Reply::of(json!({ "id": account, "status": "active" })))
            }
            ("GET", ["user"]) => Ok(Reply::of(json!({ "id": account, "email": "" }))),
            ("GET", ["accounts"]) => Ok(Reply::of(json!([described]))),
            ("GET", ["accounts", id]) if *id == account => Ok(Reply::of(described)),
            ("GET", ["memberships"]) => Ok(Reply::of(json!([{
                "id": account,
                "status": "accepted",
                "account": described,
                "roles": [],
            }]))),
            _ => Err(no_route(request)),
        }
    }
}
