//! Processes that write one ledger at the same time, and are killed while they do.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::JoinHandle;
use std::time::Duration;

use countersign_store::conformance::Told;

use crate::{Said, now, signal};

/// Nothing that is waited for takes so long, on whatever machine.
const LONGEST: Duration = Duration::from_secs(90);

/// Writers in competition. Each has a slot; who is killed is followed by another one in the same slot.
pub struct Contenders<F> {
    command: F,
    running: Vec<Running>,
    started: usize,
    /// Those whose end is no surprise.
    killed: BTreeSet<usize>,
    said: Vec<Said>,
    sender: Sender<News>,
    news: Receiver<News>,
}

impl<F: FnMut(usize, usize) -> Command> Contenders<F> {
    /// Starts one in each of so many slots, by the command for a slot and for the number of the start.
    ///
    /// # Panics
    /// Where one does not start.
    #[must_use]
    pub fn start(slots: usize, command: F) -> Self {
        let (sender, news) = mpsc::channel();
        let (killed, said) = (BTreeSet::new(), Vec::new());
        let mut all = Self { command, running: Vec::new(), started: 0, killed, said, sender, news };
        for slot in 0..slots {
            let next = all.next(slot);
            all.running.push(next);
        }
        all
    }

    fn next(&mut self, slot: usize) -> Running {
        let number = self.started;
        self.started += 1;
        Running::start(&mut (self.command)(slot, number), number, &self.sender)
    }

    /// Waits until so many more entries were acknowledged.
    ///
    /// # Panics
    /// Where one ends by itself, or none is acknowledged for long.
    pub fn wait_for_acknowledged(&mut self, entries: usize) {
        self.wait_for(entries, |told| matches!(told, Told::Acknowledged { .. }));
    }

    /// Waits until one is told that nobody knows whether its statement was recorded.
    ///
    /// # Panics
    /// Where one ends by itself, or none is told so for long.
    pub fn wait_for_an_unknown_outcome(&mut self) {
        // What was said before says nothing of now.
        while let Ok(news) = self.news.try_recv() {
            self.check(news);
        }
        self.wait_for(1, |told| matches!(told, Told::Unknown(_)));
    }

    fn wait_for(&mut self, count: usize, is_wanted: impl Fn(Told) -> bool) {
        let until = now() + LONGEST;
        let mut left = count;
        while left > 0 {
            let news = self.news.recv_timeout(until.saturating_duration_since(now()));
            let news = news.expect("what is waited for comes in time");
            if self.check(news).is_some_and(&is_wanted) {
                left -= 1;
            }
        }
    }

    fn check(&self, news: News) -> Option<Told> {
        match news {
            News::Told(told) => Some(told),
            News::Ended(number) => {
                assert!(self.killed.contains(&number), "writer {number} ended by itself");
                None
            }
        }
    }

    /// Kills the one in a slot, and starts another in its place.
    ///
    /// # Panics
    /// Where it has ended by itself.
    pub fn replace(&mut self, slot: usize) {
        let next = self.next(slot);
        let old = std::mem::replace(&mut self.running[slot], next);
        self.killed.insert(old.number);
        self.said.push(old.kill());
    }

    /// Sends a signal to the one in a slot.
    ///
    /// # Panics
    /// Where that is impossible.
    pub fn signal(&self, slot: usize, name: &str) {
        signal(&self.running[slot].child, name);
    }

    /// Kills all; what each one said that there ever was.
    ///
    /// # Panics
    /// Where one has ended by itself.
    #[must_use]
    pub fn kill(self) -> Vec<Said> {
        let Self { running, mut said, .. } = self;
        said.extend(running.into_iter().map(Running::kill));
        said
    }
}

/// A writer, and the thread that collects what it says.
struct Running {
    number: usize,
    child: Child,
    // INVARIANT: there until it is killed.
    heard: Option<JoinHandle<Vec<u8>>>,
}

/// What is heard of a writer while it runs.
enum News {
    Told(Told),
    /// It says nothing more.
    Ended(usize),
}

impl Running {
    fn start(command: &mut Command, number: usize, news: &Sender<News>) -> Self {
        // Its input ends with this process, however that ends.
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("a writer starts");
        let mut says = BufReader::new(child.stdout.take().expect("piped"));
        let news = news.clone();
        let heard = std::thread::spawn(move || {
            let mut heard = Vec::new();
            loop {
                let start = heard.len();
                if says.read_until(b'\n', &mut heard).expect("a pipe") == 0 {
                    let _ = news.send(News::Ended(number));
                    return heard;
                }
                let line = std::str::from_utf8(&heard[start..]).ok().and_then(|line| line.strip_suffix('\n'));
                if let Some(told) = line.and_then(|line| line.parse().ok()) {
                    let _ = news.send(News::Told(told));
                }
            }
        });
        Self { number, child, heard: Some(heard) }
    }

    /// Kills it; all that it said.
    fn kill(mut self) -> Said {
        let ended = self.child.try_wait().expect("a child");
        self.child.kill().expect("a child");
        self.child.wait().expect("a child");
        let heard = self.heard.take().and_then(|heard| heard.join().ok()).expect("it was listened to");
        let said = Said::parse(&heard);
        assert!(ended.is_none(), "writer {} ended by itself: {:?}", self.number, said.reasons);
        said
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended already where the test went well.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
