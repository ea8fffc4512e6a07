//! What the tests run that is not Rust: the local stack's Python, and Node where there is one.

use std::{
    env,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

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
