//! `get_state`: the variables of a thread's conversation.

use serde_json::{Value, json};

use super::{
    Asking,
    context::at,
    found::Found,
    outcome::{Outcome, Unanswered},
};
use crate::{
    domain::{Head, Variable},
    event::request::GetState,
};

impl Asking<'_> {
    pub(super) async fn state(&self, wanted: &GetState) -> Result<Outcome, Unanswered> {
        let head = self.hot.head(&self.event.thread.key()).await?.ok_or(Unanswered::NotFound)?;
        let variables = self.live_variables(&head, wanted.state_type.as_deref(), wanted.state_key.as_deref()).await?;
        let content = json!({"conversation_id": head.conversation.record().id, "state": variables});
        Ok(Outcome::ok(content))
    }

    /// The variables that live in the head's conversation, of one kind or one name if that is asked.
    pub(super) async fn live_variables(
        &self,
        head: &Head,
        state_type: Option<&str>,
        key: Option<&str>,
    ) -> Result<Value, Unanswered> {
        let variables = self.hot.variables(&head.thread.key()).await?;
        let live = variables.iter().filter(|variable| {
            variable.is_live(head.conversation.record(), self.event.received_at)
                && state_type.is_none_or(|wanted| variable.state_type == wanted)
                && key.is_none_or(|wanted| variable.key == wanted)
        });
        Ok(live.map(view).collect())
    }

    /// The variables of a conversation: those that live, or those that an archived one ended with and that would live still.
    pub(super) async fn variables_of(&self, found: &Found) -> Result<Value, Unanswered> {
        let row = match found {
            Found::Head(head) => return self.live_variables(head, None, None).await,
            Found::Row(row) => row,
        };
        let kept = row.variables.clone().map(serde_json::from_value::<Vec<Variable>>);
        let kept = kept.transpose().map_err(|_| Unanswered::Fault)?.unwrap_or_default();
        let now = self.event.received_at;
        let live = |variable: &&Variable| variable.value.is_some() && variable.expires_at.is_none_or(|at| now < at);
        Ok(kept.iter().filter(live).map(view).collect())
    }
}

fn view(variable: &Variable) -> Value {
    json!({
        "state_type": variable.state_type,
        "state_key": variable.key,
        "state_value": variable.value,
        "set_at": at(variable.set_at),
        "expires_at": variable.expires_at.map(at),
    })
}
