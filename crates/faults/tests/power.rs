//! Power lost under a real file system: ext4 and XFS in a loop device, shut down while a recorder works (F-04, F-05, F-06).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use countersign_faults::{Folder, Said, assert_kept, count, entries_in, has, is_soak, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");
const READER: &str = env!("CARGO_BIN_EXE_fault-reader");

/// A file system: its kind, how it is made, and the size of its image.
type Disk = (&'static str, &'static [&'static str], u64);

const EXT4: Disk = ("ext4", &["mkfs.ext4", "-q", "-F"], 48 << 20);
const XFS: Disk = ("xfs", &["mkfs.xfs", "-q", "-f"], 320 << 20);

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_on_ext4() {
    cycles("loss_of_power_on_ext4", EXT4, "ledger", if is_soak() { 3_000 } else { 60 });
}

#[test]
fn what_was_acknowledged_survives_a_loss_of_power_on_xfs() {
    cycles("loss_of_power_on_xfs", XFS, "ledger", if is_soak() { 2_000 } else { 40 });
}

#[test]
fn what_was_acknowledged_in_a_database_survives_a_loss_of_power_on_ext4() {
    cycles("loss_of_power_under_a_database_on_ext4", EXT4, "db", if is_soak() { 1_500 } else { 40 });
}

#[test]
fn what_was_acknowledged_in_a_database_survives_a_loss_of_power_on_xfs() {
    cycles("loss_of_power_under_a_database_on_xfs", XFS, "db", if is_soak() { 1_000 } else { 30 });
}

/// Loses power so many times: half of the times after the journal was written out, half before. What the store's name ends in says what it is.
fn cycles(name: &str, (kind, mkfs, size): Disk, ending: &str, losses: u64) {
    for program in [mkfs[0], "xfs_io"] {
        if !has(program) {
            return skip(name, &format!("{program} is not installed ({losses} cycles)"));
        }
    }
    let folder = Folder::new(name);
    let (image, point) = (folder.path().join("image"), folder.path().join("mount"));
    std::fs::create_dir(&point).unwrap();
    std::fs::File::create(&image).unwrap().set_len(size).unwrap();
    let made = Command::new(mkfs[0]).args(&mkfs[1..]).arg(&image).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (mut acknowledged, mut read_before) = (0, 0);
    let mut all_said = Vec::new();
    for cycle in 0..losses {
        let Some(mount) = Mount::new(kind, &image, &point) else {
            return skip(name, &format!("file systems can not be mounted here ({losses} cycles)"));
        };
        // Every tenth cycle begins a ledger, so that this is interrupted too.
        let store = point.join(format!("{}.{ending}", cycle / 10));
        let before = cycle % 10;
        let (said, read) = interrupted(&store, 2 * before, cycle, &point);
        drop(mount);
        let mount = Mount::new(kind, &image, &point).unwrap();
        let again = Command::new(RECORDER)
            .arg(&store)
            .args([&(2 * before + 1).to_string(), "--statements", "1", "--segment", "6000"])
            .output()
            .unwrap();
        let again = Said::parse(&again.stdout);
        assert!(again.closed, "cycle {cycle} on {kind}: it does not open: {again:?} after {said:?}");
        acknowledged += said.acknowledged();
        read_before += read.told.len();
        // All that was said of this ledger so far: what one cycle left, no later one may lose.
        if before == 0 {
            all_said = Vec::new();
        }
        all_said.extend([said, again, read]);
        assert_kept(&all_said, &[], &entries_in(&store), &format!("cycle {cycle} on {kind}"));
        if cycle % 10 == 9 {
            remove(&store);
        }
        drop(mount);
    }
    let what = format!(
        "{losses} losses of power, {acknowledged} acknowledged and {read_before} read before, none lost"
    );
    count(name, &what);
    assert!(acknowledged as u64 > losses * 5 && read_before as u64 > losses, "the faults have to be hit");
}

/// Records until it has acknowledged some statements, then takes the power away. What it said, and what a reader beside it was shown.
fn interrupted(store: &Path, run: u64, cycle: u64, point: &Path) -> (Said, Said) {
    // In a process of its own: memory that is shared through a file of a disk that is gone ends who touches it.
    let mut reader = Command::new(READER)
        .arg(store)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let reading = reader.stdin.take();
    let seen = std::thread::spawn(move || Said::parse(&reader.wait_with_output().unwrap().stdout));
    let mut child = Command::new(RECORDER)
        .arg(store)
        .arg(run.to_string())
        .args(["--statements", "400", "--submitters", "8", "--segment", "6000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut says = BufReader::new(child.stdout.take().unwrap());
    let mut heard = Vec::new();
    // A number that differs from cycle to cycle and is the same in every run.
    let mut wanted = 5 + cycle * 7 % 41;
    while wanted > 0 {
        let line = heard.len();
        if says.read_until(b'\n', &mut heard).unwrap() == 0 {
            break;
        }
        wanted -= u64::from(heard[line..].starts_with(b"acknowledged"));
    }
    let mut shutdown = Command::new("xfs_io");
    shutdown.args(["-x", "-c", if cycle.is_multiple_of(2) { "shutdown" } else { "shutdown -f" }]).arg(point);
    assert!(shutdown.output().unwrap().status.success(), "shutdown");
    // Its disk is gone: it ends by itself, having said what it knows.
    std::io::Read::read_to_end(&mut says, &mut heard).unwrap();
    let _ = child.wait();
    drop(reading);
    (Said::parse(&heard), seen.join().unwrap())
}

fn remove(store: &Path) {
    if store.is_dir() {
        std::fs::remove_dir_all(store).unwrap();
    } else {
        std::fs::remove_file(store).unwrap();
        for beside in ["-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{beside}", store.display()));
        }
    }
}

/// A mounted image. It is unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    fn new(kind: &str, image: &Path, point: &Path) -> Option<Self> {
        let options = if kind == "xfs" { "loop,nouuid" } else { "loop" };
        let mounted = Command::new("mount").args(["-t", kind, "-o", options]).arg(image).arg(point).output();
        mounted.ok()?.status.success().then(|| Self(point.to_owned()))
    }
}

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
