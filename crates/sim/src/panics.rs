//! Panics of this thread, which tasks hide from whoever does not wait for them.

use std::{cell::RefCell, sync::Once};

thread_local! {
    static LAST: RefCell<Option<String>> = const { RefCell::new(None) };
    static WATCHED: RefCell<bool> = const { RefCell::new(false) };
}

/// From now on panics of this thread are noted, and no longer printed. Those of others are as before.
pub fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let print = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            if !WATCHED.with(|watched| *watched.borrow()) {
                return print(panic);
            }
            LAST.with(|last| last.borrow_mut().get_or_insert_with(|| panic.to_string()).len());
        }));
    });
    WATCHED.with(|watched| *watched.borrow_mut() = true);
}

/// The first one since the last call.
pub fn taken() -> Option<String> {
    LAST.with(|last| last.borrow_mut().take())
}
