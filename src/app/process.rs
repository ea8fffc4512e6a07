//! What the process is to the system it runs on: which build it is, and who may look into it.

use std::sync::LazyLock;

/// The release and, where whoever built it said so (`CONVERSATIOND_COMMIT`), the commit: `0.1.0 (1a2b3c4d5e6f)`.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| match option_env!("CONVERSATIOND_COMMIT") {
        Some(commit) if !commit.is_empty() => format!("{} ({commit})", env!("CARGO_PKG_VERSION")),
        _ => env!("CARGO_PKG_VERSION").to_owned(),
    });
    VERSION.as_str()
}

/// From now on no core file is written of this process, and nobody but root may read its memory or its environment, where
/// conversations and secrets are. Linux only; elsewhere nothing is done.
///
/// # Errors
/// The system refuses.
pub fn keep_to_itself() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    Ok(())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    use super::*;

    #[test]
    fn a_process_that_keeps_to_itself_leaves_no_core_file() {
        keep_to_itself().expect("it may");
        assert_eq!(dumpable_behavior().expect("it is told"), DumpableBehavior::NotDumpable);
    }
}
