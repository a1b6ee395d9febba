//! `who`, `what` and `check`.

use countersign_core::event::Event;
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::statement::Statement;
use countersign_projection::governance::{Answer, GrantView};
use serde_json::{Value, json};

use crate::args::{Check, What, Who};
use crate::describe::signers;
use crate::failure::Failure;
use crate::ledger::{Ledger, ask};
use crate::session::Session;
use crate::story::{Story, Trail, Wanted};
use crate::table::table;
use crate::text::{count, quoted};
use crate::when::At;

/// What every JSON answer says of the moment it is about.
pub(super) fn as_of_json(ledger: &Ledger) -> Value {
    json!({
        "at": ledger.at,
        "entries": ledger.state.head().size,
        "leaf": ledger.state.head().leaf,
        "ledger": ledger.report.ledger,
        "verified": ledger.is_verified,
    })
}

/// How long a grant holds, in words.
pub(super) fn until(grant: &GrantView) -> String {
    match (&grant.until, &grant.class) {
        (Some(until), Some(class)) => format!("{until} (class {class})"),
        (Some(until), None) => until.to_string(),
        (None, Some(class)) => format!("no end (class {class})"),
        (None, None) => "no end".into(),
    }
}

pub(super) fn grant_json(grant: &GrantView) -> Value {
    json!({
        "subject": grant.subject,
        "role": grant.role,
        "resource": grant.resource,
        "grant": grant.grant,
        "seq": grant.seq,
        "until": grant.until,
        "class": grant.class,
        "exception": grant.exception,
    })
}

pub(super) fn who(args: Who, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let ledger = ask(session, &args.asking, args.as_of.at.unwrap_or(At::End), |_, _| {})?;
    let mut grants = ledger.state.grants_on(&args.resource, ledger.at);
    grants.retain(|grant| args.role.as_ref().is_none_or(|role| *role == grant.role));
    if args.json {
        let held: Vec<Value> = grants.iter().map(grant_json).collect();
        session
            .print_json(&json!({"resource": args.resource, "as_of": as_of_json(&ledger), "grants": held}))?;
        return Ok(ledger.is_verified);
    }
    let registered = ledger.state.resource(&args.resource, ledger.at);
    let facts = match &registered {
        Some(view) if view.governed_by.is_empty() => format!("tier {}", view.tier),
        Some(view) => format!("tier {}, governed by {}", view.tier, names(&view.governed_by)),
        None => "not registered".into(),
    };
    let holders = match grants.len() {
        0 => "nobody holds anything".into(),
        number => format!("{} held", count(number as u64, "grant is", "grants are")),
    };
    session.print(&format!("{} ({facts}): {holders}, {}\n", args.resource, ledger.as_of()))?;
    if !grants.is_empty() {
        let rows: Vec<Vec<String>> = grants
            .iter()
            .map(|grant| {
                vec![
                    grant.subject.to_string(),
                    grant.role.to_string(),
                    until(grant),
                    format!("#{}", grant.seq),
                ]
            })
            .collect();
        session.print(&format!("\n{}", table(&["WHO", "ROLE", "UNTIL", "GRANT"], &rows)))?;
    }
    Ok(ledger.is_verified)
}

