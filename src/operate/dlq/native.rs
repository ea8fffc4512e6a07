//! SQS's own redrive (StartMessageMoveTask): faster, without filters, and in no order with what comes meanwhile.

use std::{process::ExitCode, time::Duration};

use anyhow::{Context, bail};
use aws_sdk_sqs::{
    error::ProvideErrorMetadata,
    types::{ListMessageMoveTasksResultEntry, QueueAttributeName},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{INTERRUPTED, Site};
use crate::operate::output::say;

const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// The latest task out of the dead-letter queue; nothing where the service has none.
async fn latest(site: &Site) -> Option<ListMessageMoveTasksResultEntry> {
    let source = arn(site, &site.dead.url).await.ok()?;
    let listed =
        site.clients.sqs.control.list_message_move_tasks().source_arn(source).max_results(1).send().await.ok()?;
    listed.results?.into_iter().next()
}

fn told(task: &ListMessageMoveTasksResultEntry) -> String {
    let to_move = task.approximate_number_of_messages_to_move().map_or_else(|| "?".to_owned(), |n| n.to_string());
    let status = task.status().unwrap_or("?");
    format!("{status}, {} of {to_move} moved", task.approximate_number_of_messages_moved())
}

/// What the task that runs says of itself.
pub(super) async fn active(site: &Site) -> Option<String> {
    latest(site).await.filter(|task| matches!(task.status(), Some("RUNNING" | "CANCELLING"))).map(|task| told(&task))
}

async fn arn(site: &Site, url: &str) -> anyhow::Result<String> {
    let call = site.clients.sqs.control.get_queue_attributes().queue_url(url);
    let got =
        call.attribute_names(QueueAttributeName::QueueArn).send().await.context("a queue does not tell its ARN")?;
    got.attributes
        .and_then(|mut all| all.remove(&QueueAttributeName::QueueArn))
        .context("a queue does not tell its ARN")
}

/// Starts the task, and follows it to its end. The destination is always named: letters that were sent and not moved by SQS
/// have no source that SQS knows (fact F11).
pub(super) async fn run(site: &Site, rate: u32, stop: &CancellationToken) -> anyhow::Result<ExitCode> {
    let sqs = &site.clients.sqs.control;
    let (source, destination) = (arn(site, &site.dead.url).await?, arn(site, &site.inbound.url).await?);
    let call = sqs.start_message_move_task().source_arn(source).destination_arn(destination);
    let started = call.max_number_of_messages_per_second(i32::try_from(rate.min(500)).unwrap_or(500)).send().await;
    let handle = match started {
        Ok(started) => started.task_handle,
        Err(failure) => match failure.code() {
            Some(code)
                if code.contains("InvalidAction") || code.contains("Unsupported") || code.contains("Unknown") =>
            {
                bail!(
                    "this service has no redrive of its own ({code}); leave out --native: the ordered mover works everywhere"
                )
            }
            Some(code) => bail!(
                "SQS does not start its redrive ({code}); it needs the right to sqs:StartMessageMoveTask, and leaving out \
                 --native needs none"
            ),
            None => return Err(anyhow::Error::new(failure).context("SQS does not start its redrive")),
        },
    };
    loop {
        tokio::select! {
            () = stop.cancelled() => {
                if let Some(handle) = handle {
                    sqs.cancel_message_move_task().task_handle(handle).send().await.context("the task goes on")?;
                }
                say("cancelled; what was moved until then stays moved")?;
                return Ok(ExitCode::from(INTERRUPTED));
            }
            () = sleep(LOOK_AGAIN) => {}
        }
        let Some(task) = latest(site).await else { continue };
        match task.status() {
            Some("RUNNING" | "CANCELLING") => eprintln!("{}", told(&task)),
            Some("COMPLETED") => {
                say(told(&task))?;
                return Ok(ExitCode::SUCCESS);
            }
            _ => bail!("{}: {}", told(&task), task.failure_reason().unwrap_or("no reason is told")),
        }
    }
}
