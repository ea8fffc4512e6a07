//! `conversationd migrate`: brings the archive's schema up to this release.

use anyhow::Context;

use super::output;
use crate::{app, config::DatabaseConfig};

/// Migrates.
///
/// # Errors
/// The database cannot be reached, or refuses.
pub async fn run(database: &DatabaseConfig) -> anyhow::Result<()> {
    let version = app::archive(database)?.migrate().await.context("the archive could not be migrated")?;
    output::say(format!("archive at schema version {version}"))?;
    Ok(())
}
