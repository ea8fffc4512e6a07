"""MiniStack, with what its release 1.5.33 does not do mended."""

import time

from ministack.app import main
from ministack.services import dynamodb, sqs
from ministack.services.cloudformation import provisioners

# Why: every SendMessage walks the deduplication entries of the last five minutes, so sending slows down as it goes on.
# Five minutes are five minutes within a second.
prune = sqs._prune_dedup
pruned = {}


def prune_once_a_second(queue):
    now = time.monotonic()
    if now - pruned.get(queue["url"], 0) >= 1:
        pruned[queue["url"]] = now
        prune(queue)


sqs._prune_dedup = prune_once_a_second

# Why: CloudFormation makes a table without its TTL, backups and encryption, and with indexes that have no status, which
# clients that wait for ACTIVE wait for in vain. The calls of DynamoDB's own API do all that.
TABLE = provisioners._RESOURCE_HANDLERS["AWS::DynamoDB::Table"]


def true(spec, key):
    return str((spec or {}).get(key)).lower() == "true"


def finish(name, props):
    for index in dynamodb._tables[name].get("GlobalSecondaryIndexes") or []:
        index.setdefault("IndexStatus", "ACTIVE")
    ttl = props.get("TimeToLiveSpecification")
    if true(ttl, "Enabled"):
        dynamodb._update_ttl(
            {"TableName": name, "TimeToLiveSpecification": {"Enabled": True, "AttributeName": ttl["AttributeName"]}}
        )
    if true(props.get("PointInTimeRecoverySpecification"), "PointInTimeRecoveryEnabled"):
        dynamodb._update_continuous_backups(
            {"TableName": name, "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": True}}
        )
    if true(props.get("SSESpecification"), "SSEEnabled"):
        dynamodb._update_table({"TableName": name, "SSESpecification": {"Enabled": True}})


def finishing(step):
    def with_finish(*args, **kwargs):
        made = step(*args, **kwargs)
        # create(logical id, properties, stack); update(name, old properties, new properties, stack, logical id)
        finish(made[0], args[1] if step is create else args[2])
        return made

    return with_finish


create, update = TABLE["create"], TABLE["update"]
TABLE["create"] = finishing(create)
TABLE["update"] = finishing(update)

# Why: CloudFormation takes alarms on one metric only. Of an alarm on several it gets the first; none rings here anyway.
alarm_record = provisioners._cw_metric_alarm_record


def on_one_metric(name, props):
    stats = [query["MetricStat"] for query in props.get("Metrics") or [] if "MetricStat" in query]
    if stats:
        metric = stats[0]["Metric"]
        one = {key: metric[key] for key in ("Namespace", "MetricName", "Dimensions")}
        rest = {key: value for key, value in props.items() if key != "Metrics"}
        props = rest | one | {"Statistic": stats[0]["Stat"], "Period": stats[0]["Period"]}
    return alarm_record(name, props)


provisioners._cw_metric_alarm_record = on_one_metric

main()
