//! Files and the names they have, on a disk that may lose power.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::hash::{Hash as _, Hasher};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::content::Content;

/// Which file or directory.
pub(super) type NodeId = usize;

/// Everything that is on a disk, or on its way there.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    nodes: Vec<Node>,
    /// Changes of names that a loss of power may undo, in order.
    changes: Vec<NameChange>,
    sector: usize,
}

#[derive(Debug, Clone)]
pub(super) enum Node {
    File(Content),
    Dir { seen: Names, durable: Names },
}

pub(super) type Names = BTreeMap<OsString, NodeId>;

/// One call that changed names: it comes true as a whole or not at all, but for the directories that were synced since.
#[derive(Debug, Clone)]
struct NameChange {
    effects: Vec<Effect>,
}

#[derive(Debug, Clone)]
struct Effect {
    dir: NodeId,
    name: OsString,
    to: Option<NodeId>,
    /// See [`super::content`]: a failed sync went over it.
    given_up: bool,
}

pub(super) const ROOT: NodeId = 0;

impl Disk {
    pub(super) fn new(sector: usize) -> Self {
        let root = Node::Dir { seen: Names::new(), durable: Names::new() };
        Self { nodes: vec![root], changes: Vec::new(), sector }
    }

    pub(super) fn file(&self, id: NodeId) -> Option<&Content> {
        match &self.nodes[id] {
            Node::File(content) => Some(content),
            Node::Dir { .. } => None,
        }
    }

    pub(super) fn names(&self, id: NodeId) -> Option<&Names> {
        match &self.nodes[id] {
            Node::File(_) => None,
            Node::Dir { seen, .. } => Some(seen),
        }
    }

    pub(super) fn append(&mut self, id: NodeId, bytes: &[u8]) {
        let sector = self.sector;
        if let Node::File(content) = &mut self.nodes[id] {
            content.append(bytes, sector);
        }
    }

    pub(super) fn truncate(&mut self, id: NodeId, size: usize) {
        if let Node::File(content) = &mut self.nodes[id] {
            content.truncate(size);
        }
    }

    pub(super) fn create_file(&mut self, dir: NodeId, name: &OsStr) -> NodeId {
        self.create(dir, name, Node::File(Content::default()))
    }

    pub(super) fn create_dir(&mut self, dir: NodeId, name: &OsStr) -> NodeId {
        self.create(dir, name, Node::Dir { seen: Names::new(), durable: Names::new() })
    }

    fn create(&mut self, dir: NodeId, name: &OsStr, node: Node) -> NodeId {
        self.nodes.push(node);
        let id = self.nodes.len() - 1;
        self.change([(dir, name, Some(id))]);
        id
    }

    pub(super) fn rename(&mut self, from: (NodeId, &OsStr), to: (NodeId, &OsStr), id: NodeId) {
        if from != to {
            self.change([(from.0, from.1, None), (to.0, to.1, Some(id))]);
        }
    }

    pub(super) fn remove(&mut self, dir: NodeId, name: &OsStr) {
        self.change([(dir, name, None)]);
    }

    fn change<const N: usize>(&mut self, effects: [(NodeId, &OsStr, Option<NodeId>); N]) {
        for (dir, name, to) in &effects {
            if let Node::Dir { seen, .. } = &mut self.nodes[*dir] {
                set(seen, name, *to);
            }
        }
        let effect =
            |(dir, name, to): (NodeId, &OsStr, _)| Effect { dir, name: name.into(), to, given_up: false };
        self.changes.push(NameChange { effects: effects.map(effect).into() });
    }

