//! Token counting by itself, beside Python's tiktoken: the same texts, the same tables, the same counts.

use std::{
    fmt::Write as _,
    io::Write as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};
use conversationd::context::Tokenizer;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    null::NullAws,
    part::{Found, variable},
    plot::{Chart, Row, shown},
    process::{self, COUNT},
    spread::Spread,
    usage::{MEGABYTE, bytes, processor_time},
};

/// Rounds; in each, ours and theirs run once for each table, in turn, in processes of their own.
const ROUNDS: usize = 3;

/// How often a process counts all texts of a length; the median is taken.
const PASSES: usize = 11;

/// Tokens of a text, about, and texts of that length.
const LENGTHS: [(usize, usize); 3] = [(20, 400), (200, 80), (2_000, 16)];

const TABLES: [&str; 2] = ["o200k_base", "cl100k_base"];

/// What people write: texts are made of these in turn, each beginning with another.
const SAID: [&str; 9] = [
    "Olá! Quero saber onde está o meu pedido 10428, por favor. ",
    "Bom dia, tudo bem? O boleto venceu ontem e não consegui pagar. ",
    "Hi there, my order arrived but one of the items is missing. ",
    "A entrega foi marcada para o dia 14/03/2026, entre 8h e 12h. ",
    "Buenas tardes, necesito cambiar la dirección de envío. ",
    "Obrigada 🙂 já recebi o e-mail de confirmação! ",
    "Could you tell me whether the refund of R$ 249,90 has been made? ",
    "Não, prefiro falar com um atendente. ",
    "Rua das Laranjeiras, 512, apto 34, CEP 01310-100. ",
];

/// Characters of two tokens in these, about.
const CHARACTERS: usize = 7;

/// What a process found, in its own time of the processor: of each length, what all texts came to and microseconds a text.
#[derive(Serialize, Deserialize)]
struct Counted {
    load_millis: f64,
    load_bytes: f64,
    counts: Vec<u64>,
    micros: Vec<f64>,
}

/// Texts of about so many tokens.
fn texts((tokens, many): (usize, usize)) -> Vec<String> {
    let text = |n: usize| {
        let said: String = SAID.iter().cycle().skip(n).take(2 + tokens * CHARACTERS / 60).copied().collect();
        said.chars().skip(n / SAID.len()).take(tokens * CHARACTERS / 2).collect()
    };
    (0..many).map(text).collect()
}

/// Loads a table and counts; what it found, as JSON.
///
/// # Errors
/// There is no such table.
pub fn count(table: &str) -> anyhow::Result<String> {
    let tokenizer = Tokenizer::named(table).context("no such table")?;
    let all = LENGTHS.map(texts);
    let (before, begun) = (bytes("self", "VmRSS:"), processor_time());
    tokenizer.count("a");
    let load_millis = (processor_time() - begun).as_secs_f64() * 1e3;
    let load_bytes = bytes("self", "VmRSS:").saturating_sub(before) as f64;
    let (mut counts, mut micros) = (Vec::new(), Vec::new());
    for texts in &all {
        let pass = || {
            let begun = processor_time();
            let counted: u64 = texts.iter().map(|text| u64::from(tokenizer.count(text))).sum();
            (counted, (processor_time() - begun).as_secs_f64() * 1e6 / texts.len() as f64)
        };
        counts.push(pass().0);
        micros.push(Spread::of((0..PASSES).map(|_| pass().1)).median);
    }
    Ok(serde_json::to_string(&Counted { load_millis, load_bytes, counts, micros })?)
}

