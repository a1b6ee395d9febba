//! Bundles: the entries of many objects in one, for those who read. The originals stay, and they alone are the ledger.

use std::collections::BTreeMap;

use bytes::Bytes;
use countersign_core::digest::{HASH_LEN, StatementDigest, sha256};
use countersign_core::entry::Head;
use countersign_store::StoreError;

use crate::bucket::{Bucket, Got};
use crate::known::{Kind, Span};
use crate::piece::{MAX_OBJECT_LEN, MAX_TAKEN, Piece};

/// Bytes of one record of an index: a digest, and how far its entry is behind the first of the bundle.
const RECORD_LEN: usize = HASH_LEN + 4;
/// Longest index that is taken in. No bundle has as many entries: an entry has more bytes than a record.
const MAX_INDEX_LEN: u64 = 2 * MAX_OBJECT_LEN as u64;

/// Which statements are in a bundle: the beginning of each digest, sorted, and the position of its entry.
#[derive(Debug, Clone, Default)]
pub(crate) struct Index(Vec<(u64, u64)>);

impl Index {
    pub(crate) fn of(digests: &[StatementDigest], first: u64) -> Self {
        let mut records: Vec<_> = digests.iter().map(beginning).zip(first..).collect();
        records.sort_unstable();
        Self(records)
    }

    /// The positions that a statement of this digest may be at, in order.
    pub(crate) fn candidates(&self, digest: &StatementDigest) -> impl Iterator<Item = u64> + '_ {
        let wanted = beginning(digest);
        let from = self.0.partition_point(|(beginning, _)| *beginning < wanted);
        self.0[from..].iter().take_while(move |(beginning, _)| *beginning == wanted).map(|(_, seq)| *seq)
    }
}

fn beginning(digest: &StatementDigest) -> u64 {
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&digest.as_bytes()[..8]);
    u64::from_be_bytes(bytes)
}

/// The bytes of an index: for each statement, sorted, its digest and how far its entry is behind the first one, big-endian; then the
/// SHA-256 of all that.
fn index_bytes(digests: &[StatementDigest]) -> Bytes {
    let mut records: Vec<_> = digests.iter().zip(0_u32..).collect();
    records.sort_unstable();
    let mut bytes = Vec::with_capacity(records.len() * RECORD_LEN + HASH_LEN);
    for (digest, behind) in records {
        bytes.extend_from_slice(digest.as_bytes());
        bytes.extend_from_slice(&behind.to_be_bytes());
    }
    let digest = sha256(&[&bytes]);
    bytes.extend_from_slice(&digest);
    bytes.into()
}

/// The index with these bytes; none where they are not the index of a bundle of `count` entries.
fn read_index(bytes: &[u8], span: Span) -> Option<Index> {
    let count = usize::try_from(span.head.size - span.after.size).ok()?;
    let (records, digest) = bytes.split_at_checked(count.checked_mul(RECORD_LEN)?)?;
    if sha256(&[records])[..] != *digest {
        return None;
    }
    let record = |record: &[u8]| {
        let (digest, behind) = record.split_at_checked(HASH_LEN)?;
        let digest = StatementDigest::new(digest.try_into().ok()?);
        let behind = u32::from_be_bytes(behind.try_into().ok()?);
        ((behind as usize) < count).then(|| (beginning(&digest), span.after.size + u64::from(behind)))
    };
    Some(Index(records.chunks(RECORD_LEN).map(record).collect::<Option<_>>()?))
}

/// Makes a bundle of entries that were read from their objects. First its index, so that whoever finds it finds that too.
pub(crate) async fn make(bucket: &Bucket, pieces: &[Piece]) -> Result<Option<(Span, Index)>, StoreError> {
    let (Some(first), Some(last)) = (pieces.first(), pieces.last()) else { return Ok(None) };
    let span = Span { kind: Kind::Bundle, after: first.after, head: last.head, size: 0 };
    let digests: Vec<_> = pieces.iter().flat_map(|piece| &piece.digests).copied().collect();
    let mut bytes = Vec::new();
    for entry in pieces.iter().flat_map(|piece| &piece.entries) {
        bytes.extend_from_slice(entry);
        bytes.push(b'\n');
    }
    bucket.put(&bucket.names.index(span.after.size, span.head), index_bytes(&digests)).await?;
    bucket.put(&bucket.names.bundle(span.after.size, span.head), bytes.into()).await?;
    Ok(Some((span, Index::of(&digests, span.after.size))))
}

/// The entries of a bundle; none where it is not there, or is not what its name says.
pub(crate) async fn fetch(bucket: &Bucket, span: Span) -> Result<Option<Piece>, StoreError> {
    let name = bucket.names.bundle(span.after.size, span.head);
    let Got::Bytes(bytes) = bucket.get(&name, 2 * MAX_TAKEN).await? else { return Ok(None) };
    Ok(Piece::parse(&bytes, span.after).ok().filter(|piece| piece.head == span.head))
}

