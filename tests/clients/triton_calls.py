"""Asks the gateway by Triton's own clients, left at their defaults; prints what they read.

Run by the interpreter of ``.clients``: ``triton_calls.py HTTP_ADDRESS GRPC_ADDRESS TOKEN ROWS.json``.
"""

import json
import sys

import numpy as np
import tritonclient.grpc
import tritonclient.http


def asked(module, rows):
    inputs = []
    for name in rows[0]:
        cells = [row[name] for row in rows]
        if any(isinstance(cell, str) for cell in cells):
            values = np.array([str(cell) for cell in cells], dtype=object).reshape(-1, 1)
            given = module.InferInput(name, list(values.shape), "BYTES")
        else:
            values = np.array([np.nan if cell is None else cell for cell in cells], dtype=np.float64).reshape(-1, 1)
            given = module.InferInput(name, list(values.shape), "FP64")
        given.set_data_from_numpy(values)
        inputs.append(given)
    return inputs


def read(result):
    labels = result.as_numpy("prediction")
    return {
        "prediction": [cell.decode() if isinstance(cell, bytes) else cell for cell in labels.tolist()],
        "probability": result.as_numpy("probability").tolist(),
    }


def main():
    http, rpc, token, path = sys.argv[1:]
    with open(path, encoding="utf-8") as stream:
        rows = json.load(stream)
    headers = {"authorization": f"Bearer {token}"}  # handed over as a copy: the HTTP client adds entries to it
    found = {}
    with tritonclient.http.InferenceServerClient(http) as client:
        found["http_ready"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("demo")]
        found["http_metadata"] = client.get_model_metadata("demo", headers=dict(headers))
        found["http"] = read(client.infer("demo", asked(tritonclient.http, rows), headers=dict(headers)))
        wanted = [tritonclient.http.InferRequestedOutput("probability", binary_data=False)]
        plain = client.infer(
            "demo", asked(tritonclient.http, rows), outputs=wanted, headers=dict(headers), model_version="1"
        )
        found["http_json"] = plain.as_numpy("probability").tolist()
        try:
            client.infer("demo", asked(tritonclient.http, rows)[:1], headers=dict(headers))
        except tritonclient.utils.InferenceServerException as error:
            found["http_error"] = [error.status(), error.message()]
    with tritonclient.grpc.InferenceServerClient(rpc) as client:
        found["grpc_ready"] = [client.is_server_live(), client.is_server_ready(), client.is_model_ready("demo", "1")]
        found["grpc_not_ready"] = client.is_model_ready("demo", "7")
        metadata = client.get_model_metadata("demo", headers=dict(headers), as_json=True)
        found["grpc_inputs"] = [each["name"] for each in metadata["inputs"]]
        found["grpc"] = read(client.infer("demo", asked(tritonclient.grpc, rows), headers=dict(headers)))
        for name, given, sent in (
            ("grpc_error", asked(tritonclient.grpc, rows)[:1], headers),
            ("grpc_stranger", asked(tritonclient.grpc, rows), {}),
        ):
            try:
                client.infer("demo", given, headers=sent)
            except tritonclient.utils.InferenceServerException as error:
                found[name] = [error.status(), error.message()]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
