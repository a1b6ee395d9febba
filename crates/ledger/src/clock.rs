//! The recorder's clock: the only place where time enters a ledger.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::{Duration, Instant, SystemTime};

use countersign_core::time::Timestamp;

/// Largest difference between how far the wall clock and the monotonic clock moved that is not a jump.
pub const MAX_CLOCK_STEP: Duration = Duration::from_secs(60 * 60);

/// Two readings of time, supplied by whoever embeds the ledger.
pub trait Clock: Send + Sync + 'static {
    /// The time of day, which anyone may set.
    fn wall(&self) -> Timestamp;

    /// How long this clock has been running. Never decreases, and nobody can set it. Its zero means nothing.
    fn monotonic(&self) -> Duration;
}

impl<C: Clock + ?Sized> Clock for std::sync::Arc<C> {
    fn wall(&self) -> Timestamp {
        (**self).wall()
    }

    fn monotonic(&self) -> Duration {
        (**self).monotonic()
    }
}

/// The clocks of the operating system.
///
/// Where its monotonic clock does not count the time that the machine is suspended (Linux, macOS), a suspension of more than
/// [`MAX_CLOCK_STEP`] looks like a jump and has to be acknowledged like one.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// The clocks, the monotonic one counting from now.
    #[must_use]
    #[expect(
        clippy::disallowed_methods,
        reason = "the ledger's clock is the one place that asks for the time"
    )]
    pub fn new() -> Self {
        Self { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the ledger's clock is the one place that asks for the time"
    )]
    fn wall(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).ok().and_then(Timestamp::from_millis).unwrap_or(Timestamp::MAX)
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }
}

/// The wall clock jumped against the monotonic clock while the recorder ran. It seals nothing until told to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the wall clock jumped to {wall}, {seconds} s from where the monotonic clock has it")]
pub struct ClockStep {
    /// What the wall clock said.
    pub wall: Timestamp,
    /// How many seconds it is ahead of where it should be; negative where it is behind.
    pub seconds: i64,
}

/// Watches the wall clock against the monotonic clock.
#[derive(Debug)]
pub(crate) struct StepGuard(Mutex<Watch>);

#[derive(Debug)]
struct Watch {
    wall: Timestamp,
    monotonic: Duration,
    /// Sticky: a clock that jumped back in place has still jumped.
    step: Option<ClockStep>,
}

impl StepGuard {
    pub(crate) fn new(clock: &impl Clock) -> Self {
        Self(Mutex::new(Watch { wall: clock.wall(), monotonic: clock.monotonic(), step: None }))
    }

    /// The time of day, unless it can not be relied on.
    pub(crate) fn read(&self, clock: &impl Clock) -> Result<Timestamp, ClockStep> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(step) = watch.step {
            return Err(step);
        }
        let (wall, monotonic) = (clock.wall(), clock.monotonic());
        let passed = monotonic.saturating_sub(watch.monotonic).as_millis();
        let expected = i128::from(watch.wall.millis()) + i128::try_from(passed).unwrap_or(i128::MAX / 2);
        let ahead = i128::from(wall.millis()) - expected;
        if ahead.unsigned_abs() > MAX_CLOCK_STEP.as_millis() {
            let seconds = i64::try_from(ahead / 1000).unwrap_or(i64::MAX);
            let step = ClockStep { wall, seconds };
            watch.step = Some(step);
            return Err(step);
        }
        Ok(wall)
    }

    /// Takes the time of day for right from here on.
    pub(crate) fn acknowledge(&self, clock: &impl Clock) -> Option<ClockStep> {
        let mut watch = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let step = watch.step;
        *watch = Watch { wall: clock.wall(), monotonic: clock.monotonic(), step: None };
        step
    }
}
