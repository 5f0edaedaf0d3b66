"""Uploaded files, and the models that can hear them."""

from whisper_service.files.media_types import ENDINGS
from whisper_service.web.reference.notation import (
    ANYONE,
    BY_UUID,
    FORM,
    PAGE,
    PAGE_ERRORS,
    SWITCH,
    Group,
    Operation,
    Schema,
    answer,
    body,
    content,
    header,
    in_header,
    in_query,
    listed,
    record,
    ref,
    told,
)
from whisper_service.web.reference.schemas import EXAMPLE_UUID, GIVEN_TEXT, STRING, UUID

NO_FILE = ("File not found or access denied",)
BYTES: Schema = {content_type: {} for content_type in sorted(ENDINGS)}
WHOLE_HEADERS = {
    "ETag": header("Changes once, when the converted copy takes the original's place."),
    "Accept-Ranges": header("bytes"),
    "Content-Disposition": header("inline, with the file's name"),
}

FILES = (
    Operation(
        "POST /api/v1/file",
        "uploadFiles",
        "Upload audio or video",
        told(
            record({"files": listed({"oneOf": [ref("StoredFile"), ref("RejectedFile")]})}),
            {
                "files": [
                    {
                        "message": "File uploaded successfully",
                        "filename": "interview.mp3",
                        "uuid": EXAMPLE_UUID,
                        "hash": "9d" * 32,
                        "status": {"existed": False, "uploaded": True},
                    },
                    {
                        "message": "Unsupported content type",
                        "filename": "document.pdf",
                        "status": {
                            "existed": False,
                            "uploaded": False,
                            "error": "unsupported_content_type",
                        },
                    },
                ]
            },
        ),
        about="One file or several, in form fields of any name. There is a result for each, in "
        "their order: one that is refused does not fail the others. What a file is is told from "
        "its bytes. The same bytes by the same user are the same file.",
        body={"required": True, "content": {FORM: content(ref("Uploads"))}},
        errors={400: ("No file provided",)},
    ),
    Operation(
        "GET /api/v1/file",
        "listFiles",
        "The user's files, newest first",
        told(record({"files": listed(ref("File")), "pagination": ref("Pagination")})),
        parameters=PAGE,
        errors={400: PAGE_ERRORS},
    ),
    Operation(
        "GET /api/v1/file/{uuid}",
        "downloadFile",
        "Download a file, whole or in part",
        {
            200: answer("The bytes", BYTES, headers=WHOLE_HEADERS),
            206: answer(
                "The bytes of the range",
                BYTES,
                headers=WHOLE_HEADERS | {"Content-Range": header("which bytes of how many")},
            ),
            304: {"description": "They are those that the caller has"},
        },
        ANYONE,
        "The original until the copy is made: an MP3 of audio, an MP4 of video.",
        parameters=(
            BY_UUID,
            in_header("Range", "One range of bytes, such as bytes=0-1023."),
            in_header("If-Range", "An ETag: the range is only meant for these bytes."),
            in_header("If-None-Match", "ETags of what the caller has."),
        ),
        errors={
            404: (*NO_FILE, "File not found on disk"),
            416: ("Requested Range Not Satisfiable",),
        },
    ),
    Operation(
        "PATCH /api/v1/file/{uuid}",
        "renameFile",
        "Rename a file",
        told(
            record(
                {"message": STRING, "uuid": UUID, "old_filename": STRING, "new_filename": STRING}
            ),
            {
                "message": "Filename updated successfully",
                "uuid": EXAMPLE_UUID,
                "old_filename": "interview.mp3",
                "new_filename": "new_interview_name.mp3",
            },
        ),
        about="What is unsafe to show is left out of the name: folders, control characters.",
        parameters=(BY_UUID,),
        body=body(
            record({"filename": {**GIVEN_TEXT, "maxLength": 255}}),
            {"filename": "new_interview_name.mp3"},
        ),
        errors={
            400: (
                "Missing 'filename' field in request body",
                "Filename must be between 1 and 255 characters",
            ),
            404: NO_FILE,
        },
    ),
    Operation(
        "DELETE /api/v1/file/{uuid}",
        "deleteFile",
        "Delete a file with all that was made of it",
        told(
            record({"message": STRING, "uuid": UUID, "filename": STRING}),
            {
                "message": "File deleted successfully",
                "uuid": EXAMPLE_UUID,
                "filename": "interview.mp3",
            },
        ),
        about="Its transcriptions that wait or run fail, and cost nothing. Finished ones stay.",
        parameters=(BY_UUID,),
        errors={404: NO_FILE},
    ),
)

MODELS = (
    Operation(
        "GET /api/v1/model",
        "listModels",
        "The models that can be asked for",
        told(
            record({"models": listed(ref("Model"))}),
            {"models": [{"name": "ggml-base.en", "size": 147964211}]},
        ),
        parameters=(in_query("size", SWITCH, "Tell their sizes as well."),),
        errors={400: ("size must be true or false",)},
    ),
)

GROUPS = (
    Group("Files", "Recordings. Whoever has the uuid of one may download it.", FILES),
    Group("Models", "Whisper models, by the names of their files.", MODELS),
)
