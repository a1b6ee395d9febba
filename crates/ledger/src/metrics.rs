//! What a ledger tells those who operate it: metrics, behind the feature `metrics`, and spans and events, behind `tracing`.
//!
//! Nothing is collected here. The names below go to whatever recorder the service installed for the [`metrics`] facade, the spans to its
//! [`tracing`] subscriber; without one they cost a look at whether there is one. The names are part of what this crate promises. Each metric
//! has the label `ledger`, the ledger's name (without the digest of its genesis).
//!
//! [`metrics`]: https://docs.rs/metrics
//! [`tracing`]: https://docs.rs/tracing
//!
//! | span or event | level | fields |
//! | --- | --- | --- |
//! | span `countersign.append`: a batch on its way into the store | info | `ledger`, `first`, `entries` |
//! | event `lost a race`: another recorder's entries came first, the statements are judged again | debug | `ledger` |
//! | event `outcome unknown`: nobody knows whether a statement stands; submitting it again tells | warn | `ledger`, `statement` |
//! | event `refused` | debug | `ledger`, `statement`, `code` |
//! | event `not recorded`: for a reason that is no rule | warn | `ledger`, `statement`, `reason` |

/// Statements that were answered, by `outcome`, one of [`OUTCOMES`]: a counter.
pub const STATEMENTS_TOTAL: &str = "countersign_statements_total";
/// Statements that were refused, by the `code` of the rule or of the fault: a counter.
pub const REFUSALS_TOTAL: &str = "countersign_refusals_total";
/// From handing a statement in until its receipt was ready, which is when it is durable and visible, in seconds: a histogram.
pub const DURABLE_LAG_SECONDS: &str = "countersign_durable_lag_seconds";
/// How long the store took until it acknowledged a batch, all attempts together, in seconds: a histogram.
pub const APPEND_SECONDS: &str = "countersign_append_seconds";
/// Entries of a batch that was acknowledged: a histogram.
pub const BATCH_ENTRIES: &str = "countersign_batch_entries";
/// Batches that came too late, since another recorder's entries stood there, and were judged again: a counter.
pub const LOST_RACES_TOTAL: &str = "countersign_lost_races_total";
/// Entries in the view: a gauge.
pub const VIEW_ENTRIES: &str = "countersign_view_entries";
/// Entries that the store had and the view, with all projections in it, had not, when it was last asked: a gauge. Of a follower it is how
/// far it is behind.
pub const PROJECTION_LAG_ENTRIES: &str = "countersign_projection_lag_entries";
/// Projections that give no answers, since they halted or are being built anew: a gauge.
pub const PROJECTIONS_DOWN: &str = "countersign_projections_down";

/// The values of the label `outcome`.
pub const OUTCOMES: [&str; 8] =
    ["recorded", "refused", "malformed", "unknown", "busy", "clock_stepped", "closed", "store"];

/// Every metric: its name, what it is, and what it means.
pub const ALL: [(&str, Kind, &str); 9] = [
    (STATEMENTS_TOTAL, Kind::Counter, "Statements that were answered, by outcome."),
    (REFUSALS_TOTAL, Kind::Counter, "Statements that were refused, by code."),
    (DURABLE_LAG_SECONDS, Kind::Histogram, "From handing a statement in until its receipt, in seconds."),
    (APPEND_SECONDS, Kind::Histogram, "How long the store took to acknowledge a batch, in seconds."),
    (BATCH_ENTRIES, Kind::Histogram, "Entries of a batch that was acknowledged."),
    (LOST_RACES_TOTAL, Kind::Counter, "Batches that another recorder's entries came before."),
    (VIEW_ENTRIES, Kind::Gauge, "Entries in the view."),
    (
        PROJECTION_LAG_ENTRIES,
        Kind::Gauge,
        "Entries that the store had and the view had not, when last asked.",
    ),
    (PROJECTIONS_DOWN, Kind::Gauge, "Projections that give no answers."),
];

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It is what it is now.
    Gauge,
    /// It has many values, of which how they are spread matters.
    Histogram,
}

/// Tells the installed recorder what the metrics mean. To be called once it is installed.
#[cfg(feature = "metrics")]
pub fn describe() {
    for (name, kind, meaning) in ALL {
        match kind {
            Kind::Counter => metrics::describe_counter!(name, meaning),
            Kind::Gauge => metrics::describe_gauge!(name, meaning),
            Kind::Histogram => metrics::describe_histogram!(name, meaning),
        }
    }
}
