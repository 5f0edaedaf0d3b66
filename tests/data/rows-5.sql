INSERT INTO user VALUES (1, '00000000000000000000000000000001', 'ann', 'x', 1, 5, 989, 1000000, NULL);
INSERT INTO session VALUES (1, '00000000000000000000000000000002', 1, 5, 'browser');
INSERT INTO api_token VALUES (1, '00000000000000000000000000000003', 1, 'key', 'h', 'ab', 'yz', 5);
INSERT INTO file VALUES (1, '00000000000000000000000000000004', 1, '00000000000000000000000000000000000000000000000000000000000000ab', 'talk.mp3', 'audio', 'ready', NULL,
    'audio/mpeg', 9, 176000, 11, 5);
INSERT INTO transcript VALUES (1, '00000000000000000000000000000004', 'ggml-base', '1', 'auto', '{}', '');
INSERT INTO transcript VALUES (2, '00000000000000000000000000000004', 'ggml-base', '1', 'de', '{"text": "Köln am Rhein. 東京大学", "language": "de", "duration": 11.0,
    "segments": [{"start": 0.0, "end": 5.5, "text": "Köln am Rhein."}, {"start": 5.5, "end": 11.0, "text": "東京大学"}], "task": "transcribe"}', '');
INSERT INTO checkpoint VALUES ('00000000000000000000000000000004', 'ggml-base', '1', 'en', '', 0, 9, '{}');
INSERT INTO transcription VALUES (1, '00000000000000000000000000000005', 1, '00000000000000000000000000000004', 'ggml-base', '1', 'auto', 'srt',
    'completed', NULL, 5, 6, 1, 0, '00000000000000000000000000000006', 176000, 176000, 1, '', NULL, 0);
INSERT INTO transcription VALUES (2, '00000000000000000000000000000008', 1, '00000000000000000000000000000004', 'ggml-base', '1', 'auto', 'srt', 'failed',
    'Insufficient token balance. Required: 11, Available: 3', 5, 0, 0, 0, NULL, NULL, NULL, NULL, '', 'insufficient_balance', 0);
INSERT INTO transcription VALUES (3, '00000000000000000000000000000009', 1, '00000000000000000000000000000004', 'ggml-base', '1', 'auto', 'srt', 'failed',
    'The recording could not be decoded', 5, 0, 0, 0, NULL, NULL, NULL, NULL, '', NULL, 0);
INSERT INTO transcription VALUES (4, '0000000000000000000000000000000a', 1, '00000000000000000000000000000004', 'ggml-base', '1', 'de', 'srt',
    'completed', NULL, 5, 7, 0, 0, '0000000000000000000000000000000b', 176000, 176000, 2, '', NULL, 0);
INSERT INTO ledger VALUES (1, '00000000000000000000000000000007', '', 'grant', 1000, 5);
INSERT INTO ledger VALUES (1, '00000000000000000000000000000005', '00000000000000000000000000000006', 'charge', -11, 6);
INSERT INTO searchable VALUES (1, 2, 2, NULL);
INSERT INTO segment_search VALUES ('u1xkoln u1xam u1xrhein', 'Köln am Rhein.', 0.0, 5.5), ('u1x東 u1x京 u1x大 u1x学', '東京大学', 5.5, 11.0);
