//! Two ways to measure while the machine does other things: processor time for what takes long, and elapsed time for what is
//! over before the system turns to something else, of which the median is taken.

use std::time::{Duration, Instant};

/// A stopwatch of the calling thread's processor time, which Linux counts in steps of some milliseconds; of elapsed time
/// where the system does not tell.
pub(crate) struct Stopwatch {
    processor: Option<Duration>,
    started: Instant,
}

impl Stopwatch {
    /// One for steps of microseconds: it always tells elapsed time.
    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    pub(crate) fn short() -> Self {
        Self { processor: None, started: Instant::now() }
    }

    #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
    pub(crate) fn start() -> Self {
        Self { processor: processor_time(), started: Instant::now() }
    }

    pub(crate) fn stop(self) -> Duration {
        let processor = processor_time().zip(self.processor).map(|(now, then)| now.saturating_sub(then));
        processor.unwrap_or_else(|| self.started.elapsed())
    }
}

/// Linux: the first number of `schedstat`, in nanoseconds.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split(' ').next()?.parse().ok().map(Duration::from_nanos)
}

/// The median in seconds.
pub(crate) fn median(times: &mut [Duration]) -> f64 {
    times.sort_unstable();
    times[times.len() / 2].as_secs_f64()
}
