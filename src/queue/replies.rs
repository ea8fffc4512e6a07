//! Reply queues: which ones a request may name, and one attempt to send there.
//!
//! A request names a queue; nothing is ever sent to an address that came with it. What it says is looked up in the list of
//! settings, and the address comes from there.

use async_trait::async_trait;
use aws_sdk_sqs::Client;

use super::{QueueError, sqs::error};

/// Longest name of a queue (SQS's limit).
const LONGEST_NAME: usize = 80;

/// A queue that replies may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplyQueue {
    /// Its URL, from the settings.
    pub url: String,
    /// Whether it is FIFO.
    pub fifo: bool,
}

impl ReplyQueue {
    fn at(url: String) -> Self {
        Self { fifo: url.ends_with(".fifo"), url }
    }
}

/// A reply on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Where to.
    pub queue: ReplyQueue,
    /// FIFO group: what the asker goes by.
    pub group_id: String,
    /// Deduplication id: the request's.
    pub dedup_id: String,
    /// The body.
    pub body: String,
}

/// The queues that a request may name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReplyList {
    /// The inbound queue's URL up to its name: where names stand.
    beside: String,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Name(String),
    Names(String),
    Url(String),
}

/// A setting that names no queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("each must be the name of a queue, the beginning of names followed by *, or a URL: http(s)://…/name")]
pub struct Unnamed;

impl ReplyList {
    /// The list that `text` is, separated by commas: names beside the queue at `inbound`, URLs, or `beginning-*` for all names
    /// that begin so.
    ///
    /// # Errors
    /// An entry is none of these.
    pub fn parse(text: &str, inbound: &str) -> Result<Self, Unnamed> {
        let entries = text.split(',').map(str::trim).filter(|entry| !entry.is_empty());
        let entries = entries.map(entry).collect::<Option<Vec<Entry>>>().ok_or(Unnamed)?;
        let beside = inbound.rsplit_once('/').map_or("", |(beside, _)| beside);
        Ok(Self { beside: format!("{beside}/"), entries })
    }

    /// The queues that are listed one by one; of beginnings of names nobody knows which there are.
    pub fn listed(&self) -> Vec<ReplyQueue> {
        let queue = |entry: &Entry| match entry {
            Entry::Name(name) => Some(ReplyQueue::at(format!("{}{name}", self.beside))),
            Entry::Url(url) => Some(ReplyQueue::at(url.clone())),
            Entry::Names(_) => None,
        };
        self.entries.iter().filter_map(queue).collect()
    }

    /// The queue that a request means by `asked`, a name or a URL; `None` when it is not on the list.
    pub fn find(&self, asked: &str) -> Option<ReplyQueue> {
        let name = asked.strip_prefix(self.beside.as_str()).unwrap_or(asked);
        self.entries.iter().find_map(|entry| match entry {
            Entry::Name(listed) if listed == name => Some(ReplyQueue::at(format!("{}{listed}", self.beside))),
            Entry::Names(begin) if is_name(name) && name.starts_with(begin.as_str()) => {
                Some(ReplyQueue::at(format!("{}{name}", self.beside)))
            }
            Entry::Url(url) if url == asked || url.rsplit('/').next() == Some(asked) => {
                Some(ReplyQueue::at(url.clone()))
            }
            _ => None,
        })
    }
}

fn entry(text: &str) -> Option<Entry> {
    if let Some(begin) = text.strip_suffix('*') {
        // a beginning that is no beginning would list every queue of the account
        return (begin.len() >= 3 && is_name(begin)).then(|| Entry::Names(begin.to_owned()));
    }
    if let Some((scheme, rest)) = text.split_once("://") {
        let name = rest.rsplit_once('/').map(|(_, name)| name);
        return (matches!(scheme, "http" | "https") && name.is_some_and(is_name)).then(|| Entry::Url(text.to_owned()));
    }
    is_name(text).then(|| Entry::Name(text.to_owned()))
}

fn is_name(text: &str) -> bool {
    let name = text.strip_suffix(".fifo").unwrap_or(text);
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
    plain && !name.is_empty() && text.len() <= LONGEST_NAME
}

/// The edge: one call.
#[async_trait]
pub trait ReplyQueues: Send + Sync {
    /// Sends a reply, once.
    async fn reply(&self, reply: Reply) -> Result<(), QueueError>;
}

/// Reply queues on Amazon SQS.
#[derive(Clone, Debug)]
pub struct SqsReplies(pub Client);

#[async_trait]
impl ReplyQueues for SqsReplies {
    async fn reply(&self, reply: Reply) -> Result<(), QueueError> {
        let call = self.0.send_message().queue_url(reply.queue.url).message_body(reply.body);
        let call = match reply.queue.fifo {
            true => call.message_group_id(reply.group_id).message_deduplication_id(reply.dedup_id),
            false => call,
        };
        call.send().await.map(|_| ()).map_err(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INBOUND: &str = "https://sqs.us-east-1.amazonaws.com/1/inbound.fifo";

    fn found(list: &str, asked: &str) -> Option<String> {
        ReplyList::parse(list, INBOUND).expect("a list").find(asked).map(|queue| queue.url)
    }

    #[test]
    fn a_listed_queue_is_found_by_its_name_and_by_its_url() {
        let here = |name: &str| Some(format!("https://sqs.us-east-1.amazonaws.com/1/{name}"));
        let list = "bots.fifo, https://sqs.eu-west-1.amazonaws.com/2/reports ,ask-*";
        for (asked, url) in [
            ("bots.fifo", here("bots.fifo")),
            ("https://sqs.us-east-1.amazonaws.com/1/bots.fifo", here("bots.fifo")),
            (
                "https://sqs.eu-west-1.amazonaws.com/2/reports",
                Some("https://sqs.eu-west-1.amazonaws.com/2/reports".into()),
            ),
            ("reports", Some("https://sqs.eu-west-1.amazonaws.com/2/reports".into())),
            ("ask-1f", here("ask-1f")),
            ("https://sqs.us-east-1.amazonaws.com/1/ask-1f", here("ask-1f")),
        ] {
            assert_eq!(found(list, asked), url, "{asked}");
        }
        assert!(ReplyList::parse("bots.fifo", INBOUND).expect("a list").find("bots.fifo").expect("listed").fifo);
    }

    #[test]
    fn nothing_else_is_found_whatever_it_looks_like() {
        let list = "bots.fifo,https://sqs.eu-west-1.amazonaws.com/2/reports,ask-*";
        for asked in [
            "",
            "bots",
            "Bots.fifo",
            "bots.fifo ",
            "https://evil.example/1/bots.fifo",
            "https://sqs.us-east-1.amazonaws.com/2/bots.fifo",
            "https://sqs.us-east-1.amazonaws.com/1/../2/bots.fifo",
            "https://evil.example/2/reports",
            "http://sqs.eu-west-1.amazonaws.com/2/reports",
            "ask-../../2/x",
            "ask-https://evil.example/x",
            "https://evil.example/ask-1",
            "ask-1/x",
            "ask-*",
            "task-1",
        ] {
            assert_eq!(found(list, asked), None, "{asked}");
        }
        assert_eq!(found("", "bots.fifo"), None);
    }

    #[test]
    fn a_setting_that_names_no_queue_is_refused() {
        for list in ["*", "a*", "a b", "ftp://x/y", "https://x", "https://x/", "é", "x.fifo.fifo", "a/b"] {
            assert_eq!(ReplyList::parse(list, INBOUND), Err(Unnamed), "{list}");
        }
    }
}
