"""What `transcribe` consists of: recordings transcribed where they are, without a server."""
