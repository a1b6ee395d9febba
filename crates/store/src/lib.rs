//! The store contract of countersign, its memory store and its conformance kit.
