"""A client for tests: plain HTTP/1.1, nothing between."""

import http.client
import json
import secrets


def call(address, method, path, body=None, headers=None, timeout=60):
    """(status, headers, decoded JSON or bytes)."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    headers = dict(headers or {})
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
        headers.setdefault("Content-Type", "application/json")
    try:
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
    finally:
        connection.close()
    kind = answer.headers.get("Content-Type", "")
    return answer.status, answer.headers, json.loads(content) if "json" in kind else content


def form(fields, files):
    """The body and headers of a form."""
    border = secrets.token_hex(8)
    parts = [
        f'--{border}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode()
        for name, value in fields.items()
    ]
    for name, (file, content) in files.items():
        head = f'--{border}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"'
        parts.append(f"{head}\r\n\r\n".encode() + content + b"\r\n")
    body = b"".join(parts) + f"--{border}--\r\n".encode()
    return body, {"Content-Type": f"multipart/form-data; boundary={border}"}


def events(address, path, timeout=60):
    """(name, decoded data) of server-sent events until the stream ends."""
    connection = http.client.HTTPConnection(*address, timeout=timeout)
    connection.request("GET", path)
    answer = connection.getresponse()
    assert answer.status == 200
    name = ""
    for line in answer:
        field, _, value = line.decode().strip().partition(": ")
        if field == "event":
            name = value
        elif field == "data":
            yield name, json.loads(value)
    connection.close()
