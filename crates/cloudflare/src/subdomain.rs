//! `workers.dev`: here, the function URL of what is deployed.

use hearth_registry::Scope;
use hearth_types::ErrorKind;
use hearth_types::arn::FunctionRef;
use hearth_types::name::Qualifier;
use hearth_types::wire::lambda::{AddPermissionRequest, FunctionUrlConfigRequest};
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Failure, Reply};
use crate::api::{Cloudflare, Request, no_route};
use crate::worker::{DEPLOYED, function};

/// What Wrangler writes between a worker's name and `workers.dev`. It has a character that no subdomain there can have:
/// the address that Wrangler shows leads to nobody, rather than to somebody else.
const SUBDOMAIN: &str = "in_hearth";

/// Who a URL lets in: everyone.
const EVERYONE: &str = "NONE";

/// The statements that let everyone in, as `hearth url create --public` makes them: name and action.
const PUBLIC: [(&str, &str); 2] = [
    ("hearth-url-public", "lambda:InvokeFunctionUrl"),
    ("hearth-url-public-invoke", "lambda:InvokeFunction"),
];

fn deployed() -> Result<Qualifier, Failure> {
    DEPLOYED
        .parse()
        .map_err(|_| Failure::internal("The alias has a bad name."))
}

impl Cloudflare {
    /// `GET workers/subdomain`.
    pub(crate) fn account_subdomain(&self, request: &Request<'_>) -> Result<Reply, Failure> {
        if request.method != http::Method::GET {
            return Err(no_route(request));
        }
        Ok(Reply::of(json!({ "subdomain": SUBDOMAIN })))
    }

    /// Who the URL of what is deployed lets in, `NONE` or `AWS_IAM`; `None` if there is no URL.
    fn url_auth(&self, scope: &Scope, name: &str) -> Result<Option<String>, Failure> {
        let (function, qualifier) = (function(name)?, deployed()?);
        match self
            .registry
            .get_function_url(scope, &function, Some(&qualifier))
        {
            Ok(found) => Ok(Some(found.into_response(String::new()).auth_type)),
            Err(error) if error.kind == ErrorKind::ResourceNotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// `GET scripts/<name>/subdomain`.
    pub(crate) fn script_subdomain(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        self.script_named(scope, name)?;
        let enabled = self.url_auth(scope, name)?.is_some();
        Ok(Reply::of(
            json!({ "enabled": enabled, "previews_enabled": false }),
        ))
    }

    /// `POST scripts/<name>/subdomain`: gives what is deployed a URL that everyone may use, or takes it away.
    pub(crate) async fn set_subdomain(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            enabled: bool,
        }
        let asked: Asked = request.json()?;
        self.script_named(scope, name)?;
        let (function, qualifier) = (function(name)?, deployed()?);
        let auth = self.url_auth(scope, name)?;
        if asked.enabled && auth.is_none() {
            let url = FunctionUrlConfigRequest {
                auth_type: Some(EVERYONE.to_owned()),
                ..FunctionUrlConfigRequest::default()
            };
            self.registry
                .create_function_url(scope, &function, Some(&qualifier), url)
                .await?;
        }
        // Also if a URL was there: a call before may have ended between the two.
        if asked.enabled && auth.as_deref().is_none_or(|auth| auth == EVERYONE) {
            self.let_everyone_in(scope, &function, &qualifier).await?;
        } else if !asked.enabled && auth.is_some() {
            self.registry
                .delete_function_url(scope, &function, Some(&qualifier))
                .await?;
        }
        Ok(Reply::of(
            json!({ "enabled": asked.enabled, "previews_enabled": false }),
        ))
    }

    async fn let_everyone_in(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: &Qualifier,
    ) -> Result<(), Failure> {
        for (statement, action) in PUBLIC {
            let by_url = action == "lambda:InvokeFunctionUrl";
            let request = AddPermissionRequest {
                statement_id: Some(statement.to_owned()),
                action: Some(action.to_owned()),
                principal: Some("*".to_owned()),
                // What is allowed at the URL is allowed nowhere else.
                function_url_auth_type: by_url.then(|| EVERYONE.to_owned()),
                invoked_via_function_url: (!by_url).then_some(true),
                ..AddPermissionRequest::default()
            };
            match self
                .registry
                .add_permission(scope, function, Some(qualifier), request)
                .await
            {
                Ok(_) => {}
                // It is there already.
                Err(error) if error.kind == ErrorKind::ResourceConflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}
