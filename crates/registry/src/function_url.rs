//! Function URLs: `CreateFunctionUrlConfig`, `GetFunctionUrlConfig`, `ListFunctionUrlConfigs`,
//! `UpdateFunctionUrlConfig`, `DeleteFunctionUrlConfig`.

use std::sync::Arc;

use hearth_store::contract::Change;
use hearth_store::record::FunctionUrlRecord;
use hearth_types::ApiError;
use hearth_types::arn::FunctionRef;
use hearth_types::function_url::cors::Cors;
use hearth_types::function_url::{InvokeMode, UrlAuth, UrlId};
use hearth_types::name::{FunctionKey, Qualifier, Region, Version};
use hearth_types::wire::lambda::{self, FunctionUrlConfig, FunctionUrlConfigRequest};

use crate::constraints::Constraints;
use crate::page::Listing;
use crate::registry::Subject;
use crate::scope::{one_qualifier, unqualified};
use crate::snapshot::{FunctionEntry, Snapshot};
use crate::{PageRequest, Registry, Scope, present};

const QUALIFIER_PATTERN: &str = r"((?!^\d+$)^[0-9a-zA-Z-_]+$)";
/// Entries of a list of origins or header fields (service model, `AllowOriginsList`, `HeadersList`).
const ENTRIES: usize = 100;
/// Characters of an origin and of a header field's name (service model, `Origin`, `Header`).
const ORIGIN_CHARS: usize = 253;
/// Characters of a header field's name (service model, `Header`).
const HEADER_CHARS: usize = 1_024;
/// Seconds that browsers may remember a preflight (service model, `MaxAge`).
const MAX_AGE_S: i64 = 86_400;
/// Methods that pages may use (API reference, `Cors`).
const METHODS: [&str; 7] = ["GET", "PUT", "HEAD", "POST", "PATCH", "DELETE", "*"];

/// A function URL as the API tells of it, but for the URL itself: whoever listens knows that.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FunctionUrlDescription {
    key: FunctionKey,
    record: Arc<FunctionUrlRecord>,
    is_new: bool,
}

impl FunctionUrlDescription {
    /// The URL's identifier.
    pub fn id(&self) -> UrlId {
        self.record.id
    }

    /// The function's region.
    pub fn region(&self) -> &Region {
        &self.key.region
    }

    /// The answer of an operation, with the whole URL.
    pub fn into_response(self, function_url: String) -> FunctionUrlConfig {
        let record = &self.record;
        let named = match &record.qualifier {
            Qualifier::Version(_) => None,
            alias @ Qualifier::Alias(_) => Some(alias.clone()),
        };
        FunctionUrlConfig {
            function_url,
            function_arn: present::arn(&self.key, named),
            creation_time: record.created.to_iso_string(),
            last_modified_time: (!self.is_new).then(|| record.modified.to_iso_string()),
            cors: record.cors.as_ref().map(shown),
            auth_type: record.auth.as_str().to_owned(),
            invoke_mode: record.mode.as_str().to_owned(),
        }
    }
}

