//! States that are read from snapshots.
//!
//! A snapshot keeps what nothing else tells. What follows from it is derived, so that it can not differ; the rest has to fit together,
//! so that no later question panics or goes on for ever. That its facts are true is its signer's word: only the entries show it.

use std::sync::Arc;

use countersign_core::digest::LeafHash;
use countersign_core::entry::Head;

use super::charter::check_alone;
use super::live::{Approval, Request};
use super::people::hash_key;
use super::state::{CharterState, Live, REMEMBERED_LEAVES, State};
use super::stored::{Contradiction, Hash, Millis, instant, sound};

/// What a snapshot of the state keeps: size and leaf of its head, when the last entry was recorded, and the rest.
pub(crate) type Kept = (u64, Hash, Millis, Option<Live>);

impl State {
    /// A state that was read.
    ///
    /// What ended with the last entry is not kept: who resumes behind it has seen that entry.
    pub(crate) fn restored((size, leaf, recorded_at, mut live): Kept) -> Result<Self, Contradiction> {
        let head = Head { size, leaf: LeafHash::new(leaf) };
        sound(instant(recorded_at).is_some(), "the last entry was recorded at no time")?;
        match &mut live {
            Some(live) => live.index(head, recorded_at)?,
            None => sound((head, recorded_at) == (Head::EMPTY, 0), "there are entries and no ledger")?,
        }
        Ok(Self { head, recorded_at, live, endings: Arc::from([]) })
    }
}

impl Live {
    /// Derives what reading leaves out, and checks the rest.
    fn index(&mut self, head: Head, recorded_at: Millis) -> Result<(), Contradiction> {
        let key = hash_key(self.ledger.0.genesis().as_bytes());
        let size = head.size;
        let remembered = usize::try_from(size.min(REMEMBERED_LEAVES)).unwrap_or(usize::MAX);
        let last = size.checked_sub(1).and_then(|last| self.leaf(last, size));
        sound(self.leaves.len() == remembered, "more or fewer leaves are remembered than there are")?;
        sound(last == Some(head.leaf.as_bytes()), "the last leaf is another one than the head's")?;
        sound(self.authored_at <= recorded_at, "an author spoke after the last entry")?;

        let Self { people, keys, things, rights, book, requests, grants, .. } = self;
        let (ordered, rest) = beside(
            || grants.ordered(),
            || {
                people.index(key, keys)?;
                keys.check(people.len(), size)?;
                things.index(key)?;
                rights.index(key, people, keys, size)?;
                book.check(people, keys, size)?;
                requests.index()
            },
        );
        rest?;
        for (_, request) in self.requests.iter() {
            sound(self.is_request(request, size), "a request names what is not there")?;
            self.people.count_request(&request.counted);
        }
        self.grants.index(ordered, key, &self.people, &self.things)?;
        let has_class =
            |class: Option<u32>| class.is_none_or(|class| self.exceptions.classes.contains(class));
        let has_grounds = self.grants.iter().all(|(_, grant)| has_class(grant.class()) && grant.seq < size);
        sound(has_grounds, "a grant is held under a class that is not there, or is yet to come")?;
        self.exceptions.index(recorded_at);
        sound(self.are_exceptions(size), "an exception names what is not there")?;

        let charter = CharterState::of(self.charter.text.clone(), &self.people, &self.keys);
        self.charter = charter.ok_or("the charter names whom or what is not there")?;
        let pending = self.recovery.as_deref();
        let charters = pending.map(|pending| &pending.charter.0).into_iter().chain([&self.charter.text.0]);
        for charter in charters {
            sound(check_alone(charter).is_ok(), "a charter is none that the rules admit")?;
        }
        let frozen = self.frozen.iter().flat_map(|freeze| &freeze.by);
        let mut named = frozen.chain(self.overruled.iter().map(|(no, _)| no));
        sound(named.all(|no| self.people.has(*no)), "who froze the ledger is not there")?;
        sound(!self.is_due(recorded_at), "something was due before the last entry and is there still")
    }

    fn is_request(&self, request: &Request, size: u64) -> bool {
        self.people.has(request.requester)
            && self.people.find(&request.event.subject) == Some(request.subject)
            && self.things.find(&request.event.resource) == Some(request.resource)
            && self.people.are_persons(&request.counted)
            && request.approvals.iter().all(|approval| self.is_approval(approval, size))
            && request.seq < size
    }

    fn is_approval(&self, approval: &Approval, size: u64) -> bool {
        self.people.has(approval.author) && self.keys.has(approval.key) && approval.seq < size
    }

    fn are_exceptions(&self, size: u64) -> bool {
        let personal = self.exceptions.personal.values().all(|personal| {
            self.is_approval(&personal.approval, size)
                && self.people.has(personal.owner)
                && self.things.has(personal.resource)
        });
        personal
            && self.exceptions.classes.iter().all(|(_, class)| {
                self.people.has(class.owner)
                    && class.signed_by.iter().chain([&class.key]).all(|no| self.keys.has(*no))
                    && class.seq < size
            })
    }
}

