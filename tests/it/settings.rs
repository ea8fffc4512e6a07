//! The command line, as somebody meets it for the first time.

use std::process::Output;

use crate::daemon::program;

fn says(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

#[test]
fn without_settings_it_ends_with_64_and_names_every_one_that_is_missing() {
    let output = program("run").output().expect("a process");
    let said = says(&output);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for variable in ["SQS_CONVERSATION_QUEUE_URL", "SQS_CONVERSATION_DLQ_URL", "DYNAMODB_MESSAGE_TABLE", "DATABASE_URL"]
    {
        assert!(said.contains(variable), "{variable} is not named: {said}");
    }
    assert!(said.contains("--help") && !said.contains("panicked"), "{said}");
}

#[test]
fn a_setting_that_cannot_be_used_is_named_with_the_missing_ones_and_not_repeated() {
    let mut program = program("run");
    program.env("CONVERSATIOND_POLLERS", "hunter2").env("CONVERSATIOND_LOG_FORMAT", "hunter2");
    let output = program.env("DATABASE_URL", "hunter2").output().expect("a process");
    let said = says(&output);
    assert_eq!(output.status.code(), Some(64), "{said}");
    for variable in ["CONVERSATIOND_POLLERS", "CONVERSATIOND_LOG_FORMAT", "DATABASE_URL", "SQS_CONVERSATION_QUEUE_URL"]
    {
        assert!(said.contains(variable), "{variable} is not named: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn help_shows_every_command_and_every_setting() {
    let output = program("--help").output().expect("a process");
    assert!(output.status.success());
    let said = says(&output);
    assert!(["run", "provision", "migrate"].iter().all(|command| said.contains(command)), "{said}");

    let output = program("run").arg("--help").output().expect("a process");
    assert!(output.status.success());
    let said = says(&output);
    for setting in conversationd::config::SETTINGS {
        assert!(said.contains(setting.variable), "{} is not shown", setting.variable);
    }
}
