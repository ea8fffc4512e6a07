//! What operators and replicas tell all replicas.

use chrono::{DateTime, Utc};

use super::{PostgresStore, error::read, in_micros};
use crate::hot::{Control, Controls, HotError, control::LIFTED_KEPT};

const READ: &str = "select name, told from hot_control where lifted_at is null";

/// What is in force is not told again, but for a skip.
const TELL: &str = "
    insert into hot_control (name, told, expires_at) values ($1, $2, $3)
    on conflict (name) do update
    set told = excluded.told, expires_at = excluded.expires_at, lifted_at = null
    where hot_control.lifted_at is not null or $4";

const LIFT: &str = "
    update hot_control set lifted_at = $2, expires_at = $3 where name = $1 and lifted_at is null";

impl PostgresStore {
    pub(super) async fn read_controls(&self) -> Result<Controls, HotError> {
        let mut controls = Controls::default();
        for row in &self.rows_of(sqlx::query(READ)).await? {
            controls.add_row(read(Some(row), "name")?, read(Some(row), "told")?)?;
        }
        Ok(controls)
    }

    pub(super) async fn write_control(&self, control: &Control, at: DateTime<Utc>) -> Result<bool, HotError> {
        let name = control.name();
        let changed = if control.tells() {
            let again = matches!(control, Control::Skip(..));
            let until = control.holds_until().map(in_micros);
            let statement = sqlx::query(TELL).bind(name).bind(control.told()?).bind(until).bind(again);
            self.changed_by(statement).await?
        } else {
            let until = in_micros(at + LIFTED_KEPT);
            self.changed_by(sqlx::query(LIFT).bind(name).bind(in_micros(at)).bind(until)).await?
        };
        Ok(changed == 1)
    }
}
