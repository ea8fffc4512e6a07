//! What the house keeps in small rows, by name: a thread's variables, a project's settings, a session's thread.

use std::{collections::HashMap, sync::Mutex, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::Instant;

use super::{
    Hot, HotError,
    rows::{Row, escaped},
};
use crate::domain::{Place, ProjectSettings, Sequence, ThreadKey, Variable};

/// How long a project's settings are believed before they are read again.
const FRESH: Duration = Duration::from_secs(30);

/// Projects whose settings are remembered at once; past it all are forgotten and read again.
const REMEMBERED: usize = 10_000;

/// How long a session's thread is kept after the session was last opened.
const SESSION_KEPT: TimeDelta = TimeDelta::days(30);

/// How long a variable is kept after it was set.
const VARIABLE_KEPT: TimeDelta = TimeDelta::days(365);

/// Settings do not expire; a row must say something.
const FOREVER: TimeDelta = TimeDelta::days(36_500);

const VARIABLES: &str = "S#";
const SETTINGS: &str = "SETTINGS";
const MAP: &str = "MAP";

/// Settings as last read, and when.
pub(super) type Remembered = Mutex<HashMap<String, (Instant, ProjectSettings)>>;

impl Hot {
    /// Sets or deletes a variable of a thread. It is kept for a year, unless it expires before.
    pub async fn set_variable(&self, thread: &ThreadKey, variable: &Variable) -> Result<(), HotError> {
        let kept_until = variable.set_at + VARIABLE_KEPT;
        let row = Row {
            partition: thread.as_str().to_owned(),
            name: format!("{VARIABLES}{}#{}", escaped(&variable.state_type), escaped(&variable.key)),
            body: written(variable)?,
            rank: variable.sequence,
            expires_at: variable.expires_at.map_or(kept_until, |at| at.min(kept_until)),
        };
        self.write_row(&row).await.map(|_| ())
    }

    /// Every variable that was ever set in a thread and is not forgotten yet; whoever asks looks at whether it still lives.
    pub async fn variables(&self, thread: &ThreadKey) -> Result<Vec<Variable>, HotError> {
        self.rows(thread.as_str(), VARIABLES).await?.iter().map(read).collect()
    }

    /// What a project says of its conversations, at most 30 seconds old.
    pub async fn project(&self, project: &str) -> Result<ProjectSettings, HotError> {
        let now = Instant::now();
        if let Some((at, settings)) = self.remembered().get(project)
            && now < *at + FRESH
        {
            return Ok(settings.clone());
        }
        let settings = self.stored_project(project).await?;
        let mut remembered = self.remembered();
        if remembered.len() >= REMEMBERED {
            remembered.clear();
        }
        remembered.insert(project.to_owned(), (now, settings.clone()));
        Ok(settings)
    }

    /// The same as stored now.
    pub async fn stored_project(&self, project: &str) -> Result<ProjectSettings, HotError> {
        let rows = self.rows(&project_partition(project), SETTINGS).await?;
        rows.first().map_or(Ok(ProjectSettings::default()), read)
    }

    /// Stores what a project says from now on, as the event `said` has it. Returns whether no newer event was there before.
    pub async fn set_project(
        &self,
        project: &str,
        settings: &ProjectSettings,
        said: Sequence,
        at: DateTime<Utc>,
    ) -> Result<bool, HotError> {
        let row = Row {
            partition: project_partition(project),
            name: SETTINGS.to_owned(),
            body: written(settings)?,
            rank: said,
            expires_at: at + FOREVER,
        };
        let written = self.write_row(&row).await?;
        self.remembered().remove(project);
        Ok(written)
    }

    /// Remembers where a session goes on.
    pub async fn name_session(
        &self,
        session: &str,
        place: &Place,
        said: Sequence,
        at: DateTime<Utc>,
    ) -> Result<(), HotError> {
        let row = Row {
            partition: session_partition(&place.thread.project, session),
            name: MAP.to_owned(),
            body: written(place)?,
            rank: said,
            expires_at: at + SESSION_KEPT,
        };
        self.write_row(&row).await.map(|_| ())
    }

    /// Where a session of a project goes on, if it was ever opened with its thread.
    pub async fn session(&self, project: &str, session: &str) -> Result<Option<Place>, HotError> {
        let rows = self.rows(&session_partition(project, session), MAP).await?;
        rows.first().map(read).transpose()
    }
}

fn project_partition(project: &str) -> String {
    format!("PROJECT#{}", escaped(project))
}

fn session_partition(project: &str, session: &str) -> String {
    format!("SESSION#{}#{}", escaped(project), escaped(session))
}

fn written<T: Serialize>(value: &T) -> Result<String, HotError> {
    serde_json::to_string(value).map_err(|_| HotError::Unreadable("row"))
}

fn read<T: DeserializeOwned>(row: &Row) -> Result<T, HotError> {
    serde_json::from_str(&row.body).map_err(|_| HotError::Unreadable("row"))
}
