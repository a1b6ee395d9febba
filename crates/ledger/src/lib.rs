//! The ledger handle that services embed.
