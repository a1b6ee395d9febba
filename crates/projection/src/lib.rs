//! Projections of a countersign ledger, and the governance rules with their state.
