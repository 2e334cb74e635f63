//! Secrets: environment variables of the function, which are in no package and are shown to nobody by this API.

use hearth_registry::Scope;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Failure, Reply, code};
use crate::api::{Cloudflare, Request};
use crate::bindings::SECRET;
use crate::deployments::Deploying;
use crate::worker::{Secrets, number, secrets_of};

impl Cloudflare {
    /// `GET secrets`: their names.
    pub(crate) fn list_secrets(&self, scope: &Scope, name: &str) -> Result<Reply, Failure> {
        let found = self.script_named(scope, name)?;
        let secrets = secrets_of(&found.configuration).into_keys();
        let shown = secrets.map(|name| json!({ "name": name, "type": SECRET }));
        Ok(Reply::of(shown.collect::<Vec<_>>()))
    }

    /// `PUT secrets`: sets one.
    pub(crate) async fn put_secret(
        &self,
        scope: &Scope,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Deserialize)]
        struct Asked {
            name: String,
            text: String,
        }
        let asked: Asked = request.json()?;
        let found = self.script_named(scope, name)?;
        let note = self.note_of(&found.code).await?;
        if note.bindings.iter().any(|known| known.name == asked.name) {
            return Err(Failure::invalid(format!(
                "The worker has a binding {} already. Take that out of Wrangler's configuration, and deploy, before.",
                asked.name
            )));
        }
        let mut secrets = secrets_of(&found.configuration);
        secrets.insert(asked.name.clone(), asked.text);
        let message = format!("Secret {} set", asked.name);
        self.set_secrets(scope, name, secrets, &message).await?;
        Ok(Reply::of(json!({ "name": asked.name, "type": SECRET })))
    }

    /// `DELETE secrets/<secret>`.
    pub(crate) async fn delete_secret(
        &self,
        scope: &Scope,
        name: &str,
        secret: &str,
    ) -> Result<Reply, Failure> {
        let found = self.script_named(scope, name)?;
        let mut secrets = secrets_of(&found.configuration);
        if secrets.remove(secret).is_none() {
            let shown: String = secret.chars().take(80).collect();
            return Err(Failure::new(
                404,
                code::NO_BINDING,
                format!("The worker has no secret {shown}."),
            ));
        }
        let message = format!("Secret {secret} deleted");
        self.set_secrets(scope, name, secrets, &message).await?;
        Ok(Reply::of(json!(null)))
    }

    /// Makes a version with other secrets, and deploys it.
    ///
    /// # Errors
    /// Also if the newest version is not deployed: it would be, by that.
    pub(crate) async fn set_secrets(
        &self,
        scope: &Scope,
        name: &str,
        secrets: Secrets,
        message: &str,
    ) -> Result<(), Failure> {
        let newest = self.published(scope, name)?.first().and_then(number);
        let deployed = self.deployed(scope, name)?;
        let is_newest = |number| deployed.as_slice() == [(number, 100.0)];
        if !deployed.is_empty() && !newest.is_some_and(is_newest) {
            return Err(Failure::new(
                400,
                code::NOT_DEPLOYED,
                "The newest version of the worker is not deployed, and would be by this. Deploy it first.",
            ));
        }
        self.update(scope, name, None, Some(secrets)).await?;
        let number = self.publish(scope, name, message).await?;
        let deploying = Deploying::whole(number, message, "secret");
        self.deploy(scope, name, deploying).await?;
        Ok(())
    }
}
