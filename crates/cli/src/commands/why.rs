//! `why`: the whole justification of a grant, from the words of who asked to what ended it.

use countersign_core::entry::Entry;
use countersign_core::event::{AccessGranted, AccessRequested, Capacity, Event, ExceptionOf, Hold};
use countersign_core::id::{Label, Principal, Resource};
use countersign_core::policy::{Clause, Entitlements, SodRule};
use countersign_core::time::Timestamp;
use countersign_projection::governance::{Ending, KeyView, State};
use serde_json::{Value, json};

use super::answer::{as_of_json, names, reason};
use super::history::{Place, no_entry, place};
use crate::args::Why;
use crate::describe::{entitlements, hold, path_rule, scope, signers};
use crate::failure::Failure;
use crate::ledger::{Ledger, ask};
use crate::session::Session;
use crate::story::{Decision, Step, Story, Trail, Wanted, chain, key_of};
use crate::text::{duration, quoted, safe};
use crate::when::At;

pub(super) fn why(args: Why, session: &mut Session<'_, '_>) -> Result<bool, Failure> {
    let wanted = wanted(&args.of)?;
    let mut story = Story::new(wanted.clone());
    let at = args.as_of.at.unwrap_or(At::End);
    let ledger = ask(session, &args.asking, at, |judged, state| story.see(judged, state))?;
    let trails = story.trails();
    if trails.is_empty() {
        let is_there = match &wanted {
            Wanted::Seq(seq) => *seq < ledger.state.head().size,
            Wanted::Digest(digest) => story.known.seq(digest).is_some(),
            Wanted::Access(..) => true,
        };
        if !is_there {
            return Err(no_entry(&args.of.join(" "), &ledger));
        }
        return Err(Failure::refused(match args.of.as_slice() {
            [subject, role, resource] => {
                format!("{subject} never asked for, nor was granted, {role} on {resource}")
            }
            _ => format!("{} is no part of a request or a grant", args.of.join(" ")),
        })
        .hint("`countersign show` prints any statement"));
    }
    let tellers: Vec<Teller<'_>> =
        trails.iter().map(|trail| Teller { ledger: &ledger, story: &story, trail }).collect();
    if args.json {
        let told: Vec<Value> = tellers.iter().map(Teller::json).collect();
        session.print_json(&json!({"as_of": as_of_json(&ledger), "justifications": told}))?;
    } else {
        let told: Vec<String> = tellers.iter().map(Teller::text).collect();
        session.print(&told.join("\n"))?;
    }
    Ok(ledger.is_verified)
}

fn wanted(of: &[String]) -> Result<Wanted, Failure> {
    match of {
        [one] => Ok(match place(one)? {
            Place::Seq(seq) => Wanted::Seq(seq),
            Place::Digest(digest) => Wanted::Digest(digest),
        }),
        [subject, role, resource] => {
            let wrong = |what: &str, error: &dyn std::error::Error| Failure::told(format!("{what}: {error}"));
            Ok(Wanted::Access(
                subject.parse().map_err(|error| wrong(subject, &error))?,
                role.parse().map_err(|error| wrong(role, &error))?,
                resource.parse().map_err(|error| wrong(resource, &error))?,
            ))
        }
        _ => Err(Failure::told("give one grant, or SUBJECT ROLE RESOURCE")),
    }
}

/// How the grant of a trail ended by the moment asked about, and the entry with which it did, unless time alone ended it.
pub(super) fn ending<'t>(ledger: &Ledger, trail: &'t Trail) -> Option<(Ending, Option<&'t Entry>)> {
    use countersign_projection::governance::EndCause;
    let grant = trail.grant.as_ref()?.entry.signed().digest();
    if let Some((ending, entry)) = &trail.ended {
        let by_itself = matches!(ending.cause, EndCause::Expired) || ending.at < entry.recorded_at();
        return Some((*ending, (!by_itself).then_some(entry)));
    }
    let later = ledger.state.at(ledger.at);
    later.endings().iter().find(|ending| ending.grant == grant).map(|ending| (*ending, None))
}

/// Tells one trail.
struct Teller<'t> {
    ledger: &'t Ledger,
    story: &'t Story,
    trail: &'t Trail,
}

