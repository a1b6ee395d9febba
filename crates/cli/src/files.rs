//! Small files that are there whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use countersign_store::sync_once;

/// Writes a file in the place of what stands there: whatever happens, the old one is there or the new one, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path);
    let written = File::create(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| sync_once(&file)))
        .and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        // Of no use to anybody; the next one takes its place where it can not be removed.
        let _ = fs::remove_file(new);
    }
    written.and_then(|()| sync_directory_of(path))
}

/// Writes a file that its owner alone can read, where nothing stands.
///
/// # Errors
/// `AlreadyExists` where something does.
pub(crate) fn create_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = beside(path);
    // What a run that was cut off left there may have been readable by others.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let written = options
        .open(&new)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| sync_once(&file)))
        // Unlike a rename it does not replace.
        .and_then(|()| fs::hard_link(&new, path));
    let removed = fs::remove_file(new);
    written.and(removed).and_then(|()| sync_directory_of(path))
}

fn beside(path: &Path) -> PathBuf {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    new.into()
}

/// So that a name that was made outlasts a loss of power.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if cfg!(unix) { sync_once(&File::open(parent.unwrap_or(Path::new(".")))?) } else { Ok(()) }
}
