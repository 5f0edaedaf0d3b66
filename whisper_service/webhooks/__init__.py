"""Webhooks: requests to users' own URLs when transcriptions have ended, by Standard Webhooks.

See github.com/standard-webhooks/standard-webhooks. A trigger in schema.sql writes each message in
the transaction that ends a transcription; here it is delivered.
"""

from whisper_service.webhooks.routes import BLUEPRINTS
from whisper_service.webhooks.sender import start

__all__ = ["BLUEPRINTS", "start"]
