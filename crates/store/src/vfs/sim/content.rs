//! The bytes of one file: what programs see, what is safe, and what is between.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as MapEntry;
use std::sync::Arc;

/// A file's bytes.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    seen: Arc<Vec<u8>>,
    durable: Arc<Vec<u8>>,
    /// What was done since `durable`, in order.
    spans: Vec<Span>,
}

/// What was done to a file after one cut and before the next.
#[derive(Debug, Clone, Default)]
struct Span {
    cut: Option<Change<usize>>,
    sizes: Vec<Change<usize>>,
    /// By index, the whole sectors as they were after each write that touched them.
    sectors: BTreeMap<usize, Vec<Change<Box<[u8]>>>>,
}

/// A change that a loss of power may undo.
#[derive(Debug, Clone)]
struct Change<T> {
    to: T,
    /// A sync that failed went over it: the system takes it for saved, and does not save it again.
    given_up: bool,
}

impl<T> Change<T> {
    fn new(to: T) -> Self {
        Self { to, given_up: false }
    }
}

impl Content {
    /// A file whose bytes are all safe.
    pub(super) fn safe(bytes: impl Into<Arc<Vec<u8>>>) -> Self {
        let bytes = bytes.into();
        Self { seen: bytes.clone(), durable: bytes, spans: Vec::new() }
    }

    /// A file that has the bytes of this one, all of them safe.
    pub(super) fn saved(&self) -> Self {
        Self::safe(self.seen.clone())
    }

    /// What programs see, as long as the power stays on.
    pub(super) fn seen(&self) -> &[u8] {
        &self.seen
    }

    /// Whether a loss of power changes nothing.
    pub(super) fn is_safe(&self) -> bool {
        self.spans.is_empty()
    }

    pub(super) fn append(&mut self, bytes: &[u8], sector: usize) {
        if bytes.is_empty() {
            return;
        }
        let start = self.seen.len();
        Arc::make_mut(&mut self.seen).extend_from_slice(bytes);
        let end = self.seen.len();
        if self.spans.is_empty() {
            self.spans.push(Span::default());
        }
        let Some(span) = self.spans.last_mut() else { return };
        for index in start / sector..end.div_ceil(sector) {
            let from = index * sector;
            let to = (from + sector).min(end);
            // The size that a system writes while it is not done with the append: whole sectors of it.
            span.sizes.push(Change::new(to));
            span.sectors.entry(index).or_default().push(Change::new(self.seen[from..to].into()));
        }
    }

    pub(super) fn truncate(&mut self, size: usize) {
        Arc::make_mut(&mut self.seen).truncate(size);
        self.spans.push(Span { cut: Some(Change::new(size)), ..Span::default() });
    }

    /// Saves what no failed sync went over. As kernels do, it saves nothing else, and says nothing about it.
    pub(super) fn sync(&mut self, sector: usize) {
        if self.changes().all(|given_up| !given_up) {
            if !self.spans.is_empty() {
                self.durable = self.seen.clone();
                self.spans.clear();
            }
            return;
        }
        if self.changes().all(|given_up| given_up) {
            return;
        }
        // Whatever changes a file changes its size, so the size is saved; of the sectors, those written since the failure.
        let durable = Arc::make_mut(&mut self.durable);
        durable.resize(self.seen.len(), 0);
        let mut left: BTreeMap<usize, Vec<Change<Box<[u8]>>>> = BTreeMap::new();
        for span in self.spans.drain(..) {
            if let Some(cut) = span.cut {
                left.retain(|index, _| index * sector < cut.to);
            }
            for (index, versions) in span.sectors {
                left.entry(index).or_default().extend(versions);
            }
        }
        for index in left.keys().copied().collect::<Vec<_>>() {
            let MapEntry::Occupied(versions) = left.entry(index) else { continue };
            let from = index * sector;
            if from >= self.seen.len() {
                versions.remove();
            } else if versions.get().last().is_some_and(|version| !version.given_up) {
                let to = (from + sector).min(self.seen.len());
                durable[from..to].copy_from_slice(&self.seen[from..to]);
                versions.remove();
            }
        }
        if !left.is_empty() {
            self.spans.push(Span { sectors: left, ..Span::default() });
        }
    }

    /// A sync that fails: what it went over may be safe or not, and no later sync saves it.
    pub(super) fn fail_sync(&mut self) {
        for span in &mut self.spans {
            for change in span.cut.iter_mut().chain(&mut span.sizes) {
                change.given_up = true;
            }
            for change in span.sectors.values_mut().flatten() {
                change.given_up = true;
            }
        }
    }

