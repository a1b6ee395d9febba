//! `state`: what holds at a moment, kind by kind, for people and for programs.

use std::collections::BTreeMap;

use countersign_core::digest::ClauseDigest;
use countersign_core::event::AccessRequested;
use countersign_core::id::Principal;
use countersign_core::time::Timestamp;
use countersign_projection::governance::{CapacityView, PrincipalView};
use serde_json::{Value, json};

use super::answer::{as_of_json, grant_json, names, until};
use crate::args::{Format, Kind, StateArgs};
use crate::describe::{hold, scope};
use crate::failure::Failure;
use crate::ledger::{Ledger, ask};
use crate::session::Session;
use crate::table::{table, tsv};
use crate::text::count;
use crate::when::At;

/// The answer in all three forms.
struct Listing {
    one: &'static str,
    name: &'static str,
    headings: &'static [&'static str],
    rows: Vec<Vec<String>>,
    /// Where programs get other columns than people.
    lines: Option<Vec<Vec<String>>>,
    json: Vec<Value>,
}

pub(super) fn state(args: StateArgs, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let ledger = ask(session, &args.asking, args.as_of.at.unwrap_or(At::End), |_, _| {})?;
    let listing = match args.kind {
        Kind::Grants => grants(&ledger),
        Kind::Capacities => capacities(&ledger),
        Kind::Owners => owners(&ledger),
        Kind::Requests => requests(&ledger),
        Kind::Resources => resources(&ledger),
        Kind::Principals => principals(&ledger),
        Kind::Policies => policies(&ledger),
        Kind::Classes => classes(&ledger),
        Kind::Exceptions => exceptions(&ledger),
    };
    let format = if args.json { Format::Json } else { args.format };
    match format {
        Format::Tsv => session.print(&tsv(listing.lines.as_ref().unwrap_or(&listing.rows)))?,
        Format::Json => {
            session.print_json(&json!({"as_of": as_of_json(&ledger), listing.name: listing.json}))?;
        }
        Format::Text => {
            let number = count(listing.rows.len() as u64, listing.one, listing.name);
            session.print(&format!("{number}, {}\n", ledger.as_of()))?;
            if !listing.rows.is_empty() {
                session.print(&format!("\n{}", table(listing.headings, &listing.rows)))?;
            }
        }
    }
    Ok(ledger.is_verified)
}

fn grants(ledger: &Ledger) -> Listing {
    let grants = ledger.state.grants(ledger.at);
    let row = |cells: [&dyn ToString; 3]| cells.map(ToString::to_string).to_vec();
    Listing {
        one: "grant",
        name: "grants",
        headings: &["WHO", "ROLE", "ON", "UNTIL", "GRANT"],
        rows: grants
            .iter()
            .map(|grant| {
                let mut cells = row([&grant.subject, &grant.role, &grant.resource]);
                cells.extend([until(grant), format!("#{}", grant.seq)]);
                cells
            })
            .collect(),
        lines: Some(grants.iter().map(|grant| row([&grant.subject, &grant.role, &grant.resource])).collect()),
        json: grants.iter().map(grant_json).collect(),
    }
}

fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".into(), |value| value.to_string())
}

/// A capacity as seen from its holder.
pub(super) fn held_row(view: &CapacityView) -> Vec<String> {
    vec![
        view.capacity.to_string(),
        scope(&view.scope),
        or_dash(view.until),
        or_dash(view.delegated_by.as_ref().map(|(_, by)| by)),
        format!("#{}", view.seq),
    ]
}

pub(super) fn capacity_json(view: &CapacityView) -> Value {
    json!({
        "statement": view.statement,
        "seq": view.seq,
        "capacity": view.capacity,
        "holder": view.holder,
        "on": view.scope.on,
        "except": view.scope.except.as_slice(),
        "from": view.from,
        "until": view.until,
        "delegated_by": view.delegated_by.as_ref().map(|(_, by)| by),
        "basis": view.delegated_by.as_ref().map(|(basis, _)| basis),
    })
}

fn capacities(ledger: &Ledger) -> Listing {
    let views = ledger.state.capacities(ledger.at);
    Listing {
        one: "capacity",
        name: "capacities",
        headings: &["OVER", "WHO", "CAPACITY", "UNTIL", "DELEGATED BY", "ENTRY"],
        rows: views
            .iter()
            .map(|view| {
                let mut cells = held_row(view);
                cells.swap(0, 1);
                cells.insert(1, view.holder.to_string());
                cells
            })
            .collect(),
        lines: Some(
            views
                .iter()
                .map(|view| {
                    let delegated_by = or_dash(view.delegated_by.as_ref().map(|(_, by)| by));
                    vec![
                        scope(&view.scope),
                        view.holder.to_string(),
                        view.capacity.to_string(),
                        or_dash(view.until),
                        delegated_by,
                    ]
                })
                .collect(),
        ),
        json: views.iter().map(capacity_json).collect(),
    }
}

