"""The API of whisper-asr-webservice, as its clients know it: Bazarr, subgen's, and others.

See github.com/ahmetoner/whisper-asr-webservice. A request is answered once its work has ended.
"""

from dataclasses import replace
from typing import Any

from flask import Blueprint, Response, request

from whisper_service.files import headerless
from whisper_service.models import catalog
from whisper_service.models.catalog import ModelFile
from whisper_service.web import forms, speech
from whisper_service.web.asr import answers, detection, query
from whisper_service.web.route_options import Pool, route_options
from whisper_service.web.services import services

private = Blueprint("asr", __name__)

PATHS = ("/asr", "/detect-language")
# Before each of them a path may have `KEY_PATH` and an API key, which server/key_path.py removes.
KEY_PATH = "/key"


@private.post(PATHS[0])
@route_options(Pool.SPEECH, forms.upload_limit)
def transcribe() -> Response:
    wanted = query.read(_model())
    # These clients repeat a request after a timeout and don't say so.
    uuid = speech.join(_store(), wanted.request, assume_retry=True)
    return answers.render(speech.result(uuid), wanted.output)


@private.post(PATHS[1])
@route_options(Pool.LANGUAGE, forms.upload_limit)
def detect_language() -> dict[str, Any]:
    model = _model()
    return answers.describe(detection.detect(_store(), model))


@private.after_app_request
def _forbid_caching(response: Response) -> Response:
    """Keep URLs that may have had a key in them out of caches, whatever the answer."""
    if request.path in {*PATHS, KEY_PATH}:
        response.headers["Cache-Control"] = "no-store"
    return response


def _model() -> ModelFile:
    config = services().config.models
    return catalog.find(config.path, config.default)


def _store() -> str:
    """Store the recording of the request, and return its uuid."""
    is_headerless, storage = query.is_headerless(), services().storage
    with forms.received_upload() as received:
        sent = speech.file_part(received, "audio_file", "Missing audio_file")
        part = replace(sent, filename=query.filename() or sent.filename)
        if not is_headerless:
            return speech.store(part)
        with headerless.as_wav(part.file, storage, _max_seconds()) as wav:
            return speech.store(replace(part, file=wav))


def _max_seconds() -> int:
    return services().config.media.max_duration_seconds
