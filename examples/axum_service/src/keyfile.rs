//! The recorder's key, from a file as `countersign keygen` makes it. Where a KMS holds it, implement `SignerKey` for a client of that.

use std::error::Error;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::core::key::{SecretKey, SignerKey as _};

/// Reads a key that nobody but its owner can read.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Box<dyn Error>> {
    let name = path.display();
    let text = fs::read_to_string(path).map_err(|error| format!("`{name}`: {error}"))?;
    #[cfg(unix)]
    if std::os::unix::fs::PermissionsExt::mode(&fs::metadata(path)?.permissions()) & 0o077 != 0 {
        return Err(format!("`{name}` can be read by others than its owner").into());
    }
    parse(&text).ok_or_else(|| format!("`{name}` is not a key file").into())
}

/// Three lines: what it is, the public half, the seed.
fn parse(text: &str) -> Option<SecretKey> {
    let text = text.strip_prefix("countersign-key/v1\npublic ")?.strip_suffix('\n')?;
    let (public, seed) = text.split_once("\nseed ")?;
    let key = SecretKey::from_seed(&STANDARD.decode(seed).ok()?.try_into().ok()?);
    (public == key.public_key().to_string()).then_some(key)
}
