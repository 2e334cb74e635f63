import sys


def lambda_handler(event, context):
    name = event.get("name", "world") if isinstance(event, dict) else "world"
    return {
        "message": f"Hello, {name}!",
        "runtime": "Python %d.%d.%d" % sys.version_info[:3],
        "functionVersion": context.function_version,
        "requestId": context.aws_request_id,
    }
