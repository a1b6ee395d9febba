//! What the server says beside its answers: warnings, which sqlx tells nobody but the log.
//!
//! A statement that is cancelled while its commit waits for a standby counts as done, and a warning is all that tells. So the futures that append
//! are polled with a subscriber of `tracing` that hears the warnings, and passes on everything to the subscriber that is there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::instrument::WithSubscriber as _;
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Level, Metadata, Subscriber, dispatcher};

/// Where sqlx tells what a server says.
const NOTICES: &str = "sqlx::postgres::notice";

/// Listens to the server while futures are polled.
pub(crate) struct Listener {
    shared: Arc<Shared>,
    dispatch: Dispatch,
}

struct Shared {
    has_heard: AtomicBool,
    /// Who would be told without this.
    others: Mutex<Dispatch>,
}

impl Listener {
    pub(crate) fn new() -> Self {
        let shared =
            Arc::new(Shared { has_heard: AtomicBool::new(false), others: Mutex::new(Dispatch::none()) });
        Self { dispatch: Dispatch::new(Hearing(shared.clone())), shared }
    }

    /// The future's output, and whether the server warned of anything meanwhile.
    pub(crate) async fn hear<T>(&self, future: impl Future<Output = T>) -> (T, bool) {
        self.shared.has_heard.store(false, Ordering::Relaxed);
        *self.shared.others() = dispatcher::get_default(Dispatch::clone);
        let output = future.with_subscriber(self.dispatch.clone()).await;
        (output, self.shared.has_heard.load(Ordering::Relaxed))
    }
}

impl Shared {
    fn others(&self) -> MutexGuard<'_, Dispatch> {
        self.others.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The lock is not held while they are told: they may come back here.
    fn tell<T>(&self, tell: impl FnOnce(&Dispatch) -> T) -> T {
        let others = self.others().clone();
        tell(&others)
    }
}

struct Hearing(Arc<Shared>);

fn is_warning(metadata: &Metadata<'_>) -> bool {
    metadata.target() == NOTICES && *metadata.level() <= Level::WARN
}

impl Subscriber for Hearing {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if is_warning(metadata) {
            return Interest::always();
        }
        self.0.tell(|others| others.register_callsite(metadata))
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        is_warning(metadata) || self.0.tell(|others| others.enabled(metadata))
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::current().max(LevelFilter::WARN))
    }

    fn event(&self, event: &Event<'_>) {
        let is_warning = is_warning(event.metadata());
        if is_warning {
            self.0.has_heard.store(true, Ordering::Relaxed);
        }
        self.0.tell(|others| {
            if !is_warning || others.enabled(event.metadata()) {
                others.event(event);
            }
        });
    }

    fn new_span(&self, attributes: &Attributes<'_>) -> Id {
        self.0.tell(|others| others.new_span(attributes))
    }

    fn record(&self, span: &Id, values: &Record<'_>) {
        self.0.tell(|others| others.record(span, values));
    }

    fn record_follows_from(&self, span: &Id, follows: &Id) {
        self.0.tell(|others| others.record_follows_from(span, follows));
    }

    fn enter(&self, span: &Id) {
        self.0.tell(|others| others.enter(span));
    }

    fn exit(&self, span: &Id) {
        self.0.tell(|others| others.exit(span));
    }

    fn clone_span(&self, span: &Id) -> Id {
        self.0.tell(|others| others.clone_span(span))
    }

    fn try_close(&self, span: Id) -> bool {
        self.0.tell(|others| others.try_close(span))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts what it is told, of warnings and worse.
    struct Counting(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Counting {
        fn enabled(&self, metadata: &Metadata<'_>) -> bool {
            *metadata.level() <= Level::WARN
        }

        fn event(&self, event: &Event<'_>) {
            self.0.lock().unwrap().push(event.metadata().target().to_owned());
        }

        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(7)
        }

        fn record(&self, _: &Id, _: &Record<'_>) {}

        fn record_follows_from(&self, _: &Id, _: &Id) {}

        fn enter(&self, _: &Id) {
            self.0.lock().unwrap().push("entered".to_owned());
        }

        fn exit(&self, _: &Id) {}
    }

    #[tokio::test]
    async fn a_warning_of_the_server_is_heard_and_others_are_told_what_they_would_be() {
        let (told, listener) = (Arc::new(Mutex::new(Vec::new())), Listener::new());
        let hear = async |say: fn()| listener.hear(async { say() }).await.1;
        let counting = async {
            assert!(hear(|| tracing::warn!(target: "sqlx::postgres::notice", "a wait was cancelled")).await);
            assert!(!hear(|| tracing::info!(target: "sqlx::postgres::notice", "a notice")).await);
            assert!(!hear(|| tracing::warn!(target: "elsewhere", "a warning")).await);
            assert!(!hear(|| tracing::info!(target: "elsewhere", "a notice")).await);
            assert!(!hear(|| drop(tracing::error_span!("a span").entered())).await);
        };
        counting.with_subscriber(Counting(told.clone())).await;
        assert_eq!(*told.lock().unwrap(), ["sqlx::postgres::notice", "elsewhere", "entered"]);
        // Nobody else is there.
        assert!(hear(|| tracing::warn!(target: "sqlx::postgres::notice", "a wait was cancelled")).await);
    }
}
