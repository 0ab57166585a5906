package media

// #include <libavutil/frame.h>
import "C"

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"strconv"
	"strings"
	"unsafe"

	"github.com/asticode/go-astiav"
)

// NotAPhoto says that bytes are none of the kinds of still pictures that are read here.
const NotAPhoto Reason = "not a photo"

// Picture is packed RGB: three bytes a pixel, rows Stride bytes apart.
type Picture struct {
	Pix    []byte
	W, H   int
	Stride int
}

// picture shows an RGB24 frame's own memory.
func (f *Frame) picture() Picture {
	pix, stride := f.Plane(0)
	return Picture{Pix: pix, W: f.Width(), H: f.Height(), Stride: stride}
}

func (p Picture) clone() Picture {
	p.Pix = bytes.Clone(p.Pix)
	return p
}

// Picture copies the part r of the frame into Go's memory, scaled to fill w x h, or as large as it is when these are 0. An
// empty r is the whole frame. What of r lies outside the frame is left out; on YUV its corner moves to even coordinates.
func (f *Frame) Picture(r image.Rectangle, w, h int) (Picture, error) {
	whole := image.Rect(0, 0, f.Width(), f.Height())
	if r.Empty() {
		r = whole
	}
	r = r.Intersect(whole)
	if f.format == YUV420 || f.format == YUVJ420 {
		r.Min = r.Min.Div(2).Mul(2)
	}
	if r.Empty() {
		return Picture{}, errors.New("picture of a frame: the part asked for lies outside")
	}
	if w == 0 || h == 0 {
		w, h = r.Dx(), r.Dy()
	}
	part := f.av.Clone()
	if part == nil {
		return Picture{}, errors.New("picture of a frame: out of memory")
	}
	defer part.Free()
	f.crop((*C.AVFrame)(part.UnsafePointer()), r)
	p, err := toRGB(part, w, h)
	if err != nil {
		return Picture{}, fmt.Errorf("picture of a frame: %w", err)
	}
	return p, nil
}

// crop makes of part, which refers to the whole frame, the part r.
func (f *Frame) crop(part *C.AVFrame, r image.Rectangle) {
	pixel := f.RowBytes(0) / f.Width()
	for i := range f.Planes() {
		x, y := r.Min.X*pixel, r.Min.Y
		if i > 0 {
			x, y = x/2, y/2
		}
		at := unsafe.Add(unsafe.Pointer(part.data[i]), y*int(part.linesize[i])+x)
		part.data[i] = (*C.uint8_t)(at)
	}
	part.width, part.height = C.int(r.Dx()), C.int(r.Dy())
}

// toRGB converts a picture of any kind to one in Go's memory.
func toRGB(av *astiav.Frame, w, h int) (Picture, error) {
	dst, err := NewFrame(RGB24, w, h)
	if err != nil {
		return Picture{}, err
	}
	defer dst.Close()
	s := scaler{format: RGB24, width: w, height: h}
	defer s.close()
	if err := s.run(av, dst); err != nil {
		return Picture{}, err
	}
	return dst.picture().clone(), nil
}

// DecodePhoto reads a JPEG, PNG or WebP and turns it upright as its EXIF data says. What is larger than maxWidth x maxHeight
// (0: no bound) is made smaller; sizes are even. What cannot be read is an *Unreadable.
func DecodePhoto(data []byte, maxWidth, maxHeight int) (Picture, error) {
	quiet()
	av, err := decodePhoto(data)
	if err != nil {
		return Picture{}, err
	}
	defer av.Free()
	t := exifTurn(av.Metadata())
	if t.swaps() {
		maxWidth, maxHeight = maxHeight, maxWidth
	}
	w, h := fit(av.Width(), av.Height(), maxWidth, maxHeight)
	p, err := toRGB(av, w, h)
	if err != nil {
		return Picture{}, &Unreadable{Reason: Undecodable, Hint: "Save the picture as an ordinary JPEG and send that.", Err: err}
	}
	if t.straight() {
		return p, nil
	}
	if t.swaps() {
		w, h = h, w
	}
	up := Picture{Pix: make([]byte, 3*w*h), W: w, H: h, Stride: 3 * w}
	t.plane(up.Pix, up.Stride, w, p.Pix, p.Stride, p.W, 3)
	return up, nil
}

