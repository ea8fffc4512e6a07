//! `conversationd migrate`: brings the archive's schema up to this release.

use anyhow::Context;

use crate::{app, config::DatabaseConfig};

/// Migrates.
///
/// # Errors
/// The database cannot be reached, or refuses.
pub async fn run(database: &DatabaseConfig) -> anyhow::Result<()> {
    let version = app::archive(database)?.migrate().await.context("the archive could not be migrated")?;
    println!("archive at schema version {version}");
    Ok(())
}
