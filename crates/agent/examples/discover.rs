//! Prints, as JSON, what is found on this host and what the cluster would be told of it.

use std::error::Error;

use gantry_agent::{Config, capacity};

fn main() -> Result<(), Box<dyn Error>> {
    let config: Config = toml::from_str("cluster = [\"127.0.0.1:7400\"]\nregion = \"here\"\nzone = \"here\"\n")?;
    println!("{}", serde_json::to_string_pretty(&capacity::report(&config)?)?);
    Ok(())
}
