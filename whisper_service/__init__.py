"""A self-hosted transcription service: uploads in, Whisper's words out as JSON, SRT or VTT."""
