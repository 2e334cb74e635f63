"""JSON in and out, as Lambda does it: NaN and Infinity pass both ways, `Decimal` becomes a number, bytes inside a
result become text, and from Python 3.12 on text is written as UTF-8 instead of being escaped.

The C scanner and encoder behind `json` are used directly, since importing `json` brings in `re` and costs more than
the rest of this runtime. Where they are missing or refuse, `json` itself takes over and words the error.
"""

import sys

_WHITESPACE = " \t\n\r"
_ENSURE_ASCII = sys.version_info < (3, 12)


class MarshalError(Exception):
    """The result has no JSON form."""


class UnmarshalError(Exception):
    """The event is not JSON."""


class _ScannerOptions:
    strict = True
    object_hook = None
    object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = {"NaN": float("nan"), "Infinity": float("inf"), "-Infinity": float("-inf")}.__getitem__
    memo = {}


try:
    from _json import encode_basestring, encode_basestring_ascii, make_encoder, make_scanner

    _scan = make_scanner(_ScannerOptions)
    # `None` for the markers would switch the check for circular references off.
    make_encoder({}, None, encode_basestring, None, ": ", ", ", False, False, True)
except (ImportError, AttributeError, TypeError):  # another implementation of Python, or changed internals
    _scan = None


def loads(body):
    """The event of an invocation. Raises `UnmarshalError`."""
    try:
        text = body.decode("utf-8")
        if _scan is not None:
            stripped = text.strip(_WHITESPACE)
            try:
                value, end = _scan(stripped, 0)
                if end == len(stripped):
                    return value
            except (StopIteration, SystemError, ValueError):
                pass  # `json` reports the same error with its position
        import json

        return json.loads(text)
    except Exception as error:
        raise UnmarshalError("Unable to unmarshal input: %s" % error) from None


class _Default:
    """What the encoder asks for values that JSON does not know.

    The encoder has no way to emit raw text, so a number in full precision leaves as a marked string, and `finish`
    takes the marks and their quotes away. The mark is random: no result contains it by chance.
    """

    mark = None

    def __init__(self):
        self.marked = False

    def __call__(self, value):
        if isinstance(value, bytes):
            return value.decode("utf-8")
        decimal = sys.modules.get("decimal")  # not imported: then nothing is a Decimal
        if decimal is not None and isinstance(value, decimal.Decimal):
            if value.is_nan():
                return float("nan")
            self.marked = True
            if _Default.mark is None:
                import os

                _Default.mark = os.urandom(16).hex()
            return "<%s>%s</%s>" % (_Default.mark, value, _Default.mark)
        raise TypeError("Object of type %s is not JSON serializable" % type(value).__name__)

    def finish(self, text):
        if self.marked:
            return text.replace('"<%s>' % _Default.mark, "").replace('</%s>"' % _Default.mark, "")
        return text


def _encode(value, ensure_ascii):
    default = _Default()
    if _scan is not None:
        text = encode_basestring_ascii if ensure_ascii else encode_basestring
        encoder = make_encoder({}, default, text, None, ": ", ", ", False, False, True)
        return default.finish("".join(encoder(value, 0)))
    import json

    return default.finish(json.dumps(value, default=default, ensure_ascii=ensure_ascii))


def dumps(value, ensure_ascii=_ENSURE_ASCII):
    """`value` as JSON in UTF-8. Raises what the encoder raises."""
    try:
        return _encode(value, ensure_ascii).encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair has no UTF-8 form, but it has a JSON escape
        return _encode(value, True).encode("ascii")


def marshal(result):
    """The body and content type of a result. Raises `MarshalError`."""
    if isinstance(result, bytes):
        return result, b"application/unknown"
    try:
        return dumps(result), b"application/json"
    except Exception as error:
        raise MarshalError("Unable to marshal response: %s" % error) from None
