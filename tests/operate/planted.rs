//! Faults planted around a healthy deployment, one at a time, and the findings by which `doctor` tells them.

use std::{env, fs, path::PathBuf, sync::Arc};

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    TimeToLiveSpecification,
};
use aws_sdk_sqs::types::QueueAttributeName as Name;
use conversationd::{
    archive::{NEEDED, Options, PostgresArchive},
    hot,
    operate::{definition::Definition, provision::provision},
};
use futures_util::{StreamExt, stream};
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use tokio::net::TcpListener;
use url::Url;

use crate::{
    doctor::{bad, doctor},
    gateway::{self, Oddity},
    site::{Site, on_a_site},
};

const FAULT: &str = "fault";
const WARNING: &str = "warning";

/// How many are looked at at once.
const AT_ONCE: usize = 4;

/// A fault: the settings by which the doctor meets it, and what it must say, all of it.
struct Planted {
    what: &'static str,
    settings: Vec<(&'static str, String)>,
    found: Vec<(&'static str, &'static str)>,
    code: i32,
}

fn planted(
    what: &'static str,
    settings: Vec<(&'static str, String)>,
    found: &[(&'static str, &'static str)],
) -> Planted {
    let code = i32::from(found.iter().any(|(_, level)| *level == FAULT));
    Planted { what, settings, found: found.to_vec(), code }
}

/// Everything that was made beside the site, to be cleared away.
struct Ground<'a> {
    site: &'a Site,
    database: String,
    queues: Vec<String>,
    tables: Vec<String>,
    schemas: Vec<String>,
    roles: Vec<String>,
    files: Vec<PathBuf>,
    listeners: Vec<TcpListener>,
}

impl Ground<'_> {
    fn name(&self, what: &str) -> String {
        format!("{}-{what}", self.site.provisioned.table)
    }

    async fn arn(&self, url: &str) -> String {
        let call = self.site.clients.sqs.control.get_queue_attributes().queue_url(url);
        let got = call.attribute_names(Name::QueueArn).send().await.expect("attributes");
        got.attributes.expect("attributes").remove(&Name::QueueArn).expect("an ARN")
    }

    async fn make(&mut self, name: &str, attributes: impl IntoIterator<Item = (String, String)>) -> String {
        let call = self.site.clients.sqs.control.create_queue().queue_name(name);
        let attributes = attributes.into_iter().map(|(name, value)| (Name::from(name.as_str()), value)).collect();
        let url = call.set_attributes(Some(attributes)).send().await.expect("a queue").queue_url.expect("a URL");
        self.queues.push(url.clone());
        url
    }

    /// An inbound queue as it should be, but for `wrong`; an empty value takes an attribute away.
    async fn queue(&mut self, what: &str, wrong: &[(&str, &str)]) -> Vec<(&'static str, String)> {
        let dead_letter = self.arn(&self.site.provisioned.dead_letter_url.clone()).await;
        vec![("SQS_CONVERSATION_QUEUE_URL", self.queue_to(what, &dead_letter, wrong).await)]
    }

    async fn queue_to(&mut self, what: &str, dead_letter: &str, wrong: &[(&str, &str)]) -> String {
        let mut shape = Definition::with_prefix("x").and_then(|it| it.queue(dead_letter)).expect("a shape").attributes;
        for (name, value) in wrong {
            shape.insert((*name).to_owned(), (*value).to_owned());
        }
        shape.retain(|_, value| !value.is_empty());
        self.make(&format!("{}.fifo", self.name(what)), shape).await
    }

    /// A dead-letter queue as it should be, but for `wrong`, and an inbound queue before it.
    async fn dead_letter(&mut self, what: &str, wrong: (&str, &str)) -> Vec<(&'static str, String)> {
        let mut shape = Definition::with_prefix("x").and_then(|it| it.dead_letter_queue()).expect("a shape").attributes;
        shape.insert(wrong.0.to_owned(), wrong.1.to_owned());
        let dead_letter = self.make(&format!("{}-dlq.fifo", self.name(what)), shape).await;
        let arn = self.arn(&dead_letter).await;
        let queue = self.queue_to(what, &arn, &[]).await;
        vec![("SQS_CONVERSATION_QUEUE_URL", queue), ("SQS_CONVERSATION_DLQ_URL", dead_letter)]
    }

