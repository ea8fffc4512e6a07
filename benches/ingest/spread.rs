//! A figure that was measured more than once: its median, and how far the others are from it.

/// Microseconds, milliseconds, megabytes, ratios: whatever was measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The smallest.
    pub least: f64,
    /// The one in the middle.
    pub median: f64,
    /// The largest.
    pub most: f64,
}

impl Spread {
    /// Of all that was measured; zeros of nothing.
    pub fn of(measured: impl IntoIterator<Item = f64>) -> Self {
        let mut sorted: Vec<f64> = measured.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let at = |place: usize| sorted.get(place).copied().unwrap_or_default();
        Self { least: at(0), median: at(sorted.len() / 2), most: at(sorted.len().saturating_sub(1)) }
    }

    /// Of each of these divided by the one measured beside it.
    pub fn ratio(these: &[f64], to_those: &[f64]) -> Self {
        Self::of(these.iter().zip(to_those).map(|(this, that)| this / that))
    }

    /// `4.08 (3.57–4.22)`
    pub fn shown(&self, digits: usize) -> String {
        format!("{:.digits$} ({:.digits$}–{:.digits$})", self.median, self.least, self.most)
    }
}
