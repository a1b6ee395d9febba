//! Whether the service lets one alone create an object: everything that a ledger promises there rests on it.

use futures_util::future::join_all;
use object_store::Error;

use crate::OpenError;
use crate::bucket::{Bucket, Created, Got};

/// How many try to create the same object at once.
const RACERS: usize = 8;
/// How many races are run where none tells anything: a reply that was lost leaves a race without a winner.
const RACES: usize = 3;

/// Races creations of one fresh name, and tries once more when all are done: one alone may be told that it created it, and what it put is
/// there afterwards.
pub(crate) async fn probe(bucket: &Bucket) -> Result<(), OpenError> {
    let mut failure = None;
    for _ in 0..RACES {
        match race(bucket).await? {
            Race::Won => return Ok(()),
            Race::Undecided(error) => failure = failure.or(error),
        }
    }
    let nobody = || Error::Generic { store: "probe", source: "nobody was told to have won".into() };
    Err(OpenError::Probe(failure.unwrap_or_else(nobody)))
}

enum Race {
    Won,
    /// Nobody was told that they won; perhaps by an error.
    Undecided(Option<Error>),
}

async fn race(bucket: &Bucket) -> Result<Race, OpenError> {
    let mut nonce = [0; 16];
    getrandom::fill(&mut nonce).map_err(OpenError::Random)?;
    let name = bucket.names.probe(u128::from_be_bytes(nonce));
    let put = |number: usize| {
        let (bucket, name) = (bucket.clone(), name.clone());
        async move { bucket.create(&name, vec![b'0' + number as u8; 1 + number].into()).await }
    };
    let mut outcomes = join_all((0..RACERS).map(put)).await;
    outcomes.push(put(RACERS).await);
    let there = bucket.get(&name, RACERS as u64 + 1).await;
    bucket.forget([name]).await;
    let (mut winners, mut failure) = (Vec::new(), None);
    for (number, outcome) in outcomes.into_iter().enumerate() {
        match outcome {
            Ok(Created::Now) => winners.push(number),
            Ok(Created::Taken) => {}
            Err(error @ (Error::NotImplemented { .. } | Error::NotSupported { .. })) => {
                return Err(OpenError::NoCondition(error));
            }
            Err(error) => failure = Some(error),
        }
    }
    let racers = RACERS + 1;
    match &winners[..] {
        [] => Ok(Race::Undecided(failure)),
        [winner] => {
            let kept = matches!(there?, Got::Bytes(bytes) if bytes.len() == 1 + winner);
            // Another one wrote over what the winner was told to have.
            if kept { Ok(Race::Won) } else { Err(OpenError::NotExclusive { winners: 2, racers }) }
        }
        winners => Err(OpenError::NotExclusive { winners: winners.len(), racers }),
    }
}