/// Counts in both, if there is a Python that can.
///
/// # Errors
/// A process failed, or the two count differently.
pub fn measure(aws: &NullAws) -> anyhow::Result<Found> {
    let python = peer();
    let beside = match &python {
        Ok((_, version, _)) => format!("beside Python's tiktoken {version}"),
        Err(why) => format!("alone, for Python's tiktoken cannot be had: {why:#}"),
    };
    let mut text = format!("tokens counted by ours, {beside}; processor time, {ROUNDS} rounds\n");
    let _ = writeln!(
        text,
        "  {:<12} {:>14} {:>22} {:>22} {:>16}",
        "table", "tokens a text", "ours µs a text", "Python µs a text", "Python / ours"
    );
    let mut loads = String::new();
    let mut rows = Vec::new();
    for table in TABLES {
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            let output = process::child(aws, &[COUNT, table], &[])?;
            ours.push(serde_json::from_slice::<Counted>(&output)?);
            if let Ok((program, _, tables)) = &python {
                theirs.push(python_counts(program, tables, table)?);
            }
        }
        for (place, (_, many)) in LENGTHS.into_iter().enumerate() {
            let counts = ours[0].counts[place];
            ensure!(theirs.iter().all(|it| it.counts[place] == counts), "{table}: the two count differently");
            let micros = |of: &[Counted]| of.iter().map(|it| it.micros[place]).collect::<Vec<_>>();
            let (mine, other) = (micros(&ours), micros(&theirs));
            let tokens = shown((counts as f64 / many as f64).round());
            let spreads = [&mine, &other].map(|of| Spread::of(of.iter().copied()));
            let if_any = |text: String| if theirs.is_empty() { String::from("–") } else { text };
            let _ = writeln!(
                text,
                "  {table:<12} {tokens:>14} {:>22} {:>22} {:>16}",
                spreads[0].shown(1),
                if_any(spreads[1].shown(1)),
                if_any(Spread::ratio(&other, &mine).shown(1)),
            );
            for (series, value) in spreads.into_iter().enumerate().take(if theirs.is_empty() { 1 } else { 2 }) {
                rows.push(Row { label: format!("{table}, {tokens} tokens"), series: 1 - series, value });
            }
        }
        for (whose, of) in [("ours", &ours), ("Python", &theirs)] {
            if !of.is_empty() {
                let millis = Spread::of(of.iter().map(|it| it.load_millis));
                let megabytes = Spread::of(of.iter().map(|it| it.load_bytes / MEGABYTE)).median;
                let _ =
                    writeln!(loads, "  {table:<12} {whose:<8} loads in {} ms, {megabytes:.0} MB more", millis.shown(0));
            }
        }
    }
    let chart = Chart {
        name: "tokens",
        title: "Counting the tokens of a text",
        unit: "µs of the processor a text; each line of the grid is ten times the one before",
        legend: "dot: median of the rounds; line: least to most",
        by_tens: true,
        series: &["Python", "ours"],
        rows,
    };
    Ok(Found { text: text + &loads, charts: vec![chart] })
}

/// A Python that has tiktoken, its version, and where its tables are.
fn peer() -> anyhow::Result<(String, String, PathBuf)> {
    let program = variable("BENCH_PYTHON").unwrap_or_else(|| "python3".to_owned());
    let asked = Command::new(&program).args(["-c", "import tiktoken; print(tiktoken.__version__)"]).output();
    let asked = asked.with_context(|| format!("no {program}"))?;
    ensure!(asked.status.success(), "{program} has no tiktoken");
    Ok((program, String::from_utf8_lossy(&asked.stdout).trim().to_owned(), tables()?))
}

/// The tables that are built into ours, as files: tiktoken would download the same ones.
fn tables() -> anyhow::Result<PathBuf> {
    let cargo = variable("CARGO").unwrap_or_else(|| "cargo".to_owned());
    let asked = Command::new(cargo).args(["metadata", "--format-version=1", "--locked", "--offline"]).output()?;
    let found: Value = serde_json::from_slice(&asked.stdout).context("cargo does not say where crates are")?;
    let mut packages = found["packages"].as_array().into_iter().flatten();
    let package = packages.find(|package| package["name"] == "tiktoken-rs").context("no tiktoken-rs")?;
    let manifest = PathBuf::from(package["manifest_path"].as_str().unwrap_or_default());
    Ok(manifest.with_file_name("assets"))
}

fn python_counts(program: &str, tables: &std::path::Path, table: &str) -> anyhow::Result<Counted> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/ingest/tokens.py");
    let mut python = Command::new(program);
    let mut python = python.args([script, table]).arg(tables).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let asked = json!({ "passes": PASSES, "texts": LENGTHS.map(texts) });
    python.stdin.take().context("its input")?.write_all(asked.to_string().as_bytes())?;
    let output = python.wait_with_output()?;
    ensure!(output.status.success(), "{program} {script} failed");
    Ok(serde_json::from_slice(&output.stdout)?)
}
