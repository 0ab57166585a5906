package media

// #include <libavutil/log.h>
// #include <libavutil/mem.h>
// void media_log_install(void);
import "C"

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
)

// FFmpeg has one log for the whole process, and so have we; this is the package's only global.
var ffmpegLog struct {
	install sync.Once
	to      atomic.Pointer[slog.Logger]
}

// LogTo sends FFmpeg's messages to l: fatal ones as warnings, all others as debug messages, since what FFmpeg calls an
// error is a damaged clip, which we answer for elsewhere. A nil logger drops them again.
//
// go-astiav's own callback is not used: it formats messages into a fixed buffer without looking at their length.
func LogTo(l *slog.Logger) {
	quiet()
	ffmpegLog.to.Store(l)
	level := C.int(C.AV_LOG_QUIET)
	if l != nil {
		level = C.AV_LOG_FATAL
		if l.Enabled(context.Background(), slog.LevelDebug) {
			level = C.AV_LOG_INFO
		}
	}
	C.av_log_set_level(level)
}

// quiet keeps FFmpeg from writing to standard error, and from asking for any amount of memory. Every opening call begins
// with it.
func quiet() {
	ffmpegLog.install.Do(func() {
		C.av_max_alloc(maxAlloc)
		C.media_log_install()
		C.av_log_set_level(C.AV_LOG_QUIET)
	})
}

//export goMediaLog
func goMediaLog(level C.int, line *C.char) {
	l := ffmpegLog.to.Load()
	if l == nil {
		return
	}
	severity := slog.LevelDebug
	if level <= C.AV_LOG_FATAL {
		severity = slog.LevelWarn
	}
	l.Log(context.Background(), severity, strings.TrimSpace(C.GoString(line)), "from", "ffmpeg")
}
