//! Checks beside Cedar and a map of strings, and with more readers.

use std::collections::{HashMap, HashSet};
use std::hint::black_box;
use std::time::{Duration, Instant};

use cedar_policy::{Authorizer, Context, Decision, Entities, Entity, EntityUid, PolicySet, Request};
use countersign_core::event::{AccessApproved, Capacity};
use countersign_core::id::{Principal, Resource, Role};
use countersign_core::wire::Text;
use countersign_ledger::testing::{Founded, ManualClock};
use countersign_ledger::{Check, Ledger};
use countersign_store::MemoryStore;

use crate::{BoxError, RESOURCE, at, median, request};

const SUBJECTS: usize = 200;
const ROLES: usize = 10;
const ROUNDS: usize = 101;

/// One question, in the words of each.
struct Question {
    subject: Principal,
    role: Role,
    joined: String,
    cedar: Request,
    is_held: bool,
}

/// `SUBJECTS` that hold every other one of `ROLES` on a resource are asked for all of them.
pub(crate) async fn compare() -> Result<(), BoxError> {
    let ledger = granted().await?;
    let resource = Resource::new(RESOURCE)?;
    let (policies, entities) = facts()?;
    let mut questions = Vec::new();
    let mut map = HashMap::new();
    for subject in 0..SUBJECTS {
        for number in 0..ROLES {
            let (name, role) = (format!("user:requester-{subject}"), format!("role-{number}"));
            let joined = format!("{name}|{RESOURCE}|{role}");
            let is_held = number % 2 == 0;
            if is_held {
                map.insert(joined.clone(), number);
            }
            let cedar = Request::new(
                uid("User", &name)?,
                uid("Action", &role)?,
                uid("Db", RESOURCE)?,
                Context::empty(),
                None,
            )?;
            questions.push(Question {
                subject: Principal::new(&name)?,
                role: Role::new(&role)?,
                joined,
                cedar,
                is_held,
            });
        }
    }
    let authorizer = Authorizer::new();
    let (mut ours, mut cedar, mut strings) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(each(&questions, |question| held(&ledger, &resource, question)));
        cedar.push(each(&questions, |question| {
            authorizer.is_authorized(&question.cedar, &policies, &entities).decision() == Decision::Allow
        }));
        strings.push(each(&questions, |question| map.contains_key(&question.joined)));
    }
    let ours = median(ours);
    println!("check, {} grants, median of {ROUNDS} rounds of {}:", map.len(), questions.len());
    for (name, time) in [
        ("countersign: grant, seq and end, or why not", ours),
        ("Cedar: is_authorized", median(cedar)),
        ("HashMap<String, _>: is it there", median(strings)),
    ] {
        let (nanos, ratio) = (time.as_secs_f64() * 1e9, time.as_secs_f64() / ours.as_secs_f64());
        println!("  {name:<44} {nanos:>8.0} ns a check   {ratio:>6.2} x countersign");
    }
    let one = rate(&ledger, &resource, &questions, 1);
    for readers in [2, 4] {
        let more = rate(&ledger, &resource, &questions, readers) / one;
        println!("  {readers} reader threads check {more:.2} x as much as one");
    }
    Ok(())
}

fn held(ledger: &Ledger<MemoryStore>, resource: &Resource, question: &Question) -> bool {
    ledger
        .check(&Check::new(&question.subject, resource, &question.role))
        .is_ok_and(|checked| checked.is_allowed())
}

/// How long one question takes, over all of them; each is answered rightly.
fn each(questions: &[Question], ask: impl Fn(&Question) -> bool) -> Duration {
    let start = Instant::now();
    let right = questions.iter().filter(|question| black_box(ask(question)) == question.is_held).count();
    let took = start.elapsed();
    assert_eq!(right, questions.len());
    took / questions.len() as u32
}

/// Checks a second of so many threads together.
fn rate(ledger: &Ledger<MemoryStore>, resource: &Resource, questions: &[Question], readers: usize) -> f64 {
    const TIMES: usize = 200;
    let start = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..readers {
            scope.spawn(|| {
                for _ in 0..TIMES {
                    each(questions, |question| held(ledger, resource, question));
                }
            });
        }
    });
    (readers * TIMES * questions.len()) as f64 / start.elapsed().as_secs_f64()
}

/// The facts for Cedar: a policy for each role, and who is in its group.
fn facts() -> Result<(PolicySet, Entities), BoxError> {
    let policy = |number| {
        format!(
            "permit(principal in Group::\"role-{number}\", action == Action::\"role-{number}\", resource == Db::\"{RESOURCE}\");\n"
        )
    };
    let policies = (0..ROLES).map(policy).collect::<String>().parse()?;
    let groups = (0..ROLES).step_by(2).map(|number| uid("Group", &format!("role-{number}")));
    let groups: HashSet<EntityUid> = groups.collect::<Result<_, _>>()?;
    let mut entities: Vec<Entity> =
        groups.iter().map(|group| Entity::new_no_attrs(group.clone(), HashSet::new())).collect();
    for subject in 0..SUBJECTS {
        entities
            .push(Entity::new_no_attrs(uid("User", &format!("user:requester-{subject}"))?, groups.clone()));
    }
    Ok((policies, Entities::from_entities(entities, None)?))
}

fn uid(kind: &str, id: &str) -> Result<EntityUid, BoxError> {
    Ok(format!("{kind}::\"{id}\"").parse()?)
}

/// A ledger on which each subject was granted every other role.
async fn granted() -> Result<Ledger<MemoryStore>, BoxError> {
    let clock = ManualClock::new(at()?);
    let founded = Founded::found(MemoryStore::new(), clock, |recorder| recorder).await?;
    let (owner, iam) = (founded.enrol("user:olga").await?, founded.enrol("service:iam").await?);
    founded.assign(Capacity::BusinessOwner, &owner).await?;
    founded.assign(Capacity::IamEnforcer, &iam).await?;
    let mut subjects = Vec::new();
    for number in 0..SUBJECTS {
        subjects.push(founded.enrol(&format!("user:requester-{number}")).await?);
    }
    founded.let_owners_decide(RESOURCE).await?;
    let ledger = founded.ledger;
    for subject in &subjects {
        for number in (0..ROLES).step_by(2) {
            let asked = ledger.submit(request(subject, &Role::new(&format!("role-{number}"))?)?).await?;
            let view = ledger.current();
            let clause = view.state().clause_of_request(&asked.statement, at()?)?;
            let approved = AccessApproved {
                capacity: Capacity::BusinessOwner,
                clause,
                need: Text::new("the books have to be closed")?,
                request: asked.statement,
                seconds: None,
            };
            ledger.submit(owner.state(approved).seen(view.head()).sign()?).await?;
            let view = ledger.current();
            let grant = view.state().propose_grant(&asked.statement, at()?)?;
            ledger.submit(iam.state(grant).seen(view.head()).sign()?).await?;
        }
    }
    Ok(ledger)
}