/// Does `there` on another thread while it does `here`; one after the other where there is no thread to be had.
fn beside<A: Send, B>(there: impl Fn() -> A + Sync, here: impl FnOnce() -> B) -> (A, B) {
    std::thread::scope(|scope| {
        let other = std::thread::Builder::new().spawn_scoped(scope, &there);
        let done = here();
        let other = match other {
            Ok(other) => other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            Err(_) => there(),
        };
        (other, done)
    })
}

#[cfg(test)]
mod tests {
    use countersign_core::policy::PolicyDocument;

    use super::super::live::Personal;
    use super::super::state::{Freeze, PendingRecovery};
    use super::super::stored::Stored;
    use super::*;
    use crate::cow::{CowVec, HashKey, Names, OrdMap};
    use crate::projection::{CodecError, Projection as _};
    use crate::test_kit::Playground;

    fn read(state: &State) -> Result<State, CodecError> {
        State::decode(&state.to_snapshot())
    }

    /// Why a state is refused after `spoil` has changed what a snapshot keeps of it.
    fn refusal_of(state: &State, spoil: impl FnOnce(&mut Live)) -> Option<Contradiction> {
        let mut spoilt = state.clone();
        spoil(spoilt.live.as_mut().unwrap());
        match read(&spoilt) {
            Ok(_) => None,
            Err(CodecError::Contradiction { what }) => Some(what),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn names(key: HashKey, of: &[&str]) -> Names {
        let mut names = Names::new(key);
        for name in of {
            names.intern(name);
        }
        names
    }

    fn without_last<T: Clone>(all: &CowVec<T>) -> CowVec<T> {
        all.iter().take(all.len() - 1).cloned().collect()
    }

    /// A number that nothing has.
    const NOBODY: u32 = 4_711;

    #[test]
    fn what_is_derived_comes_back_the_same() {
        let ledger = Playground::small();
        let state = ledger.state();
        assert_eq!(read(state).unwrap(), state.at(state.recorded_at()));
        assert_eq!(read(&State::new()).unwrap(), State::new());
        assert_eq!(refusal_of(state, |_| ()), None);
    }

    #[test]
    fn heads_that_do_not_fit_are_refused() {
        let ledger = Playground::small();
        let spoilt = |spoil: fn(&mut State)| {
            let mut state = ledger.state().clone();
            spoil(&mut state);
            read(&state).map(drop)
        };
        type Case = (Contradiction, fn(&mut State));
        let cases: [Case; 5] = [
            ("there are entries and no ledger", |state| state.live = None),
            ("more or fewer leaves are remembered than there are", |state| state.head.size += 1),
            ("more or fewer leaves are remembered than there are", |state| state.head.size = 0),
            ("the last leaf is another one than the head's", |state| {
                state.head.leaf = LeafHash::new([7; 32])
            }),
            ("the last entry was recorded at no time", |state| state.recorded_at = Millis::MAX),
        ];
        for (what, spoil) in cases {
            assert_eq!(spoilt(spoil), Err(CodecError::Contradiction { what }));
        }
        let late = State { recorded_at: 1, ..State::new() };
        assert!(matches!(read(&late), Err(CodecError::Contradiction { .. })));
    }

    #[test]
    fn states_whose_parts_do_not_fit_together_are_refused() {
        let mut ledger = Playground::small();
        ledger.give("user:worker-a", "app:billing", "writer", 3_600).unwrap();
        let state = ledger.state();
        let recorded_at = state.recorded_at;
        let size = state.head.size;
        type Case<'a> = (Contradiction, Box<dyn Fn(&mut Live) + 'a>);
        fn case<'a>(what: Contradiction, spoil: impl Fn(&mut Live) + 'a) -> Case<'a> {
            (what, Box::new(spoil))
        }
        let cases = [
            case("more or fewer leaves are remembered than there are", |live| {
                live.leaves = without_last(&live.leaves);
            }),
            case("the last leaf is another one than the head's", |live| {
                *live.leaves.get_mut(size as usize - 1).unwrap() = [7; 32];
            }),
            case("an author spoke after the last entry", |live| live.authored_at = recorded_at + 1),
            case("people are hashed with another key", |live| live.people.spoil_key()),
            case("there are more or fewer principals than names of them", |live| {
                live.people.spoil_names(|key, _| names(key, &["user:alone"]));
            }),
            case("a person has a name that none has", |live| live.people.spoil_persons()),
            case("a principal has a name that none has", |live| {
                live.people.spoil_names(|key, all| {
                    let mut spoilt: Vec<&str> = all.iter().collect();
                    spoilt[3] = "no principal";
                    names(key, &spoilt)
                });
            }),
            case("the persons of a principal are none, or out of order", |live| {
                live.people.record_mut(2).persons = Arc::new([NOBODY]);
            }),
            case("the persons of a principal are none, or out of order", |live| {
                live.people.record_mut(2).persons = Arc::new([1, 1]);
            }),
            case("the persons of a principal are none, or out of order", |live| {
                live.people.record_mut(2).past.push((0, Arc::new([NOBODY])));
            }),
            case("a key is nobody's", |live| live.keys.record_mut(1).owner = NOBODY),
            case("a key has another one's id", |live| live.keys.record_mut(1).id = [7; 32]),
            case("a key began or ended after the last entry", |live| live.keys.record_mut(1).admitted = size),
            case("a key began or ended after the last entry", |live| {
                live.keys.record_mut(1).ended = Some(u64::MAX);
            }),
            case("a key rests on somebody or something that is not there", |live| {
                live.keys.record_mut(1).rests_on.push(NOBODY);
            }),
            case("a key rests on somebody or something that is not there", |live| {
                live.keys.record_mut(1).enrollers.push(NOBODY);
            }),
            case("serials that no key has used", |live| live.keys.record_mut(1).serials.spoil()),
            case("a key is there twice", |live| {
                let first = live.keys.record(0).clone();
                *live.keys.record_mut(1) = first;
            }),
            case("resources are hashed with another key", |live| live.things.spoil_key()),
            case("there are more or fewer resources than names of them", |live| {
                live.things.spoil_names(|key, _| names(key, &["app:alone"]));
            }),
            case("a resource has a name that none has", |live| {
                live.things.spoil_names(|key, _| names(key, &["app:billing", "no resource"]));
            }),
            case("what governs, or is governed, is no live resource", |live| {
                live.things.record_mut(0).governed_by = Some(NOBODY);
            }),
            case("what governs, or is governed, is no live resource", |live| {
                live.things.record_mut(0).governed_by = Some(1);
                live.things.record_mut(1).live = false;
            }),
            case("more resources are above one another than may be", |live| {
                live.things.record_mut(0).governed_by = Some(1);
                live.things.record_mut(1).governed_by = Some(0);
            }),
            case("a right is of somebody who is not there, or is yet to come", |live| {
                live.rights.spoil(|right| right.holder = NOBODY);
            }),
            case("a right is of somebody who is not there, or is yet to come", |live| {
                live.rights.spoil(|right| right.signed_by.push(NOBODY));
            }),
            case("a right is of somebody who is not there, or is yet to come", |live| {
                live.rights.spoil(|right| right.basis = Some(([7; 32], NOBODY)));
            }),
            case("a right is of somebody who is not there, or is yet to come", |live| {
                live.rights.spoil(|right| right.seq = size);
            }),
            case("a right rests on one that came after it", |live| {
                let id = *live.rights.iter().next().unwrap().0;
                live.rights.spoil(|right| right.basis = Some((id, 0)));
            }),
            case("a policy is there that was never published", |live| live.book.opened = false),
            case("a policy has no version", |live| {
                let _ = live.book.entry(&"another".parse().unwrap());
            }),
            // The time that passes went on putting it in force for ever.
            case("a policy stands under another name than its own", |live| {
                let policy = live.book.in_force().next().unwrap().clone();
                live.book.entry(&"another".parse().unwrap()).scheduled = Some(policy);
            }),
            case("a policy is none that the rules admit", |live| {
                spoil_policy(live, |policy| {
                    let document: &mut PolicyDocument = &mut policy.event.0.document;
                    let again = document.paths[0].clone();
                    document.paths.push(again);
                });
            }),
            case("a policy is by somebody who is not there, or is yet to come", |live| {
                spoil_policy(live, |policy| policy.authors.push(NOBODY));
            }),
            case("a policy is by somebody who is not there, or is yet to come", |live| {
                spoil_policy(live, |policy| policy.signed_by.push(NOBODY));
            }),
            case("a policy is by somebody who is not there, or is yet to come", |live| {
                spoil_policy(live, |policy| policy.seq = size);
            }),
            case("an approval is there twice", |live| {
                spoil_request(live, |request| request.approvals = vec![approval(), approval()]);
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| request.requester = NOBODY);
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| request.subject = 0)
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| request.resource = 1)
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| request.counted = vec![NOBODY]);
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| request.seq = size)
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| {
                    request.approvals = vec![Approval { author: NOBODY, ..approval() }];
                });
            }),
            case("a request names what is not there", |live| {
                spoil_request(live, |request| {
                    request.approvals = vec![Approval { key: NOBODY, ..approval() }]
                });
            }),
            case("roles are hashed with another key", |live| {
                live.grants.roles = Names::new(HashKey([7; 16]))
            }),
            case("a role has a name that none has", |live| {
                live.grants.roles.intern("no role");
            }),
            case("a grant has a number that is no name's", |live| {
                live.grants.roles = Names::new(live.grants.roles.key());
            }),
            case("a grant is there twice", |live| live.grants.spoil(|grant| grant.digest = [7; 32])),
            case("a grant has a number that is no name's", |live| {
                live.grants.spoil(|grant| grant.subject = NOBODY);
            }),
            case("a grant has a number that is no name's", |live| {
                live.grants.spoil(|grant| grant.resource = NOBODY);
            }),
            case("a grant is held under a class that is not there, or is yet to come", |live| {
                live.grants.spoil(|grant| grant.class = NOBODY);
            }),
            case("a grant is held under a class that is not there, or is yet to come", |live| {
                live.grants.spoil(|grant| grant.seq = size);
            }),
            case("an exception names what is not there", |live| {
                let approval = Approval { author: NOBODY, ..approval() };
                live.exceptions.personal.insert([7; 32], Arc::new(Personal { approval, ..personal() }));
            }),
            case("an exception names what is not there", |live| {
                live.exceptions.personal.insert([7; 32], Arc::new(Personal { owner: NOBODY, ..personal() }));
            }),
            case("an exception names what is not there", |live| {
                live.exceptions
                    .personal
                    .insert([7; 32], Arc::new(Personal { resource: NOBODY, ..personal() }));
            }),
            case("an exception names what is not there", |live| {
                live.exceptions.classes.get_mut(0).unwrap().owner = NOBODY;
            }),
            case("an exception names what is not there", |live| {
                live.exceptions.classes.get_mut(0).unwrap().signed_by.push(NOBODY);
            }),
            case("an exception names what is not there", |live| {
                live.exceptions.classes.get_mut(0).unwrap().key = NOBODY;
            }),
            case("the charter names whom or what is not there", |live| {
                let mut charter = live.charter.text.0.clone();
                charter.recorder.key.0 = [7; 32];
                live.charter.text = Arc::new(Stored(charter));
            }),
            case("a charter is none that the rules admit", |live| {
                let mut charter = live.charter.text.0.clone();
                charter.quorum = 0;
                live.charter.text = Arc::new(Stored(charter));
            }),
            case("a charter is none that the rules admit", |live| {
                let mut charter = live.charter.text.0.clone();
                charter.quorum = 3;
                let (digest, charter) = ([7; 32], Stored(charter));
                live.recovery = Some(Arc::new(PendingRecovery { digest, seq: 1, due: u64::MAX, charter }));
            }),
            case("who froze the ledger is not there", |live| live.frozen = Some(Freeze { by: vec![NOBODY] })),
            case("who froze the ledger is not there", |live| live.overruled = vec![(NOBODY, u64::MAX)]),
            case("something was due before the last entry and is there still", |live| {
                live.overruled = vec![(0, recorded_at)];
            }),
        ];
        for (number, (what, spoil)) in cases.into_iter().enumerate() {
            assert_eq!(refusal_of(state, spoil), Some(what), "case {number}");
        }
        // What those were built from is sound by itself.
        assert_eq!(
            refusal_of(state, |live| {
                live.exceptions.personal.insert([7; 32], Arc::new(personal()));
                spoil_request(live, |request| request.approvals = vec![approval()]);
                live.frozen = Some(Freeze { by: vec![0] });
                live.overruled = vec![(0, recorded_at + 1)];
                live.things.record_mut(0).governed_by = Some(1);
            }),
            None
        );
    }

    fn approval() -> Approval {
        use countersign_core::event::Capacity;
        Approval {
            digest: [9; 32],
            seq: 1,
            author: 0,
            key: 0,
            capacity: Stored(Capacity::BusinessOwner),
            clause: [9; 32],
            seconds: None,
            right: [9; 32],
        }
    }

    fn personal() -> Personal {
        Personal { request: [9; 32], approval: approval(), owner: 0, resource: 0, until: u64::MAX }
    }

    fn spoil_policy(live: &mut Live, spoil: impl FnOnce(&mut super::super::book::Policy)) {
        let current = live.book.entry(&"owners".parse().unwrap()).current.as_mut().unwrap();
        spoil(Arc::make_mut(current));
    }

    fn spoil_request(live: &mut Live, spoil: impl FnOnce(&mut Request)) {
        let digest = *live.requests.iter().next().unwrap().0;
        spoil(live.requests.get_mut(&digest).unwrap());
    }

    #[test]
    fn equal_keys_of_a_map_are_seen_in_any_order() {
        assert!(OrdMap::from_unsorted([(2, ()), (1, ()), (2, ())]).is_none());
        assert_eq!(OrdMap::from_unsorted([(2, 'b'), (1, 'a')]).unwrap().first(), Some((&1, &'a')));
    }
}
