"""Values that cause trouble somewhere: numbers, texts, names, headers and bodies."""

# Numbers and texts of JSON that are trouble somewhere, as they are written in a body.
ODD_JSON = [
    *("null", "true", "false", "0", "-0", "-0.0", "-1", "1e400", "-1e400", "1e-400", "NaN"),
    *("1e99999999999999999999", "1E-99999999999999999999", "0.0000001", "Infinity", "-Infinity"),
    *("9223372036854775807", "9223372036854775808", "-9223372036854775809", "1" + "0" * 4000),
    *("1" + "0" * 5000, "0." + "1" * 5000, "1e15", "1000000000000001", "1000.0000001", "01", "1."),
    *('""', '" "', '"\\u0000"', '"\\ud800"', '"\\udfff\\ud800"', '"\\uffff"', '"\\x00"', '"\n"'),
    *('"<b>"', '"%00"', '"../../etc/passwd"', '"\u202e"', '"é\u0301"', '"😀"', '"\\ud83d\\ude00"'),
    *('"' + "x" * 5000 + '"', '"' + "Aa1!" * 300 + '"', "[]", "{}", '[""]', "[null]", "[[]]"),
    *("[1, 2]", '{"a": 1}', '["srt", 1]', '["srt", "srt"]', '["srt", "SRT"]', "'srt'", ""),
    *("[" * 1200, "[" * 1200 + "]" * 1200, '{"a":' * 1200 + "1" + "}" * 1200, '["x",' * 900),
]
ODD_BODIES = [
    *(
        b"",
        b" ",
        b"null",
        b"[]",
        b"{",
        b"}",
        b"{}{}",
        b'"',
        b"\xff\xfe",
        b"\x00",
        b"\xef\xbb\xbf{}",
    ),
    *(b"[" * 60_000, b'{"a":' * 12_000, b"{" + b'"a":1,' * 10_000 + b'"a":1}', b"x" * 70_000),
    *('{"username": "ann"}'.encode("utf-16"), b'{"username": "\xff"}', b'{"name": "\xed\xa0\x80"}'),
    *(b"a=1&b=2", b"<a/>", b"%00", b'{"name": "x"}\n\n', b'{"name": "a", "name": "b"}', b"1e9999"),
]
ODD_SEGMENTS = [
    *("%00", "%ff", "%2e%2e", "..", ".", "%2f", "%25", "%0d%0a", "é", "%C3%A9", "😀", "%u0041"),
    *("x" * 5000, "0" * 31, "0" * 33, "0" * 32, "g" * 32, " ", "%20", "+", "null", "-1", "*", ";"),
    *("0" * 32 + "%00", "0" * 32 + "%0a", "%EF%BC%90" * 32, "{}", "''", "//", "a/b", "%", "%zz"),
]
ODD_TYPES = [
    *("", "application/json", "application/json; charset=utf-16", "application/json; charset=x"),
    *("text/xml", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"),
    *("multipart/form-data; boundary=", 'multipart/form-data; boundary="', "multipart/mixed"),
    *("multipart/form-data; boundary=" + "x" * 500, "multipart/form-data; boundary=\xff", "/"),
    *("multipart/form-data; boundary=x; boundary=y", "multipart/form-data; boundary*=utf-8''%ff"),
    *("\xff", ";", "a/b; c", "multipart/form-data; charset=utf-7; boundary=x"),
]
ODD_HEADERS = {
    "Content-Type": ODD_TYPES,
    "Authorization": [
        *("", "Basic", "Basic ", "Bearer", "Bearer  ", "Digest x", "\xff\xfe", "Basic \xff\xfe"),
        *("Basic YW5uOnBhc3N3b3Jk", "Basic " + "A" * 8000, "Bearer " + "0" * 32, "basic\t0", ":"),
        *(
            "Bearer " + "g" * 32,
            "Bearer a b",
            "Basic =",
            "Negotiate " + "A" * 500,
            " ",
            "Basic \x00",
        ),
        *("Bearer \xb2" * 4, "Digest username=\xff", 'Digest username="', "Basic " + "f" * 31),
    ],
    "Range": [
        *("bytes", "bytes=", "bytes=-", "bytes=-1", "bytes=0-", "bytes=-0", "bytes=5-1", "x"),
        *(
            "bytes=" + "9" * 5000 + "-",
            "bytes=0-" + "9" * 5000,
            "bytes=-" + "9" * 5000,
            "\xb2=\xb2-",
        ),
        *(
            "bytes=" + "0-0," * 2000 + "1-1",
            "bytes=\xb2-\xb3",
            "bytes=1-2-3",
            "bytes=--1",
            "lines=1-",
        ),
        *("bytes = 1 - 2", "bytes=1-,", "bytes=,", "bytes=\x00", "bytes=1e3-", "=", "bytes=0-\xb2"),
    ],
    "If-Range": ["", "*", '"', "W/", '"x"', "\xff", "Wed, 99 Oct 9999 99:99:99 GMT", "0", '"\xff"'],
    "If-None-Match": ["", "*", '"', 'W/"', '"x", ' * 1000, "\xff", ",,,", '"a" "b"'],
    "If-Modified-Since": ["", "0", "\xff", "Wed, 99 Oct 9999 99:99:99 GMT", "9" * 5000],
    "If-Match": ["", "*", '"x"'],
    "Host": ["", "localhost:99999", "\xff", "a b", "[::1", "x" * 5000, "a/b", ":", "localhost:x"],
    "User-Agent": ["", "\xff\xfe", "x" * 5000, "\x01"],
    "Cookie": ["", "=", "a=\xff", "session=" + "x" * 3000, ";;;"],
    "Accept": ["", "text/html", "*/*;q=x", "\xff"],
    "X-Http-Method-Override": ["DELETE"],
    "X-Forwarded-For": ["\xff", "1.2.3.4"],
    "Content-Encoding": ["gzip", "\xff"],
    "Expect": ["100-continue", "x"],
}
ODD_QUERIES = [
    *("page=-1", "page=0", "page=1e9", "page=999999999999", "page=9999999999999999999", "page="),
    *("limit=%D9%A3", "limit=0", "limit=101", "limit=1.0", "limit=+1", "limit=%2B1", "limit=1_0"),
    *("page=1&page=2", "page=%00", "page=%ff", "limit=%", "limit=%zz", "=", "&&&", "?", "\xb2=1"),
    *("size=true", "size=1", "size=maybe", "size=%ff", "size=TRUE", "size", "page=2&limit=100"),
    *(
        "limit=" + "9" * 5000,
        "a=" * 5000,
        "page=\xb2",
        "page=1&limit=10",
        "page[]=1",
        "page=1;limit=1",
    ),
]
ODD_NAMES = [
    *("a.wav", "", " ", "../../x", "a\\b", 'a"b.wav', "a\r\nX-Evil: 1", "é😀.wav", "x" * 3000),
    *("\x00", "\u202egnp.wav", "a\u2028b", "%00", "C:\\x", "\udcff", "filename=x", "'", ";"),
]
METHODS = ["HEAD", "OPTIONS", "PUT", "TRACE", "PATCH", "DELETE", "POST", "GET", "CONNECT", "BREW"]
JSON = "application/json"
ODD_PARTS = [
    *(b"--x\r\n\r\nno header\r\n", b"--x\r\nContent-Disposition: form-data\r\n\r\nx\r\n"),
    *(b"--x\r\nContent-Disposition: attachment; name=a\r\n\r\nx\r\n", b"--x", b"--y\r\n\r\n"),
    b"--x\r\nContent-Disposition: form-data; name*=utf-8''%ff; filename*=x'y'%e2%28\r\n\r\nx\r\n",
    b"--x\r\n" + b"A: b\r\n" * 5000 + b"\r\nx\r\n",
    b"--x\r\nContent-Type: a/b; charset=utf-16\r\nContent-Disposition: a; name=b\r\n\r\n\xff\r\n",
    b"--x\r\nContent-Length: -1\r\nContent-Disposition: form-data; name=file\r\n\r\nx\r\n",
]
