//! `hearth route`: which requests lead to which function, and the keys that let them in.

use std::path::PathBuf;

use anyhow::Context as _;
use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Map, Value, json};

use super::functions::all_pages;
use super::{Done, output};
use crate::client::{CallError, Client, Connection, encode};

/// Where routes are in the API.
const ROUTES: &str = "/hearth/2026-11-01/routes";
/// Where their keys are.
const KEYS: &str = "/hearth/2026-11-01/route-keys";

#[derive(Args, Debug)]
pub(super) struct RouteArgs {
    #[command(subcommand)]
    command: RouteCommand,
}

#[derive(Subcommand, Debug)]
enum RouteCommand {
    /// Lead requests at a host and a path to a function, or answer them with a fixed response
    Add(Box<AddArgs>),
    /// List routes
    List,
    /// Show a route whole, as JSON that `add --file` takes
    Show {
        /// Name of the route
        name: String,
    },
    /// Remove a route
    Rm {
        /// Name of the route
        name: String,
    },
    /// API keys for routes
    #[command(subcommand)]
    Key(KeyCommand),
}

#[derive(Args, Debug)]
struct AddArgs {
    /// Name of the route
    name: String,
    /// The whole route as JSON, instead of all that follows
    #[arg(long, value_name = "FILE", conflicts_with_all = ["path", "function", "respond"])]
    file: Option<PathBuf>,
    /// Pattern of the path: /users/{id}, /static/{*rest}
    #[arg(long, value_name = "PATTERN", required_unless_present = "file")]
    path: Option<String>,
    /// A host: api.example.com or *.example.com; may be given several times [default: all that no route names]
    #[arg(long, value_name = "HOST")]
    host: Vec<String>,
    /// A method; may be given several times [default: all]
    #[arg(long, value_name = "METHOD")]
    method: Vec<String>,
    /// Name of the function that answers
    #[arg(long, value_name = "NAME", required_unless_present_any = ["file", "respond"])]
    function: Option<String>,
    /// A version or an alias of it
    #[arg(long, value_name = "QUALIFIER", requires = "function")]
    qualifier: Option<String>,
    /// Answer with this status, and no function
    #[arg(long, value_name = "STATUS", conflicts_with = "function")]
    respond: Option<u16>,
    /// Body of that answer
    #[arg(long, value_name = "TEXT", requires = "respond")]
    body: Option<String>,
    /// Header field of that answer; may be given several times
    #[arg(long, value_name = "NAME=VALUE", requires = "respond", value_parser = pair)]
    header: Vec<(String, String)>,
    /// Take these segments from the path's beginning before the function sees it
    #[arg(long, value_name = "PREFIX", conflicts_with = "rewrite")]
    strip_prefix: Option<String>,
    /// The path that the function sees, of the pattern's captures: /v2/{id}
    #[arg(long, value_name = "TEMPLATE")]
    rewrite: Option<String>,
    /// Set a header field of the request; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set_request_header: Vec<(String, String)>,
    /// Remove a header field of the request; may be given several times
    #[arg(long, value_name = "NAME")]
    remove_request_header: Vec<String>,
    /// Set a header field of the response; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    set_response_header: Vec<(String, String)>,
    /// Remove a header field of the response; may be given several times
    #[arg(long, value_name = "NAME")]
    remove_response_header: Vec<String>,
    /// Requests a second of all callers together, and how many at once: 100 or 100/200
    #[arg(long, value_name = "RATE[/BURST]", value_parser = rate)]
    rate: Option<Rate>,
    /// The same for each caller: key, token's subject, account or address
    #[arg(long, value_name = "RATE[/BURST]", value_parser = rate)]
    caller_rate: Option<Rate>,
    /// Who may ask
    #[arg(long, value_enum, default_value = "none")]
    auth: Kind,
    /// With --auth api-key: take this key only; may be given several times [default: every key]
    #[arg(long, value_name = "NAME")]
    key: Vec<String>,
    /// With --auth jwt: who makes the tokens
    #[arg(long, value_name = "URL")]
    issuer: Option<String>,
    /// With --auth jwt: whom they must be for; may be given several times
    #[arg(long, value_name = "AUDIENCE")]
    audience: Vec<String>,
    /// With --auth jwt: a scope, of which one is needed; may be given several times
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<String>,
    /// With --auth jwt: a claim that is needed; may be given several times
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    claim: Vec<(String, String)>,
    /// With --auth jwt: where the issuer's keys are [default: the issuer's configuration tells]
    #[arg(long, value_name = "URL")]
    jwks_url: Option<String>,
    /// Let pages of this origin use it from a browser; * for all; may be given several times
    #[arg(long, value_name = "ORIGIN")]
    cors: Vec<String>,
    /// Keep the route, but let it match nothing
    #[arg(long)]
    disabled: bool,
    /// Put it in the place of the route with this name, if there is one
    #[arg(long)]
    replace: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Everyone
    None,
    /// Who has an API key
    ApiKey,
    /// Who has a token of an issuer
    Jwt,
    /// Who signs with a key of the account
    AwsIam,
}

