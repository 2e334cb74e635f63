"""Prices orders that come in by a queue. RATES says which currencies are known."""

import json
import os

RATES = json.loads(os.environ.get("RATES", '{"EUR": 1}'))


def price(order):
    return order["quantity"] * order["price"] * RATES[order["currency"]]


def lambda_handler(event, context):
    failed = []
    for record in event["Records"]:
        try:
            order = json.loads(record["body"])
            print(f"order {order['id']}: {price(order):.2f} EUR")
        except Exception as error:
            # This message comes again; the others of the batch are done with.
            print(f"message {record['messageId']} failed: {error!r}")
            failed.append({"itemIdentifier": record["messageId"]})
    return {"batchItemFailures": failed}
