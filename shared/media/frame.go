package media

// #cgo pkg-config: libavcodec libavformat libavutil libswscale
// #include <libavutil/frame.h>
import "C"

import (
	"errors"
	"fmt"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// Format is how a frame's pixels lie in memory.
type Format int

// The formats that frames come in.
const (
	YUV420  Format = iota // three planes, limited range (16 to 235): what video encoders take
	YUVJ420               // three planes, full range (0 to 255): what JPEG stores
	RGB24                 // one plane of packed R, G, B
	Gray                  // one plane of luma, full range
)

func (f Format) String() string {
	switch f {
	case YUV420:
		return "yuv420"
	case YUVJ420:
		return "yuvj420"
	case RGB24:
		return "rgb24"
	case Gray:
		return "gray"
	}
	return fmt.Sprintf("format %d", int(f))
}

func (f Format) pixel() astiav.PixelFormat {
	switch f {
	case RGB24:
		return astiav.PixelFormatRgb24
	case Gray:
		return astiav.PixelFormatGray8
	}
	return astiav.PixelFormatYuv420P
}

func (f Format) planes() int {
	if f == YUV420 || f == YUVJ420 {
		return 3
	}
	return 1
}

// colorRange is what the frame says of its own values; the pixel format alone does not tell YUV420 from YUVJ420.
func (f Format) colorRange() astiav.ColorRange {
	if f == YUV420 {
		return astiav.ColorRangeMpeg
	}
	return astiav.ColorRangeJpeg
}

// Frame is one picture in native memory. See the package's documentation for who may hold it and how long.
type Frame struct {
	PTS int64 // microseconds since the clip's first frame
	Key bool  // was coded without reference to others

	format   Format
	av       *astiav.Frame
	borrowed bool // an iterator's, which frees it
}

// NewFrame allocates a picture of undefined content; the caller closes it.
func NewFrame(format Format, width, height int) (*Frame, error) {
	if width < 1 || height < 1 || width > maxSide || height > maxSide || width*height > maxPixels {
		return nil, fmt.Errorf("new frame: %dx%d is out of range", width, height)
	}
	av := astiav.AllocFrame()
	if av == nil {
		return nil, errors.New("new frame: out of memory")
	}
	f := &Frame{format: format, av: av}
	av.SetWidth(width)
	av.SetHeight(height)
	av.SetPixelFormat(format.pixel())
	av.SetColorRange(format.colorRange())
	if err := av.AllocBuffer(0); err != nil {
		av.Free()
		return nil, fmt.Errorf("new frame of %dx%d: %w", width, height, err)
	}
	return f, nil
}

// Width is in pixels as displayed.
func (f *Frame) Width() int { return f.av.Width() }

// Height is in pixels as displayed.
func (f *Frame) Height() int { return f.av.Height() }

// Format says how the planes are to be read.
func (f *Frame) Format() Format { return f.format }

// Planes is the number of planes: three for YUV, one otherwise.
func (f *Frame) Planes() int { return f.format.planes() }

// Plane gives the bytes of plane i and the distance from one row to the next, which may be more than the row is long
// (see RowBytes). No copy is made: the bytes are native memory and good as long as the frame.
func (f *Frame) Plane(i int) (pix []byte, stride int) {
	c := f.native()
	stride = int(c.linesize[i])
	rows := f.Height()
	if i > 0 {
		rows = (rows + 1) / 2
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(c.data[i])), stride*(rows-1)+f.RowBytes(i)), stride
}

// RowBytes is how many bytes of a row of plane i are picture.
func (f *Frame) RowBytes(i int) int {
	switch {
	case f.format == RGB24:
		return 3 * f.Width()
	case i > 0:
		return (f.Width() + 1) / 2
	}
	return f.Width()
}

// Keep makes a second reference to the same pixels, good until its own Close.
func (f *Frame) Keep() (*Frame, error) {
	av := f.av.Clone()
	if av == nil {
		return nil, errors.New("keep frame: out of memory")
	}
	return &Frame{PTS: f.PTS, Key: f.Key, format: f.format, av: av}, nil
}

// MakeWritable copies the pixels if somebody else refers to them too. Planes fetched before are then stale.
func (f *Frame) MakeWritable() error {
	if err := f.av.MakeWritable(); err != nil {
		return fmt.Errorf("make frame writable: %w", err)
	}
	return nil
}

// Close lets go of the pixels, unless the frame is borrowed.
func (f *Frame) Close() {
	if f.av != nil && !f.borrowed {
		f.av.Free()
		f.av = nil
	}
}

func (f *Frame) native() *C.AVFrame { return (*C.AVFrame)(f.av.UnsafePointer()) }