#[derive(Clone, Copy, Debug)]
struct Rate {
    rate: f64,
    burst: Option<u32>,
}

#[derive(Subcommand, Debug)]
enum KeyCommand {
    /// Make a key; it is printed once
    Create {
        /// Name of the key
        name: String,
    },
    /// List keys
    List,
    /// Let a key in again
    Enable {
        /// Name of the key
        name: String,
    },
    /// Let a key in no more
    Disable {
        /// Name of the key
        name: String,
    },
    /// Delete a key
    Rm {
        /// Name of the key
        name: String,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| format!("'{text}' is not NAME=VALUE"))?;
    Ok((name.to_owned(), value.to_owned()))
}

fn rate(text: &str) -> Result<Rate, String> {
    let form = || format!("'{text}' is not RATE or RATE/BURST, such as 10 or 0.5/20");
    let (rate, burst) = match text.split_once('/') {
        None => (text, None),
        Some((rate, burst)) => (rate, Some(burst.parse().map_err(|_| form())?)),
    };
    let rate: f64 = rate.parse().map_err(|_| form())?;
    if rate.is_finite() && rate > 0.0 {
        Ok(Rate { rate, burst })
    } else {
        Err(form())
    }
}

pub(super) async fn run(
    client: &Client,
    connection: &Connection,
    args: RouteArgs,
) -> Result<Done, CallError> {
    match args.command {
        RouteCommand::Add(args) => {
            let target = one(ROUTES, &args.name);
            let mut route = match &args.file {
                Some(file) => from_file(file)?,
                None => Value::Object(definition(&args)),
            };
            if !args.replace {
                route["RevisionId"] = json!("NEW");
            } else if args.file.is_some() {
                // What the file has is from when it was shown.
                if let Some(route) = route.as_object_mut() {
                    route.remove("RevisionId");
                }
            }
            let made = client.lambda("PUT", target, Some(&route)).await;
            let made = made.map_err(|error| hinted(error, args.replace))?;
            if connection.json {
                output::print_json(&made);
            } else {
                output::print(&output::table(&HEADER, vec![row(&made)]));
                if made.get("Auth").is_none() && made.pointer("/Target/FunctionName").is_some() {
                    output::note("everyone may ask; --auth says who else should");
                }
            }
        }
        RouteCommand::List => {
            let routes = all_pages(client, &format!("{ROUTES}?"), "Routes").await?;
            if connection.json {
                output::print_json(&Value::Array(routes));
            } else if routes.is_empty() {
                output::note(&format!(
                    "no routes in {}; `hearth route add NAME --path /… --function NAME` makes one",
                    connection.region
                ));
            } else {
                output::print(&output::table(&HEADER, routes.iter().map(row).collect()));
            }
        }
        RouteCommand::Show { name } => {
            let route = client.lambda("GET", one(ROUTES, &name), None).await?;
            output::print_json(&route);
        }
        RouteCommand::Rm { name } => {
            client.lambda("DELETE", one(ROUTES, &name), None).await?;
            output::said(connection.json, "removed route", "Deleted", &name);
        }
        RouteCommand::Key(command) => keys(client, connection, command).await?,
    }
    Ok(Done::Ok)
}