    /// A table made as the program makes it, for a story to spoil.
    async fn table(&mut self, what: &str) -> (String, Vec<(&'static str, String)>) {
        let made = provision(&self.site.clients, &self.name(what)).await.expect("provision");
        self.queues.extend([made.queue_url, made.dead_letter_url]);
        self.tables.push(made.table.clone());
        (made.table.clone(), vec![("DYNAMODB_MESSAGE_TABLE", made.table)])
    }

    /// A table without an index, whose key has these parts.
    async fn bare_table(&mut self, what: &str, parts: [&str; 2]) -> Vec<(&'static str, String)> {
        let name = self.name(what);
        let dynamodb = &self.site.clients.dynamodb;
        let mut call = dynamodb.create_table().table_name(&name).billing_mode(BillingMode::PayPerRequest);
        for (part, kind) in parts.iter().zip([KeyType::Hash, KeyType::Range]) {
            let text = AttributeDefinition::builder().attribute_name(*part).attribute_type(ScalarAttributeType::S);
            call = call.attribute_definitions(text.build().expect("an attribute"));
            call = call
                .key_schema(KeySchemaElement::builder().attribute_name(*part).key_type(kind).build().expect("a key"));
        }
        call.send().await.expect("a table");
        expire(dynamodb, &name, true).await;
        recover(dynamodb, &name, true).await;
        self.tables.push(name.clone());
        vec![("DYNAMODB_MESSAGE_TABLE", name)]
    }

    /// A schema of this release, spoilt by `sql`.
    async fn schema(&mut self, what: &str, sql: &'static str) -> Vec<(&'static str, String)> {
        let name = self.name(what).replace('-', "_");
        let options = Options { max_connections: 1, schema: Some(name.clone()), ..Options::default() };
        let archive = PostgresArchive::new(&self.database, &options).expect("DATABASE_URL");
        archive.migrate().await.expect("migrate");
        archive.close().await;
        self.schemas.push(name.clone());
        self.sql(&format!("set search_path = {name}; {sql}")).await;
        vec![("CONVERSATIOND_DATABASE_SCHEMA", name)]
    }

    /// A role with every right that the daemon needs, but for `without`.
    async fn role(&mut self, what: &str, without: Option<(&str, &str)>) -> Vec<(&'static str, String)> {
        self.role_with(NEEDED, what, without).await
    }

    /// The same of a daemon without DynamoDB.
    async fn hot_role(&mut self, what: &str, without: Option<(&str, &str)>) -> Vec<(&'static str, String)> {
        let mut settings = self.role_with(&[NEEDED, hot::NEEDED].concat(), what, without).await;
        settings.push(("CONVERSATIOND_HOT_STORE", "postgres".to_owned()));
        settings
    }

    async fn role_with(
        &mut self,
        needed: &[(&str, &[&str])],
        what: &str,
        without: Option<(&str, &str)>,
    ) -> Vec<(&'static str, String)> {
        let (role, schema) = (self.name(what).replace('-', "_"), &self.site.settings["CONVERSATIOND_DATABASE_SCHEMA"]);
        let mut sql = format!("create role {role} login password 'planted'; grant usage on schema {schema} to {role};");
        for (name, rights) in needed {
            for right in rights.iter().filter(|right| without != Some((name, right))) {
                let kind = if *right == "EXECUTE" { "function " } else { "" };
                sql += &format!("grant {right} on {kind}{schema}.{name} to {role};");
            }
        }
        self.sql(&sql).await;
        self.roles.push(role.clone());
        let mut url: Url = self.database.parse().expect("DATABASE_URL");
        url.set_username(&role).expect("a role");
        url.set_password(Some("planted")).expect("a password");
        vec![("DATABASE_URL", url.to_string())]
    }

    fn sinks(&mut self, what: &str, sink: &str) -> Vec<(&'static str, String)> {
        let file = env::temp_dir().join(format!("{}.toml", self.name(what)));
        let egress = "[egress]\nnetworks = [\"127.0.0.0/8\"]\nports = [1]\nhttp = true\n";
        fs::write(&file, format!("{egress}[[sink]]\nname = \"crm\"\n{sink}\n")).expect("written");
        self.files.push(file.clone());
        vec![
            ("CONVERSATIOND_SINKS_FILE", file.to_string_lossy().into_owned()),
            ("PLANTED_SECRET", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned()),
        ]
    }

    /// Somebody who takes connections and says nothing.
    async fn silent(&self) -> (TcpListener, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        (listener, address)
    }

    async fn sql(&self, sql: &str) {
        let mut connection = PgConnection::connect(&self.database).await.expect("connect");
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.expect("done");
    }

    async fn clear(self) {
        for url in &self.queues {
            self.site.clients.sqs.control.delete_queue().queue_url(url).send().await.expect("delete the queue");
        }
        for table in &self.tables {
            self.site.clients.dynamodb.delete_table().table_name(table).send().await.expect("delete the table");
        }
        for schema in &self.schemas {
            self.sql(&format!("drop schema {schema} cascade")).await;
        }
        for role in &self.roles {
            self.sql(&format!("drop owned by {role}; drop role {role}")).await;
        }
        self.files.iter().for_each(|file| fs::remove_file(file).expect("removed"));
    }
}

async fn expire(dynamodb: &aws_sdk_dynamodb::Client, table: &str, on: bool) {
    let wanted = TimeToLiveSpecification::builder().attribute_name("expires_at").enabled(on).build().expect("built");
    dynamodb.update_time_to_live().table_name(table).time_to_live_specification(wanted).send().await.expect("TTL");
}

async fn recover(dynamodb: &aws_sdk_dynamodb::Client, table: &str, on: bool) {
    let wanted = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(on).build().expect("built");
    let call = dynamodb.update_continuous_backups().table_name(table);
    call.point_in_time_recovery_specification(wanted).send().await.expect("backups");
}

async fn queues(ground: &mut Ground<'_>) -> Vec<Planted> {
    let other = ground.make(&format!("{}.fifo", ground.name("other")), [("FifoQueue".into(), "true".into())]).await;
    let other = ground.arn(&other).await;
    let standard = ground.make(&ground.name("standard"), []).await;
    let impatient = format!(
        r#"{{"deadLetterTargetArn":"{}","maxReceiveCount":3}}"#,
        ground.arn(&ground.site.provisioned.dead_letter_url.clone()).await
    );
    let astray = vec![("SQS_CONVERSATION_QUEUE_URL", ground.queue_to("astray", &other, &[]).await)];
    let mut all = vec![
        planted("a redrive policy to another queue", astray, &[("queue redrive policy", FAULT)]),
        Planted {
            code: 64,
            ..planted(
                "a standard queue",
                vec![("SQS_CONVERSATION_QUEUE_URL", standard)],
                &[("settings", FAULT), ("queue kind", FAULT), ("queue", FAULT)],
            )
        },
    ];
    for (what, wrong, check, level) in [
        ("no redrive policy", vec![("RedrivePolicy", "")], "queue redrive policy", FAULT),
        ("too few receipts", vec![("RedrivePolicy", impatient.as_str())], "queue receive count", WARNING),
        ("a visibility too short", vec![("VisibilityTimeout", "10")], "queue visibility", WARNING),
        ("content-based deduplication", vec![("ContentBasedDeduplication", "true")], "queue deduplication", WARNING),
        ("no encryption", vec![("SqsManagedSseEnabled", "false")], "queue encryption", WARNING),
        ("a delay", vec![("DelaySeconds", "30")], "queue delay", WARNING),
        ("a queue that forgets", vec![("MessageRetentionPeriod", "345600")], "queue retention", WARNING),
        (
            "not high throughput",
            vec![("FifoThroughputLimit", "perQueue"), ("DeduplicationScope", "queue")],
            "queue throughput",
            WARNING,
        ),
    ] {
        let settings = ground.queue(&what.replace(' ', "-"), &wrong).await;
        all.push(planted(what, settings, &[(check, level)]));
    }
    for (what, wrong, check, level) in [
        ("dead letters that go sooner", ("MessageRetentionPeriod", "345600"), "dead-letter retention", WARNING),
        (
            "a dead-letter queue that takes nothing",
            ("RedriveAllowPolicy", r#"{"redrivePermission":"denyAll"}"#),
            "dead-letter redrive policy",
            FAULT,
        ),
    ] {
        let settings = ground.dead_letter(&what[..12].trim().replace(' ', "-"), wrong).await;
        all.push(planted(what, settings, &[(check, level)]));
    }
    let queue = |variable, name: &str| vec![(variable, name.to_owned())];
    all.push(planted(
        "a reply queue that is missing",
        queue("CONVERSATIOND_REPLY_QUEUES", "gone.fifo"),
        &[("reply queue", FAULT)],
    ));
    let missing = ground.site.provisioned.queue_url.replace(".fifo", "-gone");
    all.push(planted(
        "a request queue that is missing",
        queue("SQS_CONVERSATION_REQUEST_QUEUE_URL", &missing),
        &[("request queue", FAULT)],
    ));
    all
}

async fn tables(ground: &mut Ground<'_>) -> Vec<Planted> {
    let site = ground.site;
    let dynamodb = &site.clients.dynamodb;
    let (name, eternal) = ground.table("eternal").await;
    expire(dynamodb, &name, false).await;
    let (name, forgetful) = ground.table("forgetful").await;
    recover(dynamodb, &name, false).await;
    vec![
        planted("no expiry", eternal, &[("table expiry", FAULT)]),
        planted("no recovery", forgetful, &[("table recovery", WARNING)]),
        planted("no index", ground.bare_table("indexless", ["pk", "sk"]).await, &[("table index", FAULT)]),
        planted(
            "another key",
            ground.bare_table("keyed", ["id", "at"]).await,
            &[("table key", FAULT), ("table index", FAULT), ("consuming", FAULT)],
        ),
    ]
}

async fn archives(ground: &mut Ground<'_>) -> Vec<Planted> {
    let behind = "delete from _sqlx_migrations where version = (select max(version) from _sqlx_migrations)";
    let ahead = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) values (9999, \
                 'of a later release', true, '', 0)";
    let altered = "update _sqlx_migrations set checksum = '\\x00' where version = 1";
    // as infra/archive/roles.sql leaves it
    let schema = ground.site.settings["CONVERSATIOND_DATABASE_SCHEMA"].clone();
    ground.sql(&format!("revoke execute on function {schema}.hot_expire(integer) from public")).await;
    let nobody = || "postgres://nobody@127.0.0.1:1/none".to_owned();
    vec![
        planted("migrations behind", ground.schema("behind", behind).await, &[("archive schema", FAULT)]),
        planted("a schema ahead", ground.schema("ahead", ahead).await, &[("archive schema", WARNING)]),
        planted("an edited migration", ground.schema("altered", altered).await, &[("archive schema", FAULT)]),
        planted("a role with every right", ground.role("able", None).await, &[]),
        planted(
            "a role that lacks one",
            ground.role("unable", Some(("outbox_lane", "UPDATE"))).await,
            &[("archive privileges", FAULT)],
        ),
        planted("a role with every right, also of the hot store", ground.hot_role("hot", None).await, &[]),
        planted(
            "a role that may take in no message",
            ground.hot_role("deaf", Some(("hot_message", "INSERT"))).await,
            &[("archive privileges", FAULT)],
        ),
        planted(
            "a role that may not let go of what expired",
            ground.hot_role("hoarding", Some(("hot_expire(integer)", "EXECUTE"))).await,
            &[("archive privileges", FAULT)],
        ),
        planted(
            "more connections of the hot store than there are",
            vec![
                ("CONVERSATIOND_HOT_STORE", "postgres".to_owned()),
                ("CONVERSATIOND_HOT_CONNECTIONS", "900".to_owned()),
            ],
            &[("archive connections", WARNING)],
        ),
        planted("no archive", vec![("DATABASE_URL", nobody())], &[("archive", FAULT)]),
        planted("no replica", vec![("CONVERSATIOND_READ_REPLICA_URL", nobody())], &[("read replica", FAULT)]),
        planted(
            "more connections than there are",
            vec![("CONVERSATIOND_DATABASE_CONNECTIONS", "900".to_owned())],
            &[("archive connections", WARNING)],
        ),
    ]
}

async fn settings_and_others(ground: &mut Ground<'_>) -> Vec<Planted> {
    let set = |name, value: &str| vec![(name, value.to_owned())];
    let odd = async |oddity| vec![("AWS_ENDPOINT_URL", gateway::serve(oddity).await)];
    let refusing = |action| Oddity { refused: Some(action), ..Oddity::default() };
    let webhook = "kind = \"webhook\"\nurl = \"http://127.0.0.1:1/hook\"\nsecret = \"env:PLANTED_SECRET\"";
    let inside = "kind = \"webhook\"\nurl = \"https://10.0.0.1/hook\"\nsecret = \"env:PLANTED_SECRET\"";
    let classifier = "kind = \"classifier\"\nurl = \"http://127.0.0.1:1/classify\"";
    let mut summary = set("CONVERSATIOND_SUMMARY_ENDPOINT", "http://127.0.0.1:1/v1");
    summary.extend(set("CONVERSATIOND_SUMMARY_MODEL", "m"));
    let (silent, address) = ground.silent().await;
    ground.listeners.push(silent);
    vec![
        planted(
            "an AWS that takes calls and never answers",
            set("AWS_ENDPOINT_URL", &address),
            &[("queue", FAULT), ("dead-letter queue", FAULT), ("table", FAULT), ("consuming", FAULT)],
        ),
        planted("a healthy deployment", Vec::new(), &[]),
        planted("a misspelled setting", set("CONVERSATIOND_POLERS", "8"), &[("setting name", WARNING)]),
        Planted {
            code: 64,
            ..planted("a setting out of range", set("CONVERSATIOND_POLLERS", "many"), &[("settings", FAULT)])
        },
        planted("a short lease", set("CONVERSATIOND_VISIBILITY_SECONDS", "10"), &[("leases", WARNING)]),
        planted("a sink that is not there", ground.sinks("absent", webhook), &[("sink", FAULT)]),
        planted("a sink in a closed network", ground.sinks("inside", inside), &[("sink", FAULT)]),
        planted("a classifier that is not there", ground.sinks("classifier", classifier), &[("sink", FAULT)]),
        planted("no model to summarise", summary, &[("summary endpoint", FAULT)]),
        planted(
            "a clock that is off",
            odd(Oddity { date: Some("Sat, 01 Mar 2025 12:00:00 GMT"), ..Oddity::default() }).await,
            &[("AWS clock", WARNING)],
        ),
        planted(
            "no right to hide deliveries",
            odd(refusing("ChangeMessageVisibility")).await,
            &[("queue permissions", FAULT)],
        ),
        planted("no right to store", odd(refusing("BatchWriteItem")).await, &[("table permissions", FAULT)]),
        planted("no right to look at the table", odd(refusing("DescribeTable")).await, &[("table", WARNING)]),
    ]
}

/// What the doctor says of a fault, if it is not what it must say.
async fn wrong(site: Arc<Site>, planted: Planted) -> Option<String> {
    // a story of the table, whatever the stack keeps hot
    let settings = std::iter::once(("CONVERSATIOND_HOT_STORE", "dynamodb"));
    let settings: Vec<(&str, &str)> =
        settings.chain(planted.settings.iter().map(|(name, value)| (*name, value.as_str()))).collect();
    let said = doctor(&site, &settings).await;
    let found = bad(&said);
    let expected: Vec<(String, String)> =
        planted.found.iter().map(|(check, level)| ((*check).into(), (*level).into())).collect();
    let right = (&found, said.code) == (&expected, planted.code);
    (!right).then(|| format!("{}: found {found:?}, code {}\n{}{}", planted.what, said.code, said.out, said.err))
}

#[tokio::test]
async fn each_planted_fault_is_told_by_its_own_finding_and_nothing_else_is() {
    on_a_site(async |site| {
        let mut ground = Ground {
            site: &site,
            database: env::var("DATABASE_URL").expect("the local stack"),
            queues: Vec::new(),
            tables: Vec::new(),
            schemas: Vec::new(),
            roles: Vec::new(),
            files: Vec::new(),
            listeners: Vec::new(),
        };
        let mut all = queues(&mut ground).await;
        all.extend(tables(&mut ground).await);
        all.extend(archives(&mut ground).await);
        all.extend(settings_and_others(&mut ground).await);

        let count = all.len();
        let looked_at = stream::iter(all.into_iter().map(|planted| wrong(site.clone(), planted)));
        let wrong: Vec<Option<String>> = looked_at.buffer_unordered(AT_ONCE).collect().await;
        let wrong: Vec<String> = wrong.into_iter().flatten().collect();

        ground.clear().await;
        assert!(wrong.is_empty(), "{} of {count}:\n{}", wrong.len(), wrong.join("\n"));
    })
    .await;
}
