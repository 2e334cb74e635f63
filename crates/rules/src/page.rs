//! Pages of lists that are in memory.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::error::RuleError;
use crate::wire::List;

/// Most entries of a page, and how many there are if nothing was said (service model, `LimitMax100`).
const MOST_LISTED: usize = 100;

/// A page of `entries`, which come by name, and the token of the next.
pub(crate) fn page<T>(
    request: &List,
    entries: impl Iterator<Item = (String, T)>,
) -> Result<(Vec<T>, Option<String>), RuleError> {
    let limit = match request.limit {
        None => Some(MOST_LISTED),
        Some(limit) => usize::try_from(limit)
            .ok()
            .filter(|limit| (1..=MOST_LISTED).contains(limit)),
    };
    let limit = limit
        .ok_or_else(|| RuleError::invalid(format!("Limit must be from 1 to {MOST_LISTED}.")))?;
    let after = request.next_token.as_deref().map(read_token).transpose()?;
    let mut entries = entries
        .filter(|(name, _)| after.as_ref().is_none_or(|after| name > after))
        .peekable();
    let (mut found, mut last) = (Vec::new(), String::new());
    while found.len() < limit {
        let Some((name, entry)) = entries.next() else {
            break;
        };
        found.push(entry);
        last = name;
    }
    let more = entries.peek().is_some();
    Ok((found, more.then(|| BASE64_URL_SAFE_NO_PAD.encode(last))))
}

fn read_token(token: &str) -> Result<String, RuleError> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(token).ok();
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        RuleError::invalid("NextToken must be one that this operation has answered.")
    })
}

/// `NamePrefix`: nothing is the beginning of all.
pub(crate) fn has_prefix(request: &List, name: &str) -> bool {
    let prefix = request.name_prefix.as_deref();
    name.starts_with(prefix.unwrap_or_default())
}
