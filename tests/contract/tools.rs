//! What the tests run that is not Rust: the local stack's Python, and Node where there is one.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

/// The oldest that the packages run on.
const OLDEST_NODE: u32 = 20;

/// The project's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python of the local stack, with what infra/local/requirements*.txt name.
pub fn python() -> Command {
    let state = env::var_os("LOCAL_STATE_DIR").map_or_else(|| root().join(".local"), PathBuf::from);
    let python = state.join("venv/bin/python");
    assert!(
        python.exists(),
        "{} is not there: `infra/local/stack.sh tools` installs it, `make test` too",
        python.display()
    );
    Command::new(python)
}

/// What the published schemas say, a line for each that is asked.
pub fn verdicts(asked: &str) -> String {
    said(&judged(asked))
}

/// Asserts that these replies are what the published schemas say, and have no field that stands in none.
pub fn assert_replies(replies: &[String]) {
    let mut asked = String::new();
    for reply in replies {
        let name = serde_json::from_str::<serde_json::Value>(reply).expect("JSON")["event_type"].clone();
        for schema in [name, "reply".into()] {
            let strict = schema != "reply";
            asked += &format!("{}\n", serde_json::json!({"schema": schema, "body": reply, "strict": strict}));
        }
    }
    let output = judged(&asked);
    let (verdicts, why) = (said(&output), String::from_utf8_lossy(&output.stderr).into_owned());
    assert_eq!(verdicts.lines().count(), 2 * replies.len(), "{why}");
    assert!(verdicts.lines().all(|verdict| verdict == "1"), "{why}");
}

fn judged(asked: &str) -> Output {
    let judge = root().join("tests/contract/judge.py");
    run(python().arg(judge).arg(root().join("docs/schemas")), asked)
}

/// Runs a program to its end with `input`.
pub fn run(command: &mut Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().expect("a program that starts");
    let (mut stdin, input) = (child.stdin.take().expect("stdin"), input.to_owned());
    let feed = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("its output");
    let _ = feed.join(); // it may have ended before it had read all
    output
}

/// What it said, given that it ended well.
pub fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}: {error}{text}", output.status);
    text
}

/// Node, in a folder of its own beside the build, with the packages that a lock file names.
pub struct Node {
    pub folder: PathBuf,
}

impl Node {
    /// A program in that folder: `node`, or one that a package brought.
    pub fn command(&self, program: &str) -> Command {
        let brought = self.folder.join("node_modules/.bin").join(program);
        let mut command = Command::new(if brought.exists() { brought } else { program.into() });
        command.current_dir(&self.folder);
        command
    }
}

/// Makes such a folder from `source`, where Node can be had; says loudly that a test was skipped, and why, where not.
///
/// With `NODE_TESTS=required` nothing is skipped.
pub fn node(source: &str) -> Option<Node> {
    match installed(source) {
        Ok(node) => Some(node),
        Err(why) => {
            assert!(env::var("NODE_TESTS").as_deref() != Ok("required"), "{source}: {why}");
            // written past the harness, which would keep it with the output of a test that passes
            let _ = writeln!(std::io::stderr(), "\nSKIPPED, what {source} needs cannot be had: {why}\n");
            None
        }
    }
}

fn installed(source: &str) -> Result<Node, String> {
    let version = Command::new("node").arg("--version").output().map_err(|_| "there is no Node.js (`node`)")?;
    let version = String::from_utf8_lossy(&version.stdout).trim().trim_start_matches('v').to_owned();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or_default();
    if major < OLDEST_NODE {
        return Err(format!("Node.js {version} is too old: {OLDEST_NODE} or newer"));
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(source.replace('/', "-"));
    fs::create_dir_all(&folder).expect("a folder");
    for entry in fs::read_dir(root().join(source)).expect("the source") {
        let entry = entry.expect("an entry");
        if entry.file_type().expect("its type").is_file() {
            fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
        }
    }
    let lock = fs::read_to_string(folder.join("package-lock.json")).expect("a lock file");
    let stamp = folder.join("installed");
    if fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock) {
        return Ok(Node { folder });
    }
    let npm = Command::new("npm")
        .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
        .current_dir(&folder)
        .output()
        .map_err(|_| "there is no npm")?;
    if !npm.status.success() {
        return Err(format!("npm cannot install: {}", String::from_utf8_lossy(&npm.stderr)));
    }
    fs::write(&stamp, lock).expect("a file");
    Ok(Node { folder })
}
