//! The root key of a node: made at first start, kept as an AWS shared-credentials file that every AWS tool reads.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use base64::Engine as _;
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// An access key and its secret.
#[derive(Clone)]
pub(crate) struct RootKey {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

/// Where the key of the node with this data folder is.
pub(crate) fn credentials_path(data: &Path) -> PathBuf {
    data.join("credentials")
}

impl RootKey {
    /// The key from `HEARTH_ACCESS_KEY_ID` and `HEARTH_SECRET_ACCESS_KEY`, if they are set.
    pub(crate) fn from_environment() -> anyhow::Result<Option<Self>> {
        let read = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        match (
            read("HEARTH_ACCESS_KEY_ID"),
            read("HEARTH_SECRET_ACCESS_KEY"),
        ) {
            (None, None) => Ok(None),
            (Some(access_key_id), Some(secret_access_key)) => {
                // Identifiers travel in a header whose fields are separated by slashes and commas.
                if !access_key_id.bytes().all(|b| b.is_ascii_alphanumeric())
                    || access_key_id.len() < 3
                {
                    bail!("HEARTH_ACCESS_KEY_ID must be 3 or more letters and digits");
                }
                if secret_access_key.len() < 8 {
                    bail!("HEARTH_SECRET_ACCESS_KEY must have at least 8 characters");
                }
                Ok(Some(Self {
                    access_key_id,
                    secret_access_key,
                }))
            }
            _ => bail!("set both of HEARTH_ACCESS_KEY_ID and HEARTH_SECRET_ACCESS_KEY, or neither"),
        }
    }

    /// Reads the credentials file of a data folder.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Self> {
        let path = credentials_path(data);
        let text =
            std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let value = |name: &str| {
            let line = text
                .lines()
                .filter_map(|line| line.split_once('='))
                .find(|(key, _)| key.trim() == name);
            line.map(|(_, value)| value.trim().to_owned())
                .filter(|value| !value.is_empty())
        };
        match (value("aws_access_key_id"), value("aws_secret_access_key")) {
            (Some(access_key_id), Some(secret_access_key)) => Ok(Self {
                access_key_id,
                secret_access_key,
            }),
            _ => bail!(
                "{} has no aws_access_key_id and aws_secret_access_key; restore it, or move it away to get a new key",
                path.display()
            ),
        }
    }

    /// The key of the environment, else of the data folder, else a new one that is written there (mode 0600).
    pub(crate) fn load_or_create(data: &Path) -> anyhow::Result<Self> {
        if let Some(key) = Self::from_environment()? {
            return Ok(key);
        }
        if credentials_path(data).exists() {
            return Self::read(data);
        }
        let key = Self::generate()?;
        let text = format!(
            "[default]\naws_access_key_id = {}\naws_secret_access_key = {}\n",
            key.access_key_id, key.secret_access_key
        );
        write_private(&credentials_path(data), text.as_bytes())?;
        Ok(key)
    }

    /// The forms that AWS's own have: `AKIA` and 16 letters and digits; 40 characters of base64.
    fn generate() -> anyhow::Result<Self> {
        const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
        let mut random = [0; 16 + 30];
        getrandom::fill(&mut random).context("read random bytes for the root key")?;
        let (id, secret) = random.split_at(16);
        let id: String = id
            .iter()
            .map(|byte| char::from(ALPHABET[usize::from(byte % 32)]))
            .collect();
        Ok(Self {
            access_key_id: format!("AKIA{id}"),
            secret_access_key: base64::engine::general_purpose::STANDARD.encode(secret),
        })
    }
}

/// Writes a file that only its owner reads, whole or not at all: a node that is killed meanwhile must not leave
/// half a key.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let aside = path.with_extension("new");
    let write = || -> std::io::Result<()> {
        match std::fs::remove_file(&aside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&aside)?;
        file.write_all(content)?;
        file.sync_all()?;
        std::fs::rename(&aside, path)?;
        if let Some(folder) = path.parent() {
            std::fs::File::open(folder)?.sync_all()?;
        }
        Ok(())
    };
    write().with_context(|| format!("write {}", path.display()))
}

/// A secret of this node that is made once: what temporary credentials are derived from.
pub(crate) fn node_secret(data: &Path) -> anyhow::Result<[u8; 32]> {
    let path = data.join("session-secret");
    if path.exists() {
        let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
        return bytes.try_into().ok().with_context(|| {
            format!(
                "read {}: not 32 bytes; delete it to get a new one",
                path.display()
            )
        });
    }
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).context("read random bytes for the node's secret")?;
    write_private(&path, &secret)?;
    Ok(secret)
}

/// A secret for one purpose, made of the node's: who learns it learns nothing of the others.
pub(crate) fn derived(node_secret: &[u8; 32], purpose: &str) -> anyhow::Result<[u8; 32]> {
    let mut mac = Hmac::<Sha256>::new_from_slice(node_secret).context("derive a secret")?;
    mac.update(purpose.as_bytes());
    Ok(mac.finalize().into_bytes().into())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn the_key_is_made_once_and_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = RootKey::load_or_create(dir.path()).unwrap();
        let second = RootKey::load_or_create(dir.path()).unwrap();
        assert_eq!(first.access_key_id, second.access_key_id);
        assert_eq!(first.secret_access_key, second.secret_access_key);
        assert_eq!(
            (first.access_key_id.len(), first.secret_access_key.len()),
            (20, 40)
        );
        let mode = std::fs::metadata(credentials_path(dir.path()))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_key_file_is_an_error_and_stays() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(credentials_path(dir.path()), "[default]\n").unwrap();
        assert!(RootKey::load_or_create(dir.path()).is_err());
        assert_eq!(
            std::fs::read(credentials_path(dir.path())).unwrap(),
            b"[default]\n"
        );
    }

    #[test]
    fn derived_secrets_differ_by_purpose() {
        let of = |purpose| derived(&[7; 32], purpose).unwrap();
        assert_eq!(of("a"), of("a"));
        assert_ne!(of("a"), of("b"));
        assert_ne!(of("a"), [7; 32]);
    }

    #[test]
    fn the_secret_is_made_once() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(
            node_secret(dir.path()).unwrap(),
            node_secret(dir.path()).unwrap()
        );
    }
}
