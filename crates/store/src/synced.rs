use std::fs::File;
use std::io;

/// Syncs a file or an open directory, and fails where a signal interrupts it: `File::sync_all` would try again on the same descriptor, and
/// what a sync that failed has saved is not known.
///
/// # Errors
/// Those of the device. After one, only a sync of what is written again proves anything.
pub fn sync_once(file: &File) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    return Ok(rustix::fs::fsync(file)?);
    // Elsewhere the standard library knows what more a disk has to be told.
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    return file.sync_all();
}