// decodePhoto gives a picture of whatever pixel format the photo has; the caller frees it.
func decodePhoto(data []byte) (_ *astiav.Frame, err error) {
	if len(data) == 0 {
		return nil, &Unreadable{Reason: Empty, Hint: "Send the bytes of a JPEG, PNG or WebP."}
	}
	id := photoCodec(data)
	if id == astiav.CodecIDNone {
		return nil, &Unreadable{Reason: NotAPhoto, Hint: "Send a JPEG, PNG or WebP."}
	}
	decoder := astiav.FindDecoder(id)
	if decoder == nil {
		return nil, fmt.Errorf("decode photo: FFmpeg was built without a decoder for %s", id.Name())
	}
	codec, packet, frame := astiav.AllocCodecContext(decoder), astiav.AllocPacket(), astiav.AllocFrame()
	if codec == nil || packet == nil || frame == nil {
		return nil, errors.New("decode photo: out of memory")
	}
	defer codec.Free()
	defer packet.Free()
	defer func() {
		if err != nil {
			frame.Free()
		}
	}()
	options, err := dictionary(map[string]string{"max_pixels": strconv.Itoa(maxPixels)})
	if err != nil {
		return nil, fmt.Errorf("decode photo: %w", err)
	}
	defer options.Free()
	codec.SetThreadCount(1)
	if err := codec.Open(decoder, options); err != nil {
		return nil, fmt.Errorf("decode photo: open the decoder of %s: %w", id.Name(), err)
	}
	const beyond = 64 // bytes that FFmpeg may read after the end
	if err := packet.FromData(append(bytes.Clone(data), make([]byte, beyond)...)); err != nil {
		return nil, fmt.Errorf("decode photo: %w", err)
	}
	packet.SetSize(len(data))
	err = codec.SendPacket(packet)
	if err == nil {
		err = codec.SendPacket(nil)
	}
	if err == nil {
		err = codec.ReceiveFrame(frame)
	}
	if err != nil {
		return nil, &Unreadable{Reason: Undecodable, Err: err,
			Hint: "The picture is damaged, animated, or larger than 64 megapixels: save it as an ordinary JPEG and send that."}
	}
	return frame, nil
}

func photoCodec(data []byte) astiav.CodecID {
	switch {
	case bytes.HasPrefix(data, []byte("\xff\xd8\xff")):
		return astiav.CodecIDMjpeg
	case bytes.HasPrefix(data, []byte("\x89PNG\r\n\x1a\n")):
		return astiav.CodecIDPng
	case len(data) > 12 && string(data[:4]) == "RIFF" && string(data[8:12]) == "WEBP":
		return astiav.CodecIDWebp
	}
	return astiav.CodecIDNone
}

// exifTurn is how a photo has to be turned by its EXIF orientation, which is 1 to 8.
func exifTurn(metadata *astiav.Dictionary) turn {
	if metadata == nil {
		return turn{}
	}
	entry := metadata.Get("Orientation", nil, 0)
	if entry == nil {
		return turn{}
	}
	turns := [...]turn{{false, 0}, {true, 0}, {false, 2}, {true, 2}, {true, 3}, {false, 1}, {true, 1}, {false, 3}}
	n, err := strconv.Atoi(strings.TrimSpace(entry.Value()))
	if err != nil || n < 1 || n > len(turns) {
		return turn{}
	}
	return turns[n-1]
}

// EncodeJPEG makes a JPEG of a picture; quality is 1 to 100.
func EncodeJPEG(p Picture, quality int) ([]byte, error) {
	rgba := image.NewRGBA(image.Rect(0, 0, p.W, p.H)) // for which Go's encoder has a fast way
	for y := range p.H {
		row := p.Pix[y*p.Stride : y*p.Stride+3*p.W]
		for i, o := 0, y*rgba.Stride; i < len(row); i, o = i+3, o+4 {
			rgba.Pix[o], rgba.Pix[o+1], rgba.Pix[o+2], rgba.Pix[o+3] = row[i], row[i+1], row[i+2], 255
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, rgba, &jpeg.Options{Quality: quality}); err != nil {
		return nil, fmt.Errorf("encode a JPEG of %dx%d: %w", p.W, p.H, err)
	}
	return b.Bytes(), nil
}
