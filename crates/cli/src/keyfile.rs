//! Key files: one Ed25519 seed, in the clear, for its owner's eyes only; and the serials that a key has used.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::id::LedgerId;
use countersign_core::key::{SEED_LEN, SecretKey, SignerKey as _};

use crate::failure::Failure;
use crate::files::{create_private, replace};
use crate::text::safe;

const HEADER: &str = "countersign-key/v1";

/// Makes a key from the randomness of the operating system and writes its file.
pub(crate) fn create(path: &Path) -> Result<SecretKey, Failure> {
    let mut seed = [0; SEED_LEN];
    getrandom::fill(&mut seed)
        .map_err(|error| Failure::told(format!("the operating system gives no randomness: {error}")))?;
    let key = SecretKey::from_seed(&seed);
    seed = [0; SEED_LEN];
    let _ = std::hint::black_box(seed);
    write(path, &key)?;
    Ok(key)
}

/// Writes a new file that its owner alone can read.
fn write(path: &Path, key: &SecretKey) -> Result<(), Failure> {
    let failed = |error: io::Error| match error.kind() {
        io::ErrorKind::AlreadyExists => Failure::told(format!("`{}` exists already", path.display()))
            .hint("a key that is overwritten is lost: choose another name, or --show it"),
        _ => Failure::of(format!("`{}` can not be written", path.display()), &error),
    };
    let text =
        format!("{HEADER}\npublic {}\nseed {}\n", key.public_key(), STANDARD.encode(key.expose_seed()));
    // Half a key is none, and would keep a whole one from being written there.
    create_private(path, text.as_bytes()).map_err(failed)
}

/// Reads a key file. Where others than its owner may read it, it is refused.
pub(crate) fn read(path: &Path) -> Result<SecretKey, Failure> {
    let name = safe(&path.display().to_string()).into_owned();
    let failed = |error: io::Error| Failure::of(format!("key file `{name}` can not be read"), &error);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(path).map_err(failed)?.permissions().mode();
        if mode & 0o077 != 0 {
            return Err(Failure::told(format!("key file `{name}` can be read by others than its owner"))
                .hint(format!("chmod 600 {name}")));
        }
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    parse(&text).ok_or_else(|| {
        Failure::told(format!("`{name}` is not a key file")).hint("`countersign keygen` makes one")
    })
}

fn parse(text: &str) -> Option<SecretKey> {
    let mut lines = text.strip_suffix('\n')?.split('\n');
    let (header, public, seed) = (lines.next()?, lines.next()?, lines.next()?);
    if header != HEADER || lines.next().is_some() {
        return None;
    }
    let seed = STANDARD.decode(seed.strip_prefix("seed ")?).ok()?;
    let key = SecretKey::from_seed(&seed.try_into().ok()?);
    (public.strip_prefix("public ")? == key.public_key().to_string()).then_some(key)
}

/// The serials that a key has used, by ledger: `KEYFILE.serial`, one ledger a line.
pub(crate) struct Serials {
    path: PathBuf,
    used: BTreeMap<LedgerId, u64>,
}

impl Serials {
    /// Reads the file beside the key; none is the same as an empty one.
    pub(crate) fn read(key: &Path) -> Result<Self, Failure> {
        let mut path = key.as_os_str().to_owned();
        path.push(".serial");
        let path = PathBuf::from(path);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::of(format!("`{}` can not be read", path.display()), &error)),
        };
        let line = |line: &str| {
            let (ledger, serial) = line.split_once(' ')?;
            Some((ledger.parse().ok()?, serial.parse().ok()?))
        };
        let used = text.lines().map(line).collect::<Option<_>>().ok_or_else(|| {
            Failure::told(format!("`{}` is not a list of serials", path.display()))
                .hint("with --serial it is not needed")
        })?;
        Ok(Self { path, used })
    }

    /// The highest one used for this ledger.
    pub(crate) fn highest(&self, ledger: &LedgerId) -> u64 {
        self.used.get(ledger).copied().unwrap_or(0)
    }

    /// Remembers one before anything is signed with it: a serial is never used twice, even where the rest fails.
    pub(crate) fn remember(&mut self, ledger: &LedgerId, serial: u64) -> Result<(), Failure> {
        let highest = self.highest(ledger).max(serial);
        self.used.insert(ledger.clone(), highest);
        let text: String = self.used.iter().map(|(ledger, serial)| format!("{ledger} {serial}\n")).collect();
        replace(&self.path, text.as_bytes())
            .map_err(|error| Failure::of(format!("`{}` can not be written", self.path.display()), &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_says_its_key_and_nothing_else() {
        let key = SecretKey::from_seed(&[7; SEED_LEN]);
        let (public, seed) = (key.public_key().to_string(), STANDARD.encode([7; SEED_LEN]));
        let good = format!("{HEADER}\npublic {public}\nseed {seed}\n");
        assert_eq!(parse(&good).map(|key| key.public_key()), Some(key.public_key()));
        let other = SecretKey::from_seed(&[8; SEED_LEN]).public_key().to_string();
        let refused = [
            ("empty", String::new()),
            ("no end", good.trim_end().to_owned()),
            ("another header", good.replace("v1", "v2")),
            ("public half of another", good.replace(&public, &other)),
            ("a line more", format!("{good}\n")),
            ("short seed", good.replace(&seed, &STANDARD.encode([7; 31]))),
        ];
        for (name, text) in refused {
            assert!(parse(&text).is_none(), "case: {name}");
        }
    }
}