    /// The bytes after a loss of power. `pick(n)` says which of `n` possibilities came true, 0 being the oldest; it is
    /// asked the same questions whatever it answers.
    pub(super) fn after_crash(&self, sector: usize, pick: &mut dyn FnMut(u64) -> u64) -> Arc<Vec<u8>> {
        fn choose<'c, T>(changes: &'c [Change<T>], pick: &mut dyn FnMut(u64) -> u64) -> Option<&'c T> {
            let picked = usize::try_from(pick(changes.len() as u64 + 1)).ok()?;
            changes.get(picked.checked_sub(1)?).map(|change| &change.to)
        }
        if self.is_safe() {
            return self.durable.clone();
        }
        let mut bytes = self.durable.to_vec();
        for span in &self.spans {
            if let Some(cut) = &span.cut
                && let Some(size) = choose(std::slice::from_ref(cut), pick)
            {
                bytes.truncate(*size);
            }
            if !span.sizes.is_empty()
                && let Some(size) = choose(&span.sizes, pick)
            {
                // Sectors that the size counts and nobody wrote are zero.
                bytes.resize(*size, 0);
            }
            for (index, versions) in &span.sectors {
                let from = index * sector;
                if let Some(version) = choose(versions, pick)
                    && from < bytes.len()
                {
                    let to = (from + version.len()).min(bytes.len());
                    bytes[from..to].copy_from_slice(&version[..to - from]);
                }
            }
        }
        bytes.into()
    }

    /// Of each change that is not saved, whether it was given up.
    fn changes(&self) -> impl Iterator<Item = bool> + '_ {
        self.spans.iter().flat_map(|span| {
            let sizes = span.cut.iter().chain(&span.sizes).map(|change| change.given_up);
            sizes.chain(span.sectors.values().flatten().map(|change| change.given_up))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Every file that a loss of power may leave.
    fn possible(content: &Content) -> BTreeSet<String> {
        let mut radices = Vec::new();
        content.after_crash(4, &mut |radix| {
            radices.push(radix);
            0
        });
        (0..radices.iter().product())
            .map(|mut number: u64| {
                let bytes = content.after_crash(4, &mut |radix| {
                    let digit = number % radix;
                    number /= radix;
                    digit
                });
                String::from_utf8(bytes.to_vec()).expect("ASCII").replace('\0', "_")
            })
            .collect()
    }

    fn set(texts: &[&str]) -> BTreeSet<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn an_unsynced_append_is_torn_by_sectors_in_any_way() {
        let mut content = Content::safe(b"ab".to_vec());
        content.append(b"cdef", 4);
        assert_eq!(content.seen(), b"abcdef");
        assert_eq!(possible(&content), set(&["ab", "ab__", "abcd", "ab____", "abcd__", "ab__ef", "abcdef"]));
    }

    #[test]
    fn a_sync_saves_all_of_it() {
        let mut content = Content::default();
        content.append(b"abcde", 4);
        content.truncate(3);
        content.append(b"xyz", 4);
        content.sync(4);
        assert!(content.is_safe());
        assert_eq!(possible(&content), set(&["abcxyz"]));
    }

    #[test]
    fn an_unsynced_cut_may_come_undone() {
        let mut content = Content::safe(b"abcdef".to_vec());
        content.truncate(4);
        assert_eq!(possible(&content), set(&["abcd", "abcdef"]));
    }

    #[test]
    fn a_failed_sync_gives_up_and_a_later_one_does_not_save_what_it_gave_up() {
        let mut content = Content::safe(b"ab".to_vec());
        content.append(b"cd", 4);
        content.fail_sync();
        content.sync(4);
        assert_eq!(possible(&content), set(&["ab", "ab__", "abcd"]), "the second sync saved nothing");
        content.append(b"efgh", 4);
        content.sync(4);
        assert_eq!(content.seen(), b"abcdefgh");
        assert_eq!(possible(&content), set(&["ab__efgh", "abcdefgh"]), "a hole under what is acknowledged");
    }

    #[test]
    fn what_is_written_anew_after_a_failed_sync_is_saved_by_the_next() {
        let mut content = Content::safe(b"ab".to_vec());
        content.append(b"cdefgh", 4);
        content.fail_sync();
        content.truncate(2);
        content.append(b"cdefgh", 4);
        content.sync(4);
        assert_eq!(possible(&content), set(&["abcdefgh"]));
    }
}
