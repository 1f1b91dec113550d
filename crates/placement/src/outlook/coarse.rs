//! Amounts with the precision that an outlook needs. Hosts that differ by less are alike, so what was found out about one
//! of them is known of all.

/// Steps between a power of two and the next.
const STEPS_BITS: u32 = 5;

/// The nearest number with few leading bits.
pub(super) fn coarse(value: u32) -> u32 {
    to_bits(value, STEPS_BITS)
}

/// The nearest number with so many bits behind the leading one.
pub(super) fn to_bits(value: u32, bits: u32) -> u32 {
    let shift = (u32::BITS - value.leading_zeros()).saturating_sub(bits + 1);
    let step = 1_u32 << shift;
    value.saturating_add(step / 2) / step * step
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_coarse_stays_and_is_near() {
        for value in (0..200).chain((0..31).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1, 3 << bit])) {
            let near = coarse(value);
            assert_eq!(coarse(near), near);
            assert!(near.abs_diff(value) <= value >> (STEPS_BITS + 1), "{value} became {near}");
        }
    }
}
