//! The certificate of the TLS listener: read from its files, and read again when they change.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context as _;
use hearth_gateway::Certificates;
use tokio_util::sync::CancellationToken;

use crate::config::Tls;

/// How often the files are looked at. Certificates are renewed days before they end: seconds are soon enough, and
/// looking is the one way that works for files, links that are turned and mounted secrets alike.
const LOOK_INTERVAL: Duration = Duration::from_secs(5);

/// The files, as they were when they were last read.
pub(crate) struct CertificateFiles {
    chain: PathBuf,
    key: PathBuf,
    seen: Option<[Stamp; 2]>,
}

/// What changes when a file is written, replaced, or its link turned.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl CertificateFiles {
    /// Reads the files that `tls` names.
    pub(crate) fn load(tls: &Tls) -> anyhow::Result<(Self, Certificates)> {
        let mut files = Self {
            chain: tls.certificate.clone(),
            key: tls.key.clone(),
            seen: None,
        };
        files.seen = files.stamps();
        let (chain, key) = files.read()?;
        let certificates = Certificates::from_pem(&chain, &key).with_context(|| {
            format!(
                "use the certificate {} with the key {}",
                files.chain.display(),
                files.key.display()
            )
        })?;
        Ok((files, certificates))
    }

    /// Puts what the files hold into `certificates` whenever they change, until `stop` is cancelled.
    pub(crate) async fn follow(mut self, certificates: Certificates, stop: CancellationToken) {
        let mut interval = tokio::time::interval(LOOK_INTERVAL);
        loop {
            tokio::select! {
                _ = interval.tick() => self.look(&certificates),
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the files if they changed. A pair that does not fit (one of the two is written before the other) leaves
    /// the one before in place; the next change is another chance.
    fn look(&mut self, certificates: &Certificates) {
        let stamps = self.stamps();
        if stamps.is_none() || stamps == self.seen {
            return;
        }
        self.seen = stamps;
        let replaced = self
            .read()
            .and_then(|(chain, key)| Ok(certificates.replace(&chain, &key)?));
        match replaced {
            Ok(()) => tracing::info!("the certificate {} is in use", self.chain.display()),
            Err(error) => {
                tracing::warn!("kept the certificate that was in use before: {error:#}");
            }
        }
    }

    fn read(&self) -> anyhow::Result<(Vec<u8>, Vec<u8>)> {
        let read = |path: &Path| {
            std::fs::read(path).with_context(|| format!("read {} of [tls]", path.display()))
        };
        Ok((read(&self.chain)?, read(&self.key)?))
    }

    fn stamps(&self) -> Option<[Stamp; 2]> {
        Some([stamp(&self.chain)?, stamp(&self.key)?])
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    use std::os::unix::fs::MetadataExt as _;
    let metadata = std::fs::metadata(path).ok()?;
    Some(Stamp {
        modified: metadata.modified().ok()?,
        bytes: metadata.len(),
        inode: metadata.ino(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (chain, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        std::fs::write(dir.join("chain.pem"), &chain).unwrap();
        std::fs::write(dir.join("key.pem"), &key).unwrap();
        (chain, key)
    }

    fn tls(dir: &Path) -> Tls {
        Tls {
            listen: "127.0.0.1:0".parse().unwrap(),
            certificate: dir.join("chain.pem"),
            key: dir.join("key.pem"),
        }
    }

    #[test]
    fn a_changed_pair_is_taken_and_half_of_one_is_not() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path());
        let (mut files, certificates) = CertificateFiles::load(&tls(dir.path())).unwrap();
        let first = files.seen;
        files.look(&certificates);
        assert!(files.seen == first, "unchanged files were read again");

        let other = tempfile::tempdir().unwrap();
        let (chain, key) = write(other.path());
        std::fs::write(dir.path().join("chain.pem"), &chain).unwrap();
        files.look(&certificates);
        let half = files.seen;
        assert!(half != first);
        std::fs::write(dir.path().join("key.pem"), &key).unwrap();
        files.look(&certificates);
        assert!(files.seen != half);

        std::fs::remove_file(dir.path().join("key.pem")).unwrap();
        let whole = files.seen;
        files.look(&certificates);
        assert!(files.seen == whole, "a missing file is not a change");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let Err(error) = CertificateFiles::load(&tls(dir.path())) else {
            panic!("loaded from nothing");
        };
        assert!(format!("{error:#}").contains("chain.pem"), "{error:#}");
    }
}