pub(super) fn what(args: What, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let ledger = ask(session, &args.asking, args.as_of.at.unwrap_or(At::End), |_, _| {})?;
    let grants = ledger.state.grants_of(&args.subject, ledger.at);
    let mut capacities = ledger.state.capacities(ledger.at);
    capacities.retain(|view| view.holder == args.subject);
    let principal = ledger.state.principal(&args.subject);
    let seats = seats(&ledger, &args.subject);
    if args.json {
        let held: Vec<Value> = grants.iter().map(grant_json).collect();
        session.print_json(&json!({
            "subject": args.subject,
            "as_of": as_of_json(&ledger),
            "principal": principal.as_ref().map(super::state::principal_json),
            "charter": seats,
            "grants": held,
            "capacities": capacities.iter().map(super::state::capacity_json).collect::<Vec<_>>(),
        }))?;
        return Ok(ledger.is_verified);
    }
    let facts = match &principal {
        Some(view) => {
            let word = if view.persons.len() == 1 { "person" } else { "persons" };
            let departed = if view.departed { ", departed" } else { "" };
            format!("{}, {word} {}{departed}", view.kind, names(&view.persons))
        }
        None => "never registered".into(),
    };
    let holds = match grants.len() {
        0 => "holds nothing".into(),
        number => format!("holds {}", count(number as u64, "grant", "grants")),
    };
    session.print(&format!("{} ({facts}) {holds}, {}\n", args.subject, ledger.as_of()))?;
    if !grants.is_empty() {
        let rows: Vec<Vec<String>> = grants
            .iter()
            .map(|grant| {
                vec![
                    grant.resource.to_string(),
                    grant.role.to_string(),
                    until(grant),
                    format!("#{}", grant.seq),
                ]
            })
            .collect();
        session.print(&format!("\n{}", table(&["ON", "ROLE", "UNTIL", "GRANT"], &rows)))?;
    }
    if !capacities.is_empty() || !seats.is_empty() {
        let seat =
            |seat: &String| vec![seat.clone(), "the charter".into(), "-".into(), "-".into(), "-".into()];
        let rows: Vec<Vec<String>> =
            seats.iter().map(seat).chain(capacities.iter().map(super::state::held_row)).collect();
        session.print(&format!(
            "\n{}",
            table(&["MAY DECIDE AS", "OVER", "UNTIL", "DELEGATED BY", "ENTRY"], &rows)
        ))?;
    }
    Ok(ledger.is_verified)
}

/// The capacities that the charter gives a principal.
fn seats(ledger: &Ledger, subject: &Principal) -> Vec<String> {
    let governs = ledger.state.governors(ledger.at).contains(subject);
    governs.then(|| "governor".to_owned()).into_iter().collect()
}

pub(super) fn check(args: Check, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let Check { subject, role, resource, .. } = args;
    let mut story = Story::new(Wanted::Access(subject.clone(), role.clone(), resource.clone()));
    let at = args.at.unwrap_or(At::Now);
    let ledger = ask(session, &args.asking, at, |judged, state| story.see(judged, state))?;
    let answer = ledger.state.check(&subject, &resource, &role, ledger.at);
    let trails = story.trails();
    let past: Vec<Past> = trails.iter().filter_map(|trail| Past::of(&ledger, trail)).collect();
    if args.json {
        let (grant, reason) = match &answer {
            Answer::Allowed { grant, seq, until } => {
                (Some(json!({"grant": grant, "seq": seq, "until": until})), None)
            }
            Answer::Denied { reason } => (None, Some(reason.as_str())),
        };
        session.print_json(&json!({
            "allowed": answer.is_allowed(),
            "subject": subject,
            "role": role,
            "resource": resource,
            "as_of": as_of_json(&ledger),
            "grant": grant,
            "reason": reason,
            "past": past.iter().map(Past::json).collect::<Vec<_>>(),
        }))?;
    } else {
        session.print(&text(&subject, &role, &resource, &ledger, &answer, &past, &trails))?;
    }
    Ok(answer.is_allowed() && ledger.is_verified)
}

fn text(
    subject: &Principal,
    role: &Role,
    resource: &Resource,
    ledger: &Ledger,
    answer: &Answer,
    past: &[Past],
    trails: &[&Trail],
) -> String {
    let at = ledger.as_of();
    match answer {
        Answer::Allowed { grant, seq, until } => {
            let until = until.map_or_else(|| "no end".to_owned(), |until| until.to_string());
            format!(
                "allowed: {subject} holds {role} on {resource}, {at}\n  until    {until}\n  grant    #{seq} {grant}\n"
            )
        }
        Answer::Denied { reason } => {
            use countersign_projection::governance::DenyReason;
            let because = match reason {
                DenyReason::UnknownPrincipal => "no such principal was ever registered",
                DenyReason::PrincipalDeparted => "the principal departed",
                DenyReason::UnknownResource => "no such resource is registered",
                DenyReason::NoGrant => "no grant of this role on this resource is active",
                DenyReason::BeforeState => "the question is about an instant before the ledger's last entry",
            };
            let mut out = format!(
                "denied: {subject} does not hold {role} on {resource}, {at}\n  reason   {reason}: {because}\n"
            );
            if let Some(last) = past.last() {
                out += &format!(
                    "  before   held from {} under grant #{} until {}: {}\n",
                    last.from, last.seq, last.until, last.how
                );
                if past.len() > 1 {
                    out += &format!(
                        "           and {} before that\n",
                        count(past.len() as u64 - 1, "grant", "grants")
                    );
                }
            }
            for trail in trails {
                let request = trail.request.entry.signed().digest();
                if let Some(open) = ledger.state.request(&request, ledger.at) {
                    let why = match ledger.state.propose_grant(&request, ledger.at) {
                        Ok(_) => "ready to be granted".to_owned(),
                        Err(refusal) => crate::text::safe(&refusal.to_string()).into_owned(),
                    };
                    out += &format!(
                        "  open     request #{} by {}, open until {}: {why}\n",
                        open.seq, open.requester, open.expires
                    );
                }
            }
            out
        }
    }
}

