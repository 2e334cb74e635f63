#!/bin/sh
# No line for each request: what is compared is serving.
exec python3 -m uvicorn app:app --host 127.0.0.1 --port "$PORT" --no-access-log