impl Registry {
    /// `CreateFunctionUrlConfig`: gives a function, or an alias of it, a URL with a new identifier.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound), [`ResourceConflict`](hearth_types::ErrorKind::ResourceConflict) if there is
    /// one already; those of bad parameters and of the store. Nothing was changed then.
    pub async fn create_function_url(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        request: FunctionUrlConfigRequest,
    ) -> Result<FunctionUrlDescription, ApiError> {
        let mut constraints = Constraints::default();
        constraints.required("authType", request.auth_type.is_some());
        let asked = Asked::read(&request, &mut constraints);
        constraints.finish()?;
        let cors = asked.cors()?;
        let key = scope.key(function)?;
        let qualifier = alias_or_latest(function, qualifier)?;
        let now = self.now();
        let record = FunctionUrlRecord {
            id: new_id()?,
            qualifier,
            generation: 1,
            // It was checked that it is there.
            auth: asked.auth.unwrap_or(UrlAuth::AwsIam),
            mode: asked.mode.unwrap_or_default(),
            cors: cors.flatten(),
            created: now,
            modified: now,
        };
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, &key, &record.qualifier)?;
            if entry.url(&record.qualifier).is_some() {
                return Err(ApiError::conflict(
                    "FunctionUrlConfig exists for this Lambda function",
                ));
            }
            let answer = describe(&key, &Arc::new(record.clone()), true);
            let change = Change::CreateFunctionUrl(key.clone(), record.clone());
            Ok((vec![change], answer))
        })
        .await
    }

    /// `GetFunctionUrlConfig`.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn get_function_url(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<FunctionUrlDescription, ApiError> {
        let key = scope.key(function)?;
        let qualifier = alias_or_latest(function, qualifier)?;
        let snapshot = self.snapshot();
        let entry = entry(&snapshot, &key, &qualifier)?;
        let record = entry.url(&qualifier).ok_or_else(no_url)?;
        Ok(describe(&key, record, false))
    }

    /// `ListFunctionUrlConfigs`: the URLs of a function and of its aliases, and the marker of the next page.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters.
    pub fn list_function_urls(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        page: &PageRequest,
    ) -> Result<(Vec<FunctionUrlDescription>, Option<String>), ApiError> {
        let (after, size) = Listing::FunctionUrls.begin::<Qualifier>(page)?;
        let key = unqualified(scope, function)?;
        let snapshot = self.snapshot();
        let entry = snapshot
            .function(&key)
            .ok_or_else(|| present::function_not_found(&key, None))?;
        let records = entry
            .urls()
            .filter(|record| after.as_ref().is_none_or(|after| record.qualifier > *after));
        let (records, next) =
            Listing::FunctionUrls.take(records, size, |record| record.qualifier.to_string());
        let described = records
            .into_iter()
            .map(|record| describe(&key, record, false));
        Ok((described.collect(), next))
    }

    /// `UpdateFunctionUrlConfig`. What is absent stays as it is; an empty `Cors` takes the rules away.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters and of the store. Nothing was changed
    /// then.
    pub async fn update_function_url(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
        request: FunctionUrlConfigRequest,
    ) -> Result<FunctionUrlDescription, ApiError> {
        let mut constraints = Constraints::default();
        let asked = Asked::read(&request, &mut constraints);
        constraints.finish()?;
        let cors = asked.cors()?;
        let key = scope.key(function)?;
        let qualifier = alias_or_latest(function, qualifier)?;
        let now = self.now();
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, &key, &qualifier)?;
            let current = entry.url(&qualifier).ok_or_else(no_url)?;
            let mut record = current.as_ref().clone();
            record.generation += 1;
            record.auth = asked.auth.unwrap_or(record.auth);
            record.mode = asked.mode.unwrap_or(record.mode);
            if let Some(cors) = &cors {
                record.cors.clone_from(cors);
            }
            record.modified = now;
            let answer = describe(&key, &Arc::new(record.clone()), false);
            Ok((vec![Change::UpdateFunctionUrl(key.clone(), record)], answer))
        })
        .await
    }

    /// `DeleteFunctionUrlConfig`. The identifier is never used again.
    ///
    /// # Errors
    /// [`ResourceNotFound`](hearth_types::ErrorKind::ResourceNotFound); those of bad parameters and of the store.
    pub async fn delete_function_url(
        &self,
        scope: &Scope,
        function: &FunctionRef,
        qualifier: Option<&Qualifier>,
    ) -> Result<(), ApiError> {
        let key = scope.key(function)?;
        let qualifier = alias_or_latest(function, qualifier)?;
        self.change(&Subject::Function(key.clone()), |snapshot| {
            let entry = entry(snapshot, &key, &qualifier)?;
            entry.url(&qualifier).ok_or_else(no_url)?;
            let change = Change::DeleteFunctionUrl(key.clone(), qualifier.clone());
            Ok((vec![change], ()))
        })
        .await
    }
}

fn describe(
    key: &FunctionKey,
    record: &Arc<FunctionUrlRecord>,
    is_new: bool,
) -> FunctionUrlDescription {
    FunctionUrlDescription {
        key: key.clone(),
        record: Arc::clone(record),
        is_new,
    }
}

fn no_url() -> ApiError {
    ApiError::not_found("The resource you requested does not exist.")
}

/// Unguessable, so that the address of a URL tells nothing of its function.
fn new_id() -> Result<UrlId, ApiError> {
    let mut bytes = [0; 20];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "read random bytes from the operating system");
        ApiError::service("No identifier could be made for the URL. Try again.")
    })?;
    Ok(UrlId::from_random(bytes))
}

/// URLs are of functions and of aliases, never of versions.
fn alias_or_latest(
    function: &FunctionRef,
    qualifier: Option<&Qualifier>,
) -> Result<Qualifier, ApiError> {
    match one_qualifier(function, qualifier)? {
        None => Ok(Qualifier::Version(Version::Latest)),
        Some(alias @ Qualifier::Alias(_)) => Ok(alias.clone()),
        Some(version @ Qualifier::Version(_)) => {
            let mut constraints = Constraints::default();
            let text = version.to_string();
            constraints.pattern("qualifier", &text, false, QUALIFIER_PATTERN);
            constraints.finish()?;
            Err(ApiError::invalid("A function URL needs an alias or none."))
        }
    }
}

fn entry<'s>(
    snapshot: &'s Snapshot,
    key: &FunctionKey,
    qualifier: &Qualifier,
) -> Result<&'s FunctionEntry, ApiError> {
    let entry = snapshot
        .function(key)
        .ok_or_else(|| present::function_not_found(key, None))?;
    match entry.qualified(Some(qualifier)) {
        Some(_) => Ok(entry),
        None => Err(present::function_not_found(key, Some(qualifier))),
    }
}

