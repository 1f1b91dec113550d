//! Pages of listings.

use gantry_types::{Refused, limits};

/// Items on a page where the caller names no number.
const PAGE_DEFAULT: u32 = 1_000;

/// The number of items on a page: `page_size`, or the default for 0.
pub fn page(page_size: u32) -> Result<usize, Refused> {
    if page_size as usize > limits::PAGE {
        return Err(Refused::over("page_size", page_size.into(), limits::PAGE as u64));
    }
    Ok(if page_size == 0 { PAGE_DEFAULT } else { page_size } as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_absurd_page_is_refused() {
        assert_eq!((page(0), page(7)), (Ok(1_000), Ok(7)));
        assert!(matches!(page(u32::MAX), Err(Refused::Invalid { field: "page_size", .. })));
    }
}
