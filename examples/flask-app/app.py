"""A Flask application as its own documentation would have it."""

import os

from flask import Flask, Response, jsonify

app = Flask(__name__)


@app.get("/")
@app.get("/<name>")
def hello(name="world"):
    return jsonify(message=f"Hello, {name}!")


@app.get("/count/<int:number>")
def count(number):
    """A response that is sent as it is made."""
    return Response((f"{n}\n" for n in range(number)), mimetype="text/plain")


if __name__ == "__main__":
    app.run("127.0.0.1", int(os.environ.get("PORT", 8080)), threaded=True)
