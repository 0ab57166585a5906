package media

// #include <libavutil/frame.h>
// #include <libavutil/opt.h>
// #include <libavutil/pixfmt.h>
// #include <libswscale/swscale.h>
// // The ranges have to be known before the context is initialized, or a conversion of nothing else is left out.
// static struct SwsContext *media_open_scaler(int w, int h, int format, int space, int full,
//                                             int dw, int dh, int dformat, int dfull, int flags)
// {
//     struct SwsContext *c = sws_alloc_context();
//     if (!c)
//         return NULL;
//     av_opt_set_int(c, "srcw", w, 0);
//     av_opt_set_int(c, "srch", h, 0);
//     av_opt_set_int(c, "src_format", format, 0);
//     av_opt_set_int(c, "src_range", full, 0);
//     av_opt_set_int(c, "dstw", dw, 0);
//     av_opt_set_int(c, "dsth", dh, 0);
//     av_opt_set_int(c, "dst_format", dformat, 0);
//     av_opt_set_int(c, "dst_range", dfull, 0);
//     av_opt_set_int(c, "sws_flags", flags, 0);
//     if (sws_init_context(c, NULL, NULL) < 0) {
//         sws_freeContext(c);
//         return NULL;
//     }
//     // The same matrix on both sides: between YUV formats another would cost a detour by RGB.
//     sws_setColorspaceDetails(c, sws_getCoefficients(space), full, sws_getCoefficients(space), dfull, 0, 1 << 16, 1 << 16);
//     return c;
// }
// static int media_scale(struct SwsContext *c, const AVFrame *src, AVFrame *dst)
// {
//     return sws_scale(c, (const uint8_t *const *)src->data, src->linesize, 0, src->height, dst->data, dst->linesize);
// }
import "C"

import (
	"fmt"

	"github.com/asticode/go-astiav"
)

// Scaling is how pictures are made smaller.
type Scaling int

// The ways there are.
const (
	Bilinear Scaling = iota // takes every pixel into account
	Fast                    // a quarter of the time; loses fine detail
)

// scaler converts pictures to one size and format. It is made anew when what comes in changes.
type scaler struct {
	format        Format
	width, height int
	scaling       Scaling

	c    *C.struct_SwsContext
	from kind
}

// kind is what a conversion is made for.
type kind struct {
	width, height int
	format, space C.int
	full          C.int
}

func kindOf(f *C.AVFrame) kind {
	k := kind{width: int(f.width), height: int(f.height), format: f.format, space: C.int(f.colorspace)}
	if f.color_range == C.AVCOL_RANGE_JPEG {
		k.full = 1
	}
	// FFmpeg has formats of their own for full range, out of use but for JPEG and old H.264.
	switch k.format {
	case C.AV_PIX_FMT_YUVJ420P:
		k.format, k.full = C.AV_PIX_FMT_YUV420P, 1
	case C.AV_PIX_FMT_YUVJ422P:
		k.format, k.full = C.AV_PIX_FMT_YUV422P, 1
	case C.AV_PIX_FMT_YUVJ444P:
		k.format, k.full = C.AV_PIX_FMT_YUV444P, 1
	case C.AV_PIX_FMT_YUVJ440P:
		k.format, k.full = C.AV_PIX_FMT_YUV440P, 1
	case C.AV_PIX_FMT_YUVJ411P:
		k.format, k.full = C.AV_PIX_FMT_YUV411P, 1
	}
	return k
}

// fits tells whether a picture is what is wanted already. Some codecs give it bottom up.
func (s *scaler) fits(f *C.AVFrame) bool {
	k := kindOf(f)
	if k.width != s.width || k.height != s.height || f.linesize[0] <= 0 {
		return false
	}
	switch s.format {
	case YUV420:
		return k.format == C.AV_PIX_FMT_YUV420P && k.full == 0
	case YUVJ420:
		return k.format == C.AV_PIX_FMT_YUV420P && k.full == 1
	case RGB24:
		return k.format == C.AV_PIX_FMT_RGB24
	case Gray:
		return k.format == C.AV_PIX_FMT_GRAY8
	}
	return false
}

// run converts src into dst, which has the scaler's size and format.
func (s *scaler) run(src *astiav.Frame, dst *Frame) error {
	from := (*C.AVFrame)(src.UnsafePointer())
	if k := kindOf(from); s.c == nil || s.from != k {
		s.close()
		flags := C.int(C.SWS_BILINEAR)
		if s.scaling == Fast {
			flags = C.SWS_FAST_BILINEAR
		}
		full := C.int(1)
		if s.format == YUV420 {
			full = 0
		}
		s.c = C.media_open_scaler(C.int(k.width), C.int(k.height), k.format, k.space, k.full,
			C.int(s.width), C.int(s.height), C.int(s.format.pixel()), full, flags)
		if s.c == nil {
			return fmt.Errorf("no conversion from %dx%d, pixel format %s, to %dx%d, %s",
				k.width, k.height, src.PixelFormat(), s.width, s.height, s.format)
		}
		s.from = k
	}
	dst.av.SetColorSpace(src.ColorSpace())
	if n := C.media_scale(s.c, from, dst.native()); int(n) != s.height {
		return fmt.Errorf("conversion to %dx%d, %s, wrote %d rows", s.width, s.height, s.format, int(n))
	}
	return nil
}

func (s *scaler) close() {
	if s.c != nil {
		C.sws_freeContext(s.c)
		s.c = nil
	}
}
