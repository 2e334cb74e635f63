"""What WebAssembly components keep in the platform's stores of keys and values."""

from concurrent.futures import ThreadPoolExecutor

from wasm import ask, body_of, create_component


def op(lam, function, target):
    """One operation of a guest: the status and the text of its answer."""
    payload, answer = ask(lam, function, target)
    assert "FunctionError" not in answer, payload
    return payload["statusCode"], body_of(payload).decode()


def test_what_was_answered_survives_a_kill(new_node):
    node = new_node()
    lam = node.client("lambda")
    create_component(lam, "keeper", "store", Tags={"hearth:keyvalue": "function"})
    for n in range(1, 6):
        assert op(lam, "keeper", f"/set?bucket=&key=k{n}&value={n}") == (200, "ok")
        assert op(lam, "keeper", "/increment?bucket=default&key=n&value=1") == (200, str(n))
    node.kill()
    node.start()
    lam = node.client("lambda")
    assert op(lam, "keeper", "/list?bucket=") == (200, "k1 n k2 k3 k4 k5")
    assert op(lam, "keeper", "/get?bucket=&key=k5") == (200, "some 5")
    assert op(lam, "keeper", "/increment?bucket=&key=n&value=1") == (200, "6")


def test_increments_of_many_instances_all_hold(lam, name):
    create_component(lam, name, "store", Tags={"hearth:keyvalue": "counters"})
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: op(lam, name, "/increment?bucket=counters&key=n&value=1"), range(64)))
    assert sorted(int(text) for _, text in answers) == list(range(1, 65))


def test_what_does_not_fit_is_the_functions_error_to_handle(lam, name):
    create_component(lam, name, "store", Tags={"hearth:keyvalue": "function"})
    long = "k" * 513
    status, text = op(lam, name, f"/set?bucket=&key={long}&value=v")
    assert status == 500 and "512" in text, text
    assert op(lam, name, "/fill?bucket=&key=large&bytes=4000000") == (200, "ok")
    assert op(lam, name, "/set?bucket=&key=n&value=word") == (200, "ok")
    status, text = op(lam, name, "/increment?bucket=&key=n&value=1")
    assert status == 500 and "not a number" in text, text
