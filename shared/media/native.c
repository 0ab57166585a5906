#include <libavutil/log.h>
#include <stdarg.h>
#include "_cgo_export.h"

// A message is formatted by FFmpeg's own bounded function: what strangers' clips put into it can be of any length.
static void forward(void *avcl, int level, const char *fmt, va_list args)
{
    char line[1024];
    int prefix = 1;

    if (level > av_log_get_level())
        return;
    av_log_format_line2(avcl, level, fmt, args, line, sizeof line, &prefix);
    goMediaLog(level, line);
}

void media_log_install(void)
{
    av_log_set_callback(forward);
}
