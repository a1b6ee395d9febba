//! A disk of 64 KiB that fills up, is read while full, and gets space again (F-13).
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

use countersign_faults::{Folder, Said, assert_kept, entries_in, read_all, skip};

const RECORDER: &str = env!("CARGO_BIN_EXE_fault-recorder");

#[test]
fn a_full_disk_loses_nothing_is_readable_and_goes_on_with_space() {
    let name = "a_full_disk";
    let folder = Folder::new(name);
    let point = folder.path().join("mount");
    std::fs::create_dir(&point).unwrap();
    if !mount(&point, "size=64k") {
        return skip(name, "a tmpfs can not be mounted here");
    }
    let _unmount = Unmount(&point);
    let store = point.join("ledger");
    let mut said = Vec::new();
    for run in 0..3 {
        // The first one fills it, the others find it full.
        said.push(record(&store, run, 200));
    }
    assert!(said[0].acknowledged() > 5, "{:?}", said[0]);
    assert!(said[0].has_failed(), "it was full: {:?}", said[0]);
    // Whatever is left of the last page.
    let fillers = (0..64)
        .take_while(|number| std::fs::write(point.join(format!("filler-{number}")), [0; 4096]).is_ok());
    assert!(fillers.count() < 64, "the disk has 64 KiB");
    let read = read_all(&store);
    assert_kept(&said, &[], &read, "read from the full disk");
    assert!(mount(&point, "remount,size=4m"));
    let after = record(&store, 9, 20);
    assert!(after.closed && after.acknowledged() == 20, "{after:?}");
    said.push(after);
    assert_kept(&said, &[], &entries_in(&store), "after there was space again");
}

fn record(store: &Path, run: u64, statements: u64) -> Said {
    let mut command = Command::new(RECORDER);
    command.arg(store).arg(run.to_string()).args(["--statements", &statements.to_string()]);
    let done = command.args(["--submitters", "4", "--segment", "16384"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&done.stderr).contains("panicked"), "{done:?}");
    Said::parse(&done.stdout)
}

fn mount(point: &Path, options: &str) -> bool {
    let mut command = Command::new("mount");
    command.args(["-t", "tmpfs", "-o", options, "none"]).arg(point);
    command.output().is_ok_and(|done| done.status.success())
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0).output();
    }
}
