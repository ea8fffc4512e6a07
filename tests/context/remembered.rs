//! A memory kept turn by turn, as LangChain's are: what the daemon computes afresh at each request must be the same.

use conversationd::context::{Budget, Counting, Division, Line, Role, buffer_string, suffix};

/// `ConversationTokenBufferMemory`.
pub struct TokenBuffer {
    pub limit: i64,
    pub counting: Counting,
    pub lines: Vec<Line>,
}

impl TokenBuffer {
    pub fn add(&mut self, turn: &[Line]) {
        self.lines.extend_from_slice(turn);
        let kept = suffix(self.limit, self.counting.fixed(), self.costs());
        self.lines.drain(..self.lines.len() - kept.messages);
    }

    pub fn costs(&self) -> Vec<u32> {
        self.lines.iter().rev().map(|line| self.counting.line(line)).collect()
    }
}

/// `ConversationSummaryBufferMemory`, with a summariser that answers with `S1`, `S2`, …
pub struct SummaryBuffer {
    pub budget: Budget,
    pub counting: Counting,
    pub lines: Vec<Line>,
    pub summary: String,
    pub calls: Vec<(String, String)>,
}

impl SummaryBuffer {
    pub fn add(&mut self, turn: &[Line]) {
        self.lines.extend_from_slice(turn);
        let mut division = Division::of(self.budget, !self.summary.is_empty(), self.counting.fixed());
        let complete = self.lines.iter().rev().all(|line| division.take(self.counting.line(line)));
        let divided = division.settle(complete);
        let dropped: Vec<Line> = self.lines.drain(..self.lines.len() - divided.kept.messages).collect();
        assert_eq!(divided.overflows, !dropped.is_empty());
        if divided.overflows {
            self.calls.push((self.summary.clone(), buffer_string(&dropped)));
            self.summary = format!("S{}", self.calls.len());
        }
    }

    pub fn load(&self) -> Vec<Line> {
        let summary = (!self.summary.is_empty()).then(|| Line::new(Role::System, self.summary.as_str()));
        summary.into_iter().chain(self.lines.iter().cloned()).collect()
    }
}

/// A question and its answer.
pub fn turn((human, ai): &(String, String)) -> [Line; 2] {
    [Line::new(Role::Human, human.as_str()), Line::new(Role::Ai, ai.as_str())]
}
