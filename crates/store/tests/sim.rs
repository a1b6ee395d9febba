//! The simulated machine does what its documentation says: faults, full disks, locks, and the loss of power.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::Path;

use countersign_store::vfs::sim::{Aftermath, CallKind, Choice, Fault, MAX_STATES, SimVfs};
use countersign_store::vfs::{Access, FileKind, Metadata, Vfs as _, VfsDir as _, VfsFile as _};

fn path(name: &str) -> &Path {
    Path::new(name)
}

/// A machine with an open, safe file of six bytes.
fn machine() -> (SimVfs, countersign_store::vfs::sim::SimFile) {
    let vfs = SimVfs::new();
    vfs.put(path("/a"), b"abcdef");
    let file = vfs.open(path("/a"), Access::Write).unwrap();
    (vfs, file)
}

fn left(vfs: &SimVfs) -> Vec<Option<Vec<u8>>> {
    vfs.aftermath().disks().map(|(_, disk)| disk.tree().remove(path("/a")).flatten()).collect()
}

#[test]
fn it_does_what_the_real_one_does() {
    let vfs = SimVfs::new();
    vfs.create_dir(path("/d")).unwrap();
    let kind = |error: io::Error| error.kind();
    assert_eq!(vfs.create_dir(path("/d")).map_err(kind), Err(ErrorKind::AlreadyExists));
    assert_eq!(vfs.open(path("/d/a"), Access::Read).map_err(kind).err(), Some(ErrorKind::NotFound));
    assert_eq!(vfs.open(path("/d"), Access::Read).map_err(kind).err(), Some(ErrorKind::InvalidInput));
    let file = vfs.open(path("/d/a"), Access::CreateNew).unwrap();
    assert_eq!(vfs.open(path("/d/a"), Access::CreateNew).map_err(kind).err(), Some(ErrorKind::AlreadyExists));
    assert_eq!(vfs.open_dir(path("/d/a")).map_err(kind).err(), Some(ErrorKind::NotADirectory));
    file.append(b"abcdef").unwrap();
    file.truncate(3).unwrap();
    assert_eq!(file.truncate(4).map_err(kind), Err(ErrorKind::InvalidInput));
    file.append(b"xyz").unwrap();
    let mut buffer = [0; 8];
    assert_eq!((file.read_at(&mut buffer, 1).unwrap(), &buffer[..5]), (5, &b"bcxyz"[..]));
    assert_eq!((file.read_at(&mut buffer, 6).unwrap(), file.read_at(&mut buffer, u64::MAX).unwrap()), (0, 0));
    assert!(vfs.open(path("/d/a"), Access::Read).unwrap().append(b"x").is_err());
    vfs.put(path("/d/b"), b"");
    vfs.rename(path("/d/a"), path("/d/b")).unwrap();
    assert_eq!(vfs.rename(path("/d/a"), path("/d/b")).map_err(kind), Err(ErrorKind::NotFound));
    let there = vfs.read_dir(path("/d")).unwrap();
    assert_eq!(there.len(), 1);
    assert_eq!((there[0].name.to_str(), there[0].metadata.size), (Some("b"), 6));
    assert_eq!(vfs.metadata(path("/d")).unwrap(), Some(Metadata { kind: FileKind::Dir, size: 0 }));
    vfs.remove_file(path("/d/b")).unwrap();
    assert_eq!(vfs.remove_file(path("/d/b")).map_err(kind), Err(ErrorKind::NotFound));
    assert_eq!(file.size().unwrap(), 6, "who has it open reads on");
}

#[test]
fn without_power_no_call_does_anything_or_is_counted() {
    let (vfs, file) = machine();
    vfs.cut_power_at(vfs.call_count() + 1);
    file.append(b"g").unwrap();
    assert!(vfs.is_on());
    assert!(file.sync().is_err());
    assert!(!vfs.is_on());
    assert!(file.append(b"h").is_err() && vfs.open(path("/b"), Access::CreateNew).is_err());
    assert_eq!(vfs.calls().last().unwrap().kind, CallKind::Append);
    assert_eq!(left(&vfs), [&b"abcdef"[..], b"abcdef\0", b"abcdefg"].map(|bytes| Some(bytes.to_vec())));
}

#[test]
fn a_lock_is_held_by_one_until_it_is_dropped_or_the_power_is_lost() {
    let vfs = SimVfs::new();
    let held = vfs.try_lock(path("/lock")).unwrap();
    assert!(held.is_some() && vfs.try_lock(path("/lock")).unwrap().is_none());
    // F-25: opening and closing the file changes nothing.
    drop(vfs.open(path("/lock"), Access::Read).unwrap());
    assert!(vfs.clone().try_lock(path("/lock")).unwrap().is_none());
    for (_, disk) in vfs.aftermath().disks() {
        assert!(disk.try_lock(path("/lock")).unwrap().is_some());
    }
    drop(held);
    assert!(vfs.try_lock(path("/lock")).unwrap().is_some());
}

