//! The summariser that needs no model: picks the sentences that say most, in their order. The same input gives the same output.

use std::collections::{HashMap, HashSet};

use super::{Counting, Line, Role, fit};

/// Longest sentence that is picked, in characters; a longer one is cut between words.
const LONGEST_SENTENCE: usize = 240;

/// Sentences looked at, at most, the newest: bounds the time of a summary.
const MOST_SENTENCES: usize = 5_000;

/// Shortest word that says something, in characters, unless it holds a digit.
const SHORTEST_WORD: usize = 4;

/// Words that are everywhere in a chat in Portuguese, Spanish or English, and say nothing of what it is about.
const EVERYWHERE: &[&str] = &[
    "about",
    "agora",
    "ahora",
    "algo",
    "alguna",
    "also",
    "aqui",
    "aquí",
    "assim",
    "bien",
    "buenas",
    "buenos",
    "bueno",
    "cada",
    "claro",
    "como",
    "cómo",
    "could",
    "cuando",
    "dele",
    "depois",
    "desde",
    "dias",
    "días",
    "does",
    "dont",
    "donde",
    "eles",
    "ella",
    "ellos",
    "entao",
    "então",
    "entonces",
    "esse",
    "essa",
    "esta",
    "está",
    "estaba",
    "estamos",
    "estão",
    "estava",
    "este",
    "estou",
    "estoy",
    "favor",
    "fazer",
    "from",
    "good",
    "gracias",
    "hacer",
    "hasta",
    "have",
    "hello",
    "hola",
    "into",
    "isso",
    "isto",
    "just",
    "mais",
    "mesmo",
    "minha",
    "mismo",
    "muito",
    "mucho",
    "muchas",
    "nada",
    "nosso",
    "nuestra",
    "obrigada",
    "obrigado",
    "okay",
    "onde",
    "otra",
    "otro",
    "outra",
    "outro",
    "para",
    "pela",
    "pelo",
    "pero",
    "please",
    "pode",
    "podemos",
    "porque",
    "posso",
    "puede",
    "puedo",
    "qual",
    "quando",
    "quero",
    "quiero",
    "quien",
    "quem",
    "sempre",
    "sido",
    "siempre",
    "sobre",
    "some",
    "também",
    "también",
    "tarde",
    "temos",
    "tener",
    "tenho",
    "tengo",
    "thank",
    "thanks",
    "that",
    "their",
    "them",
    "then",
    "there",
    "they",
    "this",
    "tiene",
    "toda",
    "todo",
    "todos",
    "tudo",
    "understand",
    "usted",
    "vamos",
    "very",
    "voce",
    "você",
    "want",
    "were",
    "what",
    "when",
    "where",
    "which",
    "will",
    "with",
    "would",
    "your",
];

struct Sentence<'a> {
    role: Option<Role>,
    text: &'a str,
    words: Vec<String>,
}

/// The summary of what `previous` summarised and of `lines`, oldest first, in at most `most` tokens as a line of the dialogue.
pub fn extract(previous: &str, lines: &[Line], most: i64, counting: Counting) -> String {
    let before = previous.lines().filter(|line| !line.trim().is_empty()).map(|line| sentence(None, line.trim()));
    let said = lines.iter().flat_map(|line| sentences(&line.text).map(|text| sentence(Some(line.role), text)));
    let mut all: Vec<Sentence<'_>> = before.chain(said).collect();
    all.drain(..all.len().saturating_sub(MOST_SENTENCES));
    let mut order: Vec<usize> = (0..all.len()).collect();
    let weights = weights(&all);
    let scores: Vec<f64> = all.iter().map(|sentence| score(sentence, &weights)).collect();
    // the best first; of equals the newest
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]).then(b.cmp(a)));
    let mut told = HashSet::new();
    order.retain(|place| told.insert(all[*place].text));
    let shown: Vec<String> = all.iter().map(shown).collect();
    let text = |count: usize| {
        let mut places = order[..count].to_vec();
        places.sort_unstable();
        places.iter().map(|place| shown[*place].as_str()).collect::<Vec<_>>().join("\n")
    };
    let counts: Vec<usize> = (1..=order.len()).collect();
    let cost = |count: &usize| i64::from(counting.line(&Line::new(Role::System, text(*count))));
    match counts.partition_point(|count| cost(count) <= most) {
        0 => fit(order.first().map_or("", |best| shown[*best].as_str()), most, counting).to_owned(),
        count => text(count),
    }
}

fn sentence(role: Option<Role>, text: &str) -> Sentence<'_> {
    Sentence { role, text, words: words(text) }
}