/// What a request asks for, as far as its shape tells.
struct Asked<'r> {
    auth: Option<UrlAuth>,
    mode: Option<InvokeMode>,
    cors: Option<&'r lambda::Cors>,
}

impl<'r> Asked<'r> {
    fn read(request: &'r FunctionUrlConfigRequest, constraints: &mut Constraints) -> Self {
        if let Some(text) = &request.auth_type {
            constraints.one_of("authType", text, &UrlAuth::NAMES);
        }
        if let Some(text) = &request.invoke_mode {
            constraints.one_of("invokeMode", text, &InvokeMode::NAMES);
        }
        if let Some(cors) = &request.cors {
            check_cors(cors, constraints);
        }
        Self {
            auth: request.auth_type.as_deref().and_then(UrlAuth::read),
            mode: request.invoke_mode.as_deref().and_then(InvokeMode::read),
            cors: request.cors.as_ref(),
        }
    }

    /// The rules that are asked for: `None` if the request has none, `Some(None)` for empty ones.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] for rules that no browser or header field can carry.
    fn cors(&self) -> Result<Option<Option<Cors>>, ApiError> {
        self.cors.map(cors_of).transpose()
    }
}

/// The rules that a route is given; `None` for empty ones.
///
/// # Errors
/// [`hearth_types::ErrorKind::Validation`] and [`hearth_types::ErrorKind::InvalidParameterValue`].
pub(crate) fn read_cors(asked: &lambda::Cors) -> Result<Option<Cors>, ApiError> {
    let mut constraints = Constraints::default();
    check_cors(asked, &mut constraints);
    constraints.finish()?;
    cors_of(asked)
}

fn cors_of(asked: &lambda::Cors) -> Result<Option<Cors>, ApiError> {
    let list = |list: &Option<Vec<String>>| list.clone().unwrap_or_default();
    let cors = Cors {
        allow_credentials: asked.allow_credentials.unwrap_or(false),
        allow_headers: list(&asked.allow_headers),
        allow_methods: list(&asked.allow_methods),
        allow_origins: list(&asked.allow_origins),
        expose_headers: list(&asked.expose_headers),
        max_age_s: asked.max_age.and_then(|age| u32::try_from(age).ok()),
    };
    for name in cors.allow_headers.iter().chain(&cors.expose_headers) {
        if name.is_empty() || !name.bytes().all(is_token) {
            return Err(unusable("header field", name));
        }
    }
    for method in &cors.allow_methods {
        if !METHODS.contains(&method.as_str()) {
            return Err(unusable("method", method));
        }
    }
    for origin in &cors.allow_origins {
        let is_visible = |byte: u8| byte.is_ascii_graphic() && !b",\"<>".contains(&byte);
        if !origin.bytes().all(is_visible) || (origin != "*" && !origin.contains("://")) {
            return Err(unusable("origin", origin));
        }
    }
    Ok((cors != Cors::default()).then_some(cors))
}

fn unusable(what: &str, value: &str) -> ApiError {
    let shown: String = value.chars().take(80).collect();
    ApiError::invalid(format!("'{shown}' in Cors is not a valid {what}."))
}

/// A character of a token (RFC 9110, section 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn check_cors(cors: &lambda::Cors, constraints: &mut Constraints) {
    for (member, list, most, chars) in [
        (
            "cors.allowHeaders",
            &cors.allow_headers,
            ENTRIES,
            0..=HEADER_CHARS,
        ),
        ("cors.allowMethods", &cors.allow_methods, 6, 0..=6),
        (
            "cors.allowOrigins",
            &cors.allow_origins,
            ENTRIES,
            1..=ORIGIN_CHARS,
        ),
        (
            "cors.exposeHeaders",
            &cors.expose_headers,
            ENTRIES,
            0..=HEADER_CHARS,
        ),
    ] {
        let list = list.as_deref().unwrap_or_default();
        if list.len() > most {
            constraints.breach(
                member,
                format_args!("{} entries", list.len()),
                format_args!("Member must have length less than or equal to {most}"),
            );
            continue;
        }
        for entry in list {
            constraints.length(member, entry, chars.clone());
        }
    }
    if let Some(age) = cors.max_age {
        constraints.range("cors.maxAge", age, 0..=MAX_AGE_S);
    }
}

/// Rules as the API shows them.
fn shown(cors: &Cors) -> lambda::Cors {
    let list = |list: &Vec<String>| (!list.is_empty()).then(|| list.clone());
    lambda::Cors {
        allow_credentials: Some(cors.allow_credentials),
        allow_headers: list(&cors.allow_headers),
        allow_methods: list(&cors.allow_methods),
        allow_origins: list(&cors.allow_origins),
        expose_headers: list(&cors.expose_headers),
        max_age: cors.max_age_s.map(i64::from),
    }
}
