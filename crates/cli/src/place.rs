//! Where a ledger is: in a directory, as a file store keeps it, in one file, or in a database.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use countersign_audit::{LedgerDir, LedgerFile, Source};
use countersign_core::entry::{Entry, Head};
use countersign_store::file::{FileReader, FileStore, OpenError, inspect};
use countersign_store::jsonl::{self, Draft, JsonlError};
use countersign_store::{AnyStore, AppendError, Batch, Store as _, StoreError};
use countersign_stores::{Address, Options};
use tokio::runtime::Runtime;

use crate::args::Opening;
use crate::failure::Failure;
use crate::session::Session;
use crate::stream::StoreSource;
use crate::text::{count, safe};

/// Where a ledger is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A directory of segments.
    Directory(PathBuf),
    /// `NAME.jsonl`, with `NAME.jsonl.checkpoint` beside it.
    File(PathBuf),
    /// In a database.
    Database(Address),
}

/// How many entries are handed to a store at once.
pub(crate) const BATCH: usize = 256;

impl Place {
    /// What an address leads to.
    pub(crate) fn of(path: &Path) -> Result<Self, Failure> {
        let address = Address::parse(path.as_os_str());
        Ok(match address.map_err(|error| Failure::of("no such address", &error))? {
            Address::Path(path) => Self::at(&path),
            Address::Directory(path) => Self::Directory(path),
            Address::Memory => {
                return Err(Failure::told(
                    "a ledger in memory lasts as long as one program, so no command finds it",
                ));
            }
            address @ (Address::Sqlite { .. } | Address::Postgres { .. } | Address::Object { .. }) => {
                Self::Database(address)
            }
        })
    }

    /// What stands at a path; where nothing does, what a new ledger there is: a file if it is called `.jsonl`, else a directory.
    fn at(path: &Path) -> Self {
        let is_directory = match path.symlink_metadata() {
            Ok(metadata) => metadata.is_dir(),
            Err(_) => path.extension().is_none_or(|extension| extension != "jsonl"),
        };
        if is_directory { Self::Directory(path.into()) } else { Self::File(path.into()) }
    }

