//! What tests of the governance rules share: ledgers built through `judge` with derived keys, and a naive model beside them.
//!
//! `Desk` states things and keeps [`model::Model`] in step. The model is plain lists of what was admitted, and [`rules`]
//! says from it alone which rules a statement breaks; nothing here shares code with the governance state.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod act;
pub mod cast;
pub mod desk;
pub mod make;
pub mod model;
pub mod order;
pub mod paths;
pub mod play;
pub mod questions;
pub mod random;
pub mod rules;
pub mod spoil;
