//! What is asked of the tables. Every entry is held against its leaf hash on its way out.

use countersign_core::digest::{LeafHash, StatementDigest};
use countersign_core::entry::{Entry, Head, MAX_ENTRY_LEN, leaf_hash};
use countersign_core::note::MAX_NOTE_LEN;
use countersign_store::{EntryBytes, Found, KeptSnapshot, NoteBytes, SnapshotSet, StoreError};
use rusqlite::types::Type;
use rusqlite::{Connection, OptionalExtension as _, Row, params};

use crate::error::failed;

/// A ledger's number in its database.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ledger(pub(crate) i64);

// Nobody who put more there makes a reader take it in.
const LONGEST_ENTRY: i64 = MAX_ENTRY_LEN as i64;
const LONGEST_NOTE: i64 = MAX_NOTE_LEN as i64;

/// SQLite's integers are signed, and no position comes near their end.
fn integer(size: u64) -> i64 {
    i64::try_from(size).unwrap_or(i64::MAX)
}

fn damaged(seq: u64, detail: &str) -> StoreError {
    StoreError::Damaged { seq, detail: detail.to_owned() }
}

fn blob<'r>(row: &'r Row<'_>, column: usize) -> rusqlite::Result<&'r [u8]> {
    row.get_ref(column)?
        .as_blob()
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(column, Type::Blob, error.into()))
}

/// The entry in a row of seq, leaf and bytes, if it is the one that belongs at `seq` (anywhere, where that is none).
fn entry(row: &Row<'_>, wanted: Option<u64>) -> Result<(Head, EntryBytes), StoreError> {
    let at = wanted.unwrap_or(0);
    let seq = row.get::<_, i64>(0).map_err(failed(at))?;
    let seq = u64::try_from(seq).map_err(|_| damaged(at, "a position below 0"))?;
    if wanted.is_some_and(|wanted| wanted != seq) {
        return Err(damaged(at, "the entry is not there"));
    }
    let (leaf, bytes) = (blob(row, 1).map_err(failed(seq))?, blob(row, 2).map_err(failed(seq))?);
    let computed = leaf_hash(bytes);
    if computed.as_bytes()[..] != *leaf {
        return Err(damaged(seq, "its bytes are not those that its leaf hash is of"));
    }
    Ok((Head { size: seq + 1, leaf: computed }, bytes.into()))
}

/// The last entry and the head right after it.
pub(crate) fn last(
    connection: &Connection,
    Ledger(ledger): Ledger,
) -> Result<Option<(Head, EntryBytes)>, StoreError> {
    let sql = "SELECT seq, leaf, CASE WHEN length(bytes) <= ?2 THEN bytes END FROM entries WHERE ledger = ?1 ORDER BY seq DESC LIMIT 1";
    let mut query = connection.prepare_cached(sql).map_err(failed(0))?;
    let mut rows = query.query(params![ledger, LONGEST_ENTRY]).map_err(failed(0))?;
    rows.next().map_err(failed(0))?.map(|row| entry(row, None)).transpose()
}

pub(crate) fn head(connection: &Connection, ledger: Ledger) -> Result<Head, StoreError> {
    Ok(last(connection, ledger)?.map_or(Head::EMPTY, |(head, _)| head))
}

/// As [`countersign_store::Store::read`].
pub(crate) fn read(
    connection: &Connection,
    Ledger(ledger): Ledger,
    from: u64,
    max: usize,
    max_size: usize,
) -> Result<Vec<EntryBytes>, StoreError> {
    let sql = "SELECT seq, leaf, CASE WHEN length(bytes) <= ?4 THEN bytes END FROM entries WHERE ledger = ?1 AND seq >= ?2 ORDER BY seq LIMIT ?3";
    let mut query = connection.prepare_cached(sql).map_err(failed(from))?;
    let limit = integer(max as u64);
    let mut rows = query.query(params![ledger, integer(from), limit, LONGEST_ENTRY]).map_err(failed(from))?;
    let (mut entries, mut size, mut seq) = (Vec::new(), 0, from);
    while let Some(row) = rows.next().map_err(failed(seq))? {
        let (_, bytes) = entry(row, Some(seq))?;
        size += bytes.len();
        if size > max_size && !entries.is_empty() {
            break;
        }
        entries.push(bytes);
        seq += 1;
    }
    Ok(entries)
}

/// The leaf hash of the entry at a position below the head.
pub(crate) fn leaf(connection: &Connection, ledger: Ledger, seq: u64) -> Result<LeafHash, StoreError> {
    let found = read(connection, ledger, seq, 1, 0)?;
    found.first().map(|bytes| leaf_hash(bytes)).ok_or_else(|| damaged(seq, "the entry is not there"))
}

