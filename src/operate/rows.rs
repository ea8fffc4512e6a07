//! A table for people: aligned columns, no trailing blanks.

use super::output::harmless;

/// Puts `rows` under `header`, columns two blanks apart. What is in a cell cannot leave it.
pub(super) fn aligned<const COLUMNS: usize>(header: [&str; COLUMNS], rows: &[[String; COLUMNS]]) -> Vec<String> {
    let rows = rows.iter().map(|row| row.each_ref().map(|cell| harmless(cell)));
    let rows: Vec<[String; COLUMNS]> = std::iter::once(header.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let cells = row.iter().zip(widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// A cell that may be empty.
pub(super) fn cell(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["1".into(), "olá".into()], ["12345".into(), cell(None::<u8>)]];
        assert_eq!(aligned(["ID", "NAME"], &rows), ["ID     NAME", "1      olá", "12345  -"]);
    }

    #[test]
    fn a_cell_cannot_begin_a_line_of_its_own() {
        let lines = aligned(["NAME"], &[["a\nb".into()]]);
        assert_eq!(lines, ["NAME", "a\\nb"]);
    }
}
