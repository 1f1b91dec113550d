//! Why a reference was not resolved, and what can be done about it.

use std::time::Duration;

/// One variant for each thing that a caller or an operator can do. `at` is the URL that was asked, without its query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    #[error(
        "{at} does not exist, or not for those who may not see it: check the name and the tag, and the credentials \
         where it is private"
    )]
    NotFound { at: String },
    #[error("{at} is not shown: {why}")]
    Denied { at: String, why: String },
    #[error("{at} is not fetched, as the config forbids it: {why}")]
    Forbidden { at: String, why: String },
    #[error("{at} is not trusted: {why}; a private authority is named in ca_files of this host")]
    Untrusted { at: String, why: String },
    #[error("{at} cannot be had now: {why}")]
    Unreachable { at: String, why: String },
    /// With the pause that the registry asks for.
    #[error("{at} is busy and wants to be asked again in {pause:?}")]
    Busy { at: String, pause: Duration },
    /// The registry breaks the rules, or a bound that is set to what it may say.
    #[error("{at} is not taken: {why}")]
    Broken { at: String, why: String },
    #[error("{at} is no image that could be placed: {why}")]
    Unusable { at: String, why: String },
    #[error("{reference} was not resolved within {limit:?}")]
    TimedOut { reference: String, limit: Duration },
    #[error("{limit} references are being resolved already")]
    Full { limit: usize },
    #[error("answers of registries fill {bytes} bytes already, which is all that they may")]
    Crowded { bytes: usize },
}

impl ResolveError {
    /// Whether the same call may succeed later with nothing changed here or in the image.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. }
            | Self::Busy { .. }
            | Self::TimedOut { .. }
            | Self::Full { .. }
            | Self::Crowded { .. } => true,
            Self::NotFound { .. }
            | Self::Denied { .. }
            | Self::Forbidden { .. }
            | Self::Untrusted { .. }
            | Self::Broken { .. }
            | Self::Unusable { .. } => false,
        }
    }
}