#[test]
fn a_fault_meets_the_call_that_it_was_planned_for() {
    for (fault, error, size) in [
        (Fault::Io, Some(rustix::io::Errno::IO), 6),
        (Fault::IoAfter, Some(rustix::io::Errno::IO), 6),
        (Fault::NoSpace, Some(rustix::io::Errno::NOSPC), 6),
        (Fault::Interrupted, Some(rustix::io::Errno::INTR), 6),
        (Fault::Short(2), None, 8),
        (Fault::Short(0), None, 7),
    ] {
        let (vfs, file) = machine();
        vfs.fail(vfs.call_count() + 1, fault);
        assert_eq!(file.size().unwrap(), 6, "the call before");
        let failed = file.append(b"ghi").err().and_then(|error| error.raw_os_error());
        assert_eq!(failed, error.map(rustix::io::Errno::raw_os_error), "{fault:?}");
        assert_eq!(file.size().unwrap(), size, "{fault:?}");
        assert_eq!(vfs.faults_hit(), 1, "{fault:?}");
        file.append(b"").unwrap();
    }
}

#[test]
fn a_call_that_fails_after_it_was_done_was_done() {
    let (vfs, _) = machine();
    vfs.fail(vfs.call_count(), Fault::IoAfter);
    assert!(vfs.rename(path("/a"), path("/b")).is_err());
    assert!(vfs.tree().contains_key(path("/b")));
    vfs.fail(vfs.call_count(), Fault::Io);
    assert!(vfs.rename(path("/b"), path("/a")).is_err());
    assert!(vfs.tree().contains_key(path("/b")));
}

#[test]
fn a_fault_that_a_call_can_not_have_is_not_counted() {
    let (vfs, file) = machine();
    vfs.fail(vfs.call_count(), Fault::Short(1));
    file.sync().unwrap();
    assert_eq!(vfs.faults_hit(), 0);
}

#[test]
fn a_failed_sync_is_not_made_good_by_a_later_one() {
    for (fault, safe) in
        [(Fault::Io, false), (Fault::NoSpace, false), (Fault::IoAfter, true), (Fault::Interrupted, true)]
    {
        let (vfs, file) = machine();
        file.append(b"g").unwrap();
        vfs.fail(vfs.call_count(), fault);
        assert!(file.sync().is_err());
        file.sync().unwrap();
        assert_eq!(vfs.is_safe(), safe, "{fault:?}");
        assert_eq!(left(&vfs).contains(&Some(b"abcdef".to_vec())), !safe, "{fault:?}");
        assert_eq!(file.size().unwrap(), 7, "whoever reads sees it all the same");
    }
}

#[test]
fn a_full_disk_takes_what_fits_and_then_nothing() {
    for free in 0..4 {
        let (vfs, file) = machine();
        vfs.limit_space(Some(free));
        let mut taken = 0;
        let error = loop {
            match file.append(&b"xyz"[taken..]) {
                Ok(0) => break None,
                Ok(count) => taken += count,
                Err(error) => break Some(error.kind()),
            }
        };
        assert_eq!((taken as u64, error), (free.min(3), (free < 3).then_some(ErrorKind::StorageFull)));
        file.truncate(0).unwrap();
        assert_eq!(file.append(b"xyz").unwrap(), 3, "what was cut can be used again");
        vfs.limit_space(None);
        assert_eq!(file.append(&[0; 100]).unwrap(), 100);
    }
}

#[test]
fn up_to_the_limit_every_disk_is_looked_at_and_beyond_it_a_sample() {
    let after = |sectors: usize| -> Aftermath {
        let vfs = SimVfs::with_sectors(4);
        vfs.put(path("/a"), b"");
        let file = vfs.open(path("/a"), Access::Write).unwrap();
        file.append(&vec![b'x'; 4 * sectors]).unwrap();
        vfs.aftermath()
    };
    // Of each size, two to the number of sectors that it counts.
    assert_eq!(after(8).possible(), Some(511));
    assert_eq!(after(8).choices().collect::<Vec<_>>(), (0..511).map(Choice::Nth).collect::<Vec<_>>());
    let different: BTreeSet<_> = after(8).disks().map(|(_, disk)| disk.tree()).collect();
    assert_eq!(different.len(), 511);
    let many = after(100);
    assert_eq!(many.possible(), None);
    assert_eq!(many.choices().count() as u64, MAX_STATES);
    let sizes = |choice| many.disk(choice).tree()[path("/a")].as_ref().unwrap().len();
    assert_eq!((sizes(Choice::Seed(0)), sizes(Choice::Seed(1))), (0, 400));
    let different: BTreeSet<_> = many.disks().map(|(_, disk)| disk.tree()).collect();
    assert!(different.len() > 2_000, "only {} are different", different.len());
}

#[test]
fn a_choice_names_one_disk_for_ever() {
    for choice in [Choice::Nth(7), Choice::Seed(u64::MAX)] {
        assert_eq!(choice.to_string().parse(), Ok(choice));
        let (vfs, file) = machine();
        file.append(&[b'x'; 2000]).unwrap();
        assert_eq!(vfs.aftermath().disk(choice).tree(), vfs.aftermath().disk(choice).tree());
    }
    for text in ["", "7", "nth:", "nth:-1", "seed:x", "both:1"] {
        assert!(text.parse::<Choice>().is_err(), "case: {text}");
    }
}

#[test]
fn a_saved_machine_has_lost_nothing() {
    let (vfs, file) = machine();
    file.append(b"g").unwrap();
    vfs.fail(vfs.call_count(), Fault::Io);
    assert!(file.sync().is_err());
    let saved = vfs.saved();
    assert!(saved.is_safe());
    assert_eq!((saved.tree(), saved.tree_hash()), (vfs.tree(), vfs.tree_hash()));
    assert_ne!(saved.tree_hash(), machine().0.tree_hash());
    vfs.open_dir(path("/")).unwrap().sync().unwrap();
}
