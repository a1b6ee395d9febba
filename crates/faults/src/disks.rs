//! File systems of their own, in a file each: mounted, filled up beneath, and taken away at once as a loss of power does.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::has;

/// A kind of file system.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// What `mount` calls it.
    pub name: &'static str,
    /// What makes one, where nothing of the image is given back.
    mkfs: &'static [&'static str],
    /// The smallest that it makes, in bytes.
    size: u64,
    options: &'static str,
}

/// The one that most machines have.
pub const EXT4: Kind = Kind {
    name: "ext4",
    mkfs: &["mkfs.ext4", "-q", "-F", "-E", "nodiscard"],
    size: 48 << 20,
    options: "loop",
};

/// The other.
pub const XFS: Kind =
    Kind { name: "xfs", mkfs: &["mkfs.xfs", "-q", "-f", "-K"], size: 320 << 20, options: "loop,nouuid" };

/// A file system in an image.
#[derive(Debug)]
pub struct Disk {
    kind: Kind,
    image: PathBuf,
    point: PathBuf,
}

impl Disk {
    /// Makes one in a folder.
    ///
    /// # Errors
    /// In words, what is missing here.
    ///
    /// # Panics
    /// Where what is there does not do its work.
    pub fn new(kind: Kind, folder: &Path) -> Result<Self, String> {
        for program in [kind.mkfs[0], "xfs_io"] {
            if !has(program) {
                return Err(format!("{program} is not installed"));
            }
        }
        let image = folder.join("image");
        File::create(&image).and_then(|file| file.set_len(kind.size)).expect("an image");
        let made = Command::new(kind.mkfs[0]).args(&kind.mkfs[1..]).arg(&image).output().expect("it starts");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let point = folder.join("mount");
        std::fs::create_dir_all(&point).expect("a folder");
        let disk = Self { kind, image, point };
        if disk.mount().is_none() {
            return Err("file systems can not be mounted here".into());
        }
        Ok(disk)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn point(&self) -> &Path {
        &self.point
    }

    /// Mounts it, until what is returned is dropped. None where that is not possible.
    #[must_use]
    pub fn mount(&self) -> Option<Mount> {
        let mut command = Command::new("mount");
        command.args(["-t", self.kind.name, "-o", self.kind.options]).arg(&self.image).arg(&self.point);
        command.output().ok()?.status.success().then(|| Mount(self.point.clone()))
    }

    /// Takes the power away: from now on nothing reaches the image, and everything fails. What the journal has in memory is written before, if
    /// it `is_flushed`.
    ///
    /// # Panics
    /// Where it is not mounted.
    pub fn shut_down(&self, is_flushed: bool) {
        let how = if is_flushed { "shutdown -f" } else { "shutdown" };
        let done = Command::new("xfs_io").args(["-x", "-c", how]).arg(&self.point).output();
        assert!(done.expect("it starts").status.success(), "shutdown");
    }
}

/// A mounted file system. It is unmounted when dropped.
#[derive(Debug)]
pub struct Mount(PathBuf);

impl Drop for Mount {
    fn drop(&mut self) {
        for _ in 0..50 {
            let done = Command::new("umount").arg(&self.0).output();
            if done.is_ok_and(|done| done.status.success()) {
                return;
            }
            // The last process that has a file open is on its way out.
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        let _ = Command::new("umount").arg("-l").arg(&self.0).output();
    }
}

/// A disk that has less space than it says: what is below it can be filled up, and then what is written where nothing was
/// before is not saved, long after the file system took it. Its journal has its place and goes on.
#[derive(Debug)]
pub struct ThinDisk {
    disk: Disk,
    filler: PathBuf,
    /// Dropped last: what holds the image.
    _ram: Mount,
}

impl ThinDisk {
    /// Makes one in a folder, in memory.
    ///
    /// # Errors
    /// In words, what is missing here.
    ///
    /// # Panics
    /// Where what is there does not do its work.
    pub fn new(kind: Kind, folder: &Path) -> Result<Self, String> {
        if !has("fstrim") {
            return Err("fstrim is not installed".into());
        }
        let ram = folder.join("ram");
        std::fs::create_dir_all(&ram).expect("a folder");
        let size = format!("size={}", kind.size + (1 << 20));
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(&ram).output();
        if !mounted.is_ok_and(|done| done.status.success()) {
            return Err("a tmpfs can not be mounted here".into());
        }
        let mount = Mount(ram.clone());
        let disk = Disk::new(kind, &ram)?;
        // Every block has its place, those of the journal too that were never written; then those that are free are given back.
        let image = File::options().read(true).write(true).open(&disk.image).expect("an image");
        let mut bytes = vec![0; 1 << 20];
        for at in (0..kind.size).step_by(bytes.len()) {
            let copied = image.read_exact_at(&mut bytes, at).and_then(|()| image.write_all_at(&bytes, at));
            copied.expect("the tmpfs is that large");
        }
        drop(image);
        let here = disk.mount().ok_or("file systems can not be mounted here")?;
        let trimmed = Command::new("fstrim").arg(disk.point()).output().expect("it starts");
        drop(here);
        if !trimmed.status.success() {
            return Err("blocks that are free can not be given back here".into());
        }
        Ok(Self { disk, filler: ram.join("filler"), _ram: mount })
    }

    /// The disk.
    #[must_use]
    pub fn disk(&self) -> &Disk {
        &self.disk
    }

    /// Leaves no block for what was not written before.
    ///
    /// # Panics
    /// Where there is no end of space.
    pub fn fill(&self) {
        let mut file = File::create(&self.filler).expect("a name takes no space");
        let page = [1; 4096];
        let pages = (0..self.disk.kind.size / 4096).take_while(|_| file.write_all(&page).is_ok()).count();
        assert!(pages > 0 && (pages as u64) < self.disk.kind.size / 4096, "{pages} pages");
    }

    /// Gives the space back.
    ///
    /// # Panics
    /// Where it was not filled.
    pub fn free(&self) {
        std::fs::remove_file(&self.filler).expect("it was filled");
    }
}