fn owners(ledger: &Ledger) -> Listing {
    let mut views = ledger.state.capacities(ledger.at);
    views.retain(|view| view.capacity.is_owner() && view.delegated_by.is_none());
    Listing {
        one: "owner",
        name: "owners",
        headings: &["OF", "WHO", "CAPACITY", "ENTRY"],
        rows: views
            .iter()
            .map(|view| {
                vec![
                    scope(&view.scope),
                    view.holder.to_string(),
                    view.capacity.to_string(),
                    format!("#{}", view.seq),
                ]
            })
            .collect(),
        lines: Some(views.iter().map(|view| vec![scope(&view.scope), view.holder.to_string()]).collect()),
        json: views.iter().map(capacity_json).collect(),
    }
}

fn requests(ledger: &Ledger) -> Listing {
    let views = ledger.state.requests(ledger.at);
    let clause = |event: &AccessRequested| -> Option<ClauseDigest> {
        let clause = ledger.state.clause(&event.resource, &event.role, ledger.at);
        clause.ok().map(|clause| clause.digest())
    };
    let missing = |request| match ledger.state.propose_grant(request, ledger.at) {
        Ok(_) => "ready".to_owned(),
        Err(refusal) => refusal.code.to_string(),
    };
    Listing {
        one: "open request",
        name: "requests",
        headings: &["ENTRY", "FOR", "ROLE", "ON", "HOLD", "BY", "OPEN UNTIL", "APPROVALS", "STANDS AT"],
        rows: views
            .iter()
            .map(|view| {
                let counting = view.approvals.iter().filter(|approval| approval.counts).count();
                vec![
                    format!("#{}", view.seq),
                    view.event.subject.to_string(),
                    view.event.role.to_string(),
                    view.event.resource.to_string(),
                    hold(&view.event.hold),
                    view.requester.to_string(),
                    view.expires.to_string(),
                    counting.to_string(),
                    missing(&view.request),
                ]
            })
            .collect(),
        lines: None,
        json: views
            .iter()
            .map(|view| {
                let approvals: Vec<Value> = view
                    .approvals
                    .iter()
                    .map(|approval| {
                        json!({
                            "approval": approval.approval,
                            "seq": approval.seq,
                            "author": approval.author,
                            "capacity": approval.capacity,
                            "counts": approval.counts,
                        })
                    })
                    .collect();
                json!({
                    "request": view.request,
                    "seq": view.seq,
                    "requester": view.requester,
                    "subject": view.event.subject,
                    "role": view.event.role,
                    "resource": view.event.resource,
                    "hold": hold(&view.event.hold),
                    "need": view.event.need.as_str(),
                    "opened_at": view.opened_at,
                    "expires": view.expires,
                    "clause": clause(&view.event),
                    "approvals": approvals,
                    "exception": view.exception,
                    "stands_at": missing(&view.request),
                })
            })
            .collect(),
    }
}

fn resources(ledger: &Ledger) -> Listing {
    let views = ledger.state.resources(ledger.at);
    Listing {
        one: "resource",
        name: "resources",
        headings: &["RESOURCE", "TIER", "GOVERNED BY", "PROCESS", "ENVIRONMENT", "OWNED"],
        rows: views
            .iter()
            .map(|view| {
                vec![
                    view.resource.to_string(),
                    view.tier.to_string(),
                    or_dash(view.governed_by.first()),
                    or_dash(view.process.as_ref()),
                    or_dash(view.environment.as_ref()),
                    if view.unowned { "no" } else { "yes" }.into(),
                ]
            })
            .collect(),
        lines: None,
        json: views
            .iter()
            .map(|view| {
                json!({
                    "resource": view.resource,
                    "tier": view.tier,
                    "governed_by": view.governed_by,
                    "process": view.process,
                    "environment": view.environment,
                    "owned": !view.unowned,
                })
            })
            .collect(),
    }
}

pub(super) fn principal_json(view: &PrincipalView) -> Value {
    let keys: Vec<Value> = view
        .keys
        .iter()
        .map(|key| {
            json!({
                "keyid": key.key_id,
                "admitted": key.admitted,
                "enrolled_by": key.enrolled_by,
                "highest_serial": key.highest_serial,
            })
        })
        .collect();
    json!({
        "principal": view.principal,
        "kind": view.kind,
        "persons": view.persons,
        "departed": view.departed,
        "keys": keys,
    })
}

