//! A ledger whose metrics Prometheus reads. It records a statement every tenth of a second, and one in ten is refused.
//!
//! ```console
//! $ cargo run -p countersign-ledger --features metrics,testing --example prometheus -- 127.0.0.1:9184 60
//! $ curl http://127.0.0.1:9184/metrics
//! ```

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use countersign_core::event::{ResourceRegistered, Tier};
use countersign_core::id::Resource;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Clock as _, SystemClock};
use countersign_store::MemoryStore;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let address: SocketAddr = args.next().as_deref().unwrap_or("127.0.0.1:9184").parse()?;
    let seconds: u64 = args.next().as_deref().unwrap_or("60").parse()?;

    // Whatever the service likes: the ledger knows the facade alone.
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &[0.0005, 0.002, 0.01, 0.05, 0.25, 1.0])?
        .set_buckets_for_metric(Matcher::Suffix("_entries".into()), &[1.0, 4.0, 16.0, 64.0, 256.0])?
        .with_http_listener(address)
        .install()?;
    countersign_ledger::metrics::describe();
    println!("http://{address}/metrics, for {seconds} seconds");

    // The clock of the machine, or else nothing would take any time.
    let now = ManualClock::new(SystemClock::new().wall());
    let acme = Founded::found(MemoryStore::new(), now, |recorder| recorder.clock(SystemClock::new())).await?;
    let [ada, ben] = &acme.governors;
    for number in 0..seconds * 10 {
        let name = if number % 10 == 9 { "db:books-0".into() } else { format!("db:books-{number}") };
        let event = ResourceRegistered {
            environment: None,
            governed_by: None,
            process: None,
            resource: Resource::new(&name)?,
            tier: Tier::Low,
        };
        // The tenth registers what is registered.
        let answer = acme.ledger.submit(ada.state(event).cosigned_by([ben]).sign()?).await;
        if let Err(error) = answer {
            println!("{error}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    acme.ledger.close().await?;
    Ok(())
}
