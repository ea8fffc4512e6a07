//! Whether the index of dead letters and the dead-letter queue agree.

use super::Finding;
use crate::{
    config::{HotConfig, QueueConfig},
    operate::{
        clients, hot,
        letters::{self, disagreement},
        output::counted,
    },
};

const CHECK: &str = "dead-letter index";

/// Compares them, if both answer; the checks of the queue and of the table tell when they do not.
pub(super) async fn check(get: &dyn Fn(&str) -> Option<String>) -> Vec<Finding> {
    let (Ok(queue), Ok(config)) = (QueueConfig::read_dead_letter(get), HotConfig::read(get)) else {
        return Vec::new();
    };
    let clients = clients(queue.region.clone(), None).await;
    let Ok(index) = hot(&config).await else { return Vec::new() };
    let (depth, rows) = tokio::join!(letters::depth(&clients.sqs.control, &queue.url), letters::waiting_rows(&*index));
    let (Ok((waiting, in_flight)), Ok(rows)) = (depth, rows) else { return Vec::new() };
    vec![compared(waiting + in_flight, rows)]
}

fn compared(letters: u64, rows: u64) -> Finding {
    match disagreement(letters, rows) {
        None => Finding::ok(CHECK, format!("{}, as many as the queue holds letters", counted(rows, "row"))),
        Some((found, advice)) => {
            let why =
                "what has no row is not listed, counted or found by its reason; what has no letter cannot be sent back";
            Finding::warning(CHECK, found, why, advice)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operate::doctor::Level;

    #[test]
    fn a_difference_either_way_is_a_warning() {
        for (letters, rows, level) in
            [(0, 0, Level::Ok), (3, 3, Level::Ok), (4, 3, Level::Warning), (3, 4, Level::Warning)]
        {
            assert_eq!(compared(letters, rows).level, level, "{letters} letters, {rows} rows");
        }
    }
}
