#!/usr/bin/env bash
# Files, time and messages call functions. Read this from top to bottom, or run it: it starts a node of its own in a new
# folder, and ends it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
work=${1:-$(mktemp -d)}

step() { printf '\n== %s\n' "$*"; }
# Waits until a function's log has a line, and shows it.
logged() { until hearth logs "$1" 2>/dev/null | grep -F "$2"; do sleep 0.3; done; }

step "1. A node, with a folder that it watches and one for thumbnails"
mkdir -p "$work/incoming" "$work/thumbnails"
cat >"$work/hearth.toml" <<END
# What changes here is told to functions…
[storage.buckets.incoming]
folder = "$work/incoming"

# … which may have folders of the host: this one to read,
[folders.incoming]
path = "$work/incoming"

# and this one to write as well.
[folders.thumbnails]
path = "$work/thumbnails"
access = "read-write"
END
export HEARTH_DATA=$work/data
hearth up --no-samples --config "$work/hearth.toml" --listen 127.0.0.1:0 &
node=$!
trap 'kill $node; wait $node' EXIT
until [ -e "$HEARTH_DATA/endpoint" ]; do kill -0 $node; sleep 0.1; done

# The AWS command line finds the node and its key by these.
export AWS_ENDPOINT_URL=$(cat "$HEARTH_DATA/endpoint")
export AWS_SHARED_CREDENTIALS_FILE=$HEARTH_DATA/credentials AWS_DEFAULT_REGION=us-east-1 AWS_PAGER=
functions=arn:aws:lambda:us-east-1:000000000000:function
queues=arn:aws:sqs:us-east-1:000000000000

step "2. A file that is dropped into the folder makes a thumbnail"
hearth deploy "$here/thumbnail" --memory 512 --timeout 30 \
    --folder incoming=/mnt/incoming --folder thumbnails=/mnt/thumbnails
hearth notification add thumbnails --bucket incoming --suffix .png \
    --event 's3:ObjectCreated:*' --target $functions:thumbnail
cp "$here/picture.png" "$work/incoming/picture.png"
logged thumbnail "picture.png: a thumbnail"
ls -l "$work/incoming" "$work/thumbnails"

step "3. A schedule calls a function: at once, and then every minute"
hearth deploy "$here/clock"
aws scheduler create-schedule --name clock --schedule-expression 'rate(1 minute)' --flexible-time-window Mode=OFF \
    --target '{"Arn": "'$functions:clock'", "RoleArn": "arn:aws:iam::000000000000:role/any",
               "Input": "{\"due\": \"<aws.scheduler.scheduled-time>\"}"}'
logged clock "it is "
hearth schedules

step "4. A queue feeds a function. A message that it gives back twice goes to a dead-letter queue"
hearth deploy "$here/../queue-orders" --name orders
aws sqs create-queue --queue-name orders-dead
aws sqs create-queue --queue-name orders --attributes '{"VisibilityTimeout": "3", "RedrivePolicy":
    "{\"deadLetterTargetArn\": \"'$queues:orders-dead'\", \"maxReceiveCount\": 2}"}'
aws lambda create-event-source-mapping --function-name orders --event-source-arn $queues:orders \
    --function-response-types ReportBatchItemFailures
aws sqs send-message --queue-url "$AWS_ENDPOINT_URL/000000000000/orders" \
    --message-body '{"id": 1, "quantity": 2, "price": 9.5, "currency": "EUR"}'
logged orders "order 1: 19.00 EUR"

step "5. A poisoned message: the function knows no francs"
aws sqs send-message --queue-url "$AWS_ENDPOINT_URL/000000000000/orders" \
    --message-body '{"id": 2, "quantity": 1, "price": 100, "currency": "CHF"}'
# This looks into the dead-letter queue, and leaves the message there.
until aws sqs receive-message --queue-url "$AWS_ENDPOINT_URL/000000000000/orders-dead" \
    --visibility-timeout 0 --wait-time-seconds 20 | grep -F CHF; do :; done

step "6. The function is mended, and the message sent back to where it came from"
hearth deploy "$here/../queue-orders" --name orders --env 'RATES={"EUR": 1, "CHF": 1.05}'
aws sqs start-message-move-task --source-arn $queues:orders-dead
logged orders "order 2: 105.00 EUR"

step "All of it is in $work, and nowhere else"