    /// Saves a file's bytes, or the names in a directory.
    pub(super) fn sync(&mut self, id: NodeId) {
        let Node::Dir { durable, .. } = &mut self.nodes[id] else {
            if let Node::File(content) = &mut self.nodes[id] {
                content.sync(self.sector);
            }
            return;
        };
        let mut saved = BTreeMap::new();
        for (index, change) in self.changes.iter_mut().enumerate() {
            change.effects.retain(|effect| {
                let save = effect.dir == id && !effect.given_up;
                if save {
                    set(durable, &effect.name, effect.to);
                    saved.insert(effect.name.clone(), index);
                }
                !save
            });
        }
        // A name that was saved has left behind what was given up of it before.
        for (index, change) in self.changes.iter_mut().enumerate() {
            let left_behind = |effect: &Effect| {
                effect.dir == id && saved.get(&effect.name).is_some_and(|saved| index < *saved)
            };
            change.effects.retain(|effect| !left_behind(effect));
        }
        self.changes.retain(|change| !change.effects.is_empty());
    }

    /// A sync that fails: what it went over may be safe or not, and no later sync saves it.
    pub(super) fn fail_sync(&mut self, id: NodeId) {
        if let Node::File(content) = &mut self.nodes[id] {
            content.fail_sync();
            return;
        }
        let nodes = &self.nodes;
        let is_dir = |to: Option<NodeId>| to.is_some_and(|to| matches!(nodes[to], Node::Dir { .. }));
        let effects = self.changes.iter_mut().flat_map(|change| &mut change.effects);
        let given_up = effects.filter(|effect| effect.dir == id && !is_dir(effect.to));
        given_up.for_each(|effect| effect.given_up = true);
    }

    /// Saves everything, whatever failed before: how a test prepares a disk.
    pub(super) fn save_all(&mut self) {
        for node in &mut self.nodes {
            match node {
                Node::File(content) => *content = content.saved(),
                Node::Dir { seen, durable } => durable.clone_from(seen),
            }
        }
        self.changes.clear();
    }

    /// The disk after a loss of power. `pick(n)` says which of `n` possibilities came true, 0 being the oldest; it is
    /// asked the same questions whatever it answers.
    pub(super) fn after_crash(&self, pick: &mut dyn FnMut(u64) -> u64) -> Self {
        let kept: Vec<bool> = self.changes.iter().map(|_| pick(2) == 1).collect();
        let mut contents = BTreeMap::new();
        for id in self.reachable() {
            if let Some(content) = self.file(id) {
                contents.insert(id, content.after_crash(self.sector, pick));
            }
        }
        self.rebuilt(&self.names_after(&kept), |id| contents.get(&id).cloned().unwrap_or_default())
    }

    /// How many changes of names a loss of power may undo.
    pub(super) fn name_changes(&self) -> usize {
        self.changes.len()
    }

    /// The names in every directory, where these changes were kept and the others undone.
    pub(super) fn names_after(&self, kept: &[bool]) -> BTreeMap<NodeId, Names> {
        let mut names: BTreeMap<NodeId, Names> = BTreeMap::new();
        for (id, node) in self.nodes.iter().enumerate() {
            if let Node::Dir { durable, .. } = node {
                names.insert(id, durable.clone());
            }
        }
        for (change, _) in self.changes.iter().zip(kept).filter(|(_, kept)| **kept) {
            for effect in &change.effects {
                if let Some(names) = names.get_mut(&effect.dir) {
                    set(names, &effect.name, effect.to);
                }
            }
        }
        names
    }

    /// The files that these names lead to from the root, in the order of their ids.
    pub(super) fn files(&self, names: &BTreeMap<NodeId, Names>) -> BTreeSet<NodeId> {
        let mut todo = vec![ROOT];
        let mut files = BTreeSet::new();
        while let Some(id) = todo.pop() {
            for id in names.get(&id).into_iter().flat_map(Names::values) {
                match &self.nodes[*id] {
                    Node::File(_) => drop(files.insert(*id)),
                    Node::Dir { .. } => todo.push(*id),
                }
            }
        }
        files
    }

