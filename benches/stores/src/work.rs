//! The statements, who submits them, and one thread that does the like.

use std::sync::{Arc, Mutex};

use countersign_core::entry::{Entry, Head};
use countersign_core::event::Tier;
use countersign_core::event::{AccessRequested, Hold};
use countersign_core::id::{Process, Resource, Role};
use countersign_core::key::PublicKey;
use countersign_core::statement::SignedStatement;
use countersign_core::time::{Seconds, Timestamp};
use countersign_core::wire::Text;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Author, Ledger};
use countersign_store::{AnyStore, EntryBytes, Store as _};

use crate::bare::Bare;
use crate::{BoxError, Named};

const RESOURCE: &str = "db:books";
/// A person has at most 4,096 open requests.
const REQUESTS_EACH: usize = 4_000;

/// Who asks, the same on every ledger: keys and clocks are, and so the statements are the same bytes.
pub(crate) struct Company {
    requesters: Vec<Author>,
    role: Role,
}

impl Company {
    /// The same ledger in each store, ready for so many requests.
    pub(crate) async fn on(
        stores: &Named<AnyStore>,
        requests: usize,
    ) -> Result<(Self, Named<Ledger<AnyStore>>), BoxError> {
        let (mut ledgers, mut requesters) = (Vec::new(), Vec::new());
        for (name, store) in stores {
            let clock = ManualClock::new(at()?);
            let founded =
                Founded::found(store.clone(), clock, |recorder| recorder.snapshot_entries(None)).await?;
            requesters.clear();
            for number in 0..=requests / REQUESTS_EACH {
                requesters.push(founded.enrol(&format!("user:requester-{number}")).await?);
            }
            founded.let_owners_decide(RESOURCE).await?;
            ledgers.push((*name, founded.ledger));
        }
        Ok((Self { requesters, role: Role::new("reader")? }, ledgers))
    }

    /// Requests from number `first` on, one signature each.
    pub(crate) fn requests(&self, first: usize, count: usize) -> Result<Vec<SignedStatement>, BoxError> {
        let numbers = first..first + count;
        numbers.map(|number| self.request(&self.requesters[number / REQUESTS_EACH])).collect()
    }

    fn request(&self, author: &Author) -> Result<SignedStatement, BoxError> {
        let requested = AccessRequested {
            ends_on: Default::default(),
            expires: None,
            hold: Hold::Seconds(Seconds::new(3_600).ok_or("a duration")?),
            need: Text::new("the books have to be closed")?,
            purpose: Process::new("billing/month-end")?,
            replaces: None,
            resource: Resource::new(RESOURCE)?,
            role: self.role.clone(),
            subject: author.principal().clone(),
            tier: Tier::Medium,
        };
        Ok(author.state(requested).unseen().sign()?)
    }
}

fn at() -> Result<Timestamp, BoxError> {
    Ok("2026-01-05T09:00:00.000Z".parse()?)
}

/// What any recorder has to do, on one thread: check each signature strictly, seal behind the last entry, write in one commit.
pub(crate) struct Serial {
    head: Head,
    known: Vec<PublicKey>,
}

impl Serial {
    pub(crate) fn new(company: &Company) -> Self {
        Self { head: Head::EMPTY, known: company.requesters.iter().map(Author::public_key).collect() }
    }

    pub(crate) async fn record(
        &mut self,
        statements: &[SignedStatement],
        bare: &mut Bare,
    ) -> Result<(), BoxError> {
        let mut entries = Vec::with_capacity(statements.len());
        for signed in statements {
            let known = |id: &_| self.known.iter().find(|key| key.key_id() == *id).copied();
            let verified = signed.clone().verify(known)?;
            let entry = Entry::seal(self.head, at()?, verified.signed())?;
            self.head = entry.head();
            entries.push(entry.bytes().clone());
        }
        bare.write(&entries).await
    }
}

/// Submits all of them, each submitter one after the other.
pub(crate) async fn submit_all(
    ledger: &Ledger<AnyStore>,
    statements: Vec<SignedStatement>,
    submitters: usize,
) -> Result<(), BoxError> {
    let queue = Arc::new(Mutex::new(statements.into_iter()));
    let submit = |_| {
        let (queue, ledger) = (queue.clone(), ledger.clone());
        tokio::spawn(async move {
            loop {
                let next = queue.lock().map_err(|_| "a submitter panicked")?.next();
                let Some(statement) = next else { return Ok::<(), BoxError>(()) };
                ledger.submit(statement).await?;
            }
        })
    };
    let tasks: Vec<_> = (0..submitters).map(submit).collect();
    for task in tasks {
        task.await??;
    }
    Ok(())
}

/// So many entries of a store from a position on.
pub(crate) async fn read(store: &AnyStore, from: u64, count: usize) -> Result<Vec<EntryBytes>, BoxError> {
    let mut entries = Vec::with_capacity(count);
    while entries.len() < count {
        let read = store.read(from + entries.len() as u64, count - entries.len()).await?;
        if read.is_empty() {
            return Err("entries are missing".into());
        }
        entries.extend(read);
    }
    Ok(entries)
}
