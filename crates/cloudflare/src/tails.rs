//! `wrangler tail`: what a worker writes, as it comes.

use hearth_registry::Scope;
use hearth_telemetry::tails::{self, TailFilter};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{Failure, Reply};
use crate::api::{Caller, Cloudflare, PREFIX, Request};
use crate::notes::after;
use crate::worker::function;

/// Filters of a tail. Wrangler has seven.
const MOST_FILTERS: usize = 20;

/// A filter as Wrangler writes it: one member of these.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Asked {
    sampling_rate: Option<f64>,
    outcome: Option<Vec<String>>,
    method: Option<Vec<String>>,
    header: Option<Header>,
    query: Option<String>,
    #[serde(rename = "scriptVersion")]
    script_version: Option<String>,
    client_ip: Option<Vec<String>>,
}

#[derive(Clone, Debug, Deserialize)]
struct Header {
    key: String,
    query: Option<String>,
}

impl Cloudflare {
    /// `POST scripts/<name>/tails`.
    pub(crate) fn begin_tail(
        &self,
        caller: &Caller,
        request: &Request<'_>,
        name: &str,
    ) -> Result<Reply, Failure> {
        #[derive(Default, Deserialize)]
        #[serde(default)]
        struct Body {
            filters: Vec<Asked>,
        }
        let body: Body = if request.body.is_empty() {
            Body::default()
        } else {
            request.json()?
        };
        self.script_named(&caller.scope, name)?;
        if body.filters.len() > MOST_FILTERS {
            return Err(Failure::invalid("The tail has too many filters."));
        }
        let mut filter = TailFilter::default();
        for asked in body.filters {
            if asked.client_ip.is_some() || asked.script_version.is_some() {
                return Err(Failure::invalid(
                    "Hearth has no filters of a tail by address or by version. Leave --ip and --version-id out.",
                ));
            }
            filter.sampling_rate = asked.sampling_rate.or(filter.sampling_rate);
            filter.outcomes = asked.outcome.or(filter.outcomes);
            filter.methods = asked.method.or(filter.methods);
            let header = asked.header.map(|header| (header.key, header.query));
            filter.header = header.or(filter.header);
            filter.text = asked.query.or(filter.text);
        }
        let key = caller.scope.key(&function(name)?)?;
        let id = uuid::Uuid::new_v4().simple().to_string();
        let begun = self.tails.begin(&id, key, filter);
        if !begun {
            return Err(Failure::new(
                429,
                crate::answer::code::INVALID,
                "There are as many tails as there may be. End some.",
            ));
        }
        let base = caller.base.replacen("http", "ws", 1);
        Ok(Reply::of(json!({
            "id": id,
            "url": format!("{base}{PREFIX}/tails/{id}"),
            "expires_at": after(tails::LIFE).to_iso_string(),
        })))
    }

    /// `DELETE scripts/<name>/tails/<id>`. One that is not there is as good as ended.
    pub(crate) fn end_tail(&self, scope: &Scope, id: &str) -> Reply {
        self.tails.end(id, &scope.account);
        Reply::of(Value::Null)
    }
}
