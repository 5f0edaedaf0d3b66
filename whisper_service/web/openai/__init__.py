"""OpenAI's audio API at `/v1`, as its clients know it.

See platform.openai.com/docs/api-reference/audio. A request is answered once the transcription has
ended; with `stream`, the text is sent while it is made.
"""

from typing import Any

from flask import Blueprint, Response

from whisper_service.web import forms, speech
from whisper_service.web.openai import answers, form, models, streaming
from whisper_service.web.route_options import Pool, route_options

private = Blueprint("openai", __name__)


@private.post("/audio/transcriptions")
@route_options(Pool.SPEECH, forms.upload_limit)
def transcribe() -> Response:
    return _answer(translate=False)


@private.post("/audio/translations")
@route_options(Pool.SPEECH, forms.upload_limit)
def translate() -> Response:
    return _answer(translate=True)


@private.get("/models")
def list_models() -> dict[str, Any]:
    return {"object": "list", "data": models.available()}


@private.get("/models/<name>")
def model(name: str) -> dict[str, Any]:
    return models.describe(name, models.find(name))


def _answer(*, translate: bool) -> Response:
    with forms.received_upload() as received:
        part = speech.file_part(received, "file", "Missing file")
        wanted = form.read(received.texts, translate=translate)
        file_uuid = speech.store(part)
    uuid = speech.join(file_uuid, wanted.request)
    if wanted.stream:
        return streaming.respond(uuid, with_logprobs=wanted.with_logprobs)
    return answers.render(speech.result(uuid), wanted)
