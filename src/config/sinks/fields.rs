//! The fields of one TOML table: each is taken once, and what is wrong, missing or unknown is gathered.

use toml::{Table, Value};

/// Fields not yet taken, and where faults go.
pub(super) struct Fields<'a> {
    place: String,
    table: Table,
    faults: &'a mut Vec<String>,
}

impl<'a> Fields<'a> {
    /// The fields of `table`; `place` stands before each fault.
    pub(super) fn of(place: &str, table: Table, faults: &'a mut Vec<String>) -> Self {
        Self { place: place.to_owned(), table, faults }
    }

    pub(super) fn fault(&mut self, field: &str, wrong: &str) {
        self.faults.push(format!("{}{field} {wrong}", self.place));
    }

    /// A text that must be there.
    pub(super) fn required(&mut self, field: &str) -> Option<String> {
        if !self.table.contains_key(field) {
            self.fault(field, "is missing");
        }
        self.text(field)
    }

    /// A text, without blanks around it.
    pub(super) fn text(&mut self, field: &str) -> Option<String> {
        match self.table.remove(field)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => {
                self.fault(field, "must be a text that is not empty");
                None
            }
        }
    }

    /// Texts; at least one.
    pub(super) fn texts(&mut self, field: &str) -> Option<Vec<String>> {
        let Value::Array(values) = self.table.remove(field)? else {
            self.fault(field, "must be a list of texts");
            return None;
        };
        let texts: Option<Vec<String>> = values.iter().map(|value| value.as_str().map(str::to_owned)).collect();
        if texts.is_none() {
            self.fault(field, "must be a list of texts");
        }
        texts
    }

    pub(super) fn numbers(&mut self, field: &str, least: i64, most: i64) -> Option<Vec<i64>> {
        let value = self.table.remove(field)?;
        let number = |value: &Value| value.as_integer().filter(|number| (least..=most).contains(number));
        let numbers = value.as_array().and_then(|values| values.iter().map(number).collect());
        if numbers.is_none() {
            self.fault(field, &format!("must be a list of whole numbers, {least} to {most}"));
        }
        numbers
    }

    pub(super) fn number(&mut self, field: &str, least: u64, most: u64) -> Option<u64> {
        let value = self.table.remove(field)?;
        let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
        let number = number.filter(|number| (least..=most).contains(number));
        if number.is_none() {
            self.fault(field, &format!("must be a whole number, {least} to {most}"));
        }
        number
    }

    pub(super) fn flag(&mut self, field: &str) -> bool {
        match self.table.remove(field) {
            None => false,
            Some(Value::Boolean(flag)) => flag,
            Some(_) => {
                self.fault(field, "must be true or false");
                false
            }
        }
    }

    pub(super) fn one_of(&mut self, field: &str, known: &[&'static str]) -> Option<&'static str> {
        let text = self.text(field)?;
        let found = known.iter().copied().find(|known| *known == text);
        if found.is_none() {
            self.fault(field, &format!("must be one of: {}", known.join(", ")));
        }
        found
    }

    /// A table inside.
    pub(super) fn table(&mut self, field: &str) -> Option<Fields<'_>> {
        match self.table.remove(field)? {
            Value::Table(table) => {
                let place = format!("{}{field}.", self.place);
                Some(Fields { place, table, faults: self.faults })
            }
            _ => {
                self.fault(field, "must be a table");
                None
            }
        }
    }

    /// Tables in a list.
    pub(super) fn tables(&mut self, field: &str) -> Vec<Table> {
        match self.table.remove(field) {
            None => Vec::new(),
            Some(Value::Array(values)) if values.iter().all(Value::is_table) => values
                .into_iter()
                .filter_map(|value| if let Value::Table(table) = value { Some(table) } else { None })
                .collect(),
            Some(_) => {
                self.fault(field, &format!("must be written as [[{field}]]"));
                Vec::new()
            }
        }
    }

    /// Whatever was not taken is unknown.
    pub(super) fn end(mut self) {
        let left: Vec<String> = self.table.keys().cloned().collect();
        for field in left {
            // a name is shown only if it is one: whatever stands there may be what should not
            let plain = field.len() <= 40 && field.chars().all(|c| c.is_ascii_lowercase() || c == '_');
            self.fault(if plain { &field } else { "a field" }, "is unknown");
        }
    }
}
