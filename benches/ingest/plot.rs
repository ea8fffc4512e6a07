//! Figures as pictures: one SVG a chart, rows of values on one axis, with their spread.
//!
//! Drawn by hand: a crate for charts would be the heaviest of the tree. The same figures make the same file. Every picture
//! has its own background, so that it is read as well on a dark page as on a light one.

use std::{fmt::Write as _, fs, path::Path};

use anyhow::Context;

use crate::spread::Spread;

/// Pixels: the whole width, where the axis begins and ends, the height of a row, and of what is above and below them.
const WIDTH: f64 = 760.0;
const LEFT: f64 = 250.0;
const RIGHT: f64 = 640.0;
const ROW: f64 = 26.0;
const HEAD: f64 = 66.0;
const FOOT: f64 = 46.0;

/// One for each series, told apart by those who do not see colours as others do, too.
const COLOURS: [&str; 3] = ["#0072b2", "#d55e00", "#009e73"];

/// What a row shows.
#[derive(Clone, Debug)]
pub struct Row {
    /// What was measured.
    pub label: String,
    /// Which of the series it belongs to: its place in [`Chart::series`].
    pub series: usize,
    /// What it came to.
    pub value: Spread,
}

/// One picture.
#[derive(Clone, Debug)]
pub struct Chart {
    /// The file's name, without its ending.
    pub name: &'static str,
    /// What is shown.
    pub title: &'static str,
    /// What the axis counts.
    pub unit: &'static str,
    /// What dot or bar and line stand for.
    pub legend: &'static str,
    /// Whether each tick of the axis is ten times the one before; then values are dots, because no bar begins at nothing.
    pub by_tens: bool,
    /// Names of the series, in their order; none if there is but one.
    pub series: &'static [&'static str],
    /// From top to bottom.
    pub rows: Vec<Row>,
}

impl Chart {
    /// Writes it into `folder`, which is made.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn write(&self, folder: &Path) -> anyhow::Result<()> {
        let file = folder.join(format!("{}.svg", self.name));
        fs::create_dir_all(folder)
            .and_then(|()| fs::write(&file, self.svg()))
            .with_context(|| format!("writing {}", file.display()))
    }

    /// The marks of the axis: from the first, where it begins, to the last, where it ends.
    fn ticks(&self) -> Vec<f64> {
        let values = || self.rows.iter().map(|row| row.value);
        let most = values().map(|value| value.most).fold(f64::MIN_POSITIVE, f64::max);
        if self.by_tens {
            let least = values().map(|value| value.least).filter(|least| *least > 0.0).fold(most, f64::min);
            let (first, last) = (least.log10().floor() as i32, most.log10().ceil() as i32);
            return (first..=last.max(first + 1)).map(|power| 10_f64.powi(power)).collect();
        }
        let rough = most / 5.0;
        let ten = 10_f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|times| times * ten).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        (0..=(most / step).ceil() as u32).map(|n| f64::from(n) * step).collect()
    }

    fn svg(&self) -> String {
        let ticks = self.ticks();
        let (first, last) = (ticks[0], ticks[ticks.len() - 1]);
        let x = |value: f64| {
            let part = match self.by_tens {
                true => (value.max(first) / first).log10() / (last / first).log10(),
                false => value / last,
            };
            LEFT + part * (RIGHT - LEFT)
        };
        let bottom = HEAD + ROW * self.rows.len() as f64;
        let height = bottom + FOOT;
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
             height=\"{height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#1f2328\">\n\
             <title>{title}</title>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" rx=\"8\" fill=\"#ffffff\" stroke=\"#d0d7de\"/>\n",
            title = escaped(self.title)
        );
        text(&mut svg, 16.0, 26.0, "start\" font-size=\"15\" font-weight=\"bold", self.title);
        text(&mut svg, 16.0, 46.0, "start\" fill=\"#59636e", self.legend);
        for (place, name) in self.series.iter().enumerate() {
            let right = WIDTH - 16.0 - 110.0 * (self.series.len() - 1 - place) as f64;
            text(&mut svg, right, 46.0, &format!("end\" font-weight=\"bold\" fill=\"{}", COLOURS[place]), name);
        }
        for tick in &ticks {
            let at = x(*tick);
            let _ = writeln!(svg, "<path d=\"M{at:.1} {HEAD}V{bottom}\" stroke=\"#d0d7de\"/>");
            text(&mut svg, at, bottom + 16.0, "middle\" fill=\"#59636e", &shown(*tick));
        }
        text(&mut svg, (LEFT + RIGHT) / 2.0, bottom + 34.0, "middle\" fill=\"#59636e", self.unit);
        for (place, row) in self.rows.iter().enumerate() {
            let (middle, colour) = (HEAD + ROW * (place as f64 + 0.5), COLOURS[row.series]);
            let (at, from, to) = (x(row.value.median), x(row.value.least), x(row.value.most));
            text(&mut svg, LEFT - 10.0, middle + 4.0, "end", &row.label);
            let _ = if self.by_tens {
                writeln!(svg, "<circle cx=\"{at:.1}\" cy=\"{middle}\" r=\"5\" fill=\"{colour}\"/>")
            } else {
                let (top, width) = (middle - 7.0, at - LEFT);
                writeln!(svg, "<path d=\"M{LEFT} {top}h{width:.1}v14h-{width:.1}z\" fill=\"{colour}\"/>")
            };
            let _ = writeln!(
                svg,
                "<path d=\"M{from:.1} {middle}H{to:.1}M{from:.1} {a}v8M{to:.1} {a}v8\" stroke=\"#1f2328\" stroke-width=\"1.5\"/>",
                a = middle - 4.0
            );
            text(&mut svg, WIDTH - 16.0, middle + 4.0, "end\" font-weight=\"bold", &shown(row.value.median));
        }
        svg + "</svg>\n"
    }
}

/// `anchor` may bring further attributes.
fn text(svg: &mut String, x: f64, y: f64, anchor: &str, text: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{}</text>", escaped(text));
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Three digits that count, and commas between thousands.
pub fn shown(value: f64) -> String {
    let digits = if value == 0.0 { 0 } else { (2 - value.abs().log10().floor() as i32).clamp(0, 3) };
    let number = format!("{value:.*}", digits as usize);
    let number = if number.contains('.') { number.trim_end_matches('0').trim_end_matches('.') } else { &number };
    let (whole, rest) =
        number.split_once('.').map_or((number, String::new()), |(whole, rest)| (whole, format!(".{rest}")));
    let grouped = whole.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect::<Vec<_>>().join(",");
    grouped + &rest
}