impl Teller<'_> {
    fn request(&self) -> &AccessRequested {
        &self.trail.request.event
    }

    /// The clause at the grant, or at the last decision: what policy resolved to.
    fn clause(&self) -> Option<Clause> {
        fn point<E>(step: &Step<E>) -> (&State, Timestamp) {
            (&step.state, step.entry.recorded_at())
        }
        let trail = self.trail;
        let last = trail.grant.as_ref().map(point).or_else(|| trail.decisions.last().map(point));
        let (state, at) = last.unwrap_or_else(|| point(&trail.request));
        let request = self.request();
        state.clause(&request.resource, &request.role, at).ok()
    }

    fn text(&self) -> String {
        let request = self.request();
        let mut out = Lines::default();
        let what = format!("{} {} {}", request.subject, request.role, request.resource);
        match (&self.trail.grant, ending(self.ledger, self.trail)) {
            (Some(grant), ended) => {
                let until = match &ended {
                    Some((ending, _)) => format!("ended {}", ending.at),
                    None => match self
                        .ledger
                        .state
                        .grant(&grant.entry.signed().digest())
                        .and_then(|view| view.until)
                    {
                        Some(until) => format!("active until {until}"),
                        None => "active without end".into(),
                    },
                };
                out.head(&format!("{what}: granted {}, {until}", grant.entry.recorded_at()));
                out.line("grant", &format!("#{} {}", grant.entry.seq(), grant.entry.signed().digest()));
            }
            (None, _) => {
                let digest = self.trail.request.entry.signed().digest();
                let stands = match self.ledger.state.request(&digest, self.ledger.at) {
                    Some(open) => {
                        let why = match self.ledger.state.propose_grant(&digest, self.ledger.at) {
                            Ok(_) => "ready to be granted".to_owned(),
                            Err(refusal) => safe(&refusal.to_string()).into_owned(),
                        };
                        format!("open until {}: {why}", open.expires)
                    }
                    None => "closed without a grant".into(),
                };
                out.head(&format!("{what}: not granted, {stands}"));
            }
        }
        let as_of = self.ledger.as_of();
        out.line("as of", as_of.strip_prefix("as of ").unwrap_or(&as_of));

        out.section("Asked");
        out.step(&self.trail.request);
        out.line("need", &quoted(&request.need));
        out.line(
            "for",
            &format!("process {}, {}, tier {}", request.purpose, hold(&request.hold), request.tier),
        );
        if let Some(replaces) = &request.replaces {
            out.line("replaces", &format!("grant {}", self.story.known.place(replaces)));
        }
        self.keys(&mut out, &self.trail.request);

        if !self.trail.decisions.is_empty() {
            out.section("Decided");
        }
        for step in &self.trail.decisions {
            self.decision(&mut out, step);
        }

        if let Some(step) = &self.trail.grant {
            let event = &step.event;
            self.policy(&mut out, event);
            out.section("Granted");
            out.step(step);
            self.authority(&mut out, step, &step.entry.statement().author, Capacity::IamEnforcer);
            out.line("hold", &hold(&event.hold));
            let ends: Vec<&str> = event.ends_on.iter().map(|end| end.as_str()).collect();
            out.line("ends on", &ends.join(", "));
            self.keys(&mut out, step);
        }
        if let Some((ending, by)) = ending(self.ledger, self.trail) {
            out.section("Ended");
            match by {
                Some(entry) => {
                    out.line(
                        &format!("#{}", entry.seq()),
                        &format!(
                            "{} {} by {}",
                            entry.recorded_at(),
                            ending.cause,
                            signers(entry.statement())
                        ),
                    );
                    let why = reason(entry.statement());
                    if let Some(why) = why.strip_prefix(": ") {
                        out.line("reason", why);
                    }
                }
                None => out.line(
                    "-",
                    &format!("{} {}: by time alone, no statement was needed", ending.at, ending.cause),
                ),
            }
        }
        out.0
    }

    fn decision(&self, out: &mut Lines, step: &Step<Decision>) {
        let author = &step.entry.statement().author;
        out.step(step);
        match &step.event {
            Decision::Approved(event) => {
                out.line("approved", &quoted(&event.need));
                out.line("as", event.capacity.as_str());
                self.authority(out, step, author, event.capacity);
                if let Some(seconds) = event.seconds {
                    out.line("at most", &duration(seconds.count()));
                }
                out.line("met", &self.met(step));
            }
            Decision::Denied(event) => {
                out.line("denied", &quoted(&event.reason));
                out.line("as", event.capacity.as_str());
                self.authority(out, step, author, event.capacity);
            }
            Decision::Excepted(event) => {
                out.line("excepted", &quoted(&event.need));
                if let ExceptionOf::Personal(personal) = &event.covers {
                    out.line("for", &duration(personal.seconds.count()));
                }
                out.line("answers", event.owner.as_str());
                self.authority(out, step, author, Capacity::ExceptionApprover);
            }
            Decision::Withdrawn(event) => {
                out.line("withdrew", &self.story.known.place(&event.statement));
                if let Some(reason) = &event.reason {
                    out.line("reason", &quoted(reason));
                }
            }
        }
        self.keys(out, step);
    }

    /// Which requirement of the path an approval met, by the witness of the grant.
    fn met(&self, step: &Step<Decision>) -> String {
        let digest = step.entry.signed().digest();
        let Some(grant) = &self.trail.grant else { return "nothing yet: there is no grant".into() };
        let Some(item) = grant.event.witness.iter().find(|item| item.approval == digest) else {
            return "nothing: the grant does not rest on it".into();
        };
        let clause = self.clause();
        let path = clause.as_ref().and_then(|clause| clause.path.as_ref());
        let place = usize::try_from(item.requirement).ok();
        let capacity = path.zip(place).and_then(|(rule, place)| rule.path.requirements().get(place).copied());
        let capacity = capacity.map(|capacity| format!(", {capacity}")).unwrap_or_default();
        let path = path.map(|rule| format!(" of path {}", rule.name)).unwrap_or_default();
        format!("requirement {}{path}{capacity}", item.requirement + 1)
    }

    /// By which assignment, and through which delegations, somebody acts.
    fn authority<E>(&self, out: &mut Lines, step: &Step<E>, holder: &Principal, capacity: Capacity) {
        for line in self.authority_lines(step, holder, capacity) {
            out.line("authority", &line);
        }
    }

    fn authority_lines<E>(&self, step: &Step<E>, holder: &Principal, capacity: Capacity) -> Vec<String> {
        let at = step.entry.recorded_at();
        let resource: &Resource = &self.request().resource;
        let Some(right) = step.state.authority(holder, capacity, resource, at) else {
            return vec![format!("{capacity}: none on record right after")];
        };
        chain(&step.state, &right, at)
            .iter()
            .map(|view| {
                let by =
                    self.story.base(view.seq).map(|entry| signers(entry.statement())).unwrap_or_default();
                let until = view.until.map(|until| format!(", until {until}")).unwrap_or_default();
                let over = scope(&view.scope);
                match &view.delegated_by {
                    Some(_) => {
                        format!("delegated to {} at #{} by {by}, over {over}{until}", view.holder, view.seq)
                    }
                    None => format!(
                        "{} assigned to {} at #{} by {by}, over {over}{until}",
                        view.capacity, view.holder, view.seq
                    ),
                }
            })
            .collect()
    }

    fn policy(&self, out: &mut Lines, event: &AccessGranted) {
        out.section("Policy");
        let place = self.story.known.place(&event.policy);
        if let Some(entry) = self.story.based_on(&event.policy)
            && let Event::PolicyPublished(published) = &entry.statement().event
        {
            let (at, by) = (entry.recorded_at(), signers(entry.statement()));
            out.line(&place, &format!("{at} {} published by {by}", published.name));
        } else {
            out.line(&place, "the policy statement");
        }
        out.line("statement", &event.policy.to_string());
        out.line("clause", &event.clause.to_string());
        if let Some(clause) = self.clause() {
            match (&event.exception, &clause.path, &clause.exception) {
                (Some(_), _, Some(rule)) => {
                    let most = duration(rule.max_seconds.count());
                    out.line("exception", &format!("{}, at most {most}", quoted(&rule.when)));
                }
                (_, Some(rule), _) => out.line("path", &path_rule(rule)),
                (_, None, _) => {}
            }
            if let Some(most) = clause.max_seconds {
                out.line("at most", &duration(most.count()));
            }
            if let Hold::Class(class) = &event.hold
                && let Some(class) = clause.classes.find(class.as_str())
            {
                let (name, every) = (&class.class, duration(class.review_seconds.count()));
                out.line(
                    "class",
                    &format!("{name}: reviewed every {every}, a missed review: {}", class.missed_review),
                );
                self.opened(out, name);
            }
            for (policy, rule, others) in apart(&clause) {
                out.line("apart from", &format!("{others}: rule {} of policy {policy}", rule.name));
            }
            let governed = if clause.governed_by.is_empty() {
                String::new()
            } else {
                format!(", governed by {}", names(&clause.governed_by))
            };
            out.line("resource", &format!("tier {}{governed}", clause.tier));
        }
    }

    /// Who opened the standing class of the grant, or last renewed it by then, and who answers for it.
    fn opened(&self, out: &mut Lines, class: &Label) {
        let Some(step) = &self.trail.grant else { return };
        let classes = step.state.classes(step.entry.recorded_at());
        let Some(view) = classes.iter().find(|view| view.class == *class) else { return };
        let by =
            self.story.based_on(&view.exception).map(|entry| signers(entry.statement())).unwrap_or_default();
        let place = self.story.known.place(&view.exception);
        out.line(
            "opened",
            &format!("at {place} by {by}, until {}; {} answers for it", view.until, view.owner),
        );
    }

    /// How each key that signed came to be.
    fn keys<E>(&self, out: &mut Lines, step: &Step<E>) {
        for (name, key) in self.signing_keys(step) {
            out.line("key", &self.provenance(&name, &key));
        }
    }

    fn signing_keys<E>(&self, step: &Step<E>) -> Vec<(Principal, KeyView)> {
        let statement = step.entry.statement();
        let names = std::iter::once(&statement.author).chain(statement.cosigners.iter());
        names.filter_map(|name| Some((name.clone(), key_of(&step.state, &step.entry, name)?))).collect()
    }

    fn provenance(&self, name: &Principal, key: &KeyView) -> String {
        let short = format!("{:.12} of {name}", key.key_id.to_string());
        let how = match self.story.base(key.admitted) {
            Some(entry) => {
                let (seq, by) = (entry.seq(), signers(entry.statement()));
                if let Event::KeyEnrolled(event) = &entry.statement().event {
                    format!("enrolled ({}) at #{seq} by {by}", event.enrolment)
                } else {
                    format!("named by the charter at #{seq}, signed by {by}")
                }
            }
            None => format!("admitted at #{}", key.admitted),
        };
        // A key enrolled with another one is as good as who enrolled that one.
        let enrolled_first = self.story.base(key.admitted).is_some_and(|entry| {
            let own = |name: &Principal| {
                *name == entry.statement().author || entry.statement().cosigners.contains(name)
            };
            key.enrolled_by.iter().all(own)
        });
        if enrolled_first {
            format!("{short}, {how}")
        } else {
            format!("{short}, {how}, with a key enrolled by {}", names(&key.enrolled_by))
        }
    }

    fn json(&self) -> Value {
        let request = self.request();
        let ended = ending(self.ledger, self.trail);
        json!({
            "subject": request.subject,
            "role": request.role,
            "resource": request.resource,
            "status": match (&self.trail.grant, &ended) {
                (Some(_), None) => "active",
                (Some(_), Some(_)) => "ended",
                (None, _) if self.is_open() => "open",
                (None, _) => "closed",
            },
            "request": self.step_json(&self.trail.request, None),
            "decisions": self.trail.decisions.iter().map(|step| self.step_json(step, decided_as(step))).collect::<Vec<_>>(),
            "grant": self.trail.grant.as_ref().map(|step| {
                let event = &step.event;
                let mut told = self.step_json(step, Some(Capacity::IamEnforcer));
                let view = self.ledger.state.grant(&step.entry.signed().digest());
                told["until"] = json!(view.and_then(|view| view.until));
                told["ends_on"] = json!(event.ends_on.as_slice());
                told["clause"] = json!(event.clause);
                told["policy"] = json!({
                    "statement": event.policy,
                    "seq": self.story.known.seq(&event.policy),
                    "signed_by": self.story.based_on(&event.policy).map(|entry| all_signers(entry)),
                });
                told
            }),
            "ended": ended.map(|(ending, by)| json!({
                "at": ending.at,
                "cause": ending.cause.as_str(),
                "entry": by.map(|entry| self.entry_json(entry)),
            })),
        })
    }

    fn is_open(&self) -> bool {
        let digest = self.trail.request.entry.signed().digest();
        self.ledger.state.request(&digest, self.ledger.at).is_some()
    }

    fn entry_json(&self, entry: &Entry) -> Value {
        json!({
            "seq": entry.seq(),
            "recorded_at": entry.recorded_at(),
            "statement": entry.signed().digest(),
            "signed_by": all_signers(entry),
            "event": crate::json::value(entry.signed().bytes())["event"],
        })
    }

    fn step_json<E>(&self, step: &Step<E>, capacity: Option<Capacity>) -> Value {
        let mut told = self.entry_json(&step.entry);
        let keys: Vec<Value> = self
            .signing_keys(step)
            .iter()
            .map(|(name, key)| {
                json!({
                    "principal": name,
                    "keyid": key.key_id,
                    "admitted": key.admitted,
                    "admitted_by": self.story.base(key.admitted).map(|entry| all_signers(entry)),
                    "enrolled_by": key.enrolled_by,
                })
            })
            .collect();
        told["keys"] = json!(keys);
        if let Some(capacity) = capacity {
            let at: Timestamp = step.entry.recorded_at();
            let author = &step.entry.statement().author;
            let right = step.state.authority(author, capacity, &self.request().resource, at);
            let rights = right.map(|right| chain(&step.state, &right, at)).unwrap_or_default();
            told["authority"] = json!(rights.iter().map(super::state::capacity_json).collect::<Vec<_>>());
        }
        told
    }
}

