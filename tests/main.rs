//! Black-box tests: real server processes, driven over the API and the command line alone.

mod bad_input;
mod damage;
mod disaster;
mod failover;
mod members;
mod support;
mod tour;
