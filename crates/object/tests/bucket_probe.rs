//! The probe at opening: who lets two create the same object keeps no ledger.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::sync::Arc;

use common::service::{Call, Creates, Fault, Service};
use countersign_object::object_store::{ObjectStore as _, ObjectStoreExt as _};
use countersign_object::{OpenError, Options};
use countersign_store::StoreError;
use futures_util::StreamExt as _;

async fn opened(service: Service) -> Result<(), OpenError> {
    Options::new().open(Arc::new(service), "acme").await.map(drop)
}

#[tokio::test]
async fn a_service_that_lets_two_win_is_refused() {
    use Creates as C;
    for (creates, wanted) in
        [(C::LooksFirst, 8), (C::Overwrites, 9), (C::OnlyAtOnce, 2), (C::TellsAll, 9), (C::KeepsTheLast, 2)]
    {
        let refused = opened(Service::new().creating(creates)).await.unwrap_err();
        let found = matches!(refused, OpenError::NotExclusive { winners, racers: 9 } if winners == wanted);
        assert!(found, "case: {creates:?}: {refused:?}");
        assert!(!refused.is_absent() && !refused.is_damage());
    }
}

#[tokio::test]
async fn a_service_that_creates_nothing_or_tells_nobody_is_refused() {
    let refused = opened(Service::new().creating(Creates::Never)).await.unwrap_err();
    assert!(matches!(refused, OpenError::NoCondition(_)), "{refused:?}");
    for creates in [Creates::TellsNobody, Creates::Refuses] {
        let refused = opened(Service::new().creating(creates)).await.unwrap_err();
        assert!(matches!(refused, OpenError::Probe(_)), "case: {creates:?}: {refused:?}");
    }
}

#[tokio::test]
async fn a_probe_whose_replies_are_lost_is_run_again() {
    // The listings, then the first race: the first one wins, and nobody hears of it.
    let service =
        Service::new().failing(|call, kind| (call == 2 && kind == Call::Put).then_some(Fault::ReplyLost));
    opened(service).await.unwrap();
    let deaf = Service::new().failing(|_, kind| (kind == Call::Put).then_some(Fault::ReplyLost));
    let refused = opened(deaf).await.unwrap_err();
    assert!(matches!(refused, OpenError::Probe(_)), "{refused:?}");
    let blind = Service::new().failing(|_, kind| (kind == Call::Get).then_some(Fault::Lost));
    let refused = opened(blind).await.unwrap_err();
    assert!(matches!(refused, OpenError::Store(StoreError::Unavailable(_))), "{refused:?}");
}

#[tokio::test]
async fn a_probe_leaves_nothing_and_a_reader_makes_none() {
    let service = Arc::new(Service::new());
    Options::new().open(service.clone(), "acme").await.unwrap();
    assert_eq!(service.inner().list(None).count().await, 0);
    let absent = Options::new().open_read_only(service.clone(), "acme").await.unwrap_err();
    assert!(absent.is_absent(), "{absent:?}");
    let puts = service.counts().0;
    let absent = Options::new().existing().open(service.clone(), "acme").await.unwrap_err();
    assert!(absent.is_absent(), "{absent:?}");
    assert_eq!(service.counts().0, puts, "nothing is put where a ledger has to be there");
    assert!(service.inner().get(&"acme/probes/x".into()).await.is_err());
}
