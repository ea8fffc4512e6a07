#!/bin/sh
# Runs inside the AWS container once it is ready; LocalStack and MiniStack both look in /etc/localstack/init/ready.d.
set -eu
export AWS_DEFAULT_REGION=us-east-1
awslocal cloudformation deploy --stack-name conversationd --template-file /opt/conversationd/conversationd.yaml --capabilities CAPABILITY_IAM --no-fail-on-empty-changeset
case $(awslocal dynamodb describe-time-to-live --table-name conversationd --query TimeToLiveDescription.TimeToLiveStatus --output text) in
  ENAB*) ;;
  # MiniStack 1.5.33 ignores the template's TTL
  *) awslocal dynamodb update-time-to-live --table-name conversationd --time-to-live-specification Enabled=true,AttributeName=expires_at ;;
esac
