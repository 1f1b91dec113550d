//! Rates as times: dividing once for a host instead of once for a layer.

use gantry_types::HostRates;

/// Bits behind the binary point of a [`Pace`]. With one byte a second the largest pace still fits into 64 bits.
const POINT: u32 = 44;

/// Microseconds a byte, in units of 2^-44.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace(u64);

/// The rates of a host as [`Pace`]s. The default is a host on which nothing takes time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Paces {
    pub stream: Pace,
    pub link: Pace,
    pub unpack: Pace,
}

/// A time that keeps the fractions of microseconds, so that sums of layers are exact: in units of 2^-44.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Exact(u128);

impl Pace {
    /// A rate of nothing is taken for one byte a second; the largest rate takes no time.
    pub fn of(bytes_per_s: u64) -> Self {
        Self((1_000_000 << POINT) / bytes_per_s.max(1))
    }

    /// Rounded up.
    #[inline]
    pub fn us(self, bytes: u64) -> u64 {
        Exact::default().plus(self, bytes).us()
    }
}

impl Paces {
    pub fn of(rates: &HostRates) -> Self {
        let HostRates { stream_bytes_per_s, link_bytes_per_s, unpack_bytes_per_s } = *rates;
        Self {
            stream: Pace::of(stream_bytes_per_s),
            link: Pace::of(link_bytes_per_s),
            unpack: Pace::of(unpack_bytes_per_s),
        }
    }

    /// The shorter time of each kind.
    pub fn faster(&self, other: &Self) -> Self {
        Self {
            stream: self.stream.min(other.stream),
            link: self.link.min(other.link),
            unpack: self.unpack.min(other.unpack),
        }
    }
}

impl Exact {
    #[inline]
    pub(super) fn from_us(us: u64) -> Self {
        Self(u128::from(us) << POINT)
    }

    #[inline]
    pub(super) fn plus(self, pace: Pace, bytes: u64) -> Self {
        Self(self.0.saturating_add(u128::from(pace.0) * u128::from(bytes)))
    }

    /// Rounded up.
    #[inline]
    pub(super) fn us(self) -> u64 {
        u64::try_from(self.0.saturating_add((1 << POINT) - 1) >> POINT).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Compared with the division that a pace stands for.
    #[test]
    fn a_pace_is_the_rate_to_the_microsecond() {
        for rate in [1, 3, 1_000, 520_000, 73_000_000, 247_000_000, 1 << 40] {
            for bytes in [0, 1, 7, 29_500_000, 2_650_000_000, 19_688_000_000, 1 << 44] {
                let exact = (u128::from(bytes) * 1_000_000).div_ceil(u128::from(rate));
                let us = u128::from(Pace::of(rate).us(bytes));
                assert!(us <= exact && us + 1 >= exact, "{bytes} at {rate}: {us}, not {exact}");
            }
        }
        assert_eq!((Pace::of(u64::MAX).us(u64::MAX), Pace::of(0).us(1)), (0, 1_000_000));
    }
}