async fn keys(
    client: &Client,
    connection: &Connection,
    command: KeyCommand,
) -> Result<(), CallError> {
    match command {
        KeyCommand::Create { name } => {
            let made = client
                .lambda("POST", one(KEYS, &name), Some(&json!({})))
                .await?;
            if connection.json {
                output::print_json(&made);
            } else {
                output::print(&output::member(&made, "Secret"));
                output::note("keep it: nobody can show it again; requests send it as x-api-key");
            }
        }
        KeyCommand::List => {
            let keys = all_pages(client, &format!("{KEYS}?"), "RouteKeys").await?;
            if connection.json {
                output::print_json(&Value::Array(keys));
            } else if keys.is_empty() {
                output::note("no API keys; `hearth route key create NAME` makes one");
            } else {
                let row = |key: &Value| {
                    ["Name", "Id", "Enabled", "CreationTime"]
                        .map(|member| output::member(key, member))
                        .into()
                };
                let header = ["KEY", "ID", "ENABLED", "CREATED"];
                output::print(&output::table(&header, keys.iter().map(row).collect()));
            }
        }
        KeyCommand::Enable { name } => {
            let body = json!({ "Enabled": true });
            client.lambda("PUT", one(KEYS, &name), Some(&body)).await?;
            output::said(connection.json, "enabled key", "Enabled", &name);
        }
        KeyCommand::Disable { name } => {
            let body = json!({ "Enabled": false });
            client.lambda("PUT", one(KEYS, &name), Some(&body)).await?;
            output::said(connection.json, "disabled key", "Disabled", &name);
        }
        KeyCommand::Rm { name } => {
            client.lambda("DELETE", one(KEYS, &name), None).await?;
            output::said(connection.json, "deleted key", "Deleted", &name);
        }
    }
    Ok(())
}

fn one(list: &str, name: &str) -> String {
    format!("{list}/{}", encode(name))
}

/// What to do about an error that the API words for everybody.
fn hinted(error: CallError, replace: bool) -> CallError {
    match error {
        CallError::Api {
            status: 409,
            code,
            message,
        } if !replace && message.contains("already") => CallError::Api {
            status: 409,
            code,
            message: "there is a route of this name; --replace puts this one in its place"
                .to_owned(),
        },
        other => other,
    }
}

fn from_file(file: &std::path::Path) -> Result<Value, CallError> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("read the route from {}", file.display()))?;
    let route: Value = serde_json::from_str(&text)
        .with_context(|| format!("read the route in {} as JSON", file.display()))?;
    if !route.is_object() {
        return Err(anyhow::anyhow!("{} holds no JSON object", file.display()).into());
    }
    let mut route = route;
    if let Some(members) = route.as_object_mut() {
        // The command says which route it is.
        members.remove("Name");
    }
    Ok(route)
}