/// A grant that was held and is no more.
struct Past {
    seq: u64,
    grant: String,
    from: String,
    until: String,
    cause: &'static str,
    ended_by: Option<(u64, String)>,
    how: String,
}

impl Past {
    fn of(ledger: &Ledger, trail: &Trail) -> Option<Self> {
        let grant = trail.grant.as_ref()?;
        let digest = grant.entry.signed().digest();
        let (ending, by) = super::why::ending(ledger, trail)?;
        let ended_by = by.map(|entry| (entry.seq(), signers(entry.statement())));
        Some(Self {
            seq: grant.entry.seq(),
            grant: digest.to_string(),
            from: grant.entry.recorded_at().to_string(),
            until: ending.at.to_string(),
            cause: ending.cause.as_str(),
            how: match (&ended_by, by) {
                (Some((seq, who)), Some(entry)) => {
                    format!("{} by {who} at #{seq}{}", ending.cause, reason(entry.statement()))
                }
                _ => ending.cause.to_string(),
            },
            ended_by,
        })
    }

    fn json(&self) -> Value {
        json!({
            "grant": self.grant,
            "seq": self.seq,
            "from": self.from,
            "until": self.until,
            "cause": self.cause,
            "ended_by": self.ended_by.as_ref().map(|(seq, who)| json!({"seq": seq, "by": who})),
        })
    }
}

/// `: "left the team"`, for a statement that ends something.
pub(super) fn reason(statement: &Statement) -> String {
    let reason = match &statement.event {
        Event::AccessRevoked(event) => Some(&event.reason),
        Event::PrincipalDeparted(event) => Some(&event.reason),
        Event::ResourceRetired(event) => Some(&event.reason),
        Event::ExceptionEnded(event) => Some(&event.reason),
        Event::CapacityWithdrawn(event) => Some(&event.reason),
        Event::DelegationWithdrawn(event) => Some(&event.reason),
        Event::PolicyWithdrawn(event) => Some(&event.reason),
        Event::KeyCompromised(event) => Some(&event.reason),
        Event::LedgerOpened(_)
        | Event::CharterAmended(_)
        | Event::LedgerUpgraded(_)
        | Event::LedgerFrozen(_)
        | Event::LedgerThawed(_)
        | Event::RecoveryProposed(_)
        | Event::RecoveryVetoed(_)
        | Event::PrincipalRegistered(_)
        | Event::PrincipalChanged(_)
        | Event::KeyEnrolled(_)
        | Event::KeyRetired(_)
        | Event::CapacityAssigned(_)
        | Event::DelegationGranted(_)
        | Event::ResourceRegistered(_)
        | Event::ResourceChanged(_)
        | Event::PolicyPublished(_)
        | Event::AccessRequested(_)
        | Event::AccessApproved(_)
        | Event::AccessDenied(_)
        | Event::AccessWithdrawn(_)
        | Event::AccessGranted(_)
        | Event::ExceptionGranted(_)
        | Event::ClockStepped(_)
        | Event::Custom(_) => None,
    };
    reason.map(|reason| format!(": {}", quoted(reason))).unwrap_or_default()
}

/// Names, with commas between.
pub(super) fn names<T: AsRef<str>>(names: &[T]) -> String {
    names.iter().map(AsRef::as_ref).collect::<Vec<_>>().join(", ")
}