/// As [`countersign_store::Store::find`].
pub(crate) fn find(
    connection: &Connection,
    Ledger(ledger): Ledger,
    digest: &StatementDigest,
) -> Result<Option<Found>, StoreError> {
    let sql = "SELECT seq, leaf, CASE WHEN length(bytes) <= ?3 THEN bytes END FROM entries WHERE ledger = ?1 AND digest = ?2";
    let mut query = connection.prepare_cached(sql).map_err(failed(0))?;
    let mut rows = query.query(params![ledger, digest.as_bytes(), LONGEST_ENTRY]).map_err(failed(0))?;
    let Some(row) = rows.next().map_err(failed(0))? else { return Ok(None) };
    let (head, bytes) = entry(row, None)?;
    let seq = head.size - 1;
    if Entry::parse(bytes.clone()).is_ok_and(|entry| entry.signed().digest() == *digest) {
        return Ok(Some(Found { seq, bytes }));
    }
    Err(damaged(seq, "it is kept under the digest of another statement"))
}

pub(crate) fn insert(connection: &Connection, Ledger(ledger): Ledger, entry: &Entry) -> rusqlite::Result<()> {
    let sql = "INSERT INTO entries (ledger, seq, leaf, digest, bytes) VALUES (?1, ?2, ?3, ?4, ?5)";
    let (digest, leaf) = (entry.signed().digest(), entry.leaf());
    let values =
        params![ledger, integer(entry.seq()), leaf.as_bytes(), digest.as_bytes(), &entry.bytes()[..]];
    connection.prepare_cached(sql)?.execute(values).map(drop)
}

/// The kept checkpoint and the size that it is said to be over.
pub(crate) fn checkpoint(
    connection: &Connection,
    Ledger(ledger): Ledger,
) -> Result<Option<(u64, NoteBytes)>, StoreError> {
    let sql = "SELECT size, CASE WHEN length(note) <= ?2 THEN note END FROM checkpoints WHERE ledger = ?1";
    let mut query = connection.prepare_cached(sql).map_err(failed(0))?;
    let mut rows = query.query(params![ledger, LONGEST_NOTE]).map_err(failed(0))?;
    let Some(row) = rows.next().map_err(failed(0))? else { return Ok(None) };
    let size = row.get::<_, i64>(0).map_err(failed(0))?;
    let size = u64::try_from(size).map_err(|_| damaged(0, "a checkpoint over less than nothing"))?;
    Ok(Some((size, blob(row, 1).map_err(failed(size))?.into())))
}

pub(crate) fn put_checkpoint(
    connection: &Connection,
    Ledger(ledger): Ledger,
    size: u64,
    note: &[u8],
) -> rusqlite::Result<()> {
    let sql = "INSERT OR REPLACE INTO checkpoints (ledger, size, note) VALUES (?1, ?2, ?3)";
    connection.prepare_cached(sql)?.execute(params![ledger, integer(size), note]).map(drop)
}

/// As [`countersign_store::Store::snapshots`].
pub(crate) fn snapshots(
    connection: &Connection,
    Ledger(ledger): Ledger,
    size: u64,
) -> rusqlite::Result<Option<SnapshotSet>> {
    // One statement, so that a set is not taken away between two.
    let sql = "SELECT size, name, note, payload FROM snapshots WHERE ledger = ?1
        AND size = (SELECT max(size) FROM snapshots WHERE ledger = ?1 AND size <= ?2) ORDER BY name";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query(params![ledger, integer(size)])?;
    let mut set: Option<SnapshotSet> = None;
    while let Some(row) = rows.next()? {
        let size = row.get::<_, i64>(0)?;
        let size = u64::try_from(size).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(0, size))?;
        let (note, payload) = (blob(row, 2)?.into(), blob(row, 3)?.into());
        let kept = KeptSnapshot { name: row.get(1)?, note, payload };
        set.get_or_insert_with(|| SnapshotSet { size, snapshots: Vec::new() }).snapshots.push(kept);
    }
    Ok(set)
}

/// Keeps a set in place of one over as many entries, and forgets all but the newest and this one.
pub(crate) fn put_snapshots(
    connection: &Connection,
    Ledger(ledger): Ledger,
    set: &SnapshotSet,
) -> rusqlite::Result<()> {
    let size = integer(set.size);
    connection.execute("DELETE FROM snapshots WHERE ledger = ?1 AND size = ?2", params![ledger, size])?;
    let sql = "INSERT INTO snapshots (ledger, size, name, note, payload) VALUES (?1, ?2, ?3, ?4, ?5)";
    for KeptSnapshot { name, note, payload } in &set.snapshots {
        connection.execute(sql, params![ledger, size, name, &note[..], &payload[..]])?;
    }
    let oldest = "SELECT DISTINCT size FROM snapshots WHERE ledger = ?1 ORDER BY size DESC LIMIT 1 OFFSET ?2";
    let oldest: Option<i64> = connection
        .query_row(oldest, params![ledger, integer(SnapshotSet::KEPT as u64 - 1)], |row| row.get(0))
        .optional()?;
    let forget = "DELETE FROM snapshots WHERE ledger = ?1 AND size < ?2 AND size <> ?3";
    connection.execute(forget, params![ledger, oldest.unwrap_or(0), size]).map(drop)
}
