"""The least that FastAPI on uvicorn can do with a POST: the floor of the webhook. `python -m … PORT`."""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()


@app.post("/")
async def take(request: Request) -> Response:
    """Read the body and answer."""
    await request.body()
    return Response(b'{"status":"accepted"}', media_type="application/json")


def main() -> None:
    """Serve on the port given, 127.0.0.1 only."""
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), access_log=False, log_level="warning")


if __name__ == "__main__":
    main()
