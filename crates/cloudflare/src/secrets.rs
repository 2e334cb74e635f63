//! Secrets: environment variables of the function, which are in no package and are shown to nobody by this API.

use hearth_registry::Scope;
use serde::Deserialize;
use serde_json::json;

use crate::answer::{Failure, Reply, code, quoted};
use crate::api::{Cloudflare, Request};
use crate::bindings::SECRET;
use crate::deployments::{Deploying, is_same};
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
            return Err(Failure::new(
                404,
                code::NO_BINDING,
                format!("The worker has no secret {}.", quoted(secret)),
            ));
        }
        let message = format!("Secret {secret} deleted");
        self.set_secrets(scope, name, secrets, &message).await?;
        Ok(Reply::of(json!(null)))
    }

    /// Makes a version with other secrets, and deploys it.
    ///
    /// # Errors
    /// Also if what was uploaded last is not deployed, be it a version or what could not be made one: it would be, by that.
    pub(crate) async fn set_secrets(
        &self,
        scope: &Scope,
        name: &str,
        secrets: Secrets,
        message: &str,
    ) -> Result<(), Failure> {
        let latest = self.script_named(scope, name)?;
        let published = self.published(scope, name)?;
        let deployed = self.deployed(scope, name)?;
        let is_deployed = published.first().is_some_and(|newest| {
            newest.code_sha256 == latest.configuration.code_sha256
                && matches!(deployed.as_slice(), [(at, share)]
                    if number(newest) == Some(*at) && is_same(*share, 100.0))
        });
        if !deployed.is_empty() && !is_deployed {
            return Err(Failure::new(
                400,
                code::NOT_DEPLOYED,
                "What was uploaded last is not what is deployed, and would be by this. Deploy first.",
            ));
        }
        let note = self.note_of(&latest.code).await?;
        let before = secrets_of(&latest.configuration);
        let mut changed = secrets
            .iter()
            .filter(|(name, text)| before.get(*name) != Some(*text));
        if let Some((taken, _)) =
            changed.find(|(name, _)| note.bindings.iter().any(|known| known.name == **name))
        {
            return Err(Failure::invalid(format!(
                "The worker has a binding {} already. Take that out of Wrangler's configuration, and deploy, before.",
                quoted(taken)
            )));
        }
        self.update(scope, name, None, Some(secrets)).await?;
        let number = self.publish(scope, name, message).await?;
        let deploying = Deploying::whole(number, message, "secret");
        self.deploy(scope, name, deploying).await?;
        Ok(())
    }
}
