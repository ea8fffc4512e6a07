//! Infrastructure and its documents say the same: alarms and runbook, settings and manifests, metrics and dashboard.
#![allow(clippy::expect_used)] // a test may panic

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use conversationd::{
    config::SETTINGS,
    counters::{METRICS, Read},
    telemetry::prometheus_name,
};
use serde_json::Value;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).expect(path)
}

/// The documents of a YAML file.
fn documents(path: &str) -> Vec<Value> {
    let read = |document: &str| {
        let options = serde_saphyr::options! { strict_booleans: true };
        serde_saphyr::from_str_with_options(document, options).expect(path)
    };
    text(path).split("\n---\n").map(read).collect()
}

fn template() -> Value {
    documents("infra/conversationd.yaml").remove(0)
}

/// The template's resources of this type.
fn resources(template: &Value, kind: &str) -> BTreeMap<String, Value> {
    let all = template["Resources"].as_object().expect("resources");
    all.iter().filter(|(_, each)| each["Type"] == kind).map(|(name, each)| (name.clone(), each.clone())).collect()
}

/// A number that is written as one or as text.
fn seconds(value: &Value) -> u64 {
    value.as_u64().or_else(|| value.as_str()?.parse().ok()).expect("a number of seconds")
}

/// What is listed, as a list or as the one there is.
fn listed(value: &Value) -> Vec<&str> {
    let one = value.as_str().into_iter();
    one.chain(value.as_array().into_iter().flatten().filter_map(Value::as_str)).collect()
}

#[test]
fn every_alarm_has_its_section_in_the_runbook_and_no_section_lacks_its_alarm() {
    let template = template();
    let mut alarms = BTreeSet::new();
    for (id, alarm) in resources(&template, "AWS::CloudWatch::Alarm") {
        let name =
            alarm["Properties"]["AlarmName"]["Fn::Sub"].as_str().and_then(|name| name.strip_prefix("${Prefix}-"));
        let name = name.unwrap_or_else(|| panic!("{id}'s name does not begin with the prefix"));
        let description = alarm["Properties"]["AlarmDescription"].as_str().expect("a description");
        assert!(description.ends_with(&format!("docs/runbook.md, {name}")), "{id} names another section");
        alarms.insert(name.to_owned());
    }
    for rule in documents("infra/prometheus.alerts.yaml")[0]["groups"][0]["rules"].as_array().expect("rules") {
        alarms.insert(rule["alert"].as_str().expect("a name").to_owned());
    }
    let runbook = text("docs/runbook.md");
    let named = |line: &&str| !line.contains(' ') && line.starts_with(|c: char| c.is_ascii_lowercase());
    let sections: BTreeSet<String> =
        runbook.lines().filter_map(|line| line.strip_prefix("### ")).filter(named).map(str::to_owned).collect();
    assert_eq!(sections, alarms);
}

/// The metrics that are exported, by OpenTelemetry's name and by every name that a Prometheus gives them.
fn exported() -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut opentelemetry, mut prometheus) = (BTreeSet::new(), BTreeSet::new());
    for metric in METRICS {
        opentelemetry.insert(metric.name.to_owned());
        let page = prometheus_name(metric);
        match metric.read {
            Read::Spread(_) => prometheus.extend(["bucket", "sum", "count"].map(|part| format!("{page}_{part}"))),
            _ => _ = prometheus.insert(page),
        }
    }
    (opentelemetry, prometheus)
}

/// The names in an expression that look like ours.
fn named(expression: &str) -> impl Iterator<Item = String> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("conversationd_") || word.starts_with("messaging_")).map(str::to_owned)
}

#[test]
fn alarms_look_at_metrics_that_are_exported() {
    let (opentelemetry, prometheus) = exported();
    for (id, alarm) in resources(&template(), "AWS::CloudWatch::Alarm") {
        let ours = alarm["Condition"] == "HasMetrics";
        let metric = alarm["Properties"]["MetricName"].as_str().unwrap_or_default();
        assert_eq!(ours, opentelemetry.contains(metric), "{id}: {metric}");
        assert_eq!(ours, alarm["Properties"]["Namespace"]["Ref"] == "MetricsNamespace", "{id}");
    }
    for rule in documents("infra/prometheus.alerts.yaml")[0]["groups"][0]["rules"].as_array().expect("rules") {
        let names: Vec<String> = named(rule["expr"].as_str().expect("an expression")).collect();
        assert!(!names.is_empty() && names.iter().all(|name| prometheus.contains(name)), "{names:?}");
    }
}

