"""The hello of the benchmarks, for Lambda's runtimes and for functions-framework."""


def lambda_handler(event, context):
    return {"hello": event["name"]}


def http(request):
    return {"hello": request.get_json()["name"]}


def hello(request):
    return {"message": "Hello, World!"}
