//! Times by place and by what was done, and their medians.

use std::time::{Duration, Instant};

/// What was measured, in the order in which it first was.
pub(crate) struct Figures(Vec<Row>);

struct Row {
    place: &'static str,
    what: &'static str,
    /// Of one statement or entry, a round each.
    times: Vec<Duration>,
}

impl Figures {
    pub(crate) fn new() -> Self {
        Self(Vec::new())
    }

    /// Something was done `count` times from `start` to now.
    pub(crate) fn add(&mut self, place: &'static str, what: &'static str, start: Instant, count: usize) {
        let time = start.elapsed().div_f64(count as f64);
        match self.0.iter_mut().find(|row| (row.place, row.what) == (place, what)) {
            Some(row) => row.times.push(time),
            None => self.0.push(Row { place, what, times: vec![time] }),
        }
    }

    /// A table: each time, and how many times that of `measure` at the same place it is.
    pub(crate) fn print(&self, measure: &str) {
        println!("  {:<12} {:<40} {:>9} {:>9}", "", "", "us", "ratio");
        for row in &self.0 {
            let beside = self.0.iter().find(|other| other.place == row.place && other.what == measure);
            let ratios = beside.map(|beside| {
                let pairs = row.times.iter().zip(&beside.times);
                pairs.map(|(time, measure)| time.as_secs_f64() / measure.as_secs_f64()).collect()
            });
            let ratio = ratios.map_or(f64::NAN, |ratios: Vec<f64>| median(ratios));
            let times = row.times.iter().map(|time| time.as_secs_f64() * 1e6).collect();
            println!("  {:<12} {:<40} {:>9.1} {:>9.2}", row.place, row.what, median(times), ratio);
        }
        println!("  (ratio: times what \"{measure}\" takes at the same place)");
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
