"""The tables of schema.sql for Peewee. They are not called models, which are Whisper's here."""

from peewee import BlobField, CompositeKey, IntegerField, Model, TextField

from whisper_service.db import database

# The statuses of a transcription that has not ended.
UNFINISHED = ("pending", "processing")


class Table(Model):
    class Meta:
        database = database


class User(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    username = TextField()
    password_hash = TextField()
    is_admin = IntegerField(default=0)
    registered_at = IntegerField()
    token_balance = IntegerField(default=0)
    price_micros = IntegerField(default=1_000_000)
    avatar_uuid = TextField(null=True)


class Session(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    user_id = IntegerField()
    started_at = IntegerField()
    user_agent = TextField()


class ApiKey(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    user_id = IntegerField()
    name = TextField()
    key_hash = TextField()
    key_start = TextField()
    key_end = TextField()
    created_at = IntegerField()

    class Meta:
        table_name = "api_token"


class File(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    user_id = IntegerField()
    hash = TextField()
    filename = TextField()
    kind = TextField()
    status = TextField()
    error = TextField(null=True)
    content_type = TextField()
    size_bytes = IntegerField()
    samples = IntegerField(null=True)
    claimed_seconds = IntegerField(null=True)
    uploaded_at = IntegerField()


class StoredTranscript(Table):
    id = IntegerField(primary_key=True)
    file_uuid = TextField()
    model = TextField()
    model_version = TextField()
    language = TextField()
    data = TextField()
    options = TextField(default="")

    class Meta:
        table_name = "transcript"


class Checkpoint(Table):
    file_uuid = TextField()
    model = TextField()
    model_version = TextField()
    language = TextField()
    options = TextField()
    start = IntegerField()
    stop = IntegerField()
    data = TextField()

    class Meta:
        primary_key = CompositeKey(
            "file_uuid", "model", "model_version", "language", "options", "start", "stop"
        )


class Transcription(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    user_id = IntegerField()
    file_uuid = TextField()
    model = TextField()
    model_version = TextField()
    language = TextField()
    format = TextField()
    status = TextField(default="pending")
    error = TextField(null=True)
    created_at = IntegerField()
    processed_at = IntegerField(default=0)
    attempts = IntegerField(default=0)
    idle_starts = IntegerField(default=0)
    claim = TextField(null=True)
    samples = IntegerField(null=True)
    speech_samples = IntegerField(null=True)
    transcript_id = IntegerField(null=True)
    options = TextField(default="")
    error_code = TextField(null=True)
    revision = IntegerField(default=0)


class Correction(Table):
    transcription_id = IntegerField(primary_key=True)
    data = TextField()


class Searchable(Table):
    first_row = IntegerField(primary_key=True)
    last_row = IntegerField()
    transcript_id = IntegerField(null=True)
    correction_of = IntegerField(null=True)


class Unsearchable(Table):
    first_row = IntegerField(primary_key=True)
    last_row = IntegerField()


class LedgerEntry(Table):
    user_id = IntegerField()
    subject = TextField()
    claim = TextField()
    kind = TextField()
    amount = IntegerField()
    at = IntegerField()

    class Meta:
        table_name = "ledger"
        primary_key = CompositeKey("subject", "claim", "kind")


class Watched(Table):
    path = BlobField(primary_key=True)
    size = IntegerField()
    mtime_ns = IntegerField()
    file_uuid = TextField(null=True)
    transcription_uuid = TextField(null=True)
    error = TextField(null=True)
    is_done = IntegerField(default=0)
    results = TextField(default="")


class Upload(Table):
    uuid = TextField(primary_key=True)
    user_id = IntegerField()
    metadata = TextField()
    filename = TextField()
    size_bytes = IntegerField()
    expires_at = IntegerField()
    file_uuid = TextField(null=True)
    existed = IntegerField(null=True)
    error = TextField(null=True)
    error_code = TextField(null=True)

    @property
    def has_ended(self) -> bool:
        return self.file_uuid is not None or self.error is not None


class WebhookEndpoint(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    user_id = IntegerField()
    url = TextField()
    secret = TextField()
    old_secrets = TextField(default="[]")
    created_at = IntegerField()
    disabled_reason = TextField(null=True)
    failing_since = IntegerField(default=0)
    waiting = IntegerField(default=0)
    turn = IntegerField(default=0)

    class Meta:
        table_name = "webhook_endpoint"


class WebhookMessage(Table):
    id = IntegerField(primary_key=True)
    uuid = TextField()
    endpoint_id = IntegerField()
    type = TextField()
    transcription_uuid = TextField(null=True)
    file_uuid = TextField(null=True)
    format = TextField(null=True)
    model = TextField(null=True)
    error_code = TextField(null=True)
    created_at = IntegerField()
    due_at = IntegerField()
    attempts = IntegerField(default=0)

    class Meta:
        table_name = "webhook_message"


class WebhookAttempt(Table):
    id = IntegerField(primary_key=True)
    endpoint_id = IntegerField()
    message_uuid = TextField()
    type = TextField()
    transcription_uuid = TextField(null=True)
    number = IntegerField()
    at = IntegerField()
    http_status = IntegerField(null=True)
    error = TextField(null=True)
    next_at = IntegerField()

    class Meta:
        table_name = "webhook_attempt"
