//! What the program prints when it cannot begin: the setting at fault, and never what stands in it.

use std::process::Command;

use conversationd::config::SETTINGS;

use crate::marks::{SECRET, assert_none_in};

/// The program with these settings and no others of ours.
fn run(arguments: &[&str], settings: &[(&str, String)]) -> (i32, String) {
    let mut program = Command::new(env!("CARGO_BIN_EXE_conversationd"));
    for setting in SETTINGS {
        program.env_remove(setting.variable);
    }
    let settings = settings.iter().map(|(name, value)| (*name, value.as_str()));
    let output = program.args(arguments).envs(settings).output().expect("its end");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn no_setting_that_cannot_be_used_is_repeated() {
    let value = |meaning: &str| if meaning.contains("(secret)") { SECRET } else { "nonsense" };
    let all: Vec<_> = SETTINGS.iter().map(|setting| (setting.variable, value(setting.meaning).to_owned())).collect();
    for command in ["run", "doctor", "migrate", "provision", "verify"] {
        let (code, said) = run(&[command], &all);
        assert!(code != 0 && said.len() > 40, "{command}: {said}");
        assert_none_in(command, &said);
    }
}

#[test]
fn a_database_that_is_not_there_is_told_without_its_password() {
    let closed = std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address");
    for host in [closed.to_string(), "no-such-host.invalid:5432".to_owned()] {
        let url = format!("postgres://{SECRET}:{SECRET}@{host}/{SECRET}?sslmode=disable");
        let settings = [("DATABASE_URL", url), ("CONVERSATIOND_LOG", "trace".into())];
        for arguments in [&["migrate"][..], &["verify"], &["stats", "--project", "p"], &["hold", "list"]] {
            let (code, said) = run(arguments, &settings);
            assert!(code != 0 && !said.is_empty(), "{arguments:?}: {said}");
            assert_none_in(arguments[0], &said);
        }
    }
}