    /// As it is told.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Directory(path) | Self::File(path) => path.display().to_string(),
            Self::Database(address) => address.to_string(),
        }
    }

    /// The bytes, for an auditor who trusts none of them.
    pub(crate) fn source(&self) -> Result<Box<dyn Source>, Failure> {
        Ok(match self {
            Self::Directory(path) => Box::new(LedgerDir::open(path)?),
            Self::File(path) => Box::new(LedgerFile::open(path)?),
            // What is wrong at its end is for the report to say.
            Self::Database(address) => stored(address, &Options::new().read_only().unchecked())?,
        })
    }

    /// The entries that are durable, whoever writes meanwhile: what is copied elsewhere can not be lost here.
    pub(crate) fn durable_source(&self) -> Result<Box<dyn Source>, Failure> {
        match self {
            Self::Directory(path) => {
                // In the words of whoever reads it.
                drop(self.source()?);
                let reader = FileReader::open(path).map_err(|error| {
                    let failure = Failure::of("the ledger can not be read", &error);
                    if error.is_damage() { failure.into_refused() } else { failure }
                })?;
                let runtime = Arc::new(crate::commands::runtime()?);
                Ok(Box::new(StoreSource::open(AnyStore::new(reader), runtime)?))
            }
            Self::Database(address) => stored(address, &Options::new().read_only()),
            Self::File(_) => self.source(),
        }
    }

    /// Refuses where something stands already. A directory that is empty, or in which nothing was ever recorded, is nothing.
    pub(crate) fn refuse_taken(&self) -> Result<(), Failure> {
        let stands = |path: &Path| path.symlink_metadata().is_ok();
        let taken = match self {
            Self::Database(address) => {
                let runtime = crate::commands::runtime()?;
                let opened = runtime.block_on(countersign_stores::open(address, &Options::new().read_only()));
                let store = match opened {
                    Ok(store) => store,
                    Err(error) if error.is_absent() => return Ok(()),
                    Err(error) => return Err(not_opened(error)),
                };
                let head = runtime.block_on(store.head());
                let head = head.map_err(|error| Failure::of("the ledger can not be read", &error))?;
                (head.size > 0).then(|| PathBuf::from(self.shown()))
            }
            Self::Directory(path) if is_unused(path) => None,
            Self::Directory(path) => stands(path).then(|| path.clone()),
            Self::File(path) => {
                [path.clone(), jsonl::checkpoint_path(path)].into_iter().find(|path| stands(path))
            }
        };
        match taken {
            Some(path) => Err(Failure::told(format!("`{}` exists", path.display()))),
            None => Ok(()),
        }
    }

    /// Refuses where there is no ledger to add to.
    pub(crate) fn require(&self) -> Result<(), Failure> {
        let is_there = match self {
            Self::Directory(path) => {
                path.join("entries").symlink_metadata().as_ref().is_ok_and(Metadata::is_dir)
            }
            Self::File(path) => path.symlink_metadata().is_ok(),
            // Opening it tells.
            Self::Database(_) => true,
        };
        if is_there {
            return Ok(());
        }
        Err(no_such_ledger(&self.shown()))
    }

    /// What holds it, as it is told.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Directory(path) => vec![path.clone()],
            Self::File(path) => vec![path.clone(), jsonl::checkpoint_path(path)],
            Self::Database(_) => vec![self.shown().into()],
        }
    }

    /// Begins to write entries from the first on. What stands there already has to be their beginning.
    pub(crate) fn writer(
        &self,
        opening: Opening,
        session: &mut Session<'_, '_>,
    ) -> Result<Writer<'_>, Failure> {
        let into = match self {
            Self::File(path) => Into::File(Draft::new(path)?),
            Self::Directory(_) | Self::Database(_) => {
                let runtime = crate::commands::runtime()?;
                let store = self.store(&Options::new(), opening, &runtime, session)?;
                let head = runtime.block_on(store.head());
                let standing = head.map_err(|error| self.unread(&error))?;
                Into::Store { store, standing, runtime }
            }
        };
        Ok(Writer { place: self, into })
    }

    /// The store, open for writing. One file of lines is none.
    pub(crate) fn store(
        &self,
        options: &Options,
        opening: Opening,
        runtime: &Runtime,
        session: &mut Session<'_, '_>,
    ) -> Result<AnyStore, Failure> {
        match self {
            Self::Directory(path) => Ok(AnyStore::new(open_store(path, opening, session)?)),
            Self::File(path) => Err(Failure::told(format!("`{}` is one file", path.display()))),
            Self::Database(address) => open_database(address, options, runtime),
        }
    }

    /// Where an entry stands that is not the one to be written.
    fn other_history(&self, seq: Option<u64>) -> Failure {
        let at = seq.map(|seq| format!(", from entry {seq} on")).unwrap_or_default();
        let what = format!("`{}` holds another history than what is copied{at}", self.shown());
        Failure::refused(what).hint(
            "nothing was changed. Each may verify by itself: hold them against one another, `countersign verify ONE --checkpoint \
             FILE` with a checkpoint of the other, or of somebody who kept one",
        )
    }

    /// Where all that is copied stands, and more.
    fn is_newer(&self, more: Option<u64>) -> Failure {
        let more = more.map_or_else(|| "more".into(), |more| count(more, "entry more", "entries more"));
        Failure::refused(format!("`{}` is newer: it holds all that is copied, and {more}", self.shown()))
            .hint("nothing was changed, and nothing is missing there")
    }

    /// What could not be read; a negative answer where that is damaged.
    fn unread(&self, error: &StoreError) -> Failure {
        let failure = Failure::of(format!("`{}` can not be read", self.shown()), error);
        if matches!(error, StoreError::Damaged { .. }) { failure.into_refused() } else { failure }
    }
}

/// Entries on their way to a place.
pub(crate) struct Writer<'p> {
    place: &'p Place,
    into: Into,
}

enum Into {
    /// Each batch is there when it is written.
    Store { store: AnyStore, standing: Head, runtime: Runtime },
    /// All are there at the end.
    File(Draft),
}

impl Writer<'_> {
    /// Writes the next entries. Those that stand there already have to be the same, byte for byte: who copies onto a backup is told
    /// where it is damaged.
    pub(crate) fn write(&mut self, entries: &[Entry]) -> Result<(), Failure> {
        let unlinked = |_| Failure::refused("the entries do not follow one another");
        match &mut self.into {
            Into::Store { store, runtime, standing } => {
                let there = entries.iter().take_while(|entry| entry.seq() < standing.size).count();
                let (old, new) = entries.split_at(there);
                runtime.block_on(hold(self.place, store, old))?;
                if new.is_empty() {
                    return Ok(());
                }
                let batch = Batch::new(new).map_err(unlinked)?;
                runtime.block_on(store.append(batch)).map(drop).map_err(|error| match error {
                    AppendError::Conflict { .. } => self.place.other_history(None),
                    error => {
                        let (first, shown) = (new.first().map_or(0, Entry::seq), self.place.shown());
                        let what = format!("the entries from {first} on can not be kept in `{shown}`");
                        Failure::of(what, &error)
                            .hint("those before are there: the same command goes on from them")
                    }
                })
            }
            Into::File(draft) => entries
                .iter()
                .try_for_each(|entry| draft.push(entry.bytes()).map_err(|error| (entry.seq(), error)))
                .map_err(|(seq, error)| match error {
                    JsonlError::OtherHistory { .. } => self.place.other_history(Some(seq)),
                    error => error.into(),
                }),
        }
    }

    /// Keeps the checkpoint, and tells how many entries stood there before. `size` were written in all: more may not be there.
    pub(crate) fn finish(self, size: u64, checkpoint: Option<(u64, Vec<u8>)>) -> Result<u64, Failure> {
        match self.into {
            Into::Store { store, standing, runtime } => {
                if standing.size > size {
                    return Err(self.place.is_newer(Some(standing.size - size)));
                }
                if let Some((size, note)) = checkpoint {
                    let kept = runtime.block_on(store.put_checkpoint(size, note.into()));
                    kept.map_err(|error| Failure::of("the checkpoint can not be kept", &error))?;
                }
                Ok(standing.size)
            }
            Into::File(draft) => {
                let note = checkpoint.map(|(_, note)| note);
                draft.finish(note.as_deref()).map_err(|error| match error {
                    JsonlError::OtherHistory { .. } => self.place.is_newer(None),
                    error => error.into(),
                })
            }
        }
    }
}

