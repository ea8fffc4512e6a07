//! Who may send for which project, by the identity that SQS tells of a sender.

use std::collections::{BTreeMap, BTreeSet};

use super::Delivery;

/// Where a delivery carries its sender's identity, if it was asked for. SQS takes no attribute of such a name from anybody.
pub const SENDER: &str = "AWS.SenderId";

/// Stands for every project.
const ALL: &str = "*";

/// For which projects each sender may send. Without any, whoever may send at all may send for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Senders(BTreeMap<String, BTreeSet<String>>);

impl Senders {
    /// Reads `SENDER=PROJECT,SENDER=*,…`; `None` when an entry is none. A sender is letters and digits: of a role its id, without
    /// the session.
    pub fn parse(text: &str) -> Option<Self> {
        let mut senders = Self::default();
        for entry in text.split(',').map(str::trim).filter(|entry| !entry.is_empty()) {
            let (sender, project) = entry.split_once('=')?;
            let is_id = !sender.is_empty() && sender.bytes().all(|byte| byte.is_ascii_alphanumeric());
            if !is_id || project.is_empty() || project.contains(char::is_whitespace) {
                return None;
            }
            senders.0.entry(sender.to_owned()).or_default().insert(project.to_owned());
        }
        Some(senders)
    }

    /// Whether senders are told apart at all.
    pub fn are_bound(&self) -> bool {
        !self.0.is_empty()
    }

    /// Whether whoever sent `delivery` may send for `project`; what is of no project, for all.
    pub fn admit(&self, delivery: &Delivery, project: &str) -> bool {
        if !self.are_bound() {
            return true;
        }
        let sender = delivery.attributes.get(SENDER).map(String::as_str).unwrap_or_default();
        let id = sender.split(':').next().unwrap_or_default();
        self.0
            .get(id)
            .is_some_and(|projects| projects.contains(ALL) || (!project.is_empty() && projects.contains(project)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{domain::Sequence, queue::Receipt};

    #[test]
    fn a_sender_may_send_for_its_own_projects_and_one_that_is_not_listed_for_none() {
        let senders = Senders::parse("AROABOT=p, AROABOT=q,AROADAEMON=*").expect("senders");
        for (sender, project, expected) in [
            (Some("AROABOT:i-0123"), "p", true),
            (Some("AROABOT"), "q", true),
            (Some("AROABOT:p"), "r", false),
            (Some("AROABOT:*"), "", false),
            (Some("AROADAEMON:task"), "r", true),
            (Some("AROADAEMON:task"), "", true),
            (Some("AROA"), "p", false),
            (Some("x:AROADAEMON"), "p", false),
            (Some(""), "p", false),
            (None, "p", false),
        ] {
            let attributes = sender.map(|sender| (SENDER.to_owned(), sender.to_owned()));
            let delivery = Delivery {
                message_id: "m".into(),
                receipt: Receipt("r".into()),
                group_id: "g".into(),
                sequence: Sequence(1),
                sent_at: chrono::DateTime::UNIX_EPOCH,
                receive_count: 1,
                body: "".into(),
                attributes: attributes.into_iter().collect(),
            };
            assert_eq!(senders.admit(&delivery, project), expected, "{sender:?} for {project}");
            assert!(Senders::default().admit(&delivery, project), "nobody is bound");
        }
    }

    #[test]
    fn what_names_no_sender_or_no_project_is_none() {
        for text in ["p", "=p", "AROABOT=", "AROA:session=p", "AROABOT=p q", "AROABOT = p", "AROABOT=p,q"] {
            assert_eq!(Senders::parse(text), None, "{text}");
        }
        assert!(!Senders::parse(" , ").expect("nobody").are_bound());
    }
}
