//! How many answers at once, so that the slow ones do not make the others wait.
//!
//! Questions about a whole project read much; questions about one thread stand in its turn, where its messages wait behind
//! them. Each kind has permits of its own, and nobody waits long for one.

use std::time::Duration;

use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::timeout,
};

use super::outcome::Unanswered;
use crate::event::Question;

/// How long a question waits for its permit: its thread's messages wait as long.
const PATIENCE: Duration = Duration::from_secs(1);

/// One for each answer at once.
pub struct Permits {
    of_threads: Semaphore,
    of_projects: Semaphore,
}

impl Permits {
    /// So many for questions about one thread, and a quarter of that for those about a whole project.
    pub fn new(at_once: usize) -> Self {
        Self { of_threads: Semaphore::new(at_once), of_projects: Semaphore::new((at_once / 4).max(1)) }
    }

    pub(super) async fn take(&self, question: &Question) -> Result<SemaphorePermit<'_>, Unanswered> {
        let permits = match question {
            Question::Context(_) | Question::Conversation(_) | Question::State(_) | Question::CrmLink(_) => {
                &self.of_threads
            }
            Question::Conversations(_) | Question::Stats(_) | Question::CrmLinks(_) => &self.of_projects,
        };
        timeout(PATIENCE, permits.acquire()).await.ok().and_then(Result::ok).ok_or(Unanswered::Busy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::request::{GetState, GetStats};

    #[tokio::test(start_paused = true)]
    async fn questions_about_projects_leave_room_for_those_about_threads_and_nobody_waits_long() {
        let permits = Permits::new(8);
        let (slow, quick) = (Question::Stats(GetStats::default()), Question::State(GetState::default()));
        let _first = permits.take(&slow).await.expect("a permit");
        let second = permits.take(&slow).await.expect("another");
        let began = tokio::time::Instant::now();
        assert!(matches!(permits.take(&slow).await, Err(Unanswered::Busy)));
        assert_eq!(began.elapsed(), PATIENCE);
        assert!(permits.take(&quick).await.is_ok());
        drop(second);
        assert!(permits.take(&slow).await.is_ok());
    }
}
