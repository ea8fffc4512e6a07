//! Numbers as lengths and heights, in characters of a terminal.

/// Eighths of a character, from nothing to all of it: growing to the right, and growing upwards.
const ACROSS: [char; 9] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];
const UPWARDS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar as long as `value` is of `most`, in `width` characters at most; something is seen of whatever is not nothing.
pub(super) fn bar(value: u64, most: u64, width: usize) -> String {
    let eighths = eighths(value, most, width);
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(ACROSS[eighths % 8]);
    }
    bar
}

/// Columns side by side, `height` lines high, with the largest value at the left of the first line and 0 at that of the last.
pub(super) fn columns(values: &[u64], height: usize) -> Vec<String> {
    let most = values.iter().copied().max().unwrap_or_default();
    let label = most.to_string();
    let width = label.len();
    let heights: Vec<usize> = values.iter().map(|value| eighths(*value, most, height)).collect();
    let line = |row: usize| {
        let below = (height - 1 - row) * 8;
        let cells: String = heights.iter().map(|height| UPWARDS[height.saturating_sub(below).min(8)]).collect();
        let label = if row == 0 { label.as_str() } else { "" };
        format!("{label:>width$} ┤{cells}").trim_end().to_owned()
    };
    let axis = format!("{:>width$} └{}", 0, "─".repeat(values.len()));
    (0..height).map(line).chain([axis]).collect()
}

fn eighths(value: u64, most: u64, length: usize) -> usize {
    if value == 0 || most == 0 {
        return 0;
    }
    let all = length as u128 * 8;
    let part = (u128::from(value.min(most)) * all).div_ceil(u128::from(most));
    part.min(all) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_as_long_as_its_part_and_never_invisible() {
        for (value, most, shown) in [
            (0, 10, ""),
            (10, 10, "██████████"),
            (5, 10, "█████"),
            (1, 1_000, "▏"),
            (15, 100, "█▌"),
            (3, 0, ""),
            (u64::MAX, u64::MAX, "██████████"),
        ] {
            assert_eq!(bar(value, most, 10), shown, "{value} of {most}");
        }
    }

    #[test]
    fn columns_stand_on_one_line_and_the_highest_reaches_the_top() {
        assert_eq!(columns(&[0, 4, 8, 2, 120], 2), ["120 ┤    █", "    ┤ ▁▂▁█", "  0 └─────"]);
        assert_eq!(columns(&[], 1), ["0 ┤", "0 └"]);
    }
}