/// A route as the options say it.
fn definition(args: &AddArgs) -> Map<String, Value> {
    let mut route = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            route.insert(name.to_owned(), value);
        }
    };
    let list = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let pairs = |list: &[(String, String)]| {
        let pairs = list
            .iter()
            .cloned()
            .map(|(name, value)| (name, json!(value)));
        Value::Object(pairs.collect())
    };
    put("Hosts", json!(list(&args.host)));
    put("Path", json!(args.path));
    put("Methods", json!(list(&args.method)));
    put(
        "Target",
        match args.respond {
            None => json!({ "FunctionName": args.function, "Qualifier": args.qualifier }),
            Some(status) => json!({ "Response": {
                "StatusCode": status, "Body": args.body, "Headers": pairs(&args.header),
            }}),
        },
    );
    if args.strip_prefix.is_some() || args.rewrite.is_some() {
        put(
            "Rewrite",
            json!({ "StripPrefix": args.strip_prefix, "Path": args.rewrite }),
        );
    }
    for (member, set, remove) in [
        (
            "RequestHeaders",
            &args.set_request_header,
            &args.remove_request_header,
        ),
        (
            "ResponseHeaders",
            &args.set_response_header,
            &args.remove_response_header,
        ),
    ] {
        if !set.is_empty() || !remove.is_empty() {
            put(member, json!({ "Set": pairs(set), "Remove": remove }));
        }
    }
    let limit = |limit: Option<Rate>| {
        limit.map(|limit| json!({ "RequestsPerSecond": limit.rate, "Burst": limit.burst }))
    };
    put("RateLimit", json!(limit(args.rate)));
    put("CallerRateLimit", json!(limit(args.caller_rate)));
    put("Auth", auth(args));
    if !args.cors.is_empty() {
        put(
            "Cors",
            json!({ "AllowOrigins": args.cors, "AllowMethods": ["*"], "AllowHeaders": ["*"] }),
        );
    }
    if args.disabled {
        put("Enabled", json!(false));
    }
    route
}

fn auth(args: &AddArgs) -> Value {
    let mut auth = match args.auth {
        Kind::None => json!({ "Type": "NONE" }),
        Kind::AwsIam => json!({ "Type": "AWS_IAM" }),
        Kind::ApiKey => json!({ "Type": "API_KEY" }),
        Kind::Jwt => json!({ "Type": "JWT" }),
    };
    // What does not go together is for the API to say.
    if !args.key.is_empty() {
        auth["ApiKeys"] = json!(args.key);
    }
    let has_rules = args.issuer.is_some()
        || args.jwks_url.is_some()
        || !(args.audience.is_empty() && args.scope.is_empty() && args.claim.is_empty());
    if has_rules {
        let claims = args.claim.iter().cloned();
        let claims: Map<String, Value> = claims.map(|(name, value)| (name, json!(value))).collect();
        auth["Jwt"] = json!({
            "Issuer": args.issuer, "JwksUrl": args.jwks_url, "Audiences": args.audience,
            "Scopes": args.scope, "Claims": claims,
        });
    }
    if auth == json!({ "Type": "NONE" }) {
        Value::Null
    } else {
        auth
    }
}

const HEADER: [&str; 6] = ["ROUTE", "HOSTS", "METHODS", "PATH", "TO", "AUTH"];

fn row(route: &Value) -> Vec<String> {
    let joined = |name: &str, none: &str| {
        let list = route.get(name).and_then(Value::as_array);
        let list = list.map(|list| list.iter().filter_map(Value::as_str).collect::<Vec<_>>());
        list.map_or_else(|| none.to_owned(), |list| list.join(","))
    };
    let text = |pointer: &str| route.pointer(pointer).and_then(Value::as_str);
    let to = match (text("/Target/FunctionName"), text("/Target/Qualifier")) {
        (Some(function), Some(qualifier)) => format!("{function}:{qualifier}"),
        (Some(function), None) => function.to_owned(),
        (None, _) => {
            let status = route.pointer("/Target/Response/StatusCode");
            let status = status.and_then(Value::as_u64).unwrap_or(200);
            format!("({status})")
        }
    };
    let mut auth = text("/Auth/Type").unwrap_or("NONE").to_owned();
    if route.get("Enabled") == Some(&json!(false)) {
        auth += " (disabled)";
    }
    vec![
        output::member(route, "Name"),
        joined("Hosts", "*"),
        joined("Methods", "ANY"),
        output::member(route, "Path"),
        to,
        auth,
    ]
}