/// The index of a bundle: from its own object, or else from its entries; none where neither is there.
pub(crate) async fn index(bucket: &Bucket, span: Span) -> Result<Option<Index>, StoreError> {
    let name = bucket.names.index(span.after.size, span.head);
    if let Got::Bytes(bytes) = bucket.get(&name, MAX_INDEX_LEN).await?
        && let Some(index) = read_index(&bytes, span)
    {
        return Ok(Some(index));
    }
    Ok(fetch(bucket, span).await?.map(|piece| Index::of(&piece.digests, span.after.size)))
}

/// Bundles that stand one behind the other from the first entry on, as far as any do, by what their names say; none where two contradict each
/// other: one of them is of another ledger.
pub(crate) fn path(bundles: &[(u64, Head)]) -> Option<Vec<Span>> {
    let mut leaves = BTreeMap::new();
    if bundles.iter().any(|(_, head)| *leaves.entry(head.size).or_insert(head.leaf) != head.leaf) {
        return None;
    }
    let mut reached: BTreeMap<u64, Span> = BTreeMap::new();
    // Sorted by their first entries, and none is empty: whatever one may stand behind was reached before.
    for (first, head) in bundles {
        let after = match first {
            0 => Some(Head::EMPTY),
            first => reached.get(first).map(|before| before.head),
        };
        if let Some(after) = after {
            reached.entry(head.size).or_insert(Span { kind: Kind::Bundle, after, head: *head, size: 0 });
        }
    }
    let mut spans = Vec::new();
    let mut end = reached.last_key_value().map(|(end, _)| *end);
    while let Some(span) = end.and_then(|end| reached.get(&end)) {
        spans.push(*span);
        end = Some(span.after.size);
    }
    spans.reverse();
    Some(spans)
}

#[cfg(test)]
mod tests {
    use countersign_core::digest::LeafHash;

    use super::*;

    fn head(size: u64) -> Head {
        Head { size, leaf: LeafHash::new([size as u8; HASH_LEN]) }
    }

    #[test]
    fn bundles_are_taken_as_far_as_they_stand_one_behind_the_other() {
        type Case<'c> = (&'c [(u64, u64)], &'c [u64]);
        let cases: [Case<'_>; 7] = [
            (&[], &[]),
            (&[(0, 4), (4, 8), (8, 12)], &[4, 8, 12]),
            (&[(0, 4), (8, 12)], &[4]),
            (&[(4, 8)], &[]),
            // Two who made bundles beside each other, one of whom went on.
            (&[(0, 4), (0, 5), (4, 8)], &[4, 8]),
            (&[(0, 4), (0, 5), (4, 8), (5, 9)], &[5, 9]),
            (&[(0, 4), (4, 8), (4, 9), (8, 9)], &[4, 9]),
        ];
        for (bundles, wanted) in cases {
            let bundles: Vec<_> = bundles.iter().map(|(first, end)| (*first, head(*end))).collect();
            let ends: Vec<_> = path(&bundles).unwrap().iter().map(|span| span.head.size).collect();
            assert_eq!(ends, wanted, "case: {bundles:?}");
        }
    }

    #[test]
    fn bundles_that_contradict_each_other_are_not_taken() {
        let other = Head { leaf: head(9).leaf, ..head(8) };
        assert!(path(&[(0, head(4)), (4, head(8)), (2, head(8))]).is_some());
        assert!(path(&[(0, head(4)), (4, head(8)), (2, other)]).is_none());
    }

    #[test]
    fn an_index_is_read_as_it_was_written_and_near_misses_are_none() {
        let digests: Vec<_> = [7, 3, 9].map(|byte| StatementDigest::new([byte; HASH_LEN])).into();
        let span = |count: u64| Span { kind: Kind::Bundle, after: head(5), head: head(5 + count), size: 0 };
        let bytes = index_bytes(&digests);
        let index = read_index(&bytes, span(3)).unwrap();
        for (digest, seq) in digests.iter().zip(5..) {
            assert_eq!(index.candidates(digest).collect::<Vec<_>>(), [seq]);
        }
        assert_eq!(index.candidates(&StatementDigest::new([4; HASH_LEN])).count(), 0);
        assert!(read_index(&bytes, span(2)).is_none() && read_index(&bytes, span(4)).is_none());
        for at in 0..bytes.len() {
            let mut changed = bytes.to_vec();
            changed[at] ^= 1;
            assert!(read_index(&changed, span(3)).is_none(), "case: {at}");
            assert!(read_index(&bytes[..at], span(3)).is_none(), "case: {at}");
        }
    }
}
