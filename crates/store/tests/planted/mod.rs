//! File systems that break one promise each: stores on them make the mistakes that people make.

use std::io;
use std::path::Path;

use countersign_store::vfs::{Access, DirEntry, Metadata, Vfs, VfsDir, VfsFile};

/// A mistake that every store on a [`Planted`] file system makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mistake {
    /// Directories are never synced: neither after a name was made, nor after one was renamed.
    SkipsDirectorySyncs,
    /// Files are never synced, so that everything is acknowledged before it is safe.
    SkipsFileSyncs,
    /// The error of a sync is dropped.
    SwallowsSyncFailures,
    /// A sync that fails is tried again until it succeeds.
    RetriesFailedSyncs,
    /// A file is renamed before it is synced.
    RenamesUnsynced,
}

/// A file system with a mistake.
#[derive(Debug, Clone)]
pub(crate) struct Planted<V>(pub(crate) V, pub(crate) Mistake);

impl<V: Vfs> Vfs for Planted<V> {
    type File = PlantedFile<V::File>;
    type Dir = PlantedDir<V::Dir>;
    type Lock = V::Lock;

    fn open(&self, path: &Path, access: Access) -> io::Result<Self::File> {
        Ok(PlantedFile {
            file: self.0.open(path, access)?,
            mistake: self.1,
            made: access == Access::CreateNew,
        })
    }

    fn open_dir(&self, path: &Path) -> io::Result<Self::Dir> {
        Ok(PlantedDir(self.0.open_dir(path)?, self.1))
    }

    fn create_dir(&self, path: &Path) -> io::Result<()> {
        self.0.create_dir(path)
    }

    fn read_dir(&self, path: &Path) -> io::Result<Vec<DirEntry>> {
        self.0.read_dir(path)
    }

    fn metadata(&self, path: &Path) -> io::Result<Option<Metadata>> {
        self.0.metadata(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.0.remove_file(path)
    }

    fn try_lock(&self, path: &Path) -> io::Result<Option<Self::Lock>> {
        self.0.try_lock(path)
    }

    fn network_file_system(&self, path: &Path) -> io::Result<Option<String>> {
        self.0.network_file_system(path)
    }
}

#[derive(Debug)]
pub(crate) struct PlantedFile<F> {
    file: F,
    mistake: Mistake,
    /// It was made by whoever has it open, as files are that are renamed later.
    made: bool,
}

impl<F: VfsFile> VfsFile for PlantedFile<F> {
    fn size(&self) -> io::Result<u64> {
        self.file.size()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn append(&self, bytes: &[u8]) -> io::Result<usize> {
        self.file.append(bytes)
    }

    fn truncate(&self, size: u64) -> io::Result<()> {
        self.file.truncate(size)
    }

    fn sync(&self) -> io::Result<()> {
        match self.mistake {
            Mistake::SkipsFileSyncs => Ok(()),
            Mistake::RenamesUnsynced if self.made => Ok(()),
            Mistake::RenamesUnsynced | Mistake::SkipsDirectorySyncs => self.file.sync(),
            Mistake::SwallowsSyncFailures => self.file.sync().or(Ok(())),
            Mistake::RetriesFailedSyncs => self.file.sync().or_else(|_| self.file.sync()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct PlantedDir<D>(D, Mistake);

impl<D: VfsDir> VfsDir for PlantedDir<D> {
    fn sync(&self) -> io::Result<()> {
        match self.1 {
            Mistake::SkipsDirectorySyncs => Ok(()),
            Mistake::SkipsFileSyncs | Mistake::RenamesUnsynced => self.0.sync(),
            Mistake::SwallowsSyncFailures => self.0.sync().or(Ok(())),
            Mistake::RetriesFailedSyncs => self.0.sync().or_else(|_| self.0.sync()),
        }
    }
}
