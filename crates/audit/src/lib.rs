//! Verification of countersign ledgers that nobody trusts.
