//! What is measured, and the rows of the table.

use anyhow::Result;
use remap_test::Runtime;

use crate::RUNTIMES;

/// What a figure is to be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Aim {
    /// Ours is at most so many times the stock one's.
    Ratio(f64),
    /// Ours is at most so much, in the unit of the figure.
    Ours(f64),
}

/// A row of the table.
#[derive(Debug)]
pub(crate) struct Figure<'a> {
    /// What was measured.
    pub(crate) what: &'a str,
    /// In what.
    pub(crate) unit: &'a str,
    /// The stock shim's value, and ours.
    pub(crate) values: [f64; 2],
    /// How often each was measured.
    pub(crate) rounds: usize,
    /// What it is to be, if there is an aim.
    pub(crate) aim: Option<Aim>,
}

/// Begins the table.
pub(crate) fn head() {
    println!("| | stock | ours | ratio | aim | rounds |");
    println!("|---|--:|--:|--:|---|--:|");
}

impl Figure<'_> {
    /// The medians of what was measured.
    pub(crate) fn of<'a>(
        what: &'a str,
        unit: &'a str,
        samples: &[Vec<f64>; 2],
        aim: Option<Aim>,
    ) -> Figure<'a> {
        let [stock, ours] = samples;
        Figure {
            what,
            unit,
            values: [median(stock), median(ours)],
            rounds: ours.len(),
            aim,
        }
    }

    /// Prints the row.
    pub(crate) fn print(&self) {
        let [stock, ours] = self.values;
        let ratio = ours / stock;
        let aim = match self.aim {
            None => "–".to_owned(),
            // A difference that is lost in the noise.
            Some(Aim::Ratio(most)) if stock <= 0.0 => format!("≤ {most:.2}, cannot be told"),
            Some(Aim::Ratio(most)) => format!("≤ {most:.2}{}", verdict(ratio <= most)),
            Some(Aim::Ours(most)) => format!("ours ≤ {most:.1}{}", verdict(ours <= most)),
        };
        println!(
            "| {}, {} | {stock:.1} | {ours:.1} | {ratio:.2} | {aim} | {} |",
            self.what, self.unit, self.rounds
        );
    }
}

fn verdict(met: bool) -> &'static str {
    if met { "" } else { ", **missed**" }
}

/// Prints the medians of a figure that has no aim.
pub(crate) fn report(what: &str, unit: &str, samples: [Vec<f64>; 2]) {
    Figure::of(what, unit, &samples, None).print();
}

/// Prints a figure that only our shim has.
pub(crate) fn ours(what: &str, unit: &str, value: f64, rounds: usize) {
    println!("| {what}, {unit} | – | {value:.1} | – | – | {rounds} |");
}

/// Takes the `N` values that `measure` gives for both runtimes in turn, so often; what the machine
/// does beside hits both alike. A first round warms up and does not count.
pub(crate) fn interleaved<const N: usize>(
    rounds: usize,
    mut measure: impl FnMut(Runtime, usize) -> Result<[f64; N]>,
) -> Result<[[Vec<f64>; 2]; N]> {
    let mut samples = [const { [Vec::new(), Vec::new()] }; N];
    for round in 0..=rounds {
        for (index, runtime) in RUNTIMES.into_iter().enumerate() {
            let values = measure(runtime, round)?;
            for (pair, value) in samples.iter_mut().zip(values) {
                if round > 0
                    && let Some(samples) = pair.get_mut(index)
                {
                    samples.push(value);
                }
            }
        }
    }
    Ok(samples)
}

/// The middle one, or the upper of the two in the middle.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
