"""Deploy infra/conversationd.yaml through CloudFormation, and prove that what stands is what it says.

usage: deploy.py [PREFIX]     deploy under this prefix (conversationd) and print the outputs
       deploy.py --check      deploy under a throw-away prefix, compare queues, table and the list of everything else with the
                              template, remove them; the ECS service alone is left out

Endpoint, region and credentials come from the AWS_* variables: `eval "$(infra/local/stack.sh env)"`.
For real AWS use `aws cloudformation deploy`; this exists so that the local stack needs no AWS command line.
"""

import json
import os
import sys
import time
from pathlib import Path

import botocore.session
import yaml
from botocore.exceptions import ClientError

TEMPLATE = Path(__file__).parents[1] / "conversationd.yaml"


def client(service):
    return botocore.session.get_session().create_client(service, endpoint_url=os.environ.get("AWS_ENDPOINT_URL"))


def deploy(prefix, **parameters):
    """The stack's outputs, once it stands."""
    cloudformation = client("cloudformation")
    parameters["Prefix"] = prefix
    request = {
        "StackName": prefix,
        "TemplateBody": TEMPLATE.read_text(),
        "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
        "Capabilities": ["CAPABILITY_IAM"],
    }
    try:
        cloudformation.create_stack(**request)
    except ClientError as error:
        if error.response["Error"]["Code"] != "AlreadyExistsException":
            raise
        try:
            cloudformation.update_stack(**request)
        except ClientError as error:
            if "No updates" not in str(error):
                raise
    while True:
        stack = cloudformation.describe_stacks(StackName=prefix)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.1)
    if stack["StackStatus"] not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
        sys.exit(f"deploy: {stack['StackStatus']}: {stack.get('StackStatusReason', 'no reason given')}")
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def differences(prefix, outputs):
    """What stands and is not as the template says, one line each."""
    resources = yaml.safe_load(TEMPLATE.read_text())["Resources"]
    sqs, dynamodb = client("sqs"), client("dynamodb")
    found = []

    def compare(what, wanted, actual):
        if wanted != actual:
            found.append(f"{what}: wanted {wanted}, found {actual}")

    def attributes(output):
        return sqs.get_queue_attributes(QueueUrl=outputs[output], AttributeNames=["All"])["Attributes"]

    queues = {
        "Queue": "QueueUrl",
        "DeadLetterQueue": "DeadLetterQueueUrl",
        "RequestQueue": "RequestQueueUrl",
        "RequestDeadLetterQueue": "RequestDeadLetterQueueUrl",
    }
    for resource, output in queues.items():
        actual = attributes(output)
        for name, value in resources[resource]["Properties"].items():
            if name == "QueueName":
                compare(f"{resource}.{name}", value["Fn::Sub"].replace("${Prefix}", prefix), outputs[output].split("/")[-1])
            elif name == "RedrivePolicy":
                policy = json.loads(actual[name])
                letters = queues[value["deadLetterTargetArn"]["Fn::GetAtt"][0]]
                compare(f"{resource}.{name}.arn", attributes(letters)["QueueArn"], policy["deadLetterTargetArn"])
                compare(f"{resource}.{name}.max", str(value["maxReceiveCount"]), str(policy["maxReceiveCount"]))
            else:
                compare(f"{resource}.{name}", str(value).lower(), actual.get(name, "nothing").lower())
        compare(f"{resource} denies plain HTTP", True, "aws:SecureTransport" in actual.get("Policy", ""))

    wanted, name = resources["Table"]["Properties"], outputs["TableName"]
    actual = dynamodb.describe_table(TableName=name)["Table"]
    compare("Table.TableName", prefix, name)
    compare("Table.BillingMode", wanted["BillingMode"], actual["BillingModeSummary"]["BillingMode"])
    compare("Table.KeySchema", wanted["KeySchema"], actual["KeySchema"])
    compare("Table.SSE", "ENABLED", actual.get("SSEDescription", {}).get("Status"))

    def by_name(attributes):
        return sorted((a["AttributeName"], a["AttributeType"]) for a in attributes)

    def shape(index):
        projection = index["Projection"]
        return index["IndexName"], index["KeySchema"], projection["ProjectionType"], sorted(projection["NonKeyAttributes"])

    compare("Table.AttributeDefinitions", by_name(wanted["AttributeDefinitions"]), by_name(actual["AttributeDefinitions"]))
    compare(
        "Table.GlobalSecondaryIndexes",
        [shape(index) for index in wanted["GlobalSecondaryIndexes"]],
        [shape(index) for index in actual["GlobalSecondaryIndexes"]],
    )
    ttl = dynamodb.describe_time_to_live(TableName=name)["TimeToLiveDescription"]
    compare("Table.TimeToLive", ("ENABLED", "expires_at"), (ttl["TimeToLiveStatus"], ttl.get("AttributeName")))
    backups = dynamodb.describe_continuous_backups(TableName=name)["ContinuousBackupsDescription"]
    compare("Table.PointInTimeRecovery", "ENABLED", backups["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"])

    # The service needs a cluster, which the local stack has not; everything else is there, alarms and policies included.
    wanted = {name for name, resource in resources.items() if resource.get("Condition") != "HasService"}
    stands = client("cloudformation").describe_stack_resources(StackName=prefix)["StackResources"]
    stands = {each["LogicalResourceId"] for each in stands if each["ResourceStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")}
    compare("resources", sorted(wanted), sorted(stands))
    return found


def remove(prefix, outputs):
    client("cloudformation").delete_stack(StackName=prefix)
    # What the template retains, a throw-away does not.
    for remove_one, wanted in (
        (lambda: client("sqs").delete_queue(QueueUrl=outputs["DeadLetterQueueUrl"]), "NonExistentQueue"),
        (lambda: client("dynamodb").delete_table(TableName=outputs["TableName"]), "ResourceNotFound"),
    ):
        try:
            remove_one()
        except ClientError as error:
            if wanted not in error.response["Error"]["Code"]:
                raise


def main(arguments):
    if arguments == ["--check"]:
        prefix = f"check-{os.getpid()}-{int(time.time())}"
        outputs = deploy(prefix, MetricsNamespace="check", AlarmTopicArn="arn:aws:sns:us-east-1:000000000000:check")
        try:
            found = differences(prefix, outputs)
        finally:
            remove(prefix, outputs)
        if found:
            sys.exit("\n".join(["deploy: what stands is not what the template says", *found]))
        print(f"{TEMPLATE.name}: deployed as {prefix}, found as defined, removed")
    elif len(arguments) <= 1 and not any(a.startswith("-") for a in arguments):
        for key, value in deploy(*arguments or ["conversationd"]).items():
            print(f"{key}={value}")
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
