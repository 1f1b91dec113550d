//! Points in time, shown as how far they are.

use std::time::{SystemTime, UNIX_EPOCH};

use super::duration;

/// A Unix time in milliseconds as `3m ago`; nothing for 0.
pub fn ago(at_ms: u64) -> String {
    match at_ms {
        0 => String::new(),
        _ => format!("{} ago", duration::format_ms(whole_seconds(now_ms().saturating_sub(at_ms)))),
    }
}

/// A Unix time in milliseconds as `in 45s`; nothing for 0, which is a lease that does not run.
pub fn until(at_ms: u64) -> String {
    match (at_ms, at_ms.checked_sub(now_ms())) {
        (0, _) => String::new(),
        (_, Some(left)) => format!("in {}", duration::format_ms(whole_seconds(left))),
        (_, None) => "now".to_owned(),
    }
}

fn whole_seconds(ms: u64) -> u64 {
    if ms < 1_000 { ms } else { ms / 1_000 * 1_000 }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