fn principals(ledger: &Ledger) -> Listing {
    let all: Vec<Principal> = ledger.state.principals();
    let views: Vec<PrincipalView> = all.iter().filter_map(|name| ledger.state.principal(name)).collect();
    Listing {
        one: "principal",
        name: "principals",
        headings: &["PRINCIPAL", "KIND", "PERSONS", "LIVE KEYS", "DEPARTED"],
        rows: views
            .iter()
            .map(|view| {
                vec![
                    view.principal.to_string(),
                    view.kind.to_string(),
                    names(&view.persons),
                    view.keys.len().to_string(),
                    if view.departed { "yes" } else { "no" }.into(),
                ]
            })
            .collect(),
        lines: None,
        json: views.iter().map(principal_json).collect(),
    }
}

fn since(from: Timestamp, at: Timestamp) -> String {
    if from > at { format!("scheduled for {from}") } else { format!("since {from}") }
}

fn policies(ledger: &Ledger) -> Listing {
    let views = ledger.state.policies(ledger.at);
    Listing {
        one: "policy",
        name: "policies",
        headings: &["POLICY", "OVER", "IN FORCE", "ENTRY"],
        rows: views
            .iter()
            .map(|view| {
                vec![
                    view.name.to_string(),
                    scope(&view.scope),
                    since(view.from, ledger.at),
                    format!("#{}", view.seq),
                ]
            })
            .collect(),
        lines: None,
        json: views
            .iter()
            .map(|view| {
                json!({
                    "policy": view.policy,
                    "seq": view.seq,
                    "name": view.name,
                    "on": view.scope.on,
                    "except": view.scope.except.as_slice(),
                    "from": view.from,
                })
            })
            .collect(),
    }
}

fn classes(ledger: &Ledger) -> Listing {
    let views = ledger.state.classes(ledger.at);
    let overdue = |until: Timestamp| if until <= ledger.at { " (overdue)" } else { "" };
    Listing {
        one: "standing class",
        name: "classes",
        headings: &["CLASS", "POLICY", "OWNER", "REVIEW BY", "GRANTS"],
        rows: views
            .iter()
            .map(|view| {
                vec![
                    view.class.to_string(),
                    view.policy.to_string(),
                    view.owner.to_string(),
                    format!("{}{}", view.until, overdue(view.until)),
                    view.grants.to_string(),
                ]
            })
            .collect(),
        lines: None,
        json: views
            .iter()
            .map(|view| {
                json!({
                    "class": view.class,
                    "policy": view.policy,
                    "exception": view.exception,
                    "owner": view.owner,
                    "until": view.until,
                    "overdue": view.until <= ledger.at,
                    "grants": view.grants,
                })
            })
            .collect(),
    }
}

fn exceptions(ledger: &Ledger) -> Listing {
    let views = ledger.state.exceptions(ledger.at);
    // What an exception is for stands in its request, while that is open, and then in the grant.
    let mut access: BTreeMap<_, [String; 3]> = BTreeMap::new();
    for grant in ledger.state.grants(ledger.at) {
        if let Some(exception) = grant.exception {
            access.insert(
                exception,
                [grant.subject.to_string(), grant.role.to_string(), grant.resource.to_string()],
            );
        }
    }
    for view in &views {
        if let Some(open) = ledger.state.request(&view.request, ledger.at) {
            let event = &open.event;
            access.insert(
                view.exception,
                [event.subject.to_string(), event.role.to_string(), event.resource.to_string()],
            );
        }
    }
    Listing {
        one: "personal exception",
        name: "exceptions",
        headings: &["FOR", "ROLE", "ON", "APPROVED BY", "OWNER", "UNTIL", "EXCEPTION"],
        rows: views
            .iter()
            .map(|view| {
                let access = access.get(&view.exception).cloned();
                let mut row = access.unwrap_or_else(|| ["-", "-", "-"].map(str::to_owned)).to_vec();
                row.extend([
                    view.approver.to_string(),
                    view.owner.to_string(),
                    view.until.to_string(),
                    view.exception.to_string(),
                ]);
                row
            })
            .collect(),
        lines: None,
        json: views
            .iter()
            .map(|view| {
                let access = access.get(&view.exception);
                json!({
                    "exception": view.exception,
                    "request": view.request,
                    "subject": access.map(|access| &access[0]),
                    "role": access.map(|access| &access[1]),
                    "resource": access.map(|access| &access[2]),
                    "approver": view.approver,
                    "owner": view.owner,
                    "until": view.until,
                })
            })
            .collect(),
    }
}