    /// What may be left of a file: each only once, the oldest first. None where there are more than `most` ways to look at.
    pub(super) fn contents_after(&self, id: NodeId, most: u64) -> Option<Vec<Arc<Vec<u8>>>> {
        let content = self.file(id)?;
        let mut ways = 1_u64;
        content.after_crash(self.sector, &mut |radix| {
            ways = ways.saturating_mul(radix);
            0
        });
        if ways > most {
            return None;
        }
        let mut seen = BTreeSet::new();
        let mut each = Vec::new();
        for mut number in 0..ways {
            let bytes = content.after_crash(self.sector, &mut |radix| {
                let digit = number % radix;
                number /= radix;
                digit
            });
            if seen.insert(bytes.clone()) {
                each.push(bytes);
            }
        }
        Some(each)
    }

    /// A disk with these names, on which everything is safe. `content` says what a file holds.
    pub(super) fn rebuilt(
        &self,
        names: &BTreeMap<NodeId, Names>,
        mut content: impl FnMut(NodeId) -> Arc<Vec<u8>>,
    ) -> Self {
        let mut disk = Self::new(self.sector);
        let mut todo = vec![(ROOT, ROOT)];
        // A file can have two names, where one that was removed came back.
        let mut moved = BTreeMap::new();
        while let Some((old, new)) = todo.pop() {
            let mut there = Names::new();
            for (name, old) in names.get(&old).into_iter().flatten() {
                let new = *moved.entry(*old).or_insert_with(|| {
                    let new = disk.nodes.len();
                    disk.nodes.push(match &self.nodes[*old] {
                        Node::File(_) => Node::File(Content::safe(content(*old))),
                        Node::Dir { .. } => {
                            todo.push((*old, new));
                            Node::Dir { seen: Names::new(), durable: Names::new() }
                        }
                    });
                    new
                });
                there.insert(name.clone(), new);
            }
            disk.nodes[new] = Node::Dir { seen: there.clone(), durable: there };
        }
        disk
    }

    /// Every file and directory that programs see, but for the root.
    pub(super) fn tree(&self) -> BTreeMap<PathBuf, Option<&[u8]>> {
        let mut tree = BTreeMap::new();
        let mut todo = vec![(PathBuf::from("/"), ROOT)];
        while let Some((path, id)) = todo.pop() {
            match &self.nodes[id] {
                Node::File(content) => {
                    tree.insert(path, Some(content.seen()));
                }
                Node::Dir { seen, .. } => {
                    todo.extend(seen.iter().map(|(name, id)| (path.join(name), *id)));
                    if id != ROOT {
                        tree.insert(path, None);
                    }
                }
            }
        }
        tree
    }

    /// Gives everything that [`Self::tree`] has to a hasher.
    pub(super) fn hash_tree(&self, hasher: &mut impl Hasher) {
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            match &self.nodes[id] {
                Node::File(content) => content.seen().hash(hasher),
                Node::Dir { seen, .. } => {
                    hasher.write_usize(seen.len());
                    for (name, id) in seen {
                        (name, self.file(*id).is_some()).hash(hasher);
                        todo.push(*id);
                    }
                }
            }
        }
    }

    /// Whether a loss of power changes nothing.
    pub(super) fn is_safe(&self) -> bool {
        let safe = |id: NodeId| self.file(id).is_none_or(Content::is_safe);
        self.changes.is_empty() && self.reachable().into_iter().all(safe)
    }

    /// How many bytes the files have that programs see.
    pub(super) fn used(&self) -> u64 {
        self.tree().values().flatten().map(|bytes| bytes.len() as u64).sum()
    }

    /// What stands at a path.
    pub(super) fn resolve(&self, path: &Path) -> Option<NodeId> {
        path.components().try_fold(ROOT, |id, component| match component {
            std::path::Component::Normal(name) => self.names(id)?.get(name).copied(),
            std::path::Component::RootDir | std::path::Component::CurDir => Some(id),
            std::path::Component::Prefix(_) | std::path::Component::ParentDir => None,
        })
    }

    /// What may be named by anything once the power was lost, and everything that is.
    fn reachable(&self) -> BTreeSet<NodeId> {
        let mut found = BTreeSet::from([ROOT]);
        let mut todo = vec![ROOT];
        while let Some(id) = todo.pop() {
            let Node::Dir { seen, durable } = &self.nodes[id] else { continue };
            let effects = self.changes.iter().flat_map(|change| &change.effects);
            let targets = effects.filter(|effect| effect.dir == id).filter_map(|effect| effect.to);
            for id in seen.values().chain(durable.values()).copied().chain(targets) {
                if found.insert(id) {
                    todo.push(id);
                }
            }
        }
        found
    }
}

