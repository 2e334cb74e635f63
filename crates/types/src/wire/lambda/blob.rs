//! Binary members of JSON bodies.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that travel as base64. `Debug` shows how many there are, not which.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Blob(pub Bytes);

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.0.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Base64;

        impl Visitor<'_> for Base64 {
            type Value = Blob;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("binary data as a string in base64")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Blob, E> {
                let bytes = STANDARD
                    .decode(text)
                    .map_err(|e| E::custom(format_args!("binary data must be in base64: {e}")))?;
                Ok(Blob(bytes.into()))
            }
        }

        // Borrowing the text keeps a package of tens of megabytes from being copied before it is decoded.
        deserializer.deserialize_str(Base64)
    }
}
