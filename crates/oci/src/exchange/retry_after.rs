//! When a busy host wants to be asked again: the header `Retry-After` of RFC 9110, section 10.2.3.

use std::time::{Duration, SystemTime};

/// First pause where the host names none; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);
const DOUBLINGS: u32 = 6;

/// The pause after the host was asked `asked` times. A moment in the past is none.
pub(super) fn pause(header: Option<&str>, now: SystemTime, asked: u32) -> Duration {
    let named = header.map(str::trim).and_then(|text| {
        let seconds = || text.parse().ok().map(Duration::from_secs);
        let moment = || httpdate::parse_http_date(text).ok();
        seconds().or_else(|| Some(moment()?.duration_since(now).unwrap_or_default()))
    });
    // Those who were sent away together should not come back together.
    named.unwrap_or_else(|| (FIRST * 2_u32.pow(asked.min(DOUBLINGS))).mul_f64(0.5 + fastrand::f64() / 2.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_taken_and_nonsense_backs_off() {
        let now = httpdate::parse_http_date("Fri, 15 May 2015 15:34:21 GMT").unwrap();
        let named = |header| pause(Some(header), now, 0);
        assert_eq!(named("7"), Duration::from_secs(7));
        assert_eq!(named(" 0 "), Duration::ZERO);
        assert_eq!(named("Fri, 15 May 2015 15:35:21 GMT"), Duration::from_secs(60));
        assert_eq!(named("Fri, 15 May 2015 15:30:00 GMT"), Duration::ZERO);
        for (header, asked) in [(None, 0), (Some("soon"), 1), (Some("-1"), 2), (Some("99999999999999999999999"), 40)] {
            let longest = FIRST * 2_u32.pow(asked.min(DOUBLINGS));
            let pause = pause(header, now, asked);
            assert!(pause >= longest / 2 && pause <= longest, "{header:?}: {pause:?}");
        }
    }
}
