//! Why a request has no response.

use hearth_types::walls::Walls;

use crate::target::Target;

/// Why a request has no response, or why its body broke off: a sentence for the function's author, without what names
/// lead to inside.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Not a method that can be sent.
    #[error("The request's method can't be sent.")]
    Method,
    /// Neither `http` nor `https`.
    #[error("The request's URL has another scheme than http and https.")]
    Scheme,
    /// Not a URL that can be asked.
    #[error("The request's URL can't be read.")]
    Url,
    /// The function may not send requests there.
    #[error(
        "The request to {0} was denied: the function may not send requests to this host. To allow it, add {entry} to \
         the function's tag {tag}.",
        entry = .0.authority(), tag = Walls::ALLOWED_HOSTS_TAG
    )]
    NotListed(Target),
    /// The host leads to addresses that are not for functions.
    #[error(
        "The request to {target} was denied: {host} leads to no address that is open to functions, but to {what}.",
        host = .target.host
    )]
    Closed {
        /// Where it should have gone.
        target: Target,
        /// What is there.
        what: &'static str,
    },
    /// The name is not known.
    #[error("The request to {0} failed: the name {host} was not found.", host = .0.host)]
    Unknown(Target),
    /// There is no route.
    #[error("The request to {0} failed: this node knows no way to {host}.", host = .0.host)]
    NoRoute(Target),
    /// No connection in time.
    #[error("No connection could be made in time.")]
    ConnectTimeout,
    /// Nobody listens there.
    #[error("The connection was refused.")]
    Refused,
    /// There is no way there after all.
    #[error("The address can't be reached.")]
    Unreachable,
    /// Connecting failed in another way.
    #[error("No connection could be made.")]
    Unavailable,
    /// The other side's certificate is not one for that name.
    #[error("The server's certificate is not valid for this host.")]
    Certificate,
    /// The other side ended the handshake.
    #[error("The server refused the TLS handshake: {name}.")]
    TlsAlert {
        /// Its number.
        number: u8,
        /// Its name.
        name: String,
    },
    /// The handshake failed.
    #[error("The TLS handshake failed.")]
    Tls,
    /// This node can't speak TLS.
    #[error("This node can't send https requests; its log says why.")]
    NoTls,
    /// The head of the response, or the next part of its body, did not come in time.
    #[error("The response did not come in time.")]
    ReadTimeout,
    /// The head of the response is too large.
    #[error("The head of the response is larger than {0} bytes.")]
    HeadTooLarge(u32),
    /// It is not HTTP.
    #[error("The response is not HTTP.")]
    Protocol,
    /// The connection ended before the response did.
    #[error("The response broke off.")]
    Incomplete,
    /// The connection ended.
    #[error("The connection ended.")]
    Ended,
    /// The request's own body broke off.
    #[error("The request's body broke off.")]
    Body(#[source] hyper::Error),
    /// The node's fault, which was logged.
    #[error("The node could not send the request; its log says why.")]
    Internal,
}

impl Error {
    /// Whether it is a decision of the platform's, or what only it can know: told to the function's log where code is
    /// not told a sentence.
    #[must_use]
    pub fn is_the_platforms(&self) -> bool {
        matches!(
            self,
            Self::NotListed(_) | Self::Closed { .. } | Self::Unknown(_) | Self::NoRoute(_)
        )
    }
}
