"""How ffmpeg makes a recording in each container that is served."""

from tests.support.paths import DATA

SPEECH = DATA / "austen-0930.wav"
SECONDS = 3.29
HERE = f"-i {SPEECH}"
PICTURE = f"-f lavfi -i testsrc2=size=160x120:rate=10:duration={SECONDS}"
VIDEO = f"{PICTURE} {HERE} -map 0:v -map 1:a"
LONGER = PICTURE.replace(str(SECONDS), "8")
H264 = "-c:v libx264 -preset ultrafast"
HEVC = "-c:v libx265 -preset ultrafast -x265-params log-level=error"
VP8 = "-c:v libvpx -deadline realtime -cpu-used 8"
VP9 = "-c:v libvpx-vp9 -deadline realtime -cpu-used 8"
# Name -> how ffmpeg makes it, what it is to be taken for while it is converted.
AUDIO = {
    "talk.mp3": ("-b:a 64k", "audio/mpeg mp3"),
    "talk.wav": ("", "audio/wav pcm_s16le"),
    "talk.flac": ("", "audio/flac flac"),
    "talk.m4a": ("-c:a aac", "audio/mp4 aac"),
    "talk.aac": ("-c:a aac", "audio/aac aac"),
    "talk.ogg": ("-c:a libvorbis", "audio/ogg vorbis"),
    "talk.opus": ("-c:a libopus", "audio/ogg opus"),
    "talk.webm": ("-c:a libopus", "audio/x-matroska opus"),
    "talk.wma": ("-c:a wmav2", "audio/x-ms-wma wmav2"),
    "talk.aiff": ("", "audio/aiff pcm_s16be"),
    # No program writes files that end in .alac; the codec lives in M4A and CAF.
    "talk.alac": ("-c:a alac -f ipod", "audio/mp4 alac"),
}
VIDEOS = {
    "film.mp4": (f"{H264} -c:a aac", "video/mp4 aac h264"),
    "film.mov": ("-c:v mjpeg -c:a pcm_s16be", "video/mp4 pcm_s16be mjpeg"),
    "film.avi": ("-c:v mpeg4 -c:a mp3", "video/x-msvideo mp3 mpeg4"),
    # There is no encoder of WMV 9 (wmv3), only of its forerunners.
    "film.wmv": ("-c:v wmv2 -c:a wmav2", "video/x-ms-wmv wmav2 wmv2"),
    "film.mpeg": ("-r 25 -c:v mpeg1video -c:a mp2", "video/mpeg mp2 mpeg1video"),
    # What telephones recorded: AMR at its best, H.263 in one of the sizes that it knows.
    "film.3gp": (
        "-s 176x144 -c:v h263 -c:a libopencore_amrnb -ar 8000 -b:a 12.2k",
        "video/mp4 amr_nb h263",
    ),
    "film.mkv": (f"{HEVC} -c:a flac", "video/x-matroska flac hevc"),
    "film.webm": (f"{VP9} -c:a libopus", "video/x-matroska opus vp9"),
    "film.flv": ("-c:v flv -c:a mp3 -ar 44100", "video/x-flv mp3 flv1"),
    "film.ts": (f"{H264} -c:a aac", "video/mp2t aac h264"),
    # A camcorder's: packets of 192 bytes, Dolby sound.
    "film.mts": (f"{H264} -c:a ac3 -f mpegts -mpegts_m2ts_mode 1", "video/mp2t ac3 h264"),
    "film.vob": ("-r 25 -c:v mpeg2video -c:a ac3 -ar 48000", "video/mpeg ac3 mpeg2video"),
    # There are encoders neither of RealVideo 3 and 4, which RMVB files mostly hold, nor of cook.
    "film.rmvb": (
        "-s 176x144 -c:v rv20 -c:a ac3 -f rm",
        "application/vnd.rn-realmedia ac3 rv20",
    ),
    "film.divx": ("-c:v mpeg4 -vtag DIVX -c:a mp3 -f avi", "video/x-msvideo mp3 mpeg4"),
}
# One of each family of containers.
REPRESENTATIVES = {
    *("talk.mp3", "talk.flac", "talk.aac", "talk.ogg", "talk.aiff", "talk.amr", "talk.ac3"),
    *("talk.w64", "talk.caf", "film.mp4", "film.avi", "film.wmv", "film.mpeg", "film.mkv"),
    *("film.flv", "film.ts", "film.rmvb"),
}
# What else people have, as the copies alone show.
MORE_AUDIO = {
    "talk.amr": ("-c:a libopencore_amrnb -ar 8000 -b:a 12.2k", "audio/amr amr_nb"),
    "talk.ac3": ("-ar 48000", "audio/ac3 ac3"),
    "talk.eac3": ("-ar 48000", "audio/eac3 eac3"),
    "talk.mp2": ("", "audio/mpeg mp2"),
    "talk.w64": ("", "audio/x-w64 pcm_s16le"),
    "talk.caf": ("-c:a alac", "audio/x-caf alac"),
    "talk.mka": ("-c:a libvorbis", "audio/x-matroska vorbis"),
    "only-sound.mp4": ("-c:a aac", "audio/mp4 aac"),
    "only-sound.mkv": ("-c:a aac", "audio/x-matroska aac"),
    "only-sound.avi": ("-c:a pcm_s16le", "audio/x-msvideo pcm_s16le"),
    "only-sound.ts": ("-c:a aac", "audio/mp2t aac"),
    "only-sound.flv": ("-c:a mp3 -ar 44100", "audio/x-flv mp3"),
    "only-sound.rm": ("-c:a ac3 -f rm", "audio/vnd.rn-realaudio ac3"),
    "surround.wav": (
        "-af pan=5.1|FC=c0 -ar 96000 -c:a pcm_f32le",
        "audio/wav pcm_f32le",
    ),
    "telephone.wav": ("-ar 8000 -c:a pcm_mulaw", "audio/wav pcm_mulaw"),
    "eight-bits.wav": ("-ar 8000 -c:a pcm_u8", "audio/wav pcm_u8"),
    "stereo.wav": ("-ac 2 -ar 44100 -c:a pcm_s24le", "audio/wav pcm_s24le"),
}
MORE_VIDEOS = {
    "film.ogv": ("-c:v libtheora -c:a libvorbis", "video/ogg vorbis theora"),
    "av1.mkv": ("-c:v libsvtav1 -preset 12 -c:a libopus", "video/x-matroska opus av1"),
    "old.webm": (f"{VP8} -c:a libvorbis", "video/x-matroska vorbis vp8"),
    "camera.avi": ("-c:v rawvideo -c:a pcm_s16le", "video/x-msvideo pcm_s16le rawvideo"),
    "camera.mov": ("-c:v prores -c:a pcm_s24le", "video/mp4 pcm_s24le prores"),
    "dnxhr.mov": (
        "-c:v dnxhd -profile:v dnxhr_lb -pix_fmt yuv422p -s 256x128 -c:a pcm_s16le",
        "video/mp4 pcm_s16le dnxhd",
    ),
    "cineform.mov": ("-c:v cfhd -c:a pcm_s16le", "video/mp4 pcm_s16le cfhd"),
    "archive.mkv": ("-c:v ffv1 -c:a flac", "video/x-matroska flac ffv1"),
    "capture.avi": ("-c:v huffyuv -c:a pcm_s16le", "video/x-msvideo pcm_s16le huffyuv"),
    "capture2.avi": ("-c:v utvideo -c:a pcm_s16le", "video/x-msvideo pcm_s16le utvideo"),
    "screen.mov": ("-c:v qtrle -c:a pcm_s16be", "video/mp4 pcm_s16be qtrle"),
    "screen.flv": ("-c:v flashsv -c:a mp3 -ar 44100", "video/x-flv mp3 flashsv"),
    "screen2.flv": ("-c:v flashsv2 -c:a mp3 -ar 44100", "video/x-flv mp3 flashsv2"),
    "screen.avi": ("-c:v zmbv -c:a pcm_s16le", "video/x-msvideo pcm_s16le zmbv"),
    "broadcast.ts": (
        "-r 25 -c:v mpeg2video -c:a aac -mpegts_flags latm",
        "video/mp2t aac_latm mpeg2video",
    ),
    "frames-out-of-order.avi": (
        "-c:v libx264 -bf 3 -c:a mp3",
        "video/x-msvideo mp3 h264",
    ),
    "ten-channels.mkv": (
        "-c:v mpeg4 -af pan=5.1.4|FC=c0 -c:a pcm_s16le",
        "video/x-matroska pcm_s16le mpeg4",
    ),
    "fragments.mp4": (
        f"{H264} -c:a aac -movflags frag_keyframe+empty_moov",
        "video/mp4 aac h264",
    ),
}
