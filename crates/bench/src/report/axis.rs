//! Scales from values to pixels, and their ticks.

/// A linear scale with round ticks.
#[derive(Clone, Copy, Debug)]
pub struct Linear {
    pub max: f64,
    pub from_px: f64,
    pub to_px: f64,
}

impl Linear {
    pub fn at(&self, value: f64) -> f64 {
        self.from_px + (self.to_px - self.from_px) * (value / self.max).clamp(0.0, 1.0)
    }

    /// About `wanted` round values from zero.
    pub fn ticks(&self, wanted: usize) -> Vec<f64> {
        let step = round_step(self.max / wanted.max(1) as f64);
        (0..).map(|n| f64::from(n) * step).take_while(|&tick| tick <= self.max * 1.000_001).collect()
    }
}

/// The next 1, 2, 2.5 or 5 times a power of ten.
pub fn round_step(least: f64) -> f64 {
    if least <= 0.0 || !least.is_finite() {
        return 1.0;
    }
    let power = 10f64.powf(least.log10().floor());
    [1.0, 2.0, 2.5, 5.0].into_iter().map(|n| n * power).find(|&step| step >= least * 0.999_999).unwrap_or(10.0 * power)
}

/// Waits: zero has its own place at the left, and from a second on the scale is logarithmic.
#[derive(Clone, Copy, Debug)]
pub struct Waits {
    pub max_ms: u64,
    pub from_px: f64,
    pub to_px: f64,
}

/// Waits below this are drawn between the zero and the logarithmic part.
pub const LOG_FROM_MS: f64 = 1_000.0;
/// The part of the width that waits below a second have.
pub const LOW_PART: f64 = 0.08;

impl Waits {
    pub fn at(&self, ms: f64) -> f64 {
        let width = self.to_px - self.from_px;
        let top = (self.max_ms as f64).max(LOG_FROM_MS * 10.0);
        let part = if ms <= LOG_FROM_MS {
            LOW_PART * ms / LOG_FROM_MS
        } else {
            LOW_PART + (1.0 - LOW_PART) * (ms / LOG_FROM_MS).ln() / (top / LOG_FROM_MS).ln()
        };
        self.from_px + width * part.min(1.0)
    }

    pub fn ticks(&self) -> Vec<(u64, &'static str)> {
        const TICKS: [(u64, &str); 9] = [
            (0, "0"),
            (1_000, "1 s"),
            (3_000, "3 s"),
            (10_000, "10 s"),
            (30_000, "30 s"),
            (60_000, "1 min"),
            (180_000, "3 min"),
            (600_000, "10 min"),
            (1_800_000, "30 min"),
        ];
        TICKS.into_iter().filter(|&(ms, _)| ms <= self.max_ms.max(10_000)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_stay_inside() {
        let scale = Linear { max: 730.0, from_px: 0.0, to_px: 100.0 };
        assert_eq!(scale.ticks(4), [0.0, 200.0, 400.0, 600.0]);
        assert_eq!((scale.at(0.0), scale.at(365.0), scale.at(9_999.0)), (0.0, 50.0, 100.0));
        assert_eq!([round_step(0.03), round_step(2.2), round_step(0.0)], [0.05, 2.5, 1.0]);
    }

    #[test]
    fn waits_keep_their_order_over_the_break() {
        let scale = Waits { max_ms: 600_000, from_px: 10.0, to_px: 110.0 };
        let places: Vec<f64> = [0.0, 500.0, 1_000.0, 1_001.0, 60_000.0, 600_000.0].map(|ms| scale.at(ms)).to_vec();
        assert!(places.windows(2).all(|two| two[0] < two[1]), "{places:?}");
        assert_eq!((places[0], places[5]), (10.0, 110.0));
        assert_eq!(scale.ticks().last(), Some(&(600_000, "10 min")));
    }
}
