//! Pages of listings.
//!
//! A marker names the entry that a page ended with, and the next page begins after it: entries that come or go
//! between two pages are neither repeated nor do they make others be passed over.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hearth_types::ApiError;
use hearth_types::limits::{DEFAULT_PAGE_SIZE, PAGE_SIZE};

use crate::PageRequest;
use crate::constraints::Constraints;

/// A kind of listing. A marker of one is of no use to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Listing {
    Functions,
    Versions,
    Aliases,
    FunctionUrls,
    EventInvokes,
    Layers,
    LayerVersions,
    Routes,
    RouteKeys,
    Topics,
    Mappings,
}

impl Listing {
    const fn letter(self) -> char {
        match self {
            Self::Functions => 'f',
            Self::Versions => 'v',
            Self::Aliases => 'a',
            Self::FunctionUrls => 'u',
            Self::EventInvokes => 'e',
            Self::Layers => 'l',
            Self::LayerVersions => 'w',
            Self::Routes => 'r',
            Self::RouteKeys => 'k',
            Self::Topics => 't',
            Self::Mappings => 'm',
        }
    }

    /// The most entries that a page may be asked to have (service model, `MaxListItems`, `MaxItems`,
    /// `MaxFunctionEventInvokeConfigListItems` and `MaxLayerListItems`).
    fn most_asked(self) -> i64 {
        match self {
            Self::Functions | Self::Versions | Self::Aliases | Self::Mappings => {
                i64::from(*PAGE_SIZE.end())
            }
            Self::Routes
            | Self::RouteKeys
            | Self::Topics
            | Self::FunctionUrls
            | Self::EventInvokes
            | Self::Layers
            | Self::LayerVersions => 50,
        }
    }

    /// The most entries that a page has: of functions and versions 50, of event source mappings 100, whatever was asked for
    /// (API reference).
    fn most_given(self) -> i64 {
        match self {
            Self::Functions | Self::Versions => i64::from(DEFAULT_PAGE_SIZE),
            Self::Mappings => 100,
            Self::Aliases
            | Self::FunctionUrls
            | Self::EventInvokes
            | Self::Layers
            | Self::LayerVersions
            | Self::Routes
            | Self::RouteKeys
            | Self::Topics => self.most_asked(),
        }
    }

    /// The position that a page begins after, if it is not the first, and how many entries it has.
    ///
    /// # Errors
    /// [`hearth_types::ErrorKind::Validation`] for a size out of range,
    /// [`hearth_types::ErrorKind::InvalidParameterValue`] for a marker that is none.
    pub(crate) fn begin<P: std::str::FromStr>(
        self,
        request: &PageRequest,
    ) -> Result<(Option<P>, usize), ApiError> {
        let mut constraints = Constraints::default();
        if let Some(max) = request.max_items {
            constraints.range("maxItems", max, 1..=self.most_asked());
        }
        constraints.finish()?;
        let size = request
            .max_items
            .unwrap_or_else(|| i64::from(DEFAULT_PAGE_SIZE))
            .min(self.most_given());
        // Some clients send an empty marker for the first page.
        let after = match request.marker.as_deref() {
            None | Some("") => None,
            Some(marker) => Some(self.position(marker).ok_or_else(|| {
                ApiError::invalid(
                    "The Marker is not one of this listing. Use the NextMarker of the page before.",
                )
            })?),
        };
        Ok((after, usize::try_from(size).unwrap_or(1)))
    }

    fn position<P: std::str::FromStr>(self, marker: &str) -> Option<P> {
        // The longest position is a topic's name; a longer marker is not looked at.
        const LONGEST: usize = 512;
        if marker.len() > LONGEST {
            return None;
        }
        let text = String::from_utf8(URL_SAFE_NO_PAD.decode(marker).ok()?).ok()?;
        text.strip_prefix(self.letter())?.parse().ok()
    }

    fn marker(self, position: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}{position}", self.letter()))
    }

    /// Takes one page of `entries`; `position` names an entry. Gives the page and the marker of the next one.
    pub(crate) fn take<T>(
        self,
        entries: impl Iterator<Item = T>,
        size: usize,
        position: impl Fn(&T) -> String,
    ) -> (Vec<T>, Option<String>) {
        let mut page = Vec::new();
        for entry in entries {
            if page.len() == size {
                let next = page.last().map(|last| self.marker(&position(last)));
                return (page, next);
            }
            page.push(entry);
        }
        (page, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(marker: Option<&str>, max_items: Option<i64>) -> PageRequest {
        PageRequest {
            marker: marker.map(str::to_owned),
            max_items,
        }
    }

    #[test]
    fn pages_follow_each_other_and_the_last_has_no_marker() {
        let (page, next) = Listing::Versions.take(1..=5_u64, 2, u64::to_string);
        assert_eq!(page, [1, 2]);
        let (after, size) = Listing::Versions
            .begin::<u64>(&request(next.as_deref(), Some(3)))
            .unwrap();
        assert_eq!((after, size), (Some(2), 3));
        let (page, next) = Listing::Versions.take(3..=5_u64, size, u64::to_string);
        assert_eq!((page, next), (vec![3, 4, 5], None));
    }

    #[test]
    fn foreign_markers_and_sizes_are_refused() {
        let marker = Listing::Aliases.marker("1");
        for bad in [marker.as_str(), "%%", "1", &"A".repeat(4096)] {
            assert!(
                Listing::Versions
                    .begin::<u64>(&request(Some(bad), None))
                    .is_err(),
                "{bad}"
            );
        }
        for bad in [0, -1, 10_001] {
            assert!(
                Listing::Versions
                    .begin::<u64>(&request(None, Some(bad)))
                    .is_err(),
                "{bad}"
            );
        }
        assert!(
            Listing::Layers
                .begin::<u64>(&request(None, Some(51)))
                .is_err()
        );
    }
}