/// Holds entries against those that a store has at their places.
async fn hold(place: &Place, store: &AnyStore, mut entries: &[Entry]) -> Result<(), Failure> {
    while let Some(first) = entries.first() {
        let there = store.read(first.seq(), entries.len()).await.map_err(|error| place.unread(&error))?;
        if there.is_empty() {
            return Err(Failure::refused(format!(
                "`{}` is damaged: entry {} is not there, and later ones are",
                place.shown(),
                first.seq()
            )));
        }
        let differs = entries.iter().zip(&there).find(|(entry, there)| entry.bytes()[..] != there[..]);
        if let Some((entry, _)) = differs {
            return Err(place.other_history(Some(entry.seq())));
        }
        entries = entries.get(there.len()..).unwrap_or_default();
    }
    Ok(())
}

fn no_such_ledger(shown: &str) -> Failure {
    Failure::told(format!("no such ledger: `{shown}`"))
        .hint("is it spelled right? `countersign init` opens a new one")
}

fn not_opened(error: countersign_stores::OpenError) -> Failure {
    let failure = Failure::of("the ledger can not be opened", &error);
    if error.is_damage() { failure.into_refused() } else { failure }
}

/// Opens a ledger in a database.
fn stored(address: &Address, options: &Options) -> Result<Box<dyn Source>, Failure> {
    let runtime = Arc::new(crate::commands::runtime()?);
    let store = open_database(address, options, &runtime)?;
    Ok(Box::new(StoreSource::open(store, runtime)?))
}

fn open_database(address: &Address, options: &Options, runtime: &Runtime) -> Result<AnyStore, Failure> {
    runtime.block_on(countersign_stores::open(address, options)).map_err(|error| match error {
        error if error.is_absent() => no_such_ledger(&address.to_string()),
        error => not_opened(error),
    })
}

/// Opens a directory for writing, and tells what a recovery did to it.
pub(crate) fn open_store(
    path: &Path,
    opening: Opening,
    session: &mut Session<'_, '_>,
) -> Result<FileStore, Failure> {
    let mut options = countersign_store::file::Options::new();
    if opening.cut_unproven {
        options = options.cut_unproven();
    }
    if opening.allow_network_file_system {
        options = options.allow_network_file_system();
    }
    let store = options.open(path).map_err(|error| {
        let failure = Failure::of("the ledger can not be opened for writing", &error);
        match error {
            OpenError::Locked { .. } => failure.hint("try again when the other program is done"),
            OpenError::UnknownName { .. } => failure.hint("nothing can be recorded before it is moved away"),
            OpenError::Unproven { .. } => failure.into_refused().hint(
                "a loss of power may have left it; --cut-unproven cuts it, and keeps what it cuts. `countersign verify` says more",
            ),
            OpenError::NetworkFileSystem { .. } => failure.hint("--allow-network-file-system writes there all the same"),
            error if error.is_damage() => failure.into_refused().hint("`countersign verify` says more"),
            _ => failure,
        }
    })?;
    if let Some(cut) = &store.recovery().cut {
        session.warn(&format!(
            "cut {} that a crash left behind the last whole entry; kept in {}",
            count(cut.size, "byte", "bytes"),
            safe(&cut.kept.display().to_string())
        ));
    }
    Ok(store)
}

/// Whether a directory is empty, or is what an `init` left that was cut off before it recorded anything.
fn is_unused(path: &Path) -> bool {
    let is_empty = fs::read_dir(path).is_ok_and(|mut names| names.next().is_none());
    is_empty
        || inspect(path).is_ok_and(|found| {
            found.entries == 0
                && found.durable.is_none_or(|(size, _)| size == 0)
                && found.damage.is_none()
                && found.foreign.is_empty()
                && found.kept.is_empty()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_ledger_is_a_directory_unless_its_name_says_otherwise() {
        let place = |name: &str| Place::of(&Path::new("/nowhere").join(name)).unwrap();
        let path = |name: &str| Path::new("/nowhere").join(name);
        assert_eq!(place("access.jsonl"), Place::File(path("access.jsonl")));
        for name in ["access.ledger", "access", "jsonl", "access.jsonl.d", ".jsonl"] {
            assert_eq!(place(name), Place::Directory(path(name)), "{name}");
        }
    }
}