#[test]
fn the_dashboard_shows_what_is_exported_and_explains_every_panel() {
    let (_, prometheus) = exported();
    let dashboard: Value = serde_json::from_str(&text("infra/grafana/conversationd.json")).expect("JSON");
    let (mut shown, mut ids) = (BTreeSet::new(), BTreeSet::new());
    for panel in dashboard["panels"].as_array().expect("panels") {
        let title = panel["title"].as_str().filter(|title| !title.is_empty()).expect("a title");
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "{title}: an id twice");
        if panel["type"] == "row" {
            continue;
        }
        assert!(panel["description"].as_str().is_some_and(|words| words.len() > 20), "{title}: no description");
        assert!(panel["fieldConfig"]["defaults"]["unit"].as_str().is_some_and(|unit| !unit.is_empty()), "{title}");
        for target in panel["targets"].as_array().expect("targets") {
            shown.extend(named(target["expr"].as_str().expect("an expression")));
        }
        let grid = |key: &str| panel["gridPos"][key].as_u64().expect("a place");
        assert!(grid("x") + grid("w") <= 24, "{title}: beyond the edge");
    }
    let unknown: Vec<_> = shown.difference(&prometheus).collect();
    assert!(unknown.is_empty(), "shown and not exported: {unknown:?}");
    let rules = documents("infra/prometheus.alerts.yaml").remove(0);
    let rules = rules["groups"][0]["rules"].as_array().expect("rules").clone();
    let alarming: BTreeSet<String> =
        rules.iter().flat_map(|rule| named(rule["expr"].as_str().expect("an expression"))).collect();
    let missing: Vec<_> = alarming.difference(&shown).collect();
    assert!(missing.is_empty(), "an alarm looks at them, and they are not shown: {missing:?}");
}

/// The variables that a container is given, with their values where they stand there.
fn given(container: &Value) -> BTreeMap<String, Option<String>> {
    let (name, value) = if container["Image"].is_null() { ("name", "value") } else { ("Name", "Value") };
    let lists = ["env", "Environment", "Secrets"].into_iter().filter_map(|list| container[list].as_array());
    let entries = lists.flatten().map(|entry| if entry["Fn::If"].is_null() { entry } else { &entry["Fn::If"][1] });
    entries
        .map(|entry| (entry[name].as_str().expect("a name").to_owned(), entry[value].as_str().map(str::to_owned)))
        .collect()
}

/// What a container may be told besides settings.
const BESIDES: [&str; 2] = ["AWS_REGION", "POD_IP"];

#[test]
fn manifests_name_settings_that_exist_and_all_that_are_required() {
    let known: BTreeSet<&str> = SETTINGS.iter().map(|setting| setting.variable).chain(BESIDES).collect();
    let required: BTreeSet<&str> =
        SETTINGS.iter().filter(|setting| setting.default == "required").map(|setting| setting.variable).collect();
    let deployment = documents("infra/kubernetes/deployment.yaml").remove(0);
    let mut pod = given(&deployment["spec"]["template"]["spec"]["containers"][0]);
    let map = documents("infra/kubernetes/configmap.yaml").remove(0);
    pod.extend(
        map["data"]
            .as_object()
            .expect("data")
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().map(str::to_owned))),
    );
    let template = template();
    let task = given(&template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0]);
    for (place, given) in [("the pod", pod), ("the task", task)] {
        let names: BTreeSet<&str> = given.keys().map(String::as_str).collect();
        let unknown: Vec<_> = names.difference(&known).collect();
        let missing: Vec<_> = required.difference(&names).collect();
        assert!(unknown.is_empty() && missing.is_empty(), "{place}: unknown {unknown:?}, missing {missing:?}");
        let secrets = SETTINGS.iter().filter(|setting| setting.meaning.contains("(secret)"));
        let open: Vec<_> = secrets
            .filter(|secret| given.get(secret.variable).is_some_and(Option::is_some))
            .map(|s| s.variable)
            .collect();
        assert!(open.is_empty(), "{place} shows secrets: {open:?}");
    }
}

#[test]
fn a_stop_has_the_time_it_needs_before_it_is_killed() {
    let default = |variable: &str| {
        let setting = SETTINGS.iter().find(|setting| setting.variable == variable).expect("a setting");
        setting.default.parse::<u64>().expect("seconds")
    };
    let map = documents("infra/kubernetes/configmap.yaml").remove(0);
    let set = |variable: &str| match &map["data"][variable] {
        Value::Null => default(variable),
        value => seconds(value),
    };
    // an open poll, the running turns, and then two calls of ten seconds each
    let needed =
        |get: &dyn Fn(&str) -> u64| get("CONVERSATIOND_POLL_WAIT_SECONDS") + get("CONVERSATIOND_DRAIN_SECONDS") + 20;
    let deployment = documents("infra/kubernetes/deployment.yaml").remove(0);
    let grace = seconds(&deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]);
    assert!(grace >= needed(&set), "{grace} s are too few for a pod");
    let template = template();
    let task = &template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0];
    let stop = seconds(&task["StopTimeout"]);
    assert!((needed(&default)..=120).contains(&stop), "{stop} s for a task, of which ECS allows 120");
}

