"""Says for which time it was called."""


def lambda_handler(event, context):
    print(f"it is {event['due']}")