/// The sentences of a text: up to a full stop, question or exclamation mark before white space, or to the line's end.
fn sentences(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| {
        let mut rest = line;
        std::iter::from_fn(move || {
            let end = rest.char_indices().zip(rest.chars().skip(1)).find_map(|((at, c), next)| {
                (matches!(c, '.' | '!' | '?' | '…') && next.is_whitespace()).then_some(at + c.len_utf8())
            });
            let (sentence, after) = rest.split_at(end.unwrap_or(rest.len()));
            rest = after;
            (!sentence.is_empty()).then_some(sentence.trim())
        })
        .filter(|sentence| !sentence.is_empty())
    })
}

/// The words of a sentence that say something, in lower case.
fn words(text: &str) -> Vec<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .filter(|word| word.chars().count() >= SHORTEST_WORD || word.chars().any(char::is_numeric))
        .filter(|word| !EVERYWHERE.contains(&word.as_str()))
        .collect()
}

/// How much each word says: one that comes back is what it is about, one that is everywhere says little.
fn weights<'a>(sentences: &'a [Sentence<'_>]) -> HashMap<&'a str, f64> {
    let mut counts: HashMap<&str, f64> = HashMap::new();
    for sentence in sentences {
        let distinct: HashSet<&str> = sentence.words.iter().map(String::as_str).collect();
        distinct.into_iter().for_each(|word| *counts.entry(word).or_default() += 1.0);
    }
    let all = sentences.len() as f64;
    counts.into_iter().map(|(word, count)| (word, count.sqrt() * (1.0 + all / count).ln())).collect()
}

fn score(sentence: &Sentence<'_>, weights: &HashMap<&str, f64>) -> f64 {
    if sentence.words.is_empty() {
        return 0.0;
    }
    // summed in the order of the words: the same sum everywhere
    let sum: f64 = sentence.words.iter().filter_map(|word| weights.get(word.as_str())).sum();
    let mean = sum / (sentence.words.len() as f64).sqrt();
    let digits = if sentence.text.chars().any(|c| c.is_ascii_digit()) { 1.5 } else { 1.0 };
    let question = if sentence.text.ends_with('?') { 1.2 } else { 1.0 };
    let known = if sentence.role.is_none() { 1.3 } else { 1.0 };
    mean * digits * question * known
}

fn shown(sentence: &Sentence<'_>) -> String {
    let text = match sentence.text.char_indices().nth(LONGEST_SENTENCE) {
        Some((at, _)) => {
            let cut = &sentence.text[..at];
            format!("{}…", cut.rsplit_once(char::is_whitespace).map_or(cut, |(words, _)| words))
        }
        None => sentence.text.to_owned(),
    };
    match sentence.role {
        Some(role) => Line::new(role, text).to_string(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Tokenizer;

    const COUNTING: Counting = Counting::Lines(Tokenizer::Words);

    fn dialogue() -> Vec<Line> {
        vec![
            Line::new(Role::Human, "Olá, bom dia!"),
            Line::new(Role::Ai, "Bom dia! Como posso ajudar?"),
            Line::new(Role::Human, "O pedido 1042 não chegou. A entrega estava marcada para 3 de março."),
            Line::new(Role::Ai, "Vou verificar a entrega do pedido 1042."),
            Line::new(Role::Human, "ok"),
        ]
    }

    #[test]
    fn what_the_talk_is_about_stays_in_its_order_and_greetings_go() {
        let summary = extract("", &dialogue(), 30, COUNTING);
        assert!(summary.contains("Human: O pedido 1042 não chegou."), "{summary}");
        assert!(!summary.contains("Olá"), "{summary}");
        let order = ["1042 não chegou", "Vou verificar"].map(|text| summary.find(text));
        assert!(order[0] < order[1], "{summary}");
        assert_eq!(summary, extract("", &dialogue(), 30, COUNTING));
    }

    #[test]
    fn a_summary_is_never_over_its_limit() {
        for most in 0..60 {
            let summary = extract("Human: quer trocar o plano 77", &dialogue(), most, COUNTING);
            let cost = i64::from(COUNTING.line(&Line::new(Role::System, summary.as_str())));
            assert!(summary.is_empty() || cost <= most, "{most}: {summary}");
        }
    }

    #[test]
    fn what_was_summarised_before_is_summarised_again() {
        let summary = extract("Human: quer trocar o plano 77", &dialogue(), 1_000, COUNTING);
        assert!(summary.starts_with("Human: quer trocar o plano 77\nHuman: Olá"), "{summary}");
        assert_eq!(extract("", &[], 100, COUNTING), "");
    }
}
