// Included before every source file of the library.

#define GGML_VERSION "unknown"
#define GGML_COMMIT "unknown"
#define WHISPER_VERSION "unknown"

// The compiler brings simple versions of these; those of glibc use the processor's vectors.
#if defined(__x86_64__)
__asm__(".symver memset,memset@GLIBC_2.2.5");
__asm__(".symver memcpy,memcpy@GLIBC_2.14");
__asm__(".symver memmove,memmove@GLIBC_2.2.5");
__asm__(".symver expf,expf@GLIBC_2.27");
__asm__(".symver logf,logf@GLIBC_2.27");
#endif