/// In which capacity a decision was made.
fn decided_as(step: &Step<Decision>) -> Option<Capacity> {
    match &step.event {
        Decision::Approved(event) => Some(event.capacity),
        Decision::Denied(event) => Some(event.capacity),
        Decision::Excepted(_) => Some(Capacity::ExceptionApprover),
        Decision::Withdrawn(_) => None,
    }
}

fn all_signers(entry: &Entry) -> Vec<&Principal> {
    std::iter::once(&entry.statement().author).chain(entry.statement().cosigners.iter()).collect()
}

/// What may not be held together with the entitlement of a clause: each rule with its policy, and its other side in words.
fn apart(clause: &Clause) -> impl Iterator<Item = (&Label, &SodRule, String)> {
    let rules = clause.sod.iter().flat_map(|part| part.rules.iter().map(|rule| (&part.policy, rule)));
    rules.map(|(policy, rule)| {
        let is_here = |side: &Entitlements| side.include(&clause.resource, &clause.role);
        let sides = [(&rule.left, &rule.right), (&rule.right, &rule.left)];
        let others = sides.iter().filter(|(own, _)| own.iter().any(is_here));
        let names: Vec<String> = others.flat_map(|(_, other)| other.iter().map(entitlements)).collect();
        (policy, rule, names.join(" or "))
    })
}

/// Lines of a justification: a label and a text each.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn head(&mut self, text: &str) {
        self.0 += &format!("{text}\n");
    }

    fn section(&mut self, name: &str) {
        self.0 += &format!("\n{name}\n");
    }

    fn step<E>(&mut self, step: &Step<E>) {
        let entry = &step.entry;
        let text = format!("{} {}", entry.recorded_at(), signers(entry.statement()));
        self.line(&format!("#{}", entry.seq()), &text);
    }

    fn line(&mut self, label: &str, text: &str) {
        self.0 += &format!("  {label:<10} {text}\n");
    }
}