fn set(names: &mut Names, name: &OsStr, to: Option<NodeId>) {
    match to {
        Some(id) => names.insert(name.to_owned(), id),
        None => names.remove(name),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every set of names that a loss of power may leave.
    fn possible(disk: &Disk) -> BTreeSet<String> {
        let mut radices = Vec::new();
        disk.after_crash(&mut |radix| {
            radices.push(radix);
            0
        });
        (0..radices.iter().product())
            .map(|mut number: u64| {
                let disk = disk.after_crash(&mut |radix| {
                    let digit = number % radix;
                    number /= radix;
                    digit
                });
                let names: Vec<_> = disk
                    .tree()
                    .iter()
                    .map(|(path, bytes)| format!("{}{}", path.display(), bytes.map_or(0, <[u8]>::len)))
                    .collect();
                names.join(" ")
            })
            .collect()
    }

    fn set_of(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn a_synced_file_without_a_synced_name_may_vanish() {
        let mut disk = Disk::new(512);
        let file = disk.create_file(ROOT, OsStr::new("a"));
        disk.append(file, b"x");
        disk.sync(file);
        assert_eq!(possible(&disk), set_of(&["", "/a1"]));
        disk.sync(ROOT);
        assert_eq!(possible(&disk), set_of(&["/a1"]));
    }

    #[test]
    fn a_rename_is_at_once_and_may_come_undone() {
        let mut disk = Disk::new(512);
        let (a, b) = (disk.create_file(ROOT, OsStr::new("a")), disk.create_file(ROOT, OsStr::new("b")));
        disk.append(a, b"x");
        disk.save_all();
        disk.rename((ROOT, OsStr::new("a")), (ROOT, OsStr::new("b")), a);
        assert_eq!(possible(&disk), set_of(&["/a1 /b0", "/b1"]));
        assert_eq!(disk.resolve(Path::new("/b")), Some(a));
        assert!(disk.resolve(Path::new("/a")).is_none());
        disk.sync(ROOT);
        assert_eq!(possible(&disk), set_of(&["/b1"]));
        assert_eq!(disk.file(b).map(Content::seen), Some(&b""[..]), "who has it open reads on");
    }

    #[test]
    fn a_removed_name_may_come_back() {
        let mut disk = Disk::new(512);
        disk.create_file(ROOT, OsStr::new("a"));
        disk.save_all();
        disk.remove(ROOT, OsStr::new("a"));
        assert_eq!(possible(&disk), set_of(&["", "/a0"]));
    }

    #[test]
    fn a_directory_takes_what_is_in_it_along() {
        let mut disk = Disk::new(512);
        let dir = disk.create_dir(ROOT, OsStr::new("d"));
        disk.create_file(dir, OsStr::new("a"));
        disk.sync(dir);
        assert_eq!(possible(&disk), set_of(&["", "/d0 /d/a0"]));
        disk.sync(ROOT);
        assert_eq!(possible(&disk), set_of(&["/d0 /d/a0"]));
    }

    #[test]
    fn a_failed_directory_sync_gives_up() {
        let mut disk = Disk::new(512);
        disk.create_file(ROOT, OsStr::new("a"));
        disk.fail_sync(ROOT);
        disk.create_file(ROOT, OsStr::new("b"));
        disk.sync(ROOT);
        assert_eq!(possible(&disk), set_of(&["/b0", "/a0 /b0"]));
        disk.remove(ROOT, OsStr::new("a"));
        disk.sync(ROOT);
        assert_eq!(possible(&disk), set_of(&["/b0"]));
    }
}
