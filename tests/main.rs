//! Black-box tests: real server processes, driven over the API alone.

mod bad_input;
mod failover;
mod support;