#[test]
fn containers_run_as_nobody_and_write_nothing() {
    let deployment = documents("infra/kubernetes/deployment.yaml").remove(0);
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    let template = template();
    let task = &template["Resources"]["TaskDefinition"]["Properties"]["ContainerDefinitions"][0];
    assert_eq!((&task["ReadonlyRootFilesystem"], &task["User"]), (&Value::Bool(true), &Value::from("65532:65532")));
    let image = text("Dockerfile");
    assert!(image.contains("\nUSER 65532:65532\n") && image.contains("--locked"));
    // what probes call stands where the image has it, and its file where a volume is
    let program = "/usr/local/bin/conversationd";
    assert!(
        image.contains(&format!("ENTRYPOINT [\"{program}\"]")) && image.contains("VOLUME [\"/run/conversationd\"]")
    );
    assert_eq!(container["livenessProbe"]["exec"]["command"], serde_json::json!([program, "health"]));
    assert_eq!(task["HealthCheck"]["Command"], serde_json::json!(["CMD", program, "health"]));
    for mounted in [&container["volumeMounts"][0]["mountPath"], &task["MountPoints"][0]["ContainerPath"]] {
        assert_eq!(mounted, "/run/conversationd");
    }
}

/// Who may do what would be grave: all others may not.
const GRAVE: [(&str, &[&str]); 4] = [
    ("dynamodb:Scan", &["ErasePolicy", "ReconcilePolicy"]),
    ("dynamodb:DeleteItem", &["ErasePolicy"]),
    ("dynamodb:CreateTable", &["ProvisionPolicy"]),
    ("sqs:DeleteMessage", &["DaemonPolicy", "AskerPolicy", "OperatorPolicy", "ErasePolicy"]),
];

#[test]
fn nobody_may_do_more_than_is_said() {
    let template = template();
    for (id, policy) in resources(&template, "AWS::IAM::ManagedPolicy") {
        for statement in policy["Properties"]["PolicyDocument"]["Statement"].as_array().expect("statements") {
            let statement = if statement["Fn::If"].is_null() { statement } else { &statement["Fn::If"][1] };
            let actions = listed(&statement["Action"]);
            assert!(!actions.is_empty() && statement["Effect"] == "Allow", "{id}");
            for action in actions {
                assert!(!action.contains('*') && !action.ends_with("PurgeQueue"), "{id} may {action}");
                assert!(
                    !action.ends_with("DeleteTable") && !action.ends_with("SetQueueAttributes"),
                    "{id} may {action}"
                );
                let grave = GRAVE.iter().find(|(grave, _)| *grave == action);
                assert!(grave.is_none_or(|(_, who)| who.contains(&id.as_str())), "{id} may {action}");
            }
            assert!(!listed(&statement["Resource"]).contains(&"*"), "{id} may do it to anything");
        }
        let commands = text("infra/README.md");
        assert!(commands.contains(&format!("`{id}`")), "infra/README.md does not say who needs {id}");
    }
    for queue in resources(&template, "AWS::SQS::Queue").keys() {
        let denies = |policy: &Value| {
            policy["Properties"]["Queues"].as_array().is_some_and(|all| all.iter().any(|each| each["Ref"] == *queue))
        };
        assert!(resources(&template, "AWS::SQS::QueuePolicy").values().any(denies), "{queue} takes plain HTTP");
        assert_eq!(
            template["Resources"][queue]["Properties"]["SqsManagedSseEnabled"], true,
            "{queue} is not encrypted"
        );
    }
}

/// Every file of a folder, by its path within the project.
fn files(folder: &str) -> Vec<String> {
    let (mut found, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = format!("{folder}/{}", entry.file_name().to_string_lossy());
            if entry.path().is_dir() { folders.push(path) } else { found.push(path) }
        }
    }
    found
}

/// `a/b/../c` → `a/c`.
fn straightened(path: &str) -> String {
    let mut parts = Vec::new();
    for part in path.split('/') {
        if part == ".." { _ = parts.pop() } else { parts.push(part) }
    }
    parts.join("/")
}

#[test]
fn the_image_gets_all_that_the_program_is_made_of() {
    let ignore = text(".dockerignore");
    let allowed: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    assert!(ignore.lines().any(|line| line == "*"), "everything reaches the builder");
    let mut needed: BTreeSet<String> =
        ["Cargo.toml", "Cargo.lock", "src", "migrations", "benches/ingest"].map(str::to_owned).into();
    // what the manifest names, or else it cannot be read
    needed.extend(
        text("Cargo.toml")
            .lines()
            .filter_map(|line| Some(line.strip_prefix("path = \"")?.trim_end_matches('"').to_owned())),
    );
    for file in files("src") {
        let folder = file.rsplit_once('/').expect("a folder").0.to_owned();
        let source = text(&file);
        let included = source.split("include_str!(\"").skip(1).filter_map(|rest| rest.split('"').next());
        needed.extend(
            included.map(|path| straightened(&format!("{folder}/{path}"))).filter(|path| !path.starts_with("tests/")),
        );
    }
    let lacking: Vec<_> =
        needed.iter().filter(|path| !allowed.iter().any(|allowed| path.starts_with(allowed))).collect();
    assert!(lacking.is_empty(), "{lacking:?} do not reach the builder");
}
