"""The limit: FastAPI with raw routes that answer bytes, under the server that Kinbridge runs on."""

from __future__ import annotations

import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response

JSON = "application/fhir+json; charset=utf-8"


def application(answers: dict[str, bytes]) -> FastAPI:
    """GET /name answers its bytes; POST and PUT to /echo are answered with what was sent."""
    app = FastAPI(docs_url=None, redoc_url=None)

    @app.api_route("/echo", methods=["POST", "PUT"])
    async def echo(request: Request) -> Response:
        return Response(await request.body(), media_type=JSON)

    def answering(name: str, body: bytes) -> None:
        @app.get(f"/{name}")
        async def get(_: Request) -> Response:
            return Response(body, media_type=JSON)

    for name, body in answers.items():
        answering(name, body)
    return app


if __name__ == "__main__":
    uvicorn.run(
        application({file.name: file.read_bytes() for file in Path(sys.argv[2]).iterdir()}),
        port=int(sys.argv[1]),
        log_config=None,
        access_log=False,
        server_header=False,
    )
