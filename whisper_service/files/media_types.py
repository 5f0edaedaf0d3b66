"""What ffmpeg may open: containers with their media types, and decoders."""

# The formats of avatars. SVG is not one of them: it may hold scripts.
PICTURE_DEMUXERS = "gif,jpeg_pipe,png_pipe,webp_pipe"
PICTURE_DECODERS = "gif,mjpeg,png,webp"
# File name extensions by media type.
ENDINGS = {
    "application/vnd.rn-realmedia": ".rmvb",
    "audio/aac": ".aac",
    "audio/ac3": ".ac3",
    "audio/aiff": ".aiff",
    "audio/amr": ".amr",
    "audio/eac3": ".eac3",
    "audio/flac": ".flac",
    "audio/mp2t": ".ts",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "audio/vnd.rn-realaudio": ".ra",
    "audio/wav": ".wav",
    "audio/x-caf": ".caf",
    "audio/x-flv": ".flv",
    "audio/x-matroska": ".mka",
    "audio/x-ms-wma": ".wma",
    "audio/x-msvideo": ".avi",
    "audio/x-w64": ".w64",
    "video/mp2t": ".ts",
    "video/mp4": ".mp4",
    "video/mpeg": ".mpeg",
    "video/ogg": ".ogv",
    "video/x-flv": ".flv",
    "video/x-matroska": ".mkv",
    "video/x-ms-wmv": ".wmv",
    "video/x-msvideo": ".avi",
}
# Extensions in use for such files.
KNOWN_ENDINGS = frozenset(ENDINGS.values()) | set(
    ".3g2 .3gp .aif .alac .divx .f4v .m2ts .m4b .m4v .mov .mp2 .mpg .mts .oga .opus .rm .vob "
    ".webm .wmv".split()
)

# Demuxer, as ffmpeg prints it -> media types of audio and of video in it (IANA's, or in use).
CONTAINERS = {
    "aac": ("audio/aac", ""),
    "ac3": ("audio/ac3", ""),
    "aiff": ("audio/aiff", ""),
    "amr": ("audio/amr", ""),
    "asf": ("audio/x-ms-wma", "video/x-ms-wmv"),
    "avi": ("audio/x-msvideo", "video/x-msvideo"),
    "caf": ("audio/x-caf", ""),
    "eac3": ("audio/eac3", ""),
    "flac": ("audio/flac", ""),
    "flv": ("audio/x-flv", "video/x-flv"),
    "matroska,webm": ("audio/x-matroska", "video/x-matroska"),
    "mov,mp4,m4a,3gp,3g2,mj2": ("audio/mp4", "video/mp4"),
    "mp3": ("audio/mpeg", ""),
    "mpeg": ("audio/mpeg", "video/mpeg"),
    "mpegts": ("audio/mp2t", "video/mp2t"),
    "ogg": ("audio/ogg", "video/ogg"),
    "rm": ("audio/vnd.rn-realaudio", "application/vnd.rn-realmedia"),
    "w64": ("audio/x-w64", ""),
    "wav": ("audio/wav", ""),
}
AUDIO_DECODERS = (
    "aac,aac_fixed,aac_latm,ac3,ac3_fixed,eac3,alac,amrnb,amrwb,libopencore_amrnb,"
    "libopencore_amrwb,ape,cook,ra_144,ra_288,sipr,ralf,dca,flac,mp1,mp1float,mp2,mp2float,mp3,"
    "mp3float,mp3adu,mp3adufloat,mp3on4,mp3on4float,opus,libopus,vorbis,libvorbis,wavpack,tta,"
    "truehd,mlp,wmav1,wmav2,wmapro,wmalossless,wmavoice,nellymoser,speex,libspeex,gsm,gsm_ms,"
    "adpcm_ima_wav,adpcm_ms,adpcm_swf,adpcm_ima_qt,adpcm_yamaha,qdm2,qdmc,mace3,mace6,atrac3,"
    "atrac3p,g729,g726,g723_1,pcm_alaw,pcm_mulaw,pcm_s8,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,"
    "pcm_s24be,pcm_s32le,pcm_s32be,pcm_f32le,pcm_f32be,pcm_f64le,pcm_f64be,pcm_bluray,pcm_dvd,"
    "pcm_lxf,pcm_vidc,pcm_sga,pcm_s8_planar,pcm_s16le_planar,pcm_s24le_planar,pcm_s32le_planar,"
    "pcm_s16be_planar"
)
VIDEO_DECODERS = (
    "av1,cfhd,cinepak,dnxhd,dvvideo,ffv1,ffvhuff,flashsv,flashsv2,flv,h261,h263,h263i,h263p,h264,"
    "hevc,huffyuv,indeo2,indeo3,indeo4,indeo5,libdav1d,libvpx,libvpx-vp9,mjpeg,mpeg1video,"
    "mpeg2video,mpeg4,mpegvideo,msmpeg4,msmpeg4v1,msmpeg4v2,msmpeg4v3,msvideo1,prores,qtrle,"
    "rawvideo,rv10,rv20,rv30,rv40,svq1,svq3,theora,utvideo,vc1,vp3,vp5,vp6,vp6a,vp6f,vp7,vp8,vp9,"
    "wmv1,wmv2,wmv3,zmbv"
)
