//! What a ledger tells those who operate it, and that the documentation lists it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_core::statement::SignedStatement;
use countersign_ledger::metrics::{ALL, Kind, OUTCOMES};
use countersign_ledger::testing::Founded;
use countersign_ledger::{Ledger, SubmitError};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

fn registered(acme: &Founded, name: &str) -> SignedStatement {
    let [ada, ben] = &acme.governors;
    let event = ResourceRegistered {
        environment: None,
        governed_by: None,
        process: None,
        resource: Resource::new(name).unwrap(),
        tier: Tier::Low,
    };
    ada.state(event).cosigned_by([ben]).sign().unwrap()
}

/// The value of a metric with these labels, as Prometheus reads it.
fn value(handle: &PrometheusHandle, name: &str, labels: &str) -> Option<f64> {
    let text = handle.render();
    let start = format!("{name}{{ledger=\"acme\"{labels}}} ");
    text.lines().find_map(|line| line.strip_prefix(&start)).map(|value| value.parse().unwrap())
}

/// The lines that a subscriber is told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<String>>>);

impl Visit for Told {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut told = self.0.lock().unwrap();
        let line = told.last_mut().unwrap();
        *line += &format!(" {field}={value:?}");
    }
}

impl Subscriber for Told {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("countersign_ledger")
    }
    fn new_span(&self, span: &Attributes<'_>) -> Id {
        self.0.lock().unwrap().push(format!("span {}", span.metadata().name()));
        span.record(&mut self.clone());
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn event(&self, event: &Event<'_>) {
        self.0.lock().unwrap().push(format!("{}", event.metadata().level()));
        event.record(&mut self.clone());
    }
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// One test: the recorder and the subscriber are the process's.
#[tokio::test]
async fn what_happens_is_counted_and_told() {
    let handle = PrometheusBuilder::new().install_recorder().unwrap();
    let told = Told::default();
    tracing::subscriber::set_global_default(told.clone()).unwrap();
    countersign_ledger::metrics::describe();
    let acme = Founded::in_memory().await.unwrap();
    let before = acme.ledger.head().size;
    let outcome =
        |word: &str| value(&handle, "countersign_statements_total", &format!(",outcome=\"{word}\""));
    let recorded = outcome("recorded").unwrap();
    // A batch of three, one that is refused, one whose signature is wrong, and one after the end.
    let three = ["db:a", "db:b", "db:c"].map(|name| registered(&acme, name));
    let twin = registered(&acme, "db:a");
    for answer in acme.ledger.submit_all(three.into()).await {
        answer.unwrap();
    }
    assert!(matches!(acme.ledger.submit(twin).await, Err(SubmitError::Refused(_))));
    let text = String::from_utf8(registered(&acme, "db:d").to_bytes()).unwrap();
    let (before_signature, signature) = text.split_once("\"sig\":\"").unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let wrong = format!("{before_signature}\"sig\":\"{other}{}", &signature[1..]);
    let wrong = SignedStatement::parse(wrong.as_bytes()).unwrap();
    assert!(matches!(acme.ledger.submit(wrong).await, Err(SubmitError::Malformed(_))));
    let replica = Ledger::follow(acme.store.clone()).await.unwrap();
    replica.at_least(before + 3).await.unwrap();
    let late = registered(&acme, "db:e");
    acme.ledger.close().await.unwrap();
    assert!(matches!(acme.ledger.submit(late).await, Err(SubmitError::Closed)));

    assert_eq!(outcome("recorded").unwrap(), recorded + 3.0);
    assert_eq!([outcome("refused"), outcome("malformed"), outcome("closed")], [Some(1.0); 3]);
    let code = |code: &str| value(&handle, "countersign_refusals_total", &format!(",code=\"{code}\""));
    assert_eq!([code("name_taken"), code("signature")], [Some(1.0); 2], "{}", handle.render());
    assert_eq!(value(&handle, "countersign_view_entries", ""), Some((before + 3) as f64));
    assert_eq!(value(&handle, "countersign_projections_down", ""), Some(0.0));
    let count = |name: &str| value(&handle, &format!("{name}_count"), "").unwrap();
    assert_eq!(count("countersign_durable_lag_seconds"), recorded + 3.0);
    // Each append is told of once, whatever it took, and its entries add up.
    let entries = value(&handle, "countersign_batch_entries_sum", "").unwrap();
    assert_eq!(entries, (before + 3) as f64);
    assert_eq!(count("countersign_append_seconds"), count("countersign_batch_entries"));
    let told = told.0.lock().unwrap().clone();
    let first = format!("span countersign.append ledger=\"acme\" first={before} entries=3");
    assert_eq!(told.iter().filter(|line| **line == first).count(), 1, "{told:#?}");
    for end in [" code=\"name_taken\"", " code=\"signature\"", " reason=\"closed\""] {
        assert!(told.iter().any(|line| line.ends_with(end)), "{end}: {told:#?}");
    }
    // Nothing is told under a name that is not promised, nor of a ledger without one.
    let text = handle.render();
    assert!(!text.contains("ledger=\"\""), "{text}");
    let names: BTreeSet<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let promised: BTreeSet<&str> = ALL.iter().map(|(name, ..)| *name).collect();
    assert!(names.len() > 5 && names.is_subset(&promised), "{names:?}");
}

/// docs/metrics.md has a row for each.
#[test]
fn every_metric_is_in_the_documentation() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    for (name, kind, meaning) in ALL {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        let row = format!("| `{name}` | {kind} |");
        let found =
            page.lines().find(|line| line.starts_with(&row)).unwrap_or_else(|| panic!("no row: {row}"));
        assert!(found.contains(meaning.trim_end_matches('.')), "{name}: {meaning}");
    }
    for outcome in OUTCOMES {
        assert!(page.contains(&format!("`{outcome}`")), "{outcome}");
    }
}
